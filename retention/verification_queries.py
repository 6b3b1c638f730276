"""The verifier's questions as SQL, made from the catalog and nothing of the executor's.

A row is judged by itself, by climbing from it to whatever refers to it (the planner works
with sets, the executor with ids): a due row is overdue unless the climb, over rows that would
go along with it and over other due rows of its table, reaches a row that stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg2 import sql

from retention.policies import Policy
from retention.verification_holds import HeldPart, is_held
from tenants.catalog import Catalog, ForeignKey, SoftReference, TableName

_OVERDUE = """SELECT tenant_id::text,
       count(*) FILTER (WHERE NOT is_held AND NOT is_paused) AS found,
       count(*) FILTER (WHERE is_held) AS held,
       count(*) FILTER (WHERE is_paused AND NOT is_held) AS paused,
       min(oldest) FILTER (WHERE NOT is_held AND NOT is_paused
                           AND isfinite(oldest) AND oldest > '0001-01-02')
FROM (
    SELECT d.tenant_id, {starts}::timestamptz AS oldest,
           {is_held} AS is_held,
           coalesce((SELECT s.state = 'paused' FROM tenure.policy_states s
                     WHERE s.tenant_id = d.tenant_id AND s.policy = %(policy)s), %(paused)s)
               AS is_paused
    FROM {table} d
    WHERE {starts} < %(cutoff)s{not_kept}
) past
GROUP BY tenant_id ORDER BY tenant_id"""


def overdue_query(
    catalog: Catalog, policy: Policy, holds: Sequence[HeldPart] = ()
) -> sql.Composable:
    """Return the query for (tenant, overdue, held, paused, oldest); takes cutoff, policy, paused.

    Each row past its period counts once: as held under a hold, as paused where only a pause
    keeps it, else as overdue. `oldest` is of those overdue. `holds` are those in force on less
    than a tenant.
    """
    kept = _kept(catalog, policy)
    nodes = sorted(_nodes(policy), key=_nodes(policy).__getitem__)
    return sql.SQL(_OVERDUE).format(
        starts=sql.Identifier("d", policy.starts),
        is_held=is_held(catalog, nodes, _climb(catalog, policy), holds),
        table=_name(policy.table),
        not_kept=sql.SQL("\n      AND NOT {}").format(kept) if kept else sql.SQL(""),
    )


def undated_query(policy: Policy) -> sql.Composable:
    """Return the query for (tenant, undated, 0, 0, NULL)."""
    return sql.SQL(
        "SELECT tenant_id::text, count(*), 0, 0, NULL::timestamptz FROM {} WHERE {} IS NULL"
        " GROUP BY tenant_id ORDER BY tenant_id"
    ).format(_name(policy.table), sql.Identifier(policy.starts))


def orphan_queries(catalog: Catalog) -> Iterator[tuple[str, sql.Composable]]:
    """Yield (subject, query for (tenant, orphans, 0, 0, NULL)) for every reference there is."""
    for table in catalog:
        if table.kind != "tenant":
            continue
        for key in table.foreign_keys:
            subject = f"{table.name}.{key.column} -> {key.target}"
            yield subject, _orphans(table.name, key.column, _parent_of(key), None)
        for soft in table.soft_references:
            for kind, target in soft.targets:
                label = f" ({soft.kind_column} = {kind!r})" if soft.kind_column else ""
                subject = f"{table.name}.{soft.column} -> {target}{label}"
                of_kind = _of_kind(soft, kind)
                parent = _Parent(target, shared_tenant=catalog.table(target).kind == "tenant")
                yield subject, _orphans(table.name, soft.column, parent, of_kind)
            if soft.kind_column:
                subject = f"{table.name}.{soft.column} -> nothing known ({soft.kind_column})"
                yield subject, _strangers(table.name, soft, soft.kind_column)


@dataclass(frozen=True)
class _Parent:
    table: TableName
    shared_tenant: bool
    column: str = "id"


def _parent_of(key: ForeignKey) -> _Parent:
    return _Parent(key.target, len(key.columns) > 1, key.target_columns[-1])


def _orphans(
    child: TableName, column: str, parent: _Parent, of_kind: sql.Composable | None
) -> sql.Composable:
    return sql.SQL(
        "SELECT o.tenant_id::text, count(*), 0, 0, NULL::timestamptz FROM {child} o"
        " LEFT JOIN {parent} p ON p.{key} = {column}{tenant}"
        " WHERE {column} IS NOT NULL AND p.{key} IS NULL{kind}"
        " GROUP BY o.tenant_id ORDER BY o.tenant_id"
    ).format(
        child=_name(child),
        parent=_name(parent.table),
        key=sql.Identifier(parent.column),
        column=sql.Identifier("o", column),
        tenant=sql.SQL(" AND p.tenant_id = o.tenant_id" if parent.shared_tenant else ""),
        kind=of_kind or sql.SQL(""),
    )


def _of_kind(soft: SoftReference, kind: str) -> sql.Composable | None:
    if not soft.kind_column:
        return None
    return sql.SQL(" AND {} = {}").format(sql.Identifier("o", soft.kind_column), sql.Literal(kind))


def _strangers(child: TableName, soft: SoftReference, kind_column: str) -> sql.Composable:
    return sql.SQL(
        "SELECT o.tenant_id::text, count(*), 0, 0, NULL::timestamptz FROM {child} o"
        " WHERE {column} IS NOT NULL AND ({kind} IS NULL OR {kind} NOT IN ({known}))"
        " GROUP BY o.tenant_id ORDER BY o.tenant_id"
    ).format(
        child=_name(child),
        column=sql.Identifier("o", soft.column),
        kind=sql.Identifier("o", kind_column),
        known=sql.SQL(", ").join(sql.Literal(kind) for kind, _ in soft.targets),
    )


def _name(table: TableName) -> sql.Composable:
    return sql.Identifier(table.schema, table.name)


# Node 0 is the policy's table, 1 and up those of `with`, -1 whatever stays. UNION, not UNION
# ALL: a circle of references ends where it began.
_KEPT = """EXISTS (WITH RECURSIVE climb(node, id) AS ({climb})
      SELECT FROM climb WHERE node < 0)"""

_CLIMB = """
          SELECT 0, d.id
          UNION
          SELECT above.* FROM climb CROSS JOIN LATERAL (
              {branches}
          ) above"""

_BRANCH = (
    "SELECT {node}, c.id FROM {child} c"
    " WHERE climb.node = {at} AND c.tenant_id = d.tenant_id AND c.{column} = climb.id{of_kind}"
)

_STAYS_OR_CLIMBS = "CASE WHEN c.{starts} < %(cutoff)s THEN 0 ELSE -1 END"


def _kept(catalog: Catalog, policy: Policy) -> sql.Composable | None:
    """Return the condition that references keep the due row `d`; None if nothing refers to it."""
    if not any(True for target in _nodes(policy) for _ in _references_to(catalog, target)):
        return None
    return sql.SQL(_KEPT).format(climb=_climb(catalog, policy))


def _nodes(policy: Policy) -> dict[TableName, int]:
    nodes = {policy.table: 0}
    return nodes | {name: number for number, name in enumerate(sorted(policy.along), start=1)}


def _climb(catalog: Catalog, policy: Policy) -> sql.Composable:
    """Return the body of `climb(node, id)`, from the due row `d` to whatever refers to it."""
    nodes = _nodes(policy)
    branches = [
        sql.SQL(_BRANCH).format(
            node=_node_of(reference.child, nodes, policy),
            child=_name(reference.child),
            at=sql.Literal(at),
            column=sql.Identifier(reference.column),
            of_kind=sql.SQL("")
            if reference.kind_column is None
            else sql.SQL(" AND c.{} = {}").format(
                sql.Identifier(reference.kind_column), sql.Literal(reference.kind)
            ),
        )
        for target, at in nodes.items()
        for reference in _references_to(catalog, target)
    ]
    if not branches:
        return sql.SQL("SELECT 0, d.id")
    return sql.SQL(_CLIMB).format(branches=sql.SQL("\n              UNION ALL ").join(branches))


def _node_of(child: TableName, nodes: dict[TableName, int], policy: Policy) -> sql.Composable:
    if child == policy.table:
        # An undated row stays: NULL is not before the cutoff.
        return sql.SQL(_STAYS_OR_CLIMBS).format(starts=sql.Identifier(policy.starts))
    return sql.Literal(nodes.get(child, -1))


@dataclass(frozen=True)
class _Reference:
    child: TableName
    column: str
    kind_column: str | None = None
    kind: str | None = None


def _references_to(catalog: Catalog, target: TableName) -> Iterator[_Reference]:
    for child in catalog:
        if child.kind != "tenant":
            continue
        for key in child.foreign_keys:
            if key.target == target:
                yield _Reference(child.name, key.column)
        for soft in child.soft_references:
            for kind, parent in soft.targets:
                if parent == target and soft.kind_column:
                    yield _Reference(child.name, soft.column, soft.kind_column, kind)
                elif parent == target:
                    yield _Reference(child.name, soft.column)
