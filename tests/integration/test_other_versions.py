"""Migrations, isolation and the audit on other major versions than the newest embedded one."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import peewee
import psycopg2
import pytest

from api.wiring import Installation, open_installation
from config import postgres_install
from config.clock import utc_now
from config.postgres import EmbeddedPostgres
from config.secrets import load_or_create_secrets
from config.trace import new_trace_id
from tenants.context import tenant_scope
from tenants.posture.audit import run
from tenants.posture.discovery import discover
from tenants.posture.reader import read_database
from tenants.posture.rules import all_rules
from tenants.posture.suppressions import load_suppressions

from ..conftest import Cluster, make_tenant_in, migrate

#: Embedded beside the newest one, and Debian's.
MAJORS = (16, 15)
_DEBIAN = Path("/usr/lib/postgresql")
_DOCUMENT = Path(__file__).parents[2] / "docs" / "posture" / "README.md"


def _programs(major: int) -> postgres_install.Installation:
    for found in postgres_install.installations():
        if found.major == major:
            return found
    root = _DEBIAN / str(major)
    if not (root / "bin" / "postgres").is_file():
        pytest.skip(f"PostgreSQL {major} is neither embedded nor Debian's here")
    return postgres_install.Installation(major, root)


@pytest.fixture(scope="module", params=MAJORS)
def elsewhere(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, Installation]]:
    """An installation on a server of another major version."""
    if "DATABASE_URL" in os.environ:
        pytest.skip("the server to be tested on is given")
    folder = tmp_path_factory.mktemp(f"postgres{request.param}")
    server = EmbeddedPostgres(
        folder / "server", durable=False, installation=_programs(request.param)
    )
    secrets = load_or_create_secrets(folder / "secrets").environment()
    server.start()
    try:
        cluster = Cluster(server.url(), secrets)
        cluster.create_database("elsewhere")
        settings = cluster.settings("elsewhere")
        migrate(settings)
        opened = open_installation(settings)
        yield request.param, opened
        opened.close()
    finally:
        server.destroy()


def test_tenants_are_apart(elsewhere: tuple[int, Installation]) -> None:
    from shop.models import Customer, Invoice

    major, installed = elsewhere
    tenants = [make_tenant_in(installed.settings, slug) for slug in ("a", "b")]
    for tenant in tenants:
        with tenant_scope(tenant, actor="test", trace_id=new_trace_id()):
            customer = Customer.create(number="1", name=str(tenant), country="DE")
            Invoice.create(number="1", customer=customer, issued_at=utc_now())
    for tenant in tenants:
        with tenant_scope(tenant, actor="test", trace_id=new_trace_id()):
            rows = Invoice.select(Customer.name).join(Customer).tuples()
            assert list(rows) == [(str(tenant),)]
            with installed.app.atomic():
                assert Customer.update(country="FR").execute() == 1
            with pytest.raises(peewee.IntegrityError):
                Customer.create(number="1", name="twice", country="DE")
    with installed.app_connections.pool.connection() as connection:
        assert connection.info.server_version // 10000 == major
        with connection.cursor() as cursor:
            # No tenant, one made up, and one that another message had: nothing, and refused.
            cursor.execute("SELECT count(*) FROM shop.customers")
            assert cursor.fetchone() == (0,)
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(
                    f"SELECT set_config('tenure.context', '{tenants[1]}:00', true);"
                    " SELECT count(*) FROM shop.customers"
                )


def test_the_audit_reads_its_catalogs(elsewhere: tuple[int, Installation], tmp_path: Path) -> None:
    major, installed = elsewhere
    accepted = tmp_path / "tenure.toml"
    accepted.write_text(_DOCUMENT.read_text().rpartition("```toml\n")[2].partition("```")[0])
    rules = all_rules()
    suppressions = load_suppressions(accepted, [rule.name for rule in rules])
    subject = discover(read_database(installed.settings.role_url("tenure_owner")))
    assert subject.facts.server.version_num // 10000 == major
    report = run(subject, rules, suppressions, today=datetime.date(2026, 1, 1))
    assert [f for f in report.findings if f.severity == "error"] == []
    assert len(report.suppressed) > 10
