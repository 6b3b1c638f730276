"""What the database has of a table that is to be adopted: its constraints, indexes and policies,
and what of them an adopted table must not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tenants.catalog import ForeignKey, Table, TableName
from tenants.rls import quote_name

#: Runs a statement with its values; returns rows.
Ask = Callable[[str, tuple[Any, ...]], list[tuple[Any, ...]]]

#: The policies that `tenants.rls.protection_statements` makes.
POLICIES = ("owner", "app", "retention", "verifier")

_COLUMNS = """ARRAY(SELECT a.attname::text FROM unnest({numbers}) WITH ORDINALITY k(number, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = {table} AND a.attnum = k.number
    ORDER BY k.place)"""
_KEY = _COLUMNS.format(numbers="(x.indkey::int2[])[0:x.indnkeyatts - 1]", table="x.indrelid")
_FOREIGN_KEYS = f"""
SELECT c.conname, {_COLUMNS.format(numbers="c.conkey", table="c.conrelid")},
       n.nspname, t.relname, {_COLUMNS.format(numbers="c.confkey", table="c.confrelid")},
       c.convalidated, c.confdeltype = 'a' AND c.confupdtype = 'a'
           -- A column says so since PostgreSQL 18; the text did not exist before.
           AND pg_catalog.pg_get_constraintdef(c.oid) NOT LIKE '%% NOT ENFORCED',
       EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.confrelid
               AND a.attname = 'tenant_id' AND NOT a.attisdropped)
FROM pg_catalog.pg_constraint c
JOIN pg_catalog.pg_class t ON t.oid = c.confrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE c.conrelid = %s::regclass AND c.contype = 'f'
"""  # noqa: S608 - constants
_INDEXES = f"""
SELECT i.relname, {_KEY}, x.indisunique, x.indisvalid,
       c.conname, c.contype, x.indexprs IS NULL AND x.indpred IS NULL
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_catalog.pg_constraint c
       ON c.conindid = x.indexrelid AND c.conrelid = x.indrelid AND c.contype IN ('p', 'u', 'x')
WHERE x.indrelid = %s::regclass
"""  # noqa: S608 - constants
_CHECKS = """
SELECT conname, pg_catalog.pg_get_constraintdef(oid), convalidated
FROM pg_catalog.pg_constraint
WHERE conrelid = %s::regclass AND contype = 'c'
"""
_POLICIES = "SELECT polname FROM pg_catalog.pg_policy WHERE polrelid = %s::regclass"


@dataclass(frozen=True)
class FoundKey:
    """A foreign key. `is_plain`: it is enforced, and deletes and updates nothing by itself.
    `to_tenants`: its target has a tenant."""

    name: str
    columns: tuple[str, ...]
    target: TableName
    target_columns: tuple[str, ...]
    is_valid: bool
    is_plain: bool
    to_tenants: bool

    def is_as(self, wanted: ForeignKey) -> bool:
        """Tell whether it says what the model declares, under whatever name."""
        return self.is_plain and self.refers_as(wanted)

    def refers_as(self, wanted: ForeignKey) -> bool:
        """Tell whether it refers to what the model declares, whatever it does about it."""
        mine = (self.columns, self.target, self.target_columns)
        return mine == (wanted.columns, wanted.target, wanted.target_columns)

    @property
    def is_leak(self) -> bool:
        """Whether it refers to rows of any tenant, and so tells which there are."""
        return self.to_tenants and not self._same_tenant

    @property
    def _same_tenant(self) -> bool:
        return ("tenant_id", "tenant_id") in zip(self.columns, self.target_columns, strict=True)


@dataclass(frozen=True)
class FoundIndex:
    """An index, which may be a `constraint`'s. `is_plain`: of columns and all rows."""

    name: str
    columns: tuple[str, ...]
    unique: bool
    is_valid: bool
    constraint: str | None
    kind: str | None
    is_plain: bool

    @property
    def is_leak(self) -> bool:
        """Whether it compares rows of all tenants, and so tells what others have."""
        compares = self.kind == "x" or (self.unique and self.kind != "p")
        return compares and "tenant_id" not in self.columns


@dataclass(frozen=True)
class FoundCheck:
    """A check constraint: what it says, as PostgreSQL writes it, and whether all rows obey."""

    definition: str
    is_valid: bool


def foreign_keys(ask: Ask, table: Table) -> list[FoundKey]:
    """Return the foreign keys that the table has."""
    return [
        FoundKey(name, tuple(columns), TableName(schema, target), tuple(of), valid, plain, tenants)
        for name, columns, schema, target, of, valid, plain, tenants in ask(
            _FOREIGN_KEYS, (quote_name(table.name),)
        )
    ]


def indexes(ask: Ask, table: Table) -> dict[str, FoundIndex]:
    """Return the indexes that the table has, by name."""
    return {
        row[0]: FoundIndex(row[0], tuple(row[1]), *row[2:])
        for row in ask(_INDEXES, (quote_name(table.name),))
    }


def checks(ask: Ask, table: Table) -> dict[str, FoundCheck]:
    """Return the check constraints that the table has, by name."""
    return {
        name: FoundCheck(definition.removesuffix(" NOT VALID"), is_valid)
        for name, definition, is_valid in ask(_CHECKS, (quote_name(table.name),))
    }


def obstacles(ask: Ask, table: Table) -> Iterator[str]:
    """Return what only who knows the table can decide over, a sentence each."""
    for (policy,) in ask(_POLICIES, (quote_name(table.name),)):
        if policy not in POLICIES:
            yield f"has the policy {policy}, which would add to ours: drop it"
    declared = {key.column for key in table.foreign_keys}
    for key in foreign_keys(ask, table):
        if key.is_leak and not (len(key.columns) == 1 and key.columns[0] in declared):
            yield (
                f"refers by {key.name} ({', '.join(key.columns)}) to {key.target}, any tenant's: "
                "declare it in the model, or drop it"
            )
    unique = {frozenset(index.columns) for index in table.indexes if index.unique}
    for index in indexes(ask, table).values():
        declares = index.is_plain and frozenset({"tenant_id", *index.columns}) in unique
        if index.is_leak and not (declares and index.kind != "x"):
            yield (
                f"compares the rows of all tenants by {index.name} ({', '.join(index.columns)}): "
                "declare it in Meta.indexes, where the tenant is put in front, or drop it"
            )
