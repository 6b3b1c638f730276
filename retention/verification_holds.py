"""The verifier's own questions about holds: is a due row kept by one, is a held row missing.

Nothing of the planner's or the batches' is used: a row is judged by itself, by climbing from it
to what would go along with it (as `verification_queries` does), and from each of those to the
subjects above it, over what was archived as over what is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg2 import sql

from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor

_ARCHIVED = {"archived_at", "archived_batch"}


@dataclass(frozen=True, slots=True)
class HeldCondition:
    """The condition of a hold in force on rows of a table; the tenant's id is text."""

    tenant: str
    table: TableName
    condition: str


_CONDITIONS = """
SELECT tenant_id::text, table_name, condition FROM tenure.holds
WHERE condition IS NOT NULL AND coalesce(effective_at, 'infinity') > clock_timestamp()
ORDER BY placed_at, id
"""


def held_conditions(cursor: Cursor) -> list[HeldCondition]:
    """Return the conditions of the holds in force, of all tenants."""
    cursor.execute(_CONDITIONS)
    return [
        HeldCondition(tenant, TableName.parse(table), condition)
        for tenant, table, condition in cursor.fetchall()
    ]


# -- is a due row kept by a hold ---------------------------------------------------------------

# Which holds there are is looked up where the query runs: the text says nothing of any. Rows of
# tenants without a hold on less than all are not climbed from for nothing.
_HELD = """(EXISTS (SELECT FROM tenure.holds h WHERE h.tenant_id = d.tenant_id
                      AND h.scope = 'tenant' AND {in_force})
    OR d.tenant_id IN (SELECT h.tenant_id FROM tenure.holds h
                       WHERE h.scope <> 'tenant' AND {in_force})
    AND EXISTS (WITH RECURSIVE climb(node, id) AS ({climb})
        SELECT FROM (SELECT ({names})[climb.node + 1] AS at, climb.id
                     FROM climb WHERE climb.node >= 0) goes
        WHERE EXISTS (SELECT FROM tenure.holds h JOIN tenure.hold_rows k
                          ON k.tenant_id = h.tenant_id AND k.hold_id = h.id
                      WHERE h.tenant_id = d.tenant_id AND h.scope = 'rows' AND {in_force}
                        AND k.table_name = goes.at AND k.row_id = goes.id)
           OR EXISTS (WITH RECURSIVE up(at, id) AS ({above})
                      SELECT FROM up JOIN tenure.holds h ON h.table_name = up.at
                                                        AND h.subject_id = up.id
                      WHERE h.tenant_id = d.tenant_id AND {in_force})
           OR {conditions}))"""
_IN_FORCE = sql.SQL("coalesce(h.effective_at, 'infinity') > clock_timestamp()")
# What is kept of a query has this in their place, for good: they may name people.
_NOT_KEPT = sql.SQL("false /* or what the conditions of holds say */")


def is_held(
    catalog: Catalog,
    nodes: Sequence[TableName],
    climb: sql.Composable,
    conditions: Sequence[HeldCondition] | None,
) -> sql.Composable:
    """Return the condition that a hold keeps the due row `d`.

    `climb` is the body of a recursive query (node, id) from `d` to what goes along with it;
    `nodes` are the tables behind its numbers from 0 on. Without `conditions` it is the text that
    is kept, which has none of them, and holds fewer rows where there are any.
    """
    said: sql.Composable = _NOT_KEPT
    if conditions is not None:
        copies = archives_of(catalog)
        parts = [
            _meets(part, name)
            for part in conditions
            for name in (part.table, *copies[part.table])
            if name in nodes
        ]
        said = sql.SQL("\n           OR ").join(parts) if parts else sql.SQL("false")
    return sql.SQL(_HELD).format(
        in_force=_IN_FORCE,
        climb=climb,
        # Tables have their names, for a number would have to be agreed on.
        names=sql.SQL("ARRAY[{}]").format(
            sql.SQL(", ").join(sql.Literal(str(name)) for name in nodes)
        ),
        above=_above(catalog),
        conditions=said,
    )


def _meets(held: HeldCondition, name: TableName) -> sql.Composable:
    """Return the condition that the row of `goes` is one of this table, which is the hold's or an
    archive of it, and meets that of the hold."""
    return sql.SQL(
        "(d.tenant_id = {tenant} AND goes.at = {at} AND EXISTS (SELECT FROM {table} r"
        " WHERE r.tenant_id = d.tenant_id AND r.id = goes.id AND (\n{condition}\n)))"
    ).format(
        tenant=_uuid(held.tenant),
        at=sql.Literal(str(name)),
        table=_name(name),
        condition=sql.SQL(held.condition.replace("%", "%%")),
    )


def _above(catalog: Catalog) -> sql.Composable:
    """Return the body of `up(at, id)`: the row of `goes`, and those it refers to over others."""
    steps = [
        sql.SQL(
            "SELECT {parent}, {column} FROM {child} c WHERE up.at = {at}"
            " AND c.tenant_id = d.tenant_id AND c.id = up.id{kind}"
        ).format(
            parent=sql.Literal(str(way.parent)),
            column=sql.Identifier("c", way.column),
            child=_name(way.child),
            at=sql.Literal(str(way.child)),
            kind=way.of_kind,
        )
        for way in ways_up(catalog)
    ]
    if not steps:
        return sql.SQL("SELECT goes.at, goes.id")
    return sql.SQL(
        "SELECT goes.at, goes.id UNION SELECT s.* FROM up CROSS JOIN LATERAL ({steps}) s"
    ).format(steps=sql.SQL(" UNION ALL ").join(steps))


@dataclass(frozen=True)
class Reference:
    """Rows of `child` refer to rows of `parent` by `column`; `of_kind` is what else it takes."""

    child: TableName
    column: str
    parent: TableName
    of_kind: sql.Composable


def references(catalog: Catalog) -> Iterator[Reference]:
    """Yield every reference between tenants' tables, by foreign key or declared, as the verifier
    reads the catalog."""
    for child in catalog:
        if child.kind != "tenant":
            continue
        for key in child.foreign_keys:
            if catalog.table(key.target).kind == "tenant":
                yield Reference(child.name, key.column, key.target, sql.SQL(""))
        for soft in child.soft_references:
            for kind, target in soft.targets:
                of_kind: sql.Composable = sql.SQL("")
                if soft.kind_column:
                    of_kind = sql.SQL(" AND {} = {}").format(
                        sql.Identifier("c", soft.kind_column), sql.Literal(kind)
                    )
                if catalog.table(target).kind == "tenant":
                    yield Reference(child.name, soft.column, target, of_kind)


@dataclass(frozen=True, slots=True)
class Way:
    """Rows of `child` lead to rows of `parent` by `column`, as is said of the table `said_of`: the
    child, or what it is an archive of. `of_kind` is what else it takes."""

    child: TableName
    column: str
    parent: TableName
    said_of: TableName
    of_kind: sql.Composable


def ways_up(catalog: Catalog) -> Iterator[Way]:
    """Yield all by which a row leads to what it belongs to, or belonged to when it was archived:
    which may be archived, too. An archived row leads to the one that it was."""
    copies = archives_of(catalog)
    for original, archives in copies.items():
        for archive in archives:
            yield Way(archive, "id", original, original, sql.SQL(""))
    for one in references(catalog):
        for child in (one.child, *copies[one.child]):
            for parent in (one.parent, *copies[one.parent]):
                yield Way(child, one.column, parent, one.child, one.of_kind)


def archives_of(catalog: Catalog) -> defaultdict[TableName, list[TableName]]:
    """Return the archives of each table."""
    copies: defaultdict[TableName, list[TableName]] = defaultdict(list)
    for table in catalog:
        columns = {column.name for column in table.columns}
        for other in catalog:
            named_alike = table.name != other.name and table.name.name == other.name.name
            if named_alike and columns - {c.name for c in other.columns} == _ARCHIVED:
                copies[other.name].append(table.name)
    return copies


# -- is a held row missing ---------------------------------------------------------------------

_MISSING = """SELECT k.tenant_id::text AS tenant, count(*) AS found, min(h.placed_at) AS oldest
FROM tenure.hold_rows k
JOIN tenure.holds h ON h.tenant_id = k.tenant_id AND h.id = k.hold_id
WHERE coalesce(h.effective_at, 'infinity') > clock_timestamp() AND {gone}
GROUP BY k.tenant_id ORDER BY k.tenant_id"""


def missing_queries(catalog: Catalog) -> Iterator[tuple[str, sql.Composable]]:
    """Yield (subject, query for (tenant, rows missing, oldest hold)) for every table.

    A row is missing that was under a hold when it was placed, while that is in force. Rows of
    tables that there are no more are missing, too.
    """
    known = [table.name for table in catalog if table.kind == "tenant"]
    for name in known:
        gone = sql.SQL(
            "k.table_name = {label} AND NOT EXISTS (SELECT FROM {table} x"
            " WHERE x.tenant_id = k.tenant_id AND x.id = k.row_id)"
        ).format(label=sql.Literal(str(name)), table=_name(name))
        yield str(name), sql.SQL(_MISSING).format(gone=gone)
    names = sql.SQL("ARRAY[{}]::text[]").format(
        sql.SQL(", ").join(sql.Literal(str(name)) for name in known)
    )
    unknown = sql.SQL("k.table_name <> ALL({})").format(names)
    yield "tables that are gone", sql.SQL(_MISSING).format(gone=unknown)


def _name(table: TableName) -> sql.Composable:
    return sql.Identifier(table.schema, table.name)


def _uuid(value: object) -> sql.Composable:
    return sql.SQL("{}::uuid").format(sql.Literal(str(value)))
