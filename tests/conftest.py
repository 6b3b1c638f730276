"""A real PostgreSQL for every test that touches data.

Each worker runs an embedded server of its own (or, with DATABASE_URL, uses that one), makes
one migrated template, and copies it for each test: tens of milliseconds apiece.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from psycopg2 import sql

from api.wiring import Installation, migrator_of, open_installation, passwords_of
from config.postgres import EmbeddedPostgres
from config.secrets import load_or_create_secrets
from config.settings import Settings, load_settings
from tenants.context import TenantId
from tenants.registry import create_tenant
from tenants.roles import close_database, prepare_database

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "examples"))


def pytest_xdist_auto_num_workers() -> int:
    """How many `-n auto` are: one more than there are processors, for tests also wait (for
    processes, locks, clocks); four at most, each with a server of its own."""
    return min((os.cpu_count() or 1) + 1, 4)


@dataclass(frozen=True)
class Cluster:
    """A server on which databases may be made. `admin_url` may create roles."""

    admin_url: str
    environment: dict[str, str]

    def url(self, database: str) -> str:
        """Return the administrator's URL of one database."""
        parts = urlsplit(self.admin_url)
        return urlunsplit(parts._replace(path=f"/{database}"))

    def settings(self, database: str, **overrides: str) -> Settings:
        """Return the settings of an installation of the shop on one database."""
        return load_settings(
            {
                **self.environment,
                "DATABASE_URL": self.url(database),
                "TENURE_DOMAIN": "shop",
                "TENURE_DOMAIN_PATH": str(ROOT / "examples"),
                "TENURE_POOL_SIZE": "4",
                **overrides,
            }
        )

    def execute(self, statement: sql.Composable) -> None:
        """Run one statement as the administrator, outside of a transaction."""
        connection = psycopg2.connect(self.admin_url)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    def create_database(self, name: str, template: str | None = None) -> None:
        """Make a database, empty or as a copy."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            # By WAL, the default: a copy of files waits for a checkpoint, and took longer.
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        self.execute(statement)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        until = time.monotonic() + 10
        while True:
            try:
                return self.execute(statement)
            except psycopg2.errors.InsufficientPrivilege:
                # An autovacuum worker is the superuser's: an administrator who is none waits.
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server for this worker."""
    # One set for all workers: on a server that they share, so are the roles.
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    secrets = load_or_create_secrets(shared / "secrets").environment()
    external = os.environ.get("DATABASE_URL")
    if external:
        given = {k: v for k, v in os.environ.items() if k.startswith("TENURE_")}
        # Roles are the whole server's: making up passwords would lock others out.
        passwords_of(load_settings(given, None))
        yield Cluster(external, secrets | given)
        return
    with _folder(tmp_path_factory) as folder:
        server = EmbeddedPostgres(
            folder, durable=False, settings={"max_connections": "200", "max_wal_size": "256MB"}
        )
        server.start()
        try:
            yield Cluster(server.url(), secrets)
        finally:
            server.destroy()


# Where Linux keeps files in memory; what a worker may fill of it.
_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30


@contextmanager
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the server's folder: in memory where there is room, for a database is hundreds of
    files, and over a thousand databases are copied and dropped.
    """
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < 2 * _ROOM:
        yield tmp_path_factory.mktemp("postgres")
        return
    folder = Path(tempfile.mkdtemp(prefix="tenure-test-", dir=_MEMORY))
    # As root the server runs as another user, who has to come past.
    folder.chmod(0o711)
    try:
        yield folder / "postgres"
    finally:
        shutil.rmtree(folder)


def migrate(settings: Settings) -> None:
    """Prepare and migrate the database of these settings."""
    assert settings.database_url
    prepare_database(settings.database_url, passwords_of(settings))
    migrator_of(settings).up()


_names = iter(range(1_000_000))


def _fresh_name() -> str:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return f"tenure_test_{worker}_{os.getpid()}_{next(_names)}"


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> Iterator[str]:
    """The name of a migrated database without rows."""
    name = _fresh_name()
    cluster.create_database(name)
    migrate(cluster.settings(name))
    yield name
    cluster.drop_database(name)


def _copy(cluster: Cluster, template: str) -> Iterator[Installation]:
    name = _fresh_name()
    cluster.create_database(name, template)
    # A copy does not inherit the grants on the database itself.
    close_database(cluster.url(name))
    opened = open_installation(cluster.settings(name))
    try:
        yield opened
    finally:
        opened.close()
        cluster.drop_database(name)


@pytest.fixture
def installation(cluster: Cluster, template: str) -> Iterator[Installation]:
    """An installation of the shop on a fresh, migrated, empty database."""
    yield from _copy(cluster, template)


@pytest.fixture(scope="module")
def installed(cluster: Cluster, template: str) -> Iterator[Installation]:
    """The same, shared by a module's tests. Do not use beside `installation`: models are bound
    to the one that was opened last."""
    yield from _copy(cluster, template)


def run_as_owner(settings: Settings, statement: str, params: Any = ()) -> list[tuple[Any, ...]]:
    """Run a statement as tenure_owner, who sees all rows; return its rows."""
    connection = psycopg2.connect(settings.role_url("tenure_owner"))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def make_tenant_in(settings: Settings, slug: str) -> TenantId:
    """Make a tenant as tenure_owner."""
    connection = psycopg2.connect(settings.role_url("tenure_owner"))
    try:
        with connection, connection.cursor() as cursor:
            return create_tenant(cursor, slug=slug, name=slug.title())
    finally:
        connection.close()


@pytest.fixture
def owner_sql(installation: Installation) -> Callable[..., list[tuple[Any, ...]]]:
    """`owner_sql(statement, params)` arranges and checks as tenure_owner."""

    def run(statement: str, params: Any = ()) -> list[tuple[Any, ...]]:
        return run_as_owner(installation.settings, statement, params)

    return run


@pytest.fixture
def make_tenant(installation: Installation) -> Callable[..., TenantId]:
    """`make_tenant("acme")` returns a new tenant's id."""
    return lambda slug="acme": make_tenant_in(installation.settings, slug)
