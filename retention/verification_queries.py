"""The verifier's questions as SQL, made from the catalog and nothing of the executor's.

A row is judged by itself, by climbing from it to whatever refers to it (the planner works
with sets, the executor with ids): a due row is undeletable when the climb, over rows that would
go along with it and over other due rows of its table, reaches a row that stays.

What is due, held and paused is said once here, in `due`, `_HELD` and `_PAUSED`. A query names
its columns as `verification.Result` does: `tenant`, `found`, and whatever else it knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg2 import sql

from retention.policies import Policy
from tenants.catalog import Catalog, TableName


def due(policy: Policy, alias: str) -> sql.Composable:
    """Return the condition that the row `alias` of the policy's table is past its period.

    Takes the parameter cutoff. NULL for a row without a starting point, which is not due.
    """
    return sql.SQL("{} < %(cutoff)s").format(sql.Identifier(alias, policy.starts))


# Of the row `d`; the policy's name and its own state are the parameters policy and paused.
_HELD = """EXISTS (SELECT FROM tenure.holds h
               WHERE h.tenant_id = d.tenant_id AND h.released_at IS NULL)"""
_PAUSED = """coalesce((SELECT s.state = 'paused' FROM tenure.policy_states s
                         WHERE s.tenant_id = d.tenant_id AND s.policy = %(policy)s), %(paused)s)"""

# The first instant that Python's datetime has in every time zone, for what is older or -infinity.
_BEGINNING = "'0001-01-02 00:00:00+00'"

# A row counts once: a hold by law weighs more than a reference, and a pause least.
_OVERDUE = """SELECT tenant_id::text AS tenant,
       count(*) FILTER (WHERE fate = 'overdue') AS found,
       count(*) FILTER (WHERE fate = 'held') AS held,
       count(*) FILTER (WHERE fate = 'paused') AS paused,
       count(*) FILTER (WHERE fate = 'undeletable') AS undeletable,
       min(started) FILTER (WHERE fate = 'overdue' AND started > {beginning}) AS oldest,
       min(started) FILTER (WHERE fate = 'undeletable' AND started > {beginning})
           AS undeletable_oldest,
       extract(epoch FROM percentile_disc(0.99) WITHIN GROUP (
           ORDER BY %(cutoff)s::timestamptz - greatest(started, {beginning}))
           FILTER (WHERE fate = 'overdue'))::bigint AS age_p99_s,
       least(min(greatest(started, {beginning})) FILTER (WHERE fate = 'overdue'),
             %(cutoff)s::timestamptz) AS watermark,
       {reasons} AS reasons
FROM (
    SELECT tenant_id, started, kept_by,
           CASE WHEN is_held THEN 'held' WHEN kept_by IS NOT NULL THEN 'undeletable'
                WHEN is_paused THEN 'paused' ELSE 'overdue' END AS fate
    FROM (
        SELECT d.tenant_id, {starts}::timestamptz AS started, d.is_held,
               {paused} AS is_paused,
               CASE WHEN NOT d.is_held THEN {kept_by} END AS kept_by
        FROM (SELECT d.*, {held} AS is_held FROM {table} d WHERE {due} OFFSET 0) d
    ) judged
) past
GROUP BY tenant_id ORDER BY tenant_id"""


def overdue_query(catalog: Catalog, policy: Policy) -> sql.Composable:
    """Return the query for what is past its period per tenant; takes cutoff, policy, paused.

    Each such row counts once: as held under a hold, as undeletable where a reference keeps it
    (`reasons` counts them by the table that refers), as paused where only a pause keeps it,
    else as found: overdue. `oldest` and `age_p99_s` are of those overdue.
    """
    keepers = _keepers(catalog, policy)
    return sql.SQL(_OVERDUE).format(
        beginning=sql.SQL(_BEGINNING),
        starts=sql.Identifier("d", policy.starts),
        table=name_of(policy.table),
        due=due(policy, "d"),
        held=sql.SQL(_HELD),
        paused=sql.SQL(_PAUSED),
        kept_by=_kept_by(catalog, policy, keepers),
        reasons=_reasons(keepers),
    )


def undated_query(policy: Policy) -> sql.Composable:
    """Return the query for rows without a starting point per tenant."""
    return sql.SQL(
        "SELECT tenant_id::text AS tenant, count(*) AS found FROM {} WHERE {} IS NULL"
        " GROUP BY tenant_id ORDER BY tenant_id"
    ).format(name_of(policy.table), sql.Identifier(policy.starts))


def name_of(table: TableName) -> sql.Composable:
    """Return a table's name, quoted."""
    return sql.Identifier(table.schema, table.name)


def _reasons(keepers: list[TableName]) -> sql.Composable:
    """Return JSON of the undeletable rows by the table that refers to them, zeros left out."""
    if not keepers:
        return sql.SQL("jsonb '{}'")
    counts = [
        sql.SQL(
            "{name}, nullif(count(*) FILTER (WHERE fate = 'undeletable' AND kept_by = {no}), 0)"
        ).format(name=sql.Literal(f"referenced by {table}"), no=sql.Literal(-number))
        for number, table in enumerate(keepers, start=1)
    ]
    return sql.SQL("jsonb_strip_nulls(jsonb_build_object({}))").format(sql.SQL(", ").join(counts))


# Node 0 is the policy's table, 1 and up those of `with`; a row that stays ends the climb, and
# is minus its table's number among the keepers. UNION, not UNION ALL: a circle of references
# ends where it began.
_KEPT_BY = """(WITH RECURSIVE climb(node, id) AS (
                   SELECT 0, d.id
                   UNION
                   SELECT above.* FROM climb CROSS JOIN LATERAL (
                       {branches}
                   ) above)
               SELECT node FROM climb WHERE node < 0 LIMIT 1)"""

_BRANCH = (
    "SELECT {node}, c.id FROM {child} c"
    " WHERE climb.node = {at} AND c.tenant_id = d.tenant_id AND c.{column} = climb.id{of_kind}"
)


def _kept_by(catalog: Catalog, policy: Policy, keepers: list[TableName]) -> sql.Composable:
    """Return what keeps the due row `d` by reference: a keeper's number, negative, or NULL."""
    nodes = _nodes(policy)
    branches = [
        sql.SQL(_BRANCH).format(
            node=_node_of(reference.child, nodes, policy, keepers),
            child=name_of(reference.child),
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
        return sql.SQL("NULL::integer")
    union = sql.SQL("\n                       UNION ALL ")
    return sql.SQL(_KEPT_BY).format(branches=union.join(branches))


def _nodes(policy: Policy) -> dict[TableName, int]:
    return {policy.table: 0} | {
        name: number for number, name in enumerate(sorted(policy.along), start=1)
    }


def _keepers(catalog: Catalog, policy: Policy) -> list[TableName]:
    """Return the tables whose rows can keep a due one: others', and the policy's own."""
    nodes = _nodes(policy)
    children = {r.child for target in nodes for r in _references_to(catalog, target)}
    return sorted(child for child in children if child not in policy.along)


def _node_of(
    child: TableName, nodes: dict[TableName, int], policy: Policy, keepers: list[TableName]
) -> sql.Composable:
    if child in policy.along:
        return sql.Literal(nodes[child])
    stays = sql.Literal(-1 - keepers.index(child))
    if child != policy.table:
        return stays
    # An undated row stays: NULL is not before the cutoff.
    return sql.SQL("CASE WHEN {} THEN 0 ELSE {} END").format(due(policy, "c"), stays)


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
