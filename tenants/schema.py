"""Tables as DDL, from their models: composite keys, indexes, policies and grants.

Called by migrations, which hold frozen copies of the models they create.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import peewee

from tenants.catalog import Catalog, ForeignKey, Table, catalog_of
from tenants.errors import CatalogError
from tenants.rls import protection_statements, quote, quote_name


def create_tables(db: peewee.Database, models: Sequence[type[peewee.Model]]) -> None:
    """Create the schema, tables, keys, indexes, policies and grants of these models.

    `db` is the owner's database of a migration. References to tables outside of `models`
    are allowed: they must exist.
    """
    execute(db, *create_statements(_frozen_catalog(models)))


def drop_tables(db: peewee.Database, models: Sequence[type[peewee.Model]]) -> None:
    """Drop the tables of these models, and the schema when nothing is left in it."""
    catalog = _frozen_catalog(models)
    names = ", ".join(quote_name(table.name) for table in catalog)
    execute(db, f"DROP TABLE {names}")
    for schema in sorted({table.name.schema for table in catalog}):
        cursor: Any = db.cursor()
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
            " ON n.oid = c.relnamespace WHERE n.nspname = %s)",
            (schema,),
        )
        if not cursor.fetchone()[0]:
            execute(db, f"DROP SCHEMA {quote(schema)}")


def execute(db: peewee.Database, *statements: str) -> None:
    """Run statements that carry no values, in the transaction that is open."""
    cursor: Any = db.cursor()
    for statement in statements:
        cursor.execute(statement)


#: (table, role, commands, predicate): who may do what. A command may name columns:
#: "UPDATE(turned)".
Access = tuple[str, str, tuple[str, ...], str]
_CLAUSES = {
    "SELECT": "USING ({0})",
    "INSERT": "WITH CHECK ({0})",
    "UPDATE": "USING ({0}) WITH CHECK ({0})",
    "DELETE": "USING ({0})",
}


def access_statements(tables: Sequence[str], access: Sequence[Access]) -> Iterator[str]:
    """Return what closes tables of the schema `tenure` to all but the owner, and opens them
    to each role as far as `access` says."""
    for table in tables:
        yield f"ALTER TABLE tenure.{table} ENABLE ROW LEVEL SECURITY"
        yield f"ALTER TABLE tenure.{table} FORCE ROW LEVEL SECURITY"
        yield (
            f"CREATE POLICY owner ON tenure.{table} FOR ALL TO tenure_owner"
            " USING (true) WITH CHECK (true)"
        )
    for table, role, commands, predicate in access:
        yield f"GRANT {', '.join(commands)} ON tenure.{table} TO {role}"
        for command in commands:
            verb = command.partition("(")[0]
            yield (
                f"CREATE POLICY {role}_{verb.lower()} ON tenure.{table} FOR {verb} TO {role} "
                + _CLAUSES[verb].format(predicate)
            )


def append_only_statement(table: str) -> str:
    """Return the trigger under which rows of a table of `tenure` are only ever added."""
    return (
        f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenure.{table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change()"
    )


#: Of a child table: its name, its columns by the parent's that they equal, the columns of a line,
#: and which of these, of bytes, a line has the SHA-256 of.
Children = (
    tuple[str, Mapping[str, str], tuple[str, ...]]
    | tuple[str, Mapping[str, str], tuple[str, ...], tuple[str, ...]]
)
_LEDGER_EVENTS = ("INSERT", "UPDATE", "DELETE")
_LEDGER_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_LEDGER_KIND = re.compile(r"[a-z]+(-[a-z]+)*")


def ledger_statement(
    table: str,
    kind: str,
    *,
    plain: Sequence[str],
    committed: Sequence[str] = (),
    digested: Sequence[str] = (),
    children: Mapping[str, Children] | None = None,
    on: str = "INSERT",
    when: str | None = None,
) -> str:
    """Return what feeds the ledger from a table of `tenure`, by trigger, in the transaction that
    writes; rows that are there already are entered at once.

    `plain` are the columns whose values stand in the entry: ids of things, counts, instants,
    states, digests; nothing about people. Of the `committed` ones (texts, ids of people) it has
    salted commitments, and their text stands in `tenure.ledger_texts` until it is erased. Of the
    `digested` ones (large values) it has `<column>_sha256`, over the value as text. The primary
    key is among plain and committed. A `tenant_id` makes it the tenant's entry.

    `children={"rows": ("hold_rows", {"tenant_id": "tenant_id", "hold_id": "id"}, ("row_id",))}`
    adds `rows_count` and `rows_sha256` over rows of another table that come in the same
    transaction: sha256 of their columns as a JSON array each, sorted, with line feeds between. A
    fourth part names those of the columns, of bytes, that stand there as their SHA-256.

    `on`: "INSERT", "INSERT OR UPDATE", "INSERT OR UPDATE OR DELETE", "DELETE". An UPDATE enters
    `<kind>-changed` when a column named here changes, a DELETE `<kind>-deleted`. `when` is a
    condition on NEW for rows that are inserted.

    Raises CatalogError for what is no name, no event, or named twice.
    """
    events = on.split(" OR ")
    columns = [*plain, *committed, *digested]
    below = children or {}
    names = [table, *columns, *below]
    for child, by, of_child, *digests in below.values():
        names += [child, *by, *by.values(), *of_child, *(name for each in digests for name in each)]
    strange = [name for name in names if not _LEDGER_NAME.fullmatch(name)]
    if strange or not _LEDGER_KIND.fullmatch(kind):
        raise CatalogError(
            f"{(strange or [kind])[0]!r} is not a name that the ledger can be fed by"
        )
    if set(events) - set(_LEDGER_EVENTS) or len(set(events)) < len(events):
        raise CatalogError(f"{on!r}: the ledger is fed on INSERT, UPDATE and DELETE, with OR")
    if len(set(columns)) < len(columns):
        raise CatalogError(f"a column of tenure.{table} enters the ledger twice")
    spec = {
        label: {"table": child, "by": dict(by), "columns": list(of_child)}
        | ({"digested": list(digests[0])} if digests else {})
        for label, (child, by, of_child, *digests) in below.items()
    }
    arrays = ", ".join(
        "ARRAY[" + ", ".join(f"'{name}'" for name in part) + "]::text[]"
        for part in (events, plain, committed, digested)
    )
    condition = "NULL" if when is None else "'" + when.replace("'", "''") + "'"
    return (
        f"SELECT tenure.feed_ledger('{table}', '{kind}', {arrays}, '{json.dumps(spec)}',"
        f" {condition})"
    )


def _frozen_catalog(models: Sequence[type[peewee.Model]]) -> Catalog:
    if not models:
        raise CatalogError("there are no models to create tables for")
    return catalog_of(models)


def create_statements(catalog: Catalog) -> list[str]:
    """Return the DDL of a whole catalog, in an order that works (foreign keys last)."""
    statements: list[str] = []
    for schema in sorted({table.name.schema for table in catalog}):
        statements += schema_statements(schema)
    for table in catalog:
        statements.append(_create_table(table))
        statements += _indexes(table)
    for table in catalog:
        statements += _foreign_keys(table)
        statements += protection_statements(table)
    return statements


def schema_statements(schema: str) -> list[str]:
    """Return what makes a domain's schema; safe to repeat."""
    return [
        f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}",
        f"GRANT USAGE ON SCHEMA {quote(schema)} TO tenure_app, tenure_retention, tenure_verifier",
    ]


def _create_table(table: Table) -> str:
    lines = [f"{quote(c.name)} {c.type}{'' if c.nullable else ' NOT NULL'}" for c in table.columns]
    lines.append(f"PRIMARY KEY ({_columns(table.primary_key)})")
    lines += [f"CONSTRAINT {quote(name)} CHECK ({sql})" for name, sql in table.checks]
    return f"CREATE TABLE {quote_name(table.name)} (\n    " + ",\n    ".join(lines) + "\n)"


def _indexes(table: Table) -> Iterator[str]:
    for index in table.indexes:
        unique = "UNIQUE " if index.unique else ""
        yield (
            f"CREATE {unique}INDEX {quote(index.name)} ON {quote_name(table.name)}"
            f" ({_columns(index.columns)})"
        )


def _foreign_keys(table: Table) -> Iterator[str]:
    for key in table.foreign_keys:
        yield foreign_key_statement(table, key)


def foreign_key_statement(table: Table, key: ForeignKey) -> str:
    """Return what adds a foreign key to its table."""
    return (
        f"ALTER TABLE {quote_name(table.name)} ADD CONSTRAINT {quote(key.name)}"
        f" FOREIGN KEY ({_columns(key.columns)})"
        f" REFERENCES {quote_name(key.target)} ({_columns(key.target_columns)})"
    )


def _columns(names: Sequence[str]) -> str:
    return ", ".join(quote(name) for name in names)
