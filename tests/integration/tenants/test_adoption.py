"""A table full of rows becomes a tenant's while others read and write it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import peewee
import psycopg2
import pytest

from api.wiring import Installation
from tenants import adoption
from tenants.adoption import adopt_table
from tenants.errors import MigrationError
from tenants.models import TenantModel, TextField

from .conftest import Pair

MANY, SOME = 40_000, 2_000
Rows = list[tuple[Any, ...]]


class Legacy(TenantModel):
    """As the migration's frozen copy has it."""

    owner = TextField()
    body = TextField()

    class Meta:
        schema = "shop"
        table_name = "legacy"
        indexes = ((("owner",), False),)


@pytest.fixture
def legacy(
    request: pytest.FixtureRequest, owner_sql: Callable[..., Rows], pair: Pair
) -> dict[str, Any]:
    """Rows of two tenants, in a table that knows only their names."""
    rows = getattr(request, "param", SOME)
    owner_sql(
        "CREATE TABLE shop.legacy (id uuid PRIMARY KEY, owner text NOT NULL, body text NOT NULL);"
        "INSERT INTO shop.legacy SELECT gen_random_uuid(), "
        " CASE mod(n, 2) WHEN 0 THEN 'a' ELSE 'b' END,"
        f" 'body ' || n FROM generate_series(1, {rows}) n"
    )
    return {"a": pair.a, "b": pair.b}


@pytest.fixture
def db(installation: Installation) -> Iterator[peewee.PostgresqlDatabase]:
    """What a migration is given."""
    database = peewee.PostgresqlDatabase(installation.settings.role_url("tenure_owner"))
    yield database
    database.close()


TENANT = "SELECT x.id FROM tenure.tenants x WHERE x.slug = t.owner"


class Traffic:
    """Reads and writes as the table's owner, who would not wait a second for a lock."""

    def __init__(self, installation: Installation, tenants: dict[str, Any]) -> None:
        self._url = installation.settings.role_url("tenure_owner")
        self._tenants = tenants
        self._stop = threading.Event()
        self.failed: list[str] = []
        self.done = 0
        self._threads = [
            threading.Thread(target=self._work, args=(work,))
            for work in (self._read, self._insert, self._update, self._linger)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, work: Callable[[Any], None]) -> None:
        connection = psycopg2.connect(self._url, options="-c lock_timeout=1000")
        connection.autocommit = True
        cursor = connection.cursor()
        while not self._stop.is_set():
            try:
                work(cursor)
                self.done += 1
            except psycopg2.Error as error:
                self.failed.append(str(error))
            time.sleep(0.005)
        connection.close()

    def _read(self, cursor: Any) -> None:
        cursor.execute("SELECT count(*) FROM (SELECT 1 FROM shop.legacy LIMIT 1000) x")

    def _insert(self, cursor: Any) -> None:
        """As the deployment that came before: it fills the column once it is there."""
        cursor.execute(
            "SELECT 1 FROM pg_attribute WHERE attrelid = 'shop.legacy'::regclass"
            " AND attname = 'tenant_id'"
        )
        if cursor.fetchone():
            cursor.execute(
                "INSERT INTO shop.legacy (id, owner, body, tenant_id)"
                " VALUES (gen_random_uuid(), 'a', 'late', %s)",
                (str(self._tenants["a"]),),
            )
        else:
            cursor.execute("INSERT INTO shop.legacy VALUES (gen_random_uuid(), 'b', 'early')")

    def _update(self, cursor: Any) -> None:
        cursor.execute(
            "UPDATE shop.legacy SET body = 'changed' WHERE id ="
            " (SELECT id FROM shop.legacy WHERE id > gen_random_uuid() ORDER BY id LIMIT 1)"
        )

    def _linger(self, cursor: Any) -> None:
        """A transaction that holds its locks for longer than the migration waits."""
        cursor.execute("BEGIN; SELECT 1 FROM shop.legacy LIMIT 1")
        time.sleep(0.3)
        cursor.execute("COMMIT")
        time.sleep(0.3)


@pytest.mark.parametrize("legacy", [MANY], indirect=True)
def test_nobody_waits_long_while_a_full_table_is_adopted(
    installation: Installation,
    legacy: dict[str, Any],
    db: peewee.PostgresqlDatabase,
    owner_sql: Callable[..., Rows],
) -> None:
    with Traffic(installation, legacy) as traffic:
        adopt_table(db, Legacy, tenant=TENANT)
    assert traffic.failed == []
    assert traffic.done > 50
    [(rows, wrong)] = owner_sql(
        "SELECT count(*), count(*) FILTER (WHERE t.tenant_id IS DISTINCT FROM x.id)"
        " FROM shop.legacy t JOIN tenure.tenants x ON x.slug = t.owner"
    )
    assert rows > MANY
    assert wrong == 0
    counts = dict(owner_sql("SELECT owner, count(*) FROM shop.legacy GROUP BY 1"))
    for slug, tenant in legacy.items():
        with installation.app_connections.transaction(tenant) as cursor:
            cursor.execute("SELECT count(*) FROM shop.legacy")
            assert cursor.fetchone() == (counts[slug],)
    with installation.app_connections.transaction(None) as cursor:
        cursor.execute("SELECT count(*) FROM shop.legacy")
        assert cursor.fetchone() == (0,)
    keys = owner_sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = 'shop.legacy'::regclass AND contype IN ('p', 'c')"
    )
    assert keys == [("PRIMARY KEY (tenant_id, id)",)]
    assert owner_sql(
        "SELECT attnotnull FROM pg_attribute"
        " WHERE attrelid = 'shop.legacy'::regclass AND attname = 'tenant_id'"
    ) == [(True,)]
    assert owner_sql("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_it_goes_on_where_it_was_broken_off(
    legacy: dict[str, Any],
    db: peewee.PostgresqlDatabase,
    owner_sql: Callable[..., Rows],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = 0
    real = adoption._Adoption._rows, adoption._Adoption.alone, adoption._Adoption.briefly

    class BrokenOffError(Exception):
        pass

    for broken in range(60):
        left = [broken]

        def step(method: Any, left: list[int] = left) -> Any:
            def taken(*args: Any, **kwargs: Any) -> Any:
                if left[0] == 0:
                    raise BrokenOffError
                left[0] -= 1
                return method(*args, **kwargs)

            return taken

        for name, method in zip(("_rows", "alone", "briefly"), real, strict=True):
            monkeypatch.setattr(adoption._Adoption, name, step(method))
        try:
            adopt_table(db, Legacy, tenant=TENANT, batch_rows=500)
        except BrokenOffError:
            steps += 1
        else:
            break
    assert steps > 10
    assert owner_sql(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class"
        " WHERE oid = 'shop.legacy'::regclass"
    ) == [(True, True)]
    assert owner_sql("SELECT count(*) FROM shop.legacy WHERE tenant_id IS NULL") == [(0,)]


def test_a_row_without_a_tenant_is_an_error_that_tells_where(
    legacy: dict[str, Any], db: peewee.PostgresqlDatabase, owner_sql: Callable[..., Rows]
) -> None:
    owner_sql("UPDATE shop.legacy SET owner = 'nobody' WHERE body = 'body 7'")
    with pytest.raises(MigrationError, match=r"shop\.legacy: 1 rows .* have no tenant"):
        adopt_table(db, Legacy, tenant=TENANT)


def test_a_lock_that_is_not_to_be_had_is_an_error(
    installation: Installation,
    legacy: dict[str, Any],
    db: peewee.PostgresqlDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adoption, "_TRIES", 2)
    other = psycopg2.connect(installation.settings.role_url("tenure_owner"))
    other.cursor().execute("SELECT 1 FROM shop.legacy LIMIT 1")
    with pytest.raises(MigrationError, match="no lock in 2 tries"):
        adopt_table(db, Legacy, tenant=TENANT)
    other.close()
