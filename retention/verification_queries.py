"""The verifier's questions as SQL, made from the catalog and nothing of the executor's.

A row is judged by itself, by climbing from it to whatever refers to it (the planner works
with sets, the executor with ids): a due row is undeletable when the climb, over rows that would
go along with it and over other due rows of its table, reaches a row that stays.

What is due is said once, in `verification_rules`, what is held in `verification_holds`, what is
paused here. A query names its columns as `verification.Result` does: `tenant`, `found`, and
whatever else it knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg2 import sql

from retention.policies import Policy
from retention.verification_holds import HeldCondition, is_held
from retention.verification_rules import (
    ANY_CAME_BACK,
    Ground,
    came_back,
    cutoff_of,
    due,
    minimums,
    started,
    undated,
)
from tenants.catalog import Catalog, TableName

# Of the row `d`; the policy's name and its own state are the parameters policy and paused.
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
           ORDER BY cutoff - greatest(started, {beginning}))
           FILTER (WHERE fate = 'overdue'))::bigint AS age_p99_s,
       least(min(greatest(started, {beginning})) FILTER (WHERE fate = 'overdue'), min(cutoff))
           AS watermark,
       {reasons} AS reasons
FROM (
    SELECT tenant_id, started, cutoff, kept_by,
           CASE WHEN is_held THEN 'held' WHEN kept_by IS NOT NULL THEN 'undeletable'
                WHEN is_paused THEN 'paused' ELSE 'overdue' END AS fate
    FROM (
        SELECT d.tenant_id, {starts}::timestamptz AS started, ({cutoff})::timestamptz AS cutoff,
               d.is_held, {paused} AS is_paused,
               CASE WHEN NOT d.is_held AND {may_be_kept} THEN {kept_by} END AS kept_by
        FROM (SELECT d.*, {held} AS is_held FROM {table} d WHERE {due} OFFSET 0) d
    ) judged
) past
GROUP BY tenant_id ORDER BY tenant_id"""


def overdue_query(
    policy: Policy, ground: Ground, conditions: Sequence[HeldCondition] | None = None
) -> sql.Composable:
    """Return the query for what is past its period per tenant; takes cutoff, policy, paused.

    Each such row counts once: as held under a hold, as undeletable where a reference keeps it, or
    what would go along stays (`reasons` counts them by what keeps them), as paused where only a
    pause keeps it, else as found: overdue. `oldest` and `age_p99_s` are of those overdue.
    `conditions` are those of holds in force; without them it is the text that is kept.
    """
    keepers = _keepers(policy, ground)
    # To what is under a hold also over what stays for another reason: a hold weighs more.
    climb_on, climb = (_climb(policy, keepers, ground, on=on) for on in (True, False))
    nodes = sorted(_nodes(policy), key=_nodes(policy).__getitem__)
    return sql.SQL(_OVERDUE).format(
        beginning=sql.SQL(_BEGINNING),
        starts=started(policy, "d", ground),
        cutoff=cutoff_of(policy, "d", ground),
        table=name_of(policy.table),
        due=due(policy, "d", ground),
        held=is_held(ground.catalog, nodes, climb_on, conditions),
        paused=sql.SQL(_PAUSED),
        # Where nothing else could keep a row, none is climbed from for nothing.
        may_be_kept=sql.SQL(
            "true" if set(keepers) - {_back(name) for name in policy.along} else ANY_CAME_BACK
        ),
        kept_by=sql.SQL(_KEPT_BY).format(climb=climb) if keepers else sql.SQL("NULL::integer"),
        reasons=_reasons(keepers),
    )


def undated_query(policy: Policy, ground: Ground) -> sql.Composable:
    """Return the query for rows without a starting point per tenant."""
    return sql.SQL(
        "SELECT tenant_id::text AS tenant, count(*) AS found FROM {} d WHERE {}"
        " GROUP BY tenant_id ORDER BY tenant_id"
    ).format(name_of(policy.table), undated(policy, "d", ground))


def name_of(table: TableName) -> sql.Composable:
    """Return a table's name, quoted."""
    return sql.Identifier(table.schema, table.name)


def _reasons(keepers: list[str]) -> sql.Composable:
    """Return JSON of the undeletable rows by what keeps them, zeros left out."""
    if not keepers:
        return sql.SQL("jsonb '{}'")
    counts = [
        sql.SQL(
            "{name}, nullif(count(*) FILTER (WHERE fate = 'undeletable' AND kept_by = {no}), 0)"
        ).format(name=sql.Literal(keeper), no=sql.Literal(-number))
        for number, keeper in enumerate(keepers, start=1)
    ]
    return sql.SQL("jsonb_strip_nulls(jsonb_build_object({}))").format(sql.SQL(", ").join(counts))


# Node 0 is the policy's table, 1 and up those of `with`; a row that stays ends the climb, and
# is minus the number of what keeps it among the keepers. UNION, not UNION ALL: a circle of
# references ends where it began.
_KEPT_BY = """(WITH RECURSIVE climb(node, id) AS ({climb})
               SELECT node FROM climb WHERE node < 0 LIMIT 1)"""

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


def _climb(policy: Policy, keepers: list[str], ground: Ground, *, on: bool) -> sql.Composable:
    """Return the body of `climb(node, id)`, from the due row `d` to whatever refers to it; with
    `on` it goes on where what goes along would stay."""
    nodes = _nodes(policy)
    branches = [
        sql.SQL(_BRANCH).format(
            node=sql.Literal(nodes[reference.child])
            if on and reference.child in policy.along
            else _node_of(reference.child, policy, keepers, ground),
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
        for reference in _references_to(ground.catalog, target)
        if policy.removes
    ]
    if not branches:
        return sql.SQL("SELECT 0, d.id")
    union = sql.SQL("\n                       UNION ALL ")
    return sql.SQL(_CLIMB).format(branches=union.join(branches))


def _nodes(policy: Policy) -> dict[TableName, int]:
    return {policy.table: 0} | {
        name: number for number, name in enumerate(sorted(policy.along), start=1)
    }


def _keepers(policy: Policy, ground: Ground) -> list[str]:
    """Return what can keep a due row: rows of other tables, and of the policy's own, that refer to
    it; and that what would go along has a minimum, or came back from an archive. A row that is
    only changed is kept by none."""
    if not policy.removes:
        return []
    nodes = _nodes(policy)
    children = {r.child for target in nodes for r in _references_to(ground.catalog, target)}
    found = {_refers(child) for child in children.difference(policy.along)}
    for name in policy.along:
        found |= {_back(name), *([_least(name)] if minimums(name, "c", ground) else [])}
    return sorted(found)


def _refers(table: TableName) -> str:
    return f"referenced by {table}"


def _least(table: TableName) -> str:
    return f"the minimum of {table}"


def _back(table: TableName) -> str:
    return f"the restoration of {table}"


def _node_of(
    child: TableName, policy: Policy, keepers: list[str], ground: Ground
) -> sql.Composable:
    def stays(keeper: str) -> sql.Composable:
        return sql.Literal(-1 - keepers.index(keeper))

    if child in policy.along:
        whens = [sql.SQL("WHEN {} THEN {}").format(came_back(child, "c"), stays(_back(child)))]
        kept = minimums(child, "c", ground)
        if kept:
            either = sql.SQL(" OR ").join(kept)
            whens.append(sql.SQL("WHEN {} THEN {}").format(either, stays(_least(child))))
        node = sql.Literal(_nodes(policy)[child])
        return sql.SQL("CASE {} ELSE {} END").format(sql.SQL(" ").join(whens), node)
    if child != policy.table:
        return stays(_refers(child))
    # An undated row stays: NULL is not before the cutoff.
    return sql.SQL("CASE WHEN {} THEN 0 ELSE {} END").format(
        due(policy, "c", ground), stays(_refers(child))
    )


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
