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
class HeldPart:
    """A hold in force on less than a tenant; ids are text."""

    tenant: str
    hold: str
    scope: str
    table: TableName
    subject: str | None
    condition: str | None


_HELD_PARTS = """
SELECT tenant_id::text, id::text, scope, table_name, subject_id::text, condition
FROM tenure.holds
WHERE scope <> 'tenant' AND coalesce(effective_at, 'infinity') > clock_timestamp()
ORDER BY placed_at, id
"""


def held_parts(cursor: Cursor) -> list[HeldPart]:
    """Return the holds in force on less than a tenant, of all tenants."""
    cursor.execute(_HELD_PARTS)
    return [
        HeldPart(tenant, hold, scope, TableName.parse(table), subject, condition)
        for tenant, hold, scope, table, subject, condition in cursor.fetchall()
    ]


# -- is a due row kept by a hold ---------------------------------------------------------------

_TENANT_HELD = """EXISTS (SELECT FROM tenure.holds h
                   WHERE h.tenant_id = d.tenant_id AND h.scope = 'tenant'
                     AND coalesce(h.effective_at, 'infinity') > clock_timestamp())"""


def is_held(
    catalog: Catalog, nodes: Sequence[TableName], climb: sql.Composable, parts: Sequence[HeldPart]
) -> sql.Composable:
    """Return the condition that a hold keeps the due row `d`.

    `climb` is the body of a recursive query (node, id) from `d` to what goes along with it;
    `nodes` are the tables behind its numbers from 0 on.
    """
    tests = [test for part in parts if (test := _under(catalog, nodes, part)) is not None]
    if not tests:
        return sql.SQL(_TENANT_HELD)
    # Rows of tenants without such holds are not climbed from for nothing.
    return sql.SQL(
        "({whole} OR d.tenant_id IN ({tenants}) AND EXISTS ("
        "WITH RECURSIVE climb(node, id) AS ({climb}) SELECT FROM climb WHERE {tests}))"
    ).format(
        whole=sql.SQL(_TENANT_HELD),
        tenants=sql.SQL(", ").join(map(_uuid, sorted({part.tenant for part in parts}))),
        climb=climb,
        tests=sql.SQL("\n           OR ").join(tests),
    )


def _under(catalog: Catalog, nodes: Sequence[TableName], part: HeldPart) -> sql.Composable | None:
    """Return the condition that the row of `climb` is under a hold; None where none can be."""
    own = sql.SQL("d.tenant_id = {}").format(_uuid(part.tenant))
    if part.subject is not None:
        return sql.SQL("({own} AND {above})").format(own=own, above=_above(catalog, nodes, part))
    if part.table not in nodes:
        return None
    if part.condition is None:
        found = sql.SQL(
            "EXISTS (SELECT FROM tenure.hold_rows k WHERE k.tenant_id = d.tenant_id"
            " AND k.hold_id = {hold} AND k.table_name = {table} AND k.row_id = climb.id)"
        ).format(hold=_uuid(part.hold), table=sql.Literal(str(part.table)))
    else:
        found = sql.SQL(
            "EXISTS (SELECT FROM {table} r WHERE r.tenant_id = d.tenant_id AND r.id = climb.id"
            " AND (\n{condition}\n))"
        ).format(table=_name(part.table), condition=sql.SQL(part.condition.replace("%", "%%")))
    return sql.SQL("({own} AND climb.node = {node} AND {found})").format(
        own=own, node=sql.Literal(nodes.index(part.table)), found=found
    )


def _above(catalog: Catalog, nodes: Sequence[TableName], part: HeldPart) -> sql.Composable:
    """Return the condition that the row of `climb` is the subject, or refers to it over others.

    The tables have their names, for a number would have to be agreed on.
    """
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
    start = sql.SQL("SELECT ({names})[climb.node + 1], climb.id").format(
        names=sql.SQL("ARRAY[{}]").format(
            sql.SQL(", ").join(sql.Literal(str(name)) for name in nodes)
        )
    )
    body = start
    if steps:
        body = sql.SQL("{start} UNION SELECT s.* FROM up CROSS JOIN LATERAL ({steps}) s").format(
            start=start, steps=sql.SQL(" UNION ALL ").join(steps)
        )
    return sql.SQL(
        "climb.node >= 0 AND EXISTS (WITH RECURSIVE up(at, id) AS ({body})"
        " SELECT FROM up WHERE up.at = {table} AND up.id = {subject})"
    ).format(body=body, table=sql.Literal(str(part.table)), subject=_uuid(part.subject))


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
    copies: dict[TableName, list[TableName]] = defaultdict(list)
    for table in catalog:
        columns = {column.name for column in table.columns}
        for other in catalog:
            named_alike = table.name != other.name and table.name.name == other.name.name
            if named_alike and columns - {c.name for c in other.columns} == _ARCHIVED:
                copies[other.name].append(table.name)
                yield Way(table.name, "id", other.name, other.name, sql.SQL(""))
    for one in references(catalog):
        for child in (one.child, *copies[one.child]):
            for parent in (one.parent, *copies[one.parent]):
                yield Way(child, one.column, parent, one.child, one.of_kind)


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
