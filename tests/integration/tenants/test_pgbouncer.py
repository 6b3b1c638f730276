"""Everything through PgBouncer in transaction mode, where each message may meet another backend."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg2
import pytest
from shop.models import Customer

from api.wiring import (
    Installation,
    connections_of,
    migrator_of,
    open_installation,
    prepare,
    sealer_of,
)
from config.settings import Settings
from tenants.connections import Role, refuse_unsafe_role
from tenants.context import TenantId
from tenants.errors import MigrationError
from tenants.roles import ROLES, close_database
from tenants.seal import MESSAGE_BEGINS, TOKEN_LIFETIME_S

from ...conftest import Cluster, _fresh_name, make_tenant_in
from ...pgbouncer import PROGRAM, pgbouncer, through
from .conftest import scope_of

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")

COUNT = "SELECT count(*) FROM shop.customers"
SERVER_CONNECTIONS = 4


@dataclass(frozen=True)
class Pooled:
    """An installation behind a pooler; `direct` are its settings without one."""

    installation: Installation
    direct: Settings
    a: TenantId
    b: TenantId

    @property
    def settings(self) -> Settings:
        return self.installation.settings

    def enter(self, tenant: TenantId) -> str:
        return f"SELECT tenure.set_tenant('{self.token(tenant)}')"

    def token(self, tenant: TenantId) -> str:
        return sealer_of(self.settings).token(tenant, 0)


@pytest.fixture(scope="module")
def pooled(cluster: Cluster, template: str) -> Iterator[Pooled]:
    name = _fresh_name()
    cluster.create_database(name, template)
    close_database(cluster.url(name))
    direct = cluster.settings(name, TENURE_POOLER="transaction", TENURE_POOL_SIZE="16")
    prepare(direct)
    migrator_of(direct).up()
    with pgbouncer(cluster.url(name), roles=ROLES, size=SERVER_CONNECTIONS) as port:
        url = through(direct.database_url or "", port)
        opened = open_installation(direct.model_copy(update={"database_url": url}))
        tenants = make_tenant_in(direct, "a"), make_tenant_in(direct, "b")
        pooled = Pooled(opened, direct, *tenants)
        for tenant, count in zip(tenants, (2, 3), strict=True):
            with scope_of(tenant):
                for number in range(count):
                    Customer.create(number=str(number), name=f"{tenant}:{number}", country="DE")
        yield pooled
        opened.close()
    cluster.drop_database(name)


@pytest.fixture
def cursor(pooled: Pooled) -> Iterator[Any]:
    connection = psycopg2.connect(pooled.settings.role_url("tenure_app"))
    connection.autocommit = True
    yield connection.cursor()
    connection.close()


def test_a_tenant_sees_its_rows_and_only_in_its_transaction(pooled: Pooled, cursor: Any) -> None:
    cursor.execute(f"{pooled.enter(pooled.a)}; {COUNT}")
    assert cursor.fetchone() == (2,)
    cursor.execute(COUNT)
    assert cursor.fetchone() == (0,)
    cursor.execute(f"BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; {pooled.enter(pooled.b)}")
    cursor.execute(COUNT)
    assert cursor.fetchone() == (3,)
    cursor.execute("COMMIT")


def test_the_service_starts_with_its_roles_settings(pooled: Pooled) -> None:
    limits: dict[Role, str] = {
        "tenure_app": "30s",
        "tenure_retention": "30min",
        "tenure_verifier": "30min",
    }
    for role, limit in limits.items():
        connections = connections_of(pooled.settings, role, size=1)
        refuse_unsafe_role(connections)
        with connections.transaction(None) as cursor:
            cursor.execute(
                "SELECT current_setting('search_path'), current_setting('statement_timeout'),"
                " current_setting('lock_timeout'), current_setting('timezone'),"
                " current_setting('idle_in_transaction_session_timeout')"
            )
            assert cursor.fetchone() == ("pg_catalog, pg_temp", limit, "5s", "UTC", "1min")
        connections.pool.close()


ATTACKS = {
    "another's id with my seal": "SELECT tenure.set_tenant('{swapped}'); {count}",
    # Where a token is no proof of the session, only the function may take one.
    "as a setting": MESSAGE_BEGINS + "{seen}', true); {count}",
    "a backend's as a setting": MESSAGE_BEGINS + "{backend}', true); {count}",
    "no seal": "SELECT tenure.set_tenant('{b}'); {count}",
    "an empty seal": "SELECT tenure.set_tenant('{b}:'); {count}",
    "a later end": "SELECT tenure.set_tenant('{prolonged}'); {count}",
    "a token that has expired": "SELECT tenure.set_tenant('{expired}'); {count}",
    "a backend's token": "SELECT tenure.set_tenant('{backend}'); {count}",
    "a token behind the beginning": "{mine}; SELECT tenure.set_tenant('{seen}'); {count}",
    "a fresh transaction": "{mine}; COMMIT; BEGIN; SELECT tenure.set_tenant('{seen}'); {count}",
    "a block": "{mine}; DO $$ BEGIN PERFORM tenure.set_tenant('{seen}'); END $$; {count}",
    "a token behind a comment": "/* */ SELECT tenure.set_tenant('{seen}'); {count}",
    "a setting made by hand": "{mine}; SELECT set_config('tenure.context', '{b}', true); {count}",
    "a session's setting": "{mine}; SET tenure.context = '{b}{zeros}'; {count}",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_injected_sql_does_not_reach_another_tenant(
    pooled: Pooled, cursor: Any, attack: str
) -> None:
    sealer = sealer_of(pooled.settings)
    mine, seen = pooled.token(pooled.a), pooled.token(pooled.b)
    past = replace(sealer, now=lambda: time.time() - TOKEN_LIFETIME_S - 20)
    message = ATTACKS[attack].format(
        mine=pooled.enter(pooled.a),
        seen=seen,
        b=pooled.b,
        swapped=mine.replace(str(pooled.a), str(pooled.b)),
        prolonged=f"{seen.rpartition(':')[0]}:{int(time.time()) + 3600}",
        expired=past.token(pooled.b, 0),
        backend=replace(sealer, binding="backend").token(
            pooled.b, cursor.connection.info.backend_pid
        ),
        zeros="0" * 64,
        count=COUNT,
    )
    with pytest.raises((psycopg2.errors.InsufficientPrivilege, psycopg2.DataError)):
        cursor.execute(message)


def test_a_setting_of_an_earlier_transaction_is_refused(pooled: Pooled, cursor: Any) -> None:
    cursor.execute(f"{pooled.enter(pooled.b)}; SELECT current_setting('tenure.context')")
    old = cursor.fetchone()[0]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="forged"):
        cursor.execute(
            f"{pooled.enter(pooled.a)}; SELECT set_config('tenure.context', '{old}', true); {COUNT}"
        )


def test_what_a_session_keeps_does_not_reach_the_next_client(pooled: Pooled, cursor: Any) -> None:
    cursor.execute("SET statement_timeout = 1234")
    other = psycopg2.connect(pooled.settings.role_url("tenure_app"))
    other.autocommit = True
    seen = set()
    for _ in range(20):
        with other.cursor() as reader:
            reader.execute("SHOW statement_timeout")
            seen.add(reader.fetchone())
    other.close()
    assert seen == {("30s",)}


def test_sixteen_threads_of_two_tenants_share_four_connections(pooled: Pooled) -> None:
    astray: list[str] = []
    backends: set[int] = set()

    def work(tenant: TenantId, expected: int) -> None:
        for _ in range(25):
            with scope_of(tenant):
                names = [c.name for c in Customer.select()]
                if len(names) != expected or any(not n.startswith(str(tenant)) for n in names):
                    astray.append(f"{tenant}: {names}")
                with pooled.installation.app.atomic():
                    if Customer.select().count() != expected:
                        astray.append(f"{tenant}: in a transaction")

    def watched(*args: Any) -> None:
        try:
            work(*args)
        except Exception as error:  # noqa: BLE001 - handed to the test's own thread
            astray.append(repr(error))

    threads = [
        threading.Thread(target=watched, args=(pooled.a, 2) if n % 2 else (pooled.b, 3))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    admin = psycopg2.connect(pooled.direct.database_url or "")
    admin.autocommit = True
    while any(thread.is_alive() for thread in threads):
        with admin.cursor() as look:
            look.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'tenure_app'"
                " AND datname = current_database()"
            )
            backends.add(look.fetchone()[0])  # type: ignore[index]  # one row
        time.sleep(0.02)
    admin.close()
    for thread in threads:
        thread.join()
    assert astray == []
    assert max(backends) <= SERVER_CONNECTIONS
    assert pooled.installation.app_connections.pool.in_use == 0


def test_migrations_refuse_to_run_through_it(pooled: Pooled) -> None:
    with pytest.raises(MigrationError, match="pooler"):
        migrator_of(pooled.settings).up()


def test_a_wrong_binding_fails_closed(pooled: Pooled) -> None:
    """Without the setting, tokens are bound to a backend that is another one each time."""
    mistaken = pooled.settings.model_copy(update={"pooler": "none"})
    connections = connections_of(mistaken, "tenure_app", size=1)
    with pytest.raises(psycopg2.Error), connections.transaction(pooled.a) as cursor:
        cursor.execute(COUNT)
    connections.pool.close()
