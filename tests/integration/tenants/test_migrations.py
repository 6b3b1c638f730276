"""Migrations run as the owner, and the owner sees every row."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from api.wiring import Installation, migrator_of, packages_of, sealer_of
from tenants.catalog import Catalog
from tenants.errors import MigrationError
from tenants.migrate import Migrator, Package

from .conftest import Pair

Rows = list[tuple[Any, ...]]


def test_status_lists_every_migration_as_applied(installation: Installation) -> None:
    status = migrator_of(installation.settings).status()
    names = [(s.package, s.name) for s in status]
    assert names[:2] == [("tenure", "0001_initial"), ("tenure", "0002_context")]
    assert names[-2:] == [("shop", "0001_initial"), ("shop", "0002_erasable")]
    assert all(s.applied_at and not s.changed and s.duration_ms is not None for s in status)


def test_a_second_up_applies_nothing(installation: Installation) -> None:
    assert migrator_of(installation.settings).up() == []


def test_down_and_up_again(installation: Installation, owner_sql: Callable[..., Rows]) -> None:
    migrator = migrator_of(installation.settings)
    shops = ["shop/0001_initial", "shop/0002_erasable"]
    for name in reversed(shops):
        assert migrator.down("shop") == [name]
    assert owner_sql("SELECT to_regclass('shop.customers')") == [(None,)]
    products = [s.name for s in migrator.status() if s.package == "tenure"]
    for name in reversed(products):
        assert migrator.down("tenure") == [f"tenure/{name}"]
    assert {s.applied_at for s in migrator.status()} == {None}
    assert migrator.up() == [*(f"tenure/{name}" for name in products), *shops]


def test_the_product_is_not_taken_down_over_tenants(installation: Installation, pair: Pair) -> None:
    migrator = migrator_of(installation.settings)
    migrator.down("shop")
    migrator.down("shop")
    while migrator.status()[1].applied_at:
        migrator.down("tenure")
    with pytest.raises(MigrationError, match="holds tenants"):
        migrator.down("tenure")


def column_types(owner_sql: Callable[..., Rows], schema: str) -> dict[tuple[str, str], Any]:
    rows = owner_sql(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
        " AND NOT a.attisdropped",
        (schema,),
    )
    return {(table, column): (kind, nullable) for table, column, kind, nullable in rows}


def constraints(owner_sql: Callable[..., Rows], schema: str) -> set[tuple[str, str, str]]:
    """(table, kind, columns and what they refer to) of keys and unique indexes."""
    return set(
        owner_sql(
            "SELECT c.relname, con.contype::text, pg_get_constraintdef(con.oid)"
            " FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid"
            " WHERE c.relnamespace = %s::regnamespace AND con.contype IN ('p', 'f')",
            (schema,),
        )
    ) | set(
        owner_sql(
            "SELECT c.relname, CASE WHEN i.indisunique THEN 'u' ELSE 'i' END,"
            " '(' || string_agg(a.attname, ', ' ORDER BY k.ord) || ')'"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " CROSS JOIN unnest(i.indkey) WITH ORDINALITY k(num, ord)"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.num"
            " WHERE c.relnamespace = %s::regnamespace AND NOT i.indisprimary"
            " GROUP BY c.relname, i.indexrelid, i.indisunique",
            (schema,),
        )
    )


def declared(catalog: Catalog) -> set[tuple[str, str, str]]:
    found = set()
    for table in catalog:
        name = table.name.name
        found.add((name, "p", f"PRIMARY KEY ({', '.join(table.primary_key)})"))
        for key in table.foreign_keys:
            found.add(
                (
                    name,
                    "f",
                    f"FOREIGN KEY ({', '.join(key.columns)})"
                    f" REFERENCES {key.target}({', '.join(key.target_columns)})",
                )
            )
        for index in table.indexes:
            found.add((name, "u" if index.unique else "i", f"({', '.join(index.columns)})"))
    return found


def test_the_models_and_the_migrated_schema_agree(
    installation: Installation, owner_sql: Callable[..., Rows]
) -> None:
    """Types, nullability, keys and indexes: what playhouse's schema_diff does not compare."""
    assert column_types(owner_sql, "shop") == {
        (table.name.name, column.name): (column.type, column.nullable)
        for table in installation.catalog
        for column in table.columns
    }
    assert constraints(owner_sql, "shop") == declared(installation.catalog)


def test_keys_of_tenant_tables_begin_with_the_tenant(
    installation: Installation, owner_sql: Callable[..., Rows]
) -> None:
    for table, kind, definition in constraints(owner_sql, "shop"):
        columns = definition.partition("(")[2]
        assert columns.startswith("tenant_id"), f"{table} ({kind}): {definition}"


@pytest.fixture
def extra(installation: Installation, tmp_path: Path) -> Callable[[str], Migrator]:
    """`extra(body)`: a migrator with one more package, whose one migration has this body."""

    def make(body: str, name: str = "0001_extra") -> Migrator:
        (tmp_path / f"{name}.py").write_text(body)
        sealer = sealer_of(installation.settings)
        return Migrator(
            installation.settings.role_url("tenure_owner"),
            (*packages_of(installation.domain), Package("extra", tmp_path)),
            mode="sealed",
            context_key=sealer.key,
        )

    return make


def test_a_foreign_key_over_a_planted_orphan_fails(
    extra: Callable[[str], Migrator], pair: Pair, owner_sql: Callable[..., Rows]
) -> None:
    """Under FORCE row-level security without a policy for the owner it would succeed."""
    owner_sql("ALTER TABLE shop.invoices DROP CONSTRAINT invoices_customer_id_fkey")
    owner_sql(
        "UPDATE shop.invoices SET customer_id = gen_random_uuid() WHERE tenant_id = %s",
        (str(pair.b),),
    )
    add = (
        "def up(migrator, db):\n"
        "    db.execute_sql('ALTER TABLE shop.invoices ADD FOREIGN KEY (tenant_id, customer_id)"
        " REFERENCES shop.customers (tenant_id, id)')\n"
    )
    with pytest.raises(Exception, match="violates foreign key constraint"):
        extra(add).up()


def test_a_backfill_reaches_every_tenants_rows(
    extra: Callable[[str], Migrator], pair: Pair, owner_sql: Callable[..., Rows]
) -> None:
    extra(
        "def up(migrator, db):\n    db.execute_sql(\"UPDATE shop.customers SET country = 'ZZ'\")\n"
    ).up()
    assert owner_sql("SELECT count(*) FROM shop.customers WHERE country = 'ZZ'") == [(5,)]


def test_a_failed_migration_leaves_nothing_behind(
    extra: Callable[[str], Migrator], pair: Pair, owner_sql: Callable[..., Rows]
) -> None:
    body = (
        "def up(migrator, db):\n"
        "    db.execute_sql('CREATE TABLE shop.half (id int)')\n"
        "    db.execute_sql('SELECT 1 / 0')\n"
    )
    with pytest.raises(Exception, match="division by zero"):
        extra(body).up()
    assert owner_sql("SELECT to_regclass('shop.half')") == [(None,)]


def test_a_migration_changed_after_it_was_applied_is_refused(
    extra: Callable[[str], Migrator], installation: Installation
) -> None:
    extra("def up(migrator, db):\n    pass\n").up()
    changed = extra("def up(migrator, db):\n    db.execute_sql('SELECT 1')\n")
    with pytest.raises(MigrationError, match="0001_extra"):
        changed.up()
    assert [s.changed for s in changed.status() if s.package == "extra"] == [True]


def test_two_runners_at_once_apply_each_migration_once(
    extra: Callable[[str], Migrator], owner_sql: Callable[..., Rows]
) -> None:
    migrator = extra(
        "def up(migrator, db):\n"
        "    db.execute_sql('SELECT pg_sleep(0.3)')\n"
        "    db.execute_sql('CREATE TABLE shop.once (id int)')\n"
    )
    applied: list[str] = []
    threads = [threading.Thread(target=lambda: applied.extend(migrator.up())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert applied == ["extra/0001_extra"]


def test_a_lock_held_elsewhere_is_an_error_after_the_timeout(
    installation: Installation,
) -> None:
    other = psycopg2.connect(installation.settings.role_url("tenure_owner"))
    try:
        other.cursor().execute("SELECT pg_advisory_lock(7237012)")
        with pytest.raises(MigrationError, match="another process is migrating"):
            migrator_of(installation.settings).up(lock_timeout_s=0.3)
    finally:
        other.close()
