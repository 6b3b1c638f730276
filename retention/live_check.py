"""Policies and subjects against the database as it is: what the models promise, migrations may
not have kept.

Their files are checked against the models' catalog (`retention.policy_file`, `subject_file`).
This looks at PostgreSQL's own catalogs, as tenure_verifier: a table or column that is not there,
an index that is missing or invalid, a foreign key that no model knows, one that cascades, a
privilege that an action needs, a condition that does not run. Each problem names the mend.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

import psycopg2
from psycopg2 import sql

from retention.errors import PolicyError, SubjectError
from retention.graph import archives_in, edges_of
from retention.policies import Policy, starting_point
from retention.subjects import Subject
from retention.treatments import Treatment
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor

_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(%s)
"""
_INDEXES = """
SELECT n.nspname, c.relname,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY k(attnum, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum ORDER BY k.place)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE i.indisvalid AND i.indpred IS NULL AND n.nspname = ANY(%s)
"""
_KEYS = """
SELECT pn.nspname, p.relname, cn.nspname, c.relname, k.conname, k.confdeltype,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY x(attnum, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.attnum ORDER BY x.place)
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
JOIN pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_class p ON p.oid = k.confrelid
JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND pn.nspname = ANY(%s)
"""
_PRIVILEGES = """
SELECT t.name, t.privilege FROM unnest(%s::text[], %s::text[], %s::text[]) t(name, privilege, col)
WHERE NOT CASE WHEN t.col = '' THEN has_table_privilege('tenure_retention', t.name, t.privilege)
          ELSE has_column_privilege('tenure_retention', t.name, t.col, t.privilege) END
ORDER BY 1, 2
"""
# A table, a privilege on it, and the column it is on ("": all of them).
_Privilege = tuple[TableName, str, str]
_VOLATILE = "SELECT DISTINCT proname FROM pg_proc WHERE provolatile = 'v' AND proname = ANY(%s)"
_CALL = re.compile(r"([a-z_][a-z0-9_]*)\"?\s*\(", re.IGNORECASE)


def check_live(cursor: Cursor, catalog: Catalog, policies: Collection[Policy]) -> None:
    """Raise PolicyError, with a line per problem, unless the database can bear the policies."""
    problems = list(_Live(cursor, catalog).problems(policies))
    if problems:
        raise PolicyError("\n".join(dict.fromkeys(problems)))


def check_subjects(cursor: Cursor, catalog: Catalog, subjects: Collection[Subject]) -> None:
    """Raise SubjectError, with a line per problem, unless the database can bear the subjects:
    so, too, where it knows a reference to a subject's rows that no model does."""
    live = _Live(cursor, catalog)
    problems = [problem for subject in subjects for problem in live.of_subject(subject)]
    if problems:
        raise SubjectError("\n".join(dict.fromkeys(problems)))


class _Live:
    """What the database says of the schemas the catalog is about."""

    def __init__(self, cursor: Cursor, catalog: Catalog) -> None:
        self.cursor = cursor
        self.catalog = catalog
        schemas = sorted({table.name.schema for table in catalog})
        self.types: dict[TableName, dict[str, str]] = {}
        for schema, table, column, kind in self._rows(_COLUMNS, schemas):
            self.types.setdefault(TableName(schema, table), {})[column] = kind
        self.indexes: dict[TableName, list[list[str]]] = {}
        for schema, table, columns in self._rows(_INDEXES, schemas):
            self.indexes.setdefault(TableName(schema, table), []).append(columns)
        self.keys = [
            (TableName(*row[:2]), TableName(*row[2:4]), *row[4:])
            for row in self._rows(_KEYS, schemas)
        ]

    def _rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        self.cursor.execute(query, params)
        return self.cursor.fetchall()

    def problems(self, policies: Collection[Policy]) -> Iterator[str]:
        for policy in policies:
            said = list(self._of(policy))
            yield from (f"policy {policy.name!r}: {problem}" for problem in said)
            if not said and policy.condition is not None:
                for problem in self._condition(policy, policy.condition):
                    yield f"policy {policy.name!r}, condition: {problem}"
        wanted: list[_Privilege] = []
        for policy in policies:
            wanted += _wanted(policy)
        yield from self._privileges(wanted)

    def _of(self, policy: Policy) -> Iterator[str]:
        point = starting_point(self.catalog, policy.table, policy.starts)
        tables = (policy.table, *policy.along, point.table)
        yield from self._missing(tables)
        if not self._indexed(point.table, point.column.name):
            yield (
                f"{point.table} has no valid index led by (tenant_id, {point.column.name}); "
                f"CREATE INDEX CONCURRENTLY ON {point.table} (tenant_id, {point.column.name})"
            )
        if policy.removes:
            yield from self._references(tables[:-1])

    def of_subject(self, subject: Subject) -> Iterator[str]:
        reach = subject.reach(self.catalog)
        label = f"subject {subject.name!r}: "
        archives = {name for found in archives_in(self.catalog).values() for name in found}
        for problem in (
            *self._missing(reach.tables),
            *self._references([name for name in reach.tables if name not in archives]),
        ):
            yield label + problem
        wanted: list[_Privilege] = []
        for one in subject.tables:
            wanted += _changes(one.table, one.treatments)
            wanted += [(one.table, "DELETE", "")] if one.action == "delete" else []
        wanted += [(edge.child, "UPDATE", edge.column) for edge in reach.cut]
        yield from (label + problem for problem in self._privileges(wanted))

    def _missing(self, tables: Collection[TableName]) -> Iterator[str]:
        for name in dict.fromkeys(tables):
            there = self.types.get(name)
            if there is None:
                yield f"there is no table {name} in the database; run `tenure migrate up`"
                continue
            for column in self.catalog.table(name).columns:
                if there.get(column.name) != column.type:
                    found = there.get(column.name, "missing")
                    yield (
                        f"{name}.{column.name} is {found} in the database, and {column.type} to "
                        "the models; run `tenure migrate up`, or write the migration"
                    )

    def _indexed(self, table: TableName, column: str) -> bool:
        return any(
            columns[:2] == ["tenant_id", column] or columns[:1] == [column]
            for columns in self.indexes.get(table, ())
        )

    def _references(self, tables: Collection[TableName]) -> Iterator[str]:
        known = {(e.child, e.constraint) for e in edges_of(self.catalog)}
        for parent, child, name, on_delete, columns in self.keys:
            if parent not in tables:
                continue
            if on_delete != "a":
                yield (
                    f"the foreign key {name} of {child} acts by itself when a row of {parent} "
                    "goes, and what it does is not counted; make it NO ACTION: ALTER TABLE "
                    f"{child} DROP CONSTRAINT {name}, and add it again"
                )
            if (child, name) not in known:
                yield (
                    f"{child} refers to {parent} by the foreign key {name}, and no model says so; "
                    "declare the reference (ForeignKeyField)"
                )
            if not self._indexed(child, columns[-1]):
                yield (
                    f"the foreign key {name} of {child} is not indexed, and PostgreSQL looks rows "
                    f"up by it for every row that goes; CREATE INDEX CONCURRENTLY ON {child} "
                    f"({', '.join(columns)})"
                )

    def _privileges(self, wanted: Collection[_Privilege]) -> Iterator[str]:
        wanted = [one for one in wanted if one[0] in self.types]
        if not wanted:
            return
        names = [sql.Identifier(n.schema, n.name).as_string(self.cursor) for n, _, _ in wanted]
        columns = [column for _, _, column in wanted]
        self.cursor.execute(_PRIVILEGES, (names, [p for _, p, _ in wanted], columns))
        missing = set(self.cursor.fetchall())
        for (_, privilege, column), name in zip(wanted, names, strict=True):
            if (name, privilege) in missing:
                what = f"{privilege} ({column})" if column else privilege
                yield (
                    f"tenure_retention may not {privilege} {name}; in a migration: "
                    f"GRANT {what} ON {name} TO tenure_retention"
                )

    def _condition(self, policy: Policy, condition: str) -> Iterator[str]:
        calls = sorted({found.lower() for found in _CALL.findall(condition)})
        self.cursor.execute(_VOLATILE, (calls,))
        for (name,) in self.cursor.fetchall():
            yield f"{name}() is volatile: it may say one thing now and another in a moment"
        query = sql.SQL("SELECT (\n{}\n) IS TRUE FROM {} r WHERE false").format(
            sql.SQL(condition), sql.Identifier(policy.table.schema, policy.table.name)
        )
        self.cursor.execute("SAVEPOINT condition")
        try:
            self.cursor.execute(query)
        except psycopg2.Error as error:
            yield str(error).strip().splitlines()[0]
        finally:
            self.cursor.execute("ROLLBACK TO SAVEPOINT condition")


def _wanted(policy: Policy) -> Iterator[_Privilege]:
    yield from _changes(policy.table, policy.treatments)
    for name in (policy.table, *policy.along):
        if policy.removes:
            yield name, "DELETE", ""
        if policy.archive is not None:
            yield TableName(policy.archive, name.name), "INSERT", ""


def _changes(table: TableName, treatments: Collection[Treatment]) -> list[_Privilege]:
    return [(table, "UPDATE", treatment.column) for treatment in treatments]
