"""A subject's rows as the database has them now: who is meant, and what refers to them.

Every query names the tenant, as a literal, and works as tenure_verifier as well as
tenure_retention in the tenant's context. It asks what is there now, without locks: who
changes rows looks again under lock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from uuid import UUID

from psycopg2 import errors, sql

from retention.errors import SubjectError
from retention.hold_scopes import rows_from
from retention.statements import table
from retention.subjects import Reach, Subject
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor
from tenants.context import TenantId

#: More people of one name or address than this are not listed.
_MOST_FOUND = 10


def find_person(
    cursor: Cursor, subject: Subject, catalog: Catalog, tenant_id: TenantId, value: str,
    *, column: str | None = None,
) -> UUID:  # fmt: skip
    """Return the key of the one person whose `column` (one of `lookup`), or key, is `value`.

    Raises SubjectError where there is none, where there are several (their keys are named, so
    that one can be chosen), or for a column by which nobody is looked up.
    """
    wanted = column or "id"
    if wanted not in ("id", *subject.lookup):
        raise SubjectError(
            f"a {subject.name} is found by id" + "".join(f", {c}" for c in subject.lookup)
            + f", not by {wanted}"
        )  # fmt: skip
    kind = catalog.table(subject.table).column(wanted).type
    if "\0" in value:
        raise SubjectError("no value in the database has a NUL character")
    # The value takes the column's type by itself. A cast to varchar(n) would cut it off, one to
    # numeric(p, s) round it, and find somebody else.
    query = sql.SQL(
        "SELECT r.id::text FROM {table} r WHERE r.tenant_id = %(tenant)s::uuid"
        " AND r.{column} = %(value)s ORDER BY r.id LIMIT %(limit)s"
    ).format(table=table(subject.table), column=sql.Identifier(wanted))
    try:
        cursor.execute(query, {"tenant": str(tenant_id), "value": value, "limit": _MOST_FOUND + 1})
    except errors.DataError as error:
        raise SubjectError(f"{subject.table}.{wanted} is {kind}, and {value!r} is none") from error
    found = [row[0] for row in cursor.fetchall()]
    if not found:
        raise SubjectError(f"this tenant has no {subject.name} whose {wanted} is {value!r}")
    if len(found) > 1:
        more = ", .." if len(found) > _MOST_FOUND else ""
        raise SubjectError(
            f"{wanted} {value!r} is of several {subject.name}s; choose one by id: "
            + ", ".join(found[:_MOST_FOUND]) + more
        )  # fmt: skip
    return UUID(found[0])


def identifiers_of(
    cursor: Cursor, subject: Subject, tenant_id: TenantId, key: UUID
) -> dict[str, str]:
    """Return by what else a person is known: the lookup columns of their row that are set."""
    if not subject.lookup:
        return {}
    query = sql.SQL(
        "SELECT {columns} FROM {table} r WHERE r.tenant_id = %(tenant)s::uuid"
        " AND r.id = %(key)s::uuid"
    ).format(
        columns=sql.SQL(", ").join(
            sql.SQL("{}::text").format(sql.Identifier("r", column)) for column in subject.lookup
        ),
        table=table(subject.table),
    )
    cursor.execute(query, {"tenant": str(tenant_id), "key": str(key)})
    row = cursor.fetchone() or (None,) * len(subject.lookup)
    found = zip(subject.lookup, row, strict=True)
    return {column: value for column, value in found if value is not None}


def rows_of(
    cursor: Cursor,
    reach: Reach,
    tenant_id: TenantId,
    key: UUID,
    *,
    seeds: Mapping[TableName, Collection[str]] | None = None,
) -> dict[TableName, set[str]]:
    """Return the ids, as text, of a subject's rows per table of its reach, archives included.

    `seeds` are more rows to begin with, by table: what refers to them is the subject's, too,
    whether they are there themselves or not.
    """
    seeds = {name: ids for name, ids in (seeds or {}).items() if ids}
    params = {"tenant": str(tenant_id), "subject": str(key)}
    for name, number in reach.numbers().items():
        if name in seeds:
            params[f"seeds{number}"] = "{" + ",".join(sorted(seeds[name])) + "}"
    cursor.execute(under(reach, seeds), params)
    there = cursor.fetchall()
    found: dict[TableName, set[str]] = defaultdict(set)
    tables = reach.tables
    for number, row_id in there:
        found[tables[number]].add(row_id)
    for name in (reach.top, *seeds):
        found[name] = _real(cursor, name, tenant_id, found[name])
    return {name: found[name] for name in reach.tables if found.get(name)}


def under(reach: Reach, seeds: Collection[TableName] = ()) -> sql.Composable:
    """Return a query for (number of the table, id as text) of all rows of the subject
    %(subject)s of the tenant %(tenant)s, each once; and of the rows %(seeds0)s, .. of these
    tables (by their numbers) with what refers to those.

    The person's own row is among them whether it is there or not: what refers to it softly, or
    was archived, is reached all the same.
    """
    numbers = reach.numbers()
    first: sql.Composable = sql.SQL("SELECT {}, %(subject)s::uuid").format(
        sql.Literal(numbers[reach.top])
    )
    for name in seeds:
        first += sql.SQL(" UNION ALL SELECT {}, unnest({}::uuid[])").format(
            sql.Literal(numbers[name]), sql.Placeholder(f"seeds{numbers[name]}")
        )
    every = rows_from(first, reach.top, reach.edges, numbers, tenant=sql.SQL("%(tenant)s::uuid"))
    return sql.SQL("SELECT s.t, s.id::text FROM ({}) s(t, id)").format(every)


def _real(cursor: Cursor, name: TableName, tenant_id: TenantId, ids: Collection[str]) -> set[str]:
    """Return those of the rows that are there."""
    query = sql.SQL(
        "SELECT r.id::text FROM {table} r WHERE r.tenant_id = %(tenant)s::uuid"
        " AND r.id = ANY(%(ids)s::uuid[])"
    ).format(table=table(name))
    cursor.execute(query, {"tenant": str(tenant_id), "ids": list(ids)})
    return {row[0] for row in cursor.fetchall()}
