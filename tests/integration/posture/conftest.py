"""A database whose every change is rolled back: roles and settings leave no trace."""

from __future__ import annotations

import datetime
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import TRANSACTION_STATUS_INERROR as INERROR

from tenants.posture.audit import run
from tenants.posture.discovery import discover
from tenants.posture.examples import BASE
from tenants.posture.facts import Facts
from tenants.posture.reader import read_facts
from tenants.posture.rule import Finding
from tenants.posture.rules import all_rules
from tenants.posture.subject import Subject

from ...conftest import Cluster

# What a new server leaves open, and the base schema closes.
CLOSED = """
DO $$ BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
"""


@dataclass
class Bench:
    """An open transaction as superuser, in a database with nothing in it."""

    cursor: Any

    def execute(self, sql: str) -> Any:
        """Run SQL as superuser; return the rows of its last statement, if it has any."""
        self.cursor.execute("RESET ROLE; SET LOCAL search_path = public, pg_temp")
        self.cursor.execute(sql)
        rows = self.cursor.fetchall() if self.cursor.description else []
        self.cursor.execute("RESET ROLE")
        return rows

    def as_role(self, role: str, sql: str, tenant: str = "") -> Any:
        """Run SQL as a role, in a tenant's context; return the rows of its last statement."""
        self.cursor.execute("SELECT set_config('app.tenant_id', %s, true)", (tenant,))
        self.cursor.execute(f"SET LOCAL ROLE {role}")
        try:
            self.cursor.execute(sql)
            return self.cursor.fetchall() if self.cursor.description else []
        finally:
            if self.cursor.connection.info.transaction_status != INERROR:
                self.cursor.execute("RESET ROLE")

    @property
    def version(self) -> int:
        """The server's version, as 180004."""
        return int(self.cursor.connection.info.server_version)

    def facts(self) -> Facts:
        """Read the catalogs as they are now."""
        return read_facts(self.cursor)

    def subject(self, **given: Any) -> Subject:
        """What is found out of them."""
        return discover(self.facts(), **given)

    def findings(self, rule: str | None = None, **given: Any) -> list[Finding]:
        """The findings of one rule or of all."""
        rules = [r for r in all_rules() if rule in (None, r.name)]
        return list(run(self.subject(**given), rules, today=datetime.date(2026, 1, 1)).findings)


@pytest.fixture(scope="session")
def posture_database(cluster: Cluster) -> Iterator[str]:
    """The URL of a database that stays empty."""
    name = f"posture_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{os.getpid()}"
    cluster.create_database(name)
    yield cluster.url(name)
    cluster.drop_database(name)


@pytest.fixture(scope="session")
def extensions() -> Iterator[Path]:
    """A folder with extensions of the names that rules know, and nothing in them.

    The embedded server comes without the real ones; the rule asks only for the name.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "extension"
        folder.mkdir()
        (folder / "dblink.control").write_text("default_version = '0'\nrelocatable = true\n")
        (folder / "dblink--0.sql").write_text("")
        for path in (Path(name), folder):
            path.chmod(0o755)  # the server may run under another account
        yield Path(name)


@pytest.fixture
def empty(posture_database: str, extensions: Path) -> Iterator[Bench]:
    """A bench on an empty database that is closed to PUBLIC."""
    connection = psycopg2.connect(posture_database)
    try:
        bench = Bench(connection.cursor())
        if connection.info.server_version >= 180000:
            bench.execute(f"SET LOCAL extension_control_path = '$system:{extensions}'")
        bench.execute(CLOSED)
        yield bench
    finally:
        connection.rollback()
        connection.close()


def needs_15(bench: Bench, sql: str) -> None:
    """Skip what an older server cannot even write down."""
    if bench.version < 150000 and "security_invoker" in sql:
        pytest.skip("security_invoker came with PostgreSQL 15")


def needs_extension(bench: Bench, sql: str) -> None:
    """Skip what a server before 18 lacks: there an empty one cannot stand in (`extensions`)."""
    for name in [] if bench.version >= 180000 else re.findall(r"CREATE EXTENSION (\w+)", sql):
        if not bench.execute(f"SELECT FROM pg_available_extensions WHERE name = '{name}'"):
            pytest.skip(f"this server has no {name}")


@pytest.fixture
def bench(empty: Bench) -> Bench:
    """A bench with the examples' base schema."""
    empty.execute(BASE)
    return empty
