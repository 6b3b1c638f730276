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
from tenants.models import ForeignKeyField, GlobalModel, TenantModel, TextField

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


# -- a table with a past of its own ----------------------------------------------------


class Author(TenantModel):
    """A tenant's table already."""

    class Meta:
        schema = "shop"
        table_name = "customers"


class Scribble(TenantModel):
    """As in docs/domain.md, with more to it."""

    author = ForeignKeyField(Author)
    slug = TextField(unique=True)
    kind = TextField(index=True)

    class Meta:
        schema = "shop"
        table_name = "scribbles"
        checks = (("kind_check", "kind IN ('short', 'long')"),)


AUTHORS = "SELECT a.tenant_id FROM shop.customers a WHERE a.id = t.author_id"
PAST = """
ALTER TABLE shop.customers ADD CONSTRAINT customers_alone UNIQUE (id);
CREATE TABLE shop.scribbles (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES shop.customers (id) ON DELETE CASCADE,
    slug text NOT NULL UNIQUE,
    kind text NOT NULL
);
CREATE INDEX scribbles_kind_idx ON shop.scribbles (kind);
CREATE UNIQUE INDEX scribbles_by_slug ON shop.scribbles (slug);
GRANT ALL ON shop.scribbles TO PUBLIC, tenure_app;
GRANT UPDATE (id) ON shop.scribbles TO tenure_retention;
INSERT INTO shop.scribbles
SELECT gen_random_uuid(), a.id, 'slug ' || a.id, 'short' FROM shop.customers a;
"""
DEFINITIONS = (
    "SELECT pg_get_constraintdef(oid), convalidated FROM pg_constraint"
    " WHERE conrelid = 'shop.scribbles'::regclass AND contype <> 'n' ORDER BY 1"
)
ADOPTED = [
    ("CHECK ((kind = ANY (ARRAY['short'::text, 'long'::text])))", True),
    ("FOREIGN KEY (tenant_id, author_id) REFERENCES shop.customers(tenant_id, id)", True),
    ("PRIMARY KEY (tenant_id, id)", True),
]
POLICIES = (
    "SELECT polname, polcmd, pg_get_expr(polqual, polrelid),"
    " pg_get_expr(polwithcheck, polrelid) FROM pg_policy WHERE polrelid = '{}'::regclass ORDER BY 1"
)
OWN = "(tenant_id = ( SELECT tenure.current_tenant() AS current_tenant))"
OURS = [
    ("app", "*", OWN, OWN),
    ("owner", "*", "true", "true"),
    ("retention", "*", OWN, OWN),
    ("verifier", "r", "true", None),
]
SECURITY = "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = '{}'::regclass"
COLUMNS = (
    "SELECT attname FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0 ORDER BY 1"
)


@pytest.fixture
def scribbles(owner_sql: Callable[..., Rows], pair: Pair) -> None:
    owner_sql(PAST)


@pytest.mark.usefixtures("scribbles")
def test_keys_constraints_and_grants_are_those_of_the_model(
    installation: Installation,
    pair: Pair,
    db: peewee.PostgresqlDatabase,
    owner_sql: Callable[..., Rows],
) -> None:
    adopt_table(db, Scribble, tenant=AUTHORS)
    assert owner_sql(DEFINITIONS) == ADOPTED
    assert owner_sql(
        "SELECT indexdef FROM pg_indexes WHERE tablename = 'scribbles' ORDER BY indexname"
    ) == [
        (f"CREATE {unique}INDEX {name} ON shop.scribbles USING btree (tenant_id, {column})",)
        for unique, name, column in (
            ("", "scribbles_author_id_idx", "author_id"),
            ("", "scribbles_kind_idx", "kind"),
            ("UNIQUE ", "scribbles_pkey", "id"),
            ("UNIQUE ", "scribbles_slug_key", "slug"),
        )
    ]
    assert owner_sql(POLICIES.format("shop.scribbles")) == OURS
    assert owner_sql(
        "SELECT grantee, string_agg(privilege_type, ' ' ORDER BY privilege_type)"
        " FROM information_schema.table_privileges WHERE table_name = 'scribbles'"
        " AND grantee <> 'tenure_owner' GROUP BY 1 ORDER BY 1"
    ) == [
        ("tenure_app", "DELETE INSERT SELECT"),
        ("tenure_retention", "DELETE SELECT"),
        ("tenure_verifier", "SELECT"),
    ]
    assert owner_sql(
        "SELECT grantee, column_name FROM information_schema.column_privileges"
        " WHERE table_name = 'scribbles' AND privilege_type = 'UPDATE'"
        " AND grantee <> 'tenure_owner' ORDER BY 1, 2"
    ) == [
        *(("tenure_app", column) for column in ("author_id", "kind", "slug")),
        ("tenure_retention", "tenant_id"),
    ]
    for tenant, count in ((pair.a, 2), (pair.b, 3)):
        with installation.app_connections.transaction(tenant) as cursor:
            cursor.execute("SELECT count(*) FROM shop.scribbles")
            assert cursor.fetchone() == (count,)
    # Done again, it changes nothing.
    adopt_table(db, Scribble, tenant=AUTHORS)
    assert owner_sql(DEFINITIONS) == ADOPTED
    assert owner_sql(POLICIES.format("shop.scribbles")) == OURS


def _not_enforced(owner_sql: Callable[..., Rows]) -> str:
    [(version,)] = owner_sql("SELECT current_setting('server_version_num')::int")
    return "NOT ENFORCED" if version >= 180000 else "NOT VALID"


@pytest.mark.usefixtures("scribbles")
@pytest.mark.parametrize(
    "there",
    [
        "CHECK (true)",
        "CHECK (kind IN ('short', 'long', 'odd'))",
        "CHECK (kind IN ('short', 'long')) NO INHERIT",
        "CHECK (kind IN ('short', 'long')) {not_enforced}",
        "CHECK (kind IN ('short', 'long'))",
    ],
)
def test_a_check_of_the_models_name_is_the_models_check_afterwards(
    db: peewee.PostgresqlDatabase, owner_sql: Callable[..., Rows], there: str
) -> None:
    constraint = there.format(not_enforced=_not_enforced(owner_sql))
    owner_sql(f"ALTER TABLE shop.scribbles ADD CONSTRAINT scribbles_kind_check {constraint}")
    adopt_table(db, Scribble, tenant=AUTHORS)
    assert owner_sql(DEFINITIONS) == ADOPTED


@pytest.mark.usefixtures("scribbles")
@pytest.mark.parametrize("how", ["{not_enforced}", "ON DELETE CASCADE", "ON UPDATE CASCADE"])
def test_a_foreign_key_that_does_something_else_is_replaced(
    db: peewee.PostgresqlDatabase, owner_sql: Callable[..., Rows], how: str
) -> None:
    how = how.format(not_enforced=_not_enforced(owner_sql))
    owner_sql(
        "ALTER TABLE shop.scribbles ADD tenant_id uuid, ADD CONSTRAINT by_author"
        f" FOREIGN KEY (tenant_id, author_id) REFERENCES shop.customers (tenant_id, id) {how}"
    )
    adopt_table(db, Scribble, tenant=AUTHORS)
    assert owner_sql(DEFINITIONS) == ADOPTED


@pytest.mark.usefixtures("scribbles")
def test_what_was_broken_off_at_a_key_goes_on_there(
    db: peewee.PostgresqlDatabase,
    owner_sql: Callable[..., Rows],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner_sql("ALTER TABLE shop.scribbles ADD CONSTRAINT scribbles_kind_check CHECK (true)")
    steps = 0
    real = adoption._Adoption.alone, adoption._Adoption.briefly

    class BrokenOffError(Exception):
        pass

    for broken in range(60):
        left = [broken]

        def step(method: Any, left: list[int] = left) -> Any:
            def taken(*args: Any) -> Any:
                if left[0] == 0:
                    raise BrokenOffError
                left[0] -= 1
                return method(*args)

            return taken

        for name, method in zip(("alone", "briefly"), real, strict=True):
            monkeypatch.setattr(adoption._Adoption, name, step(method))
        try:
            adopt_table(db, Scribble, tenant=AUTHORS)
        except BrokenOffError:
            steps += 1
        else:
            break
    assert steps > 5
    assert owner_sql(DEFINITIONS) == ADOPTED
    assert owner_sql(SECURITY.format("shop.scribbles")) == [(True, True)]


@pytest.mark.usefixtures("scribbles")
def test_a_row_that_refers_to_anothers_is_an_error_without_its_values(
    pair: Pair, db: peewee.PostgresqlDatabase, owner_sql: Callable[..., Rows]
) -> None:
    wrong = f"SELECT '{pair.a}'::uuid"
    with pytest.raises(MigrationError, match="break scribbles_author_id_fkey") as caught:
        adopt_table(db, Scribble, tenant=wrong)
    assert str(pair.b) not in str(caught.value)
    assert caught.value.__cause__ is None
    owner_sql(
        "UPDATE shop.scribbles t SET tenant_id = (SELECT a.tenant_id FROM shop.customers a"
        " WHERE a.id = t.author_id)"
    )
    owner_sql(
        "UPDATE shop.scribbles SET kind = 'odd' WHERE slug = (SELECT min(slug) FROM shop.scribbles)"
    )
    with pytest.raises(MigrationError, match="break scribbles_kind_check"):
        adopt_table(db, Scribble, tenant=wrong)
    owner_sql("UPDATE shop.scribbles SET kind = 'long' WHERE kind = 'odd'")
    adopt_table(db, Scribble, tenant=wrong)
    assert owner_sql(DEFINITIONS) == ADOPTED


@pytest.mark.usefixtures("scribbles")
def test_what_the_model_does_not_declare_is_an_error_before_anything_is_changed(
    db: peewee.PostgresqlDatabase, owner_sql: Callable[..., Rows]
) -> None:
    owner_sql(
        "ALTER TABLE shop.scribbles ADD reader_id uuid REFERENCES shop.customers (id);"
        "CREATE UNIQUE INDEX one_long ON shop.scribbles (kind) WHERE kind = 'long';"
        "CREATE UNIQUE INDEX lower_slug ON shop.scribbles (lower(slug));"
        "ALTER TABLE shop.scribbles ADD CONSTRAINT apart EXCLUDE (slug WITH =);"
        "CREATE POLICY web ON shop.scribbles USING (true)"
    )
    before = owner_sql(DEFINITIONS), owner_sql(COLUMNS.format("shop.scribbles"))
    with pytest.raises(MigrationError) as caught:
        adopt_table(db, Scribble, tenant=AUTHORS)
    for what in ("scribbles_reader_id_fkey", "one_long", "lower_slug", "apart", "policy web"):
        assert what in str(caught.value)
    assert "scribbles_author_id_fkey" not in str(caught.value)
    assert "scribbles_slug_key" not in str(caught.value)
    assert before == (owner_sql(DEFINITIONS), owner_sql(COLUMNS.format("shop.scribbles")))


@pytest.mark.parametrize("forced", ["", "ALTER TABLE shop.legacy FORCE ROW LEVEL SECURITY"])
def test_a_policy_that_is_there_keeps_no_table_open(
    forced: str,
    legacy: dict[str, Any],
    installation: Installation,
    db: peewee.PostgresqlDatabase,
    owner_sql: Callable[..., Rows],
) -> None:
    owner_sql("GRANT SELECT, TRUNCATE ON shop.legacy TO tenure_app")
    owner_sql("CREATE POLICY p ON shop.legacy USING (true)")
    with pytest.raises(MigrationError, match="has the policy p"):
        adopt_table(db, Legacy, tenant=TENANT)
    # One of a name of ours says no more than its name.
    owner_sql(
        "DROP POLICY p ON shop.legacy; CREATE POLICY app ON shop.legacy USING (true);"
        f"ALTER TABLE shop.legacy ENABLE ROW LEVEL SECURITY; {forced}"
    )
    adopt_table(db, Legacy, tenant=TENANT)
    assert owner_sql(SECURITY.format("shop.legacy")) == [(True, True)]
    assert owner_sql(POLICIES.format("shop.legacy")) == OURS
    with installation.app_connections.transaction(legacy["a"]) as cursor:
        cursor.execute("SELECT count(*) FROM shop.legacy")
        assert cursor.fetchone() == (SOME // 2,)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("TRUNCATE shop.legacy")


def test_a_global_table_is_not_adopted(db: peewee.PostgresqlDatabase) -> None:
    class Everybodys(GlobalModel):
        class Meta:
            schema = "shop"
            table_name = "legacy"
            exemption = "everybody's"

    with pytest.raises(MigrationError, match="its model is global"):
        adopt_table(db, Everybodys, tenant=TENANT)
