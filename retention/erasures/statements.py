"""An erasure's SQL. Every statement names the tenant, as a literal; ids travel as text in arrays.

What deletes, changes, or takes a reference away commits to the keys in the same statement, as a
retention batch does (`retention.deletions`), in `tenure.erased_keys`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from psycopg2 import sql

from retention.graph import Edge
from retention.statements import committing, kind_of, table
from retention.subjects import SubjectTable
from tenants.catalog import Catalog, TableName

RECORD = """
INSERT INTO tenure.erasure_batches (tenant_id, id, erasure_id, trace_id, rows, counts, started_at)
VALUES (%(tenant)s::uuid, %(batch)s::uuid, %(erasure)s::uuid, %(trace)s, %(rows)s, %(counts)s,
        transaction_timestamp())
"""
REMEMBER = """
INSERT INTO tenure.erasure_rows (tenant_id, erasure_id, table_name, row_id)
SELECT %(tenant)s::uuid, %(erasure)s::uuid, %(table)s, k FROM unnest(%(ids)s::uuid[]) k
ON CONFLICT DO NOTHING
"""

#: Makes the beginning of an INSERT of one row of keys: of a table, an action, and their hashes.
Keys = Callable[[TableName, str, sql.Composable], sql.Composable]


def lock(name: TableName) -> sql.Composable:
    """Lock the rows %(ids)s, in the order of their keys, waiting for others; return their ids."""
    return sql.SQL(
        "SELECT r.id::text FROM {} r WHERE r.tenant_id = %(tenant)s::uuid"
        " AND r.id = ANY(%(ids)s::uuid[]) ORDER BY r.id FOR UPDATE"
    ).format(table(name))


def delete(
    group: Collection[TableName], numbers: dict[TableName, int], keys: Keys | None = None
) -> sql.Composable:
    """Delete a group's rows %(m0)s, %(m1)s, .. by the tables' numbers; return (number, rows,
    sha256). One statement: references among them are checked at its end."""
    acts = {
        name: sql.SQL(
            "DELETE FROM {} x WHERE x.tenant_id = %(tenant)s::uuid"
            " AND x.id = ANY({}::uuid[]) RETURNING x.id"
        ).format(table(name), sql.Placeholder(f"m{numbers[name]}"))
        for name in group
    }
    kept = keys or _keys
    return committing(acts, numbers.__getitem__, lambda name, h: kept(name, "delete", h))


def change(
    declared: SubjectTable, catalog: Catalog, number: int, keys: Keys | None = None
) -> sql.Composable:
    """Give a table's rows %(m<number>)s their treated values; return (number, rows, sha256)."""
    columns = catalog.table(declared.table)
    changes = [
        sql.SQL("{} = {}").format(
            sql.Identifier(t.column), t.new_value(columns.column(t.column), "c")
        )
        for t in declared.treatments
    ]
    return _update(declared.table, changes, declared.action, number, keys)


def cut(
    name: TableName, edges: Sequence[Edge], number: int, keys: Keys | None = None
) -> sql.Composable:
    """Empty these references of the rows %(m<number>)s, where they are to the rows %(p0)s of the
    first one's parent, %(p1)s of the second's, ..; return (number, rows, sha256)."""
    emptied = [
        sql.SQL(
            "{column} = CASE WHEN {column_of} = ANY({parents}::uuid[]){kind} THEN NULL"
            " ELSE {column_of} END"
        ).format(
            column=sql.Identifier(edge.column),
            column_of=sql.Identifier("c", edge.column),
            parents=sql.Placeholder(f"p{place}"),
            kind=kind_of(edge),
        )
        for place, edge in enumerate(edges)
    ]
    return _update(name, emptied, "cut", number, keys)


def _update(
    name: TableName,
    changes: Collection[sql.Composable],
    action: str,
    number: int,
    keys: Keys | None,
) -> sql.Composable:
    update = sql.SQL(
        "UPDATE {} c SET {} WHERE c.tenant_id = %(tenant)s::uuid"
        " AND c.id = ANY({}::uuid[]) RETURNING c.id"
    ).format(table(name), sql.SQL(", ").join(changes), sql.Placeholder(f"m{number}"))
    kept = keys or _keys
    return committing({name: update}, lambda _: number, lambda n, h: kept(n, action, h))


def _keys(name: TableName, action: str, hashes: sql.Composable) -> sql.Composable:
    return sql.SQL(
        "INSERT INTO tenure.erased_keys (tenant_id, erasure_id, batch_id, table_name, action,"
        " hashes) SELECT %(tenant)s::uuid, %(erasure)s::uuid, %(batch)s::uuid, {name}, {action},"
        " {hashes}"
    ).format(name=sql.Literal(str(name)), action=sql.Literal(action), hashes=hashes)
