"""When a row is past its period, in the verifier's own words.

The executor's rules (`retention.rules`) are not used, so that a mistake there is found here:
what a policy means is written down a second time, from its definition.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from psycopg2 import sql

from retention.policies import Policy, cutoff_value, starting_point
from retention.treatments import Treatment
from tenants.catalog import Catalog, Column, TableName


@dataclass(frozen=True)
class Ground:
    """What a verification goes by: all policies. A policy with a schedule is judged as of when
    it last had its turn (`turns`): what has come due since is not overdue, but next."""

    catalog: Catalog
    policies: Collection[Policy]
    as_of: datetime
    turns: Mapping[str, datetime] = field(default_factory=dict)

    def cutoff(self, policy: Policy, period: str | None = None) -> datetime | date:
        """Return the instant, or the day, before which a row must have started to be due."""
        return cutoff_value(policy, self.catalog, policy.cutoff(self.turn(policy), period))

    def turn(self, policy: Policy) -> datetime:
        """Return as of when the policy is judged."""
        return min(self.as_of, self.turns.get(policy.name, self.as_of))


# Tenants' own periods are looked up where the query runs, once: the text says nothing of any. Days
# and hours are taken off before months, as `policies.cutoff` does.
_CUTOFF = """coalesce(((SELECT jsonb_object_agg(o.tenant_id, {day_or_instant}) FROM (
        SELECT p.tenant_id, {turn} AT TIME ZONE 'UTC' - (p.lasts - p.months) - p.months AS at
        FROM (SELECT q.tenant_id, q.lasts, date_trunc('month', q.lasts) AS months
              FROM (SELECT tenant_id, replace(period, ',', '.')::interval AS lasts
                    FROM tenure.policy_periods WHERE policy = {policy}) q) p) o)
    ->> {tenant}::text)::{type}, %(cutoff)s)"""


def cutoff_of(policy: Policy, alias: str, ground: Ground) -> sql.Composable:
    """Return the cutoff that holds for the row `alias`: its tenant's own, or %(cutoff)s."""
    column = starting_point(ground.catalog, policy.table, policy.starts).column
    is_date = column.type == "date"
    return sql.SQL(_CUTOFF).format(
        tenant=sql.Identifier(alias, "tenant_id"),
        policy=sql.Literal(policy.name),
        turn=sql.Literal(ground.turn(policy)),
        day_or_instant=sql.SQL("o.at::date" if is_date else "o.at AT TIME ZONE 'UTC'"),
        type=sql.SQL("date" if is_date else "timestamptz"),
    )


def started(policy: Policy, alias: str, ground: Ground) -> sql.Composable:
    """Return the starting point of the row `alias`."""
    point = starting_point(ground.catalog, policy.table, policy.starts)
    if point.via is None:
        return sql.Identifier(alias, point.column.name)
    return sql.SQL(
        "(SELECT min(begun.{}) FROM {} begun WHERE begun.id = {} AND begun.tenant_id = {})"
    ).format(
        sql.Identifier(point.column.name),
        sql.Identifier(point.table.schema, point.table.name),
        sql.Identifier(alias, point.via),
        sql.Identifier(alias, "tenant_id"),
    )


def due(policy: Policy, alias: str, ground: Ground) -> sql.Composable:
    """Return the condition that the row `alias` of the policy's table is past its period.

    Takes the parameter cutoff. Not true of a row without a starting point.
    """
    return _both(
        sql.SQL("{} < {}").format(started(policy, alias, ground), cutoff_of(policy, alias, ground)),
        *_speaks(policy, alias, ground),
        *(sql.SQL("NOT {}").format(kept) for kept in minimums(policy.table, alias, ground)),
    )


def undated(policy: Policy, alias: str, ground: Ground) -> sql.Composable:
    """Return the condition that a policy decides over the row `alias`, which has no start."""
    no_start = sql.SQL("{} IS NULL").format(started(policy, alias, ground))
    return _both(no_start, *_speaks(policy, alias, ground))


def minimums(table: TableName, alias: str, ground: Ground) -> list[sql.Composable]:
    """Return the conditions under which policies' minimums keep the row `alias` of a table, from
    whichever policy, their own too: a tenant's own period may be shorter than a minimum that was
    raised after it."""
    found: list[sql.Composable] = []
    for other in sorted(ground.policies, key=lambda p: p.name):
        if other.table != table or other.minimum is None:
            continue
        over = sql.SQL("{} < {}").format(
            started(other, alias, ground), sql.Literal(ground.cutoff(other, other.minimum))
        )
        met = [_met(other.condition, alias)] if other.condition else []
        found.append(sql.SQL("({})").format(_both(*met, sql.SQL("({}) IS NOT TRUE").format(over))))
    return found


def came_back(table: TableName, alias: str) -> sql.Composable:
    """Return the condition that the row `alias` came back from an archive, and is to stay."""
    return sql.SQL(
        "(({0}.tenant_id, {0}.id) IN (SELECT back.tenant_id, back.row_id"
        " FROM tenure.restored_rows back WHERE back.table_name = {1}"
        " AND back.kept_until > clock_timestamp()))"
    ).format(sql.Identifier(alias), sql.Literal(str(table)))


#: That anything did.
ANY_CAME_BACK = (
    "EXISTS (SELECT FROM tenure.restored_rows back WHERE back.kept_until > clock_timestamp())"
)


def _speaks(policy: Policy, alias: str, ground: Ground) -> list[sql.Composable]:
    parts: list[sql.Composable] = []
    if policy.condition:
        parts.append(_met(policy.condition, alias))
    else:
        parts += [
            sql.SQL("NOT {}").format(_met(other.condition, alias))
            for other in sorted(ground.policies, key=lambda p: p.name)
            if other.condition and (other.table, other.removes) == (policy.table, policy.removes)
        ]
    if policy.removes:
        parts.append(sql.SQL("NOT {}").format(came_back(policy.table, alias)))
    if policy.treatments:
        table = ground.catalog.table(policy.table)
        treated = [is_treated(t, table.column(t.column), alias) for t in policy.treatments]
        parts.append(sql.SQL("NOT ({})").format(_both(*treated)))
    return parts


def _met(condition: str, alias: str) -> sql.Composable:
    return sql.SQL("EXISTS (SELECT FROM (SELECT {}.*) r WHERE (\n{}\n))").format(
        sql.Identifier(alias), sql.SQL(condition.replace("%", "%%"))
    )


def is_treated(treatment: Treatment, column: Column, alias: str) -> sql.Composable:
    """Return the condition that a value is as coarse as it should be; never NULL."""
    name, value = sql.Identifier(alias, treatment.column), treatment.value
    if treatment.kind == "null":
        return sql.SQL("{} IS NULL").format(name)
    if treatment.kind == "constant":
        return sql.SQL("{} IS NOT DISTINCT FROM {}").format(name, sql.Literal(value))
    test: sql.Composable
    if treatment.kind == "hash":
        test = sql.SQL("starts_with({0}, 'pn1_') AND length({0}) = 36").format(name)
    elif treatment.kind == "random":
        test = sql.SQL("starts_with({0}, 'an1_') AND length({0}) = 36").format(name)
    else:
        test = _coarse(value, column, name)
    return sql.SQL("coalesce({}, true)").format(test)


def _coarse(value: Any, column: Column, name: sql.Composable) -> sql.Composable:
    if column.type == "date":
        return sql.SQL("to_char({}, {}) = {}").format(name, *_rest(value))
    if column.type == "timestamp with time zone":
        return sql.SQL("to_char({} AT TIME ZONE 'UTC', {}) = {}").format(name, *_rest(value))
    if column.type.startswith(("text", "character")):
        return sql.SQL("length({}) <= {}").format(name, sql.Literal(value))
    return sql.SQL("mod({}::numeric, {}) = 0").format(name, sql.Literal(value))


def _rest(unit: str) -> tuple[sql.Composable, sql.Composable]:
    """Return what is left below a unit, as a format and as it must be."""
    kept = {"year": 0, "month": 1, "day": 2}[unit]
    parts = (("MM", "01"), ("DD", "01"), ("HH24:MI:SS.US", "00:00:00.000000"))[kept:]
    return sql.Literal(" ".join(p for p, _ in parts)), sql.Literal(" ".join(v for _, v in parts))


def _both(*parts: sql.Composable) -> sql.Composable:
    return sql.SQL(" AND ").join(parts)
