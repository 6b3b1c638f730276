"""What becomes of due rows, asked of a whole family of tables at once, for the planner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from psycopg2 import sql

from retention.graph import Edge, Family
from retention.planned_holds import HELD
from retention.rules import Rule
from retention.statements import kind_of, table
from tenants.catalog import TableName

_FATES = """
WITH RECURSIVE due AS (
    SELECT r.tenant_id, r.id FROM {root} r
    WHERE r.tenant_id = ANY(%(tenants)s::uuid[]) AND {due}
), reach(t, tenant_id, id) AS (
    SELECT 0, tenant_id, id FROM due {reach}
), blocked(t, tenant_id, id, child) AS ({blocked}
), stays(t, tenant_id, id, held) AS (
    SELECT t, tenant_id, id, child = {held} FROM blocked {stays}
), goes(t, tenant_id, id) AS (
    SELECT 0, tenant_id, id FROM due
    WHERE NOT EXISTS (SELECT FROM stays s
                      WHERE s.t = 0 AND s.tenant_id = due.tenant_id AND s.id = due.id) {goes}
)
SELECT 'goes', tenant_id::text, t, count(*), NULL FROM goes GROUP BY tenant_id, t
UNION ALL
SELECT CASE WHEN held THEN 'held' ELSE 'stays' END, tenant_id::text, 0, count(*), NULL
FROM (SELECT s.tenant_id, s.id, bool_or(s.held) AS held FROM stays s JOIN due USING (tenant_id, id)
      WHERE s.t = 0 GROUP BY s.tenant_id, s.id) kept
GROUP BY held, tenant_id
UNION ALL
SELECT DISTINCT 'by', tenant_id::text, t, 0, child FROM blocked WHERE child <> {held}
"""


def fate_query(family: Family, rule: Rule, held: Sequence[sql.Composable] = ()) -> sql.Composable:
    """Return the query for what goes and what stays, with %(cutoff)s and %(tenants)s.

    `reach` is all that could go along with due rows; `blocked` what a row refers to that
    stays whatever happens, what a minimum or its restoration keeps, and what is under a hold
    (`held`, see `retention.planned_holds`); `stays` adds what those rows refer to in turn; `goes`
    is what goes along with the due rows that are left.
    """
    number = {table: i for i, table in enumerate(family.members)}
    along = [_rows_that_refer(e, number) for e in family.along]
    refers = [_rows_referred_to(e, number) for e in family.inner]
    blocked = [_blocked(e, number, family.root, rule) for e in family.keeping]
    blocked += [
        _kept_along(name, number, what, kept)
        for name in family.members[1:]
        for what, kept in rule.keeps_along(name, "c").items()
    ]
    blocked += held
    return sql.SQL(_FATES).format(
        root=table(family.root),
        due=rule.is_due("r"),
        held=sql.Literal(HELD),
        reach=_recursion("reach", along),
        blocked=sql.SQL(" UNION ").join(blocked)
        if blocked
        else sql.SQL("SELECT t, tenant_id, id, '' FROM reach WHERE false"),
        stays=_recursion("stays", refers, carried=", w.held"),
        goes=_recursion("goes", along),
    )


def _recursion(
    name: str, branches: Sequence[sql.Composable], *, carried: str = ""
) -> sql.Composable:
    if not branches:
        return sql.SQL("")
    return sql.SQL(
        "UNION SELECT e.t, e.tenant_id, e.id{} FROM {} w CROSS JOIN LATERAL ({}) e"
    ).format(sql.SQL(carried), sql.Identifier(name), sql.SQL(" UNION ALL ").join(branches))


def _rows_that_refer(edge: Edge, number: Mapping[TableName, int]) -> sql.Composable:
    return sql.SQL(
        "SELECT {child_no} AS t, c.tenant_id, c.id FROM {child} c WHERE w.t = {parent_no}"
        " AND c.tenant_id = w.tenant_id AND {column} = w.id{kind}"
    ).format(
        child_no=sql.Literal(number[edge.child]),
        child=table(edge.child),
        parent_no=sql.Literal(number[edge.parent]),
        column=sql.Identifier("c", edge.column),
        kind=kind_of(edge),
    )


def _rows_referred_to(edge: Edge, number: Mapping[TableName, int]) -> sql.Composable:
    return sql.SQL(
        "SELECT {parent_no} AS t, c.tenant_id, {column} AS id FROM {child} c"
        " WHERE w.t = {child_no} AND c.tenant_id = w.tenant_id AND c.id = w.id"
        " AND {column} IS NOT NULL{kind}"
    ).format(
        parent_no=sql.Literal(number[edge.parent]),
        column=sql.Identifier("c", edge.column),
        child=table(edge.child),
        child_no=sql.Literal(number[edge.child]),
        kind=kind_of(edge),
    )


def _blocked(
    edge: Edge, number: Mapping[TableName, int], root: TableName, rule: Rule
) -> sql.Composable:
    # A row of the policy's own table goes by itself if it is due, so only others block.
    not_due = (
        sql.SQL(" AND ({}) IS NOT TRUE").format(rule.is_due("c"))
        if edge.child == root
        else sql.SQL("")
    )
    return sql.SQL(
        "SELECT w.t, w.tenant_id, w.id, {name} FROM reach w JOIN {child} c"
        " ON w.t = {parent_no} AND c.tenant_id = w.tenant_id AND {column} = w.id{kind}{not_due}"
    ).format(
        name=sql.Literal(str(edge.child)),
        child=table(edge.child),
        parent_no=sql.Literal(number[edge.parent]),
        column=sql.Identifier("c", edge.column),
        kind=kind_of(edge),
        not_due=not_due,
    )


def _kept_along(
    name: TableName, number: Mapping[TableName, int], what: str, kept: sql.Composable
) -> sql.Composable:
    return sql.SQL(
        "SELECT w.t, w.tenant_id, w.id, {what} FROM reach w JOIN {table} c"
        " ON w.t = {no} AND c.tenant_id = w.tenant_id AND c.id = w.id AND {kept}"
    ).format(
        what=sql.Literal(what),
        table=table(name),
        no=sql.Literal(number[name]),
        kept=kept,
    )
