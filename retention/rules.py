"""Rules: what policies say of the rows of a table, as SQL for the planner and the executor.

`retention.precedence` says the same of one row at a time, in Python; a test holds the two
together. (Verification has queries of its own and does not use this.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg2 import sql

from retention.policies import Policy, StartingPoint, cutoff_value, starting_point
from tenants.catalog import Catalog, Column, TableName

# What was brought back from the archive stays until the time that was said. Mostly there is nothing
# of the kind, which the first part says once for all rows.
_RESTORED = sql.SQL(
    "(EXISTS (SELECT FROM tenure.restored_rows z WHERE z.table_name = {1}"
    " AND z.kept_until > statement_timestamp())"
    " AND EXISTS (SELECT FROM tenure.restored_rows z WHERE z.tenant_id = {0}.tenant_id"
    " AND z.table_name = {1} AND z.row_id = {0}.id AND z.kept_until > statement_timestamp()))"
)


@dataclass(frozen=True, slots=True)
class Minimum:
    """Until when a policy keeps its rows: those that started at or after `cutoff`."""

    condition: str | None
    point: StartingPoint
    cutoff: datetime | date

    def keeps(self, alias: str) -> sql.Composable:
        """Return the condition under which it keeps the row `alias`."""
        # Where the starting point is empty, what the minimum waits for has not begun.
        kept = sql.SQL("coalesce({} >= {}, true)").format(
            self.started(alias), sql.Literal(self.cutoff)
        )
        if self.condition is None:
            return kept
        return sql.SQL("({} AND {})").format(_true_of(self.condition, alias), kept)

    def started(self, alias: str) -> sql.Composable:
        """Return the starting point of the row `alias`, as an expression."""
        return _started(self.point, alias)


@dataclass(frozen=True)
class Rule:
    """When a policy takes, or changes, a row of its table.

    `silenced_by` are the conditions of explicit policies, before which this one is silent;
    `minimums` keep rows of the family's tables, whoever would take them. `restored`: rows may have
    come back from an archive; where it is known that none has, nobody need ask.
    """

    policy: Policy
    point: StartingPoint
    columns: tuple[Column, ...]
    silenced_by: tuple[str, ...]
    minimums: tuple[tuple[TableName, Minimum], ...]
    restored: bool = True

    def started(self, alias: str) -> sql.Composable:
        """Return the starting point of the row `alias`, as an expression."""
        return _started(self.point, alias)

    def is_due(self, alias: str) -> sql.Composable:
        """Return the condition under which the row `alias` is due as of %(cutoff)s."""
        parts = [self.is_past(alias), self.matches(alias)]
        kept = self.is_kept(self.policy.table, alias)
        if kept is not None:
            parts.append(sql.SQL("NOT {}").format(kept))
        return _all_of(parts)

    def is_past(self, alias: str) -> sql.Composable:
        """Return the condition under which the period of the row `alias` is over."""
        return sql.SQL("{} < %(cutoff)s").format(self.started(alias))

    def matches(self, alias: str) -> sql.Composable:
        """Return the condition under which this policy speaks about the row `alias`."""
        parts: list[sql.Composable] = []
        if self.policy.condition is not None:
            parts.append(_true_of(self.policy.condition, alias))
        parts += [
            sql.SQL("NOT {}").format(_true_of(condition, alias)) for condition in self.silenced_by
        ]
        done = self._done(alias)
        if done is not None:
            parts.append(sql.SQL("NOT {}").format(done))
        if self.policy.removes and self.restored:
            parts.append(sql.SQL("NOT {}").format(_restored(self.policy.table, alias)))
        return _all_of(parts)

    def facts(self, alias: str) -> sql.Composable:
        """Return three columns about the row `alias`: whether it meets the condition, its
        starting point, and whether it was changed already."""
        condition, done = self.policy.condition, self._done(alias)
        return sql.SQL("{}, {}, {}").format(
            sql.SQL("true") if condition is None else _true_of(condition, alias),
            self.started(alias),
            sql.SQL("false") if done is None else done,
        )

    def _done(self, alias: str) -> sql.Composable | None:
        done = [
            treatment.is_done(column, alias)
            for treatment, column in zip(self.policy.treatments, self.columns, strict=True)
        ]
        return sql.SQL("({})").format(_all_of(done)) if done else None

    def is_kept(self, table: TableName, alias: str) -> sql.Composable | None:
        """Return the condition under which a minimum keeps the row `alias` of a table of the
        family; None where none is on it."""
        own = [minimum for name, minimum in self.minimums if name == table]
        if not own:
            return None
        return sql.SQL("({})").format(sql.SQL(" OR ").join(m.keeps(alias) for m in own))

    def keeps_along(self, table: TableName, alias: str) -> dict[str, sql.Composable]:
        """Return what keeps a row `alias` of a table whose rows go along: the conditions, by what
        is said of them."""
        minimum = self.is_kept(table, alias)
        found = {} if minimum is None else {f"the minimum of {table}": minimum}
        if self.restored:
            found[f"the restoration of {table}"] = _restored(table, alias)
        return found


def rule_of(policy: Policy, beside: Collection[Policy], catalog: Catalog, as_of: datetime) -> Rule:
    """Return the rule of a policy among the others on its family's tables, as of an instant.

    Its own minimum counts, too: a tenant's own period may be older than it, and shorter.
    """
    table = catalog.table(policy.table)
    tables = (policy.table, *policy.along)
    rivals = [p for p in beside if p.table == policy.table and p.removes == policy.removes]
    return Rule(
        policy=policy,
        point=starting_point(catalog, policy.table, policy.starts),
        columns=tuple(table.column(t.column) for t in policy.treatments),
        silenced_by=tuple(
            sorted(p.condition for p in rivals if p.condition is not None)
            if policy.condition is None
            else ()
        ),
        minimums=tuple(
            (p.table, minimum)
            for p in sorted((policy, *beside), key=lambda p: p.name)
            if p.table in tables and (minimum := minimum_of(p, catalog, as_of)) is not None
        ),
    )


def minimum_of(policy: Policy, catalog: Catalog, as_of: datetime) -> Minimum | None:
    """Return a policy's minimum, over whoever would take its rows, as of an instant."""
    if policy.minimum is None:
        return None
    return Minimum(
        policy.condition,
        starting_point(catalog, policy.table, policy.starts),
        cutoff_value(policy, catalog, policy.cutoff(as_of, policy.minimum)),
    )


def beside(policy: Policy, policies: Collection[Policy]) -> tuple[Policy, ...]:
    """Return the other policies on the tables of a policy's family, by name."""
    tables = (policy.table, *policy.along)
    others = [p for p in policies if p.name != policy.name and p.table in tables]
    return tuple(sorted(others, key=lambda p: p.name))


def _all_of(parts: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(" AND ").join(parts) if parts else sql.SQL("true")


def _restored(table: TableName, alias: str) -> sql.Composable:
    return _RESTORED.format(sql.Identifier(alias), sql.Literal(str(table)))


def _started(point: StartingPoint, alias: str) -> sql.Composable:
    if point.via is None:
        return sql.Identifier(alias, point.column.name)
    return sql.SQL(
        "(SELECT s.{column} FROM {parent} s WHERE s.tenant_id = {tenant} AND s.id = {key})"
    ).format(
        column=sql.Identifier(point.column.name),
        parent=sql.Identifier(point.table.schema, point.table.name),
        tenant=sql.Identifier(alias, "tenant_id"),
        key=sql.Identifier(alias, point.via),
    )


def _true_of(condition: str, alias: str) -> sql.Composable:
    # The row is `r` to a condition, whatever it is called around it; a line of its own each
    # side, so that a comment at the end comments nothing of ours. % is psycopg2's.
    text = sql.SQL(condition.replace("%", "%%"))
    if alias == "r":
        return sql.SQL("((\n{}\n) IS TRUE)").format(text)
    return sql.SQL("(SELECT (\n{}\n) IS TRUE FROM (SELECT {}.*) AS r)").format(
        text, sql.Identifier(alias)
    )
