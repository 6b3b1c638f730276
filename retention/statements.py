"""The executor's SQL for one policy. Every statement names the tenant, as a literal.

Ids travel as text in arrays; `%(tenant)s`, `%(cutoff)s` and `%(ids)s` are filled in by
psycopg2 on the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql

from retention.graph import Edge, Family
from retention.rules import Rule
from tenants.catalog import Column, TableName

GATE = "SELECT turned FROM tenure.gates WHERE tenant_id = %(tenant)s::uuid FOR SHARE"

# What may have changed since the plan: holds on the tenant and on less, in force until a release
# takes effect; the tenant's own state and period; the policy itself and those beside it; whether
# the run, or all retention, was stopped.
STANDING = """
SELECT h.on_tenant, h.on_rows,
       (SELECT state FROM tenure.policy_states
        WHERE tenant_id = %(tenant)s::uuid AND policy = %(policy)s),
       (SELECT period FROM tenure.policy_periods
        WHERE tenant_id = %(tenant)s::uuid AND policy = %(policy)s),
       ARRAY(SELECT max(version) FROM tenure.policy_versions WHERE policy = ANY(%(policies)s)
             GROUP BY policy ORDER BY policy COLLATE "C"),
       (SELECT state FROM tenure.runs WHERE id = %(run)s::uuid),
       tenure.is_stopped()
FROM (SELECT count(*) FILTER (WHERE scope = 'tenant') AS on_tenant,
             count(*) FILTER (WHERE scope <> 'tenant') AS on_rows
      FROM tenure.holds
      WHERE tenant_id = %(tenant)s::uuid
        AND (effective_at IS NULL OR effective_at > pg_catalog.clock_timestamp())) h
"""

KEYS = """
INSERT INTO tenure.deleted_keys (tenant_id, run_id, batch_id, table_name, hashes)
VALUES (%(tenant)s::uuid, %(run)s::uuid, %(batch)s::uuid, %(table)s, %(hashes)s)
"""

RECORD = """
INSERT INTO tenure.batches (run_id, id, trace_id, span_id, tenant_id, policy, policy_version,
                            cutoff, action, rows_deleted, counts, progress, started_at)
VALUES (%(run)s::uuid, %(batch)s::uuid, %(trace)s, %(span)s, %(tenant)s::uuid, %(policy)s,
        %(version)s, %(cutoff_instant)s, %(action)s, %(rows)s, %(counts)s, %(progress)s,
        transaction_timestamp())
"""


@dataclass(frozen=True)
class Statements:
    """The statements of one policy on one family."""

    family: Family
    rule: Rule

    @property
    def starts_type(self) -> str:
        """The starting point's column type."""
        return self.rule.point.column.type

    def is_due(self, alias: str) -> sql.Composable:
        """Return the condition that a row of the policy's table, called `alias`, is due.

        With %(cutoff)s. The one place that says it: what chooses rows, locks them, deletes
        them and counts what is left must mean the same rows.
        """
        return self.rule.is_due(alias)

    def _anchored(self, alias: str) -> tuple[sql.Composable, sql.Composable, sql.Composable]:
        """Return the starting point of the row `alias`, the join that leads to it, and the
        lock that keeps it where it is: of another row where it is reached over a key."""
        point = self.rule.point
        if point.via is None:
            return sql.Identifier(alias, point.column.name), sql.SQL(""), sql.SQL("")
        join = sql.SQL(" JOIN {parent} p ON p.tenant_id = %(tenant)s::uuid AND p.id = {key}")
        return (
            sql.Identifier("p", point.column.name),
            join.format(parent=table(point.table), key=sql.Identifier(alias, point.via)),
            sql.SQL(" FOR SHARE OF p"),
        )

    def due(self, *, after: bool, lock: bool) -> sql.Composable:
        """Return the next due rows (id, starting point) in index order, at most %(limit)s.

        With `after`, those beyond (%(after_starts)s, %(after_id)s); with `lock`, those that
        nobody has locked, locked. Rows that others plainly keep are left out; whoever
        deletes looks again under lock.
        """
        starts, join, lock_anchor = self._anchored("r")
        beyond = sql.SQL(
            " AND ({starts}, r.id) > (%(after_starts)s::{type}, %(after_id)s::uuid)"
        ).format(starts=starts, type=sql.SQL(self.starts_type))
        unkept = [
            sql.SQL(
                " AND NOT EXISTS (SELECT FROM {child} c WHERE c.tenant_id = %(tenant)s::uuid"
                " AND {column} = r.id{kind})"
            ).format(child=table(e.child), column=sql.Identifier("c", e.column), kind=kind_of(e))
            for e in self.family.outer
            if e.parent == self.family.root and self.rule.policy.removes
        ]
        skip = sql.SQL(" SKIP LOCKED")
        locks = sql.SQL(" FOR UPDATE OF r") + skip
        if self.rule.point.via is not None:
            locks += lock_anchor + skip
        return sql.SQL(
            "SELECT r.id::text, {starts}::text FROM {root} r{join}"
            " WHERE r.tenant_id = %(tenant)s::uuid AND {starts} < %(cutoff)s AND {due}{beyond}"
            "{unkept} ORDER BY {starts}, r.id LIMIT %(limit)s{lock}"
        ).format(
            starts=starts,
            join=join,
            root=table(self.family.root),
            due=self.is_due("r"),
            beyond=beyond if after else sql.SQL(""),
            unkept=sql.Composed(unkept),
            lock=locks if lock else sql.SQL(""),
        )

    def lock(self) -> sql.Composable:
        """Lock the rows %(ids)s that are still due, waiting for others; return their ids."""
        _, join, lock_anchor = self._anchored("r")
        return sql.SQL(
            "SELECT r.id::text FROM {root} r{join} WHERE r.tenant_id = %(tenant)s::uuid"
            " AND r.id = ANY(%(ids)s::uuid[]) AND {due} FOR UPDATE OF r{lock_anchor}"
        ).format(
            root=table(self.family.root),
            join=join,
            due=self.is_due("r"),
            lock_anchor=lock_anchor,
        )

    def still_due(self) -> sql.Composable:
        """Count which of %(ids)s are due."""
        return sql.SQL(
            "SELECT count(*) FROM {root} r WHERE r.tenant_id = %(tenant)s::uuid"
            " AND r.id = ANY(%(ids)s::uuid[]) AND {due}"
        ).format(root=table(self.family.root), due=self.is_due("r"))

    def left(self) -> sql.Composable:
        """Count the tenant's due rows."""
        return sql.SQL(
            "SELECT count(*) FROM {root} r WHERE r.tenant_id = %(tenant)s::uuid AND {due}"
        ).format(root=table(self.family.root), due=self.is_due("r"))

    def along(self, edge: Edge) -> sql.Composable:
        """Lock the rows that refer by `edge` to %(ids)s; return their ids."""
        return sql.SQL(
            "SELECT c.id::text FROM {child} c WHERE c.tenant_id = %(tenant)s::uuid"
            " AND {column} = ANY(%(ids)s::uuid[]){kind} FOR UPDATE"
        ).format(
            child=table(edge.child), column=sql.Identifier("c", edge.column), kind=kind_of(edge)
        )

    def pull(self, edge: Edge, *, skip_locked: bool) -> sql.Composable:
        """Lock due rows of the policy's table, not in %(not)s, that refer to %(ids)s."""
        _, join, lock_anchor = self._anchored("c")
        skip = sql.SQL(" SKIP LOCKED" if skip_locked else "")
        locks = sql.SQL(" FOR UPDATE OF c") + skip
        if self.rule.point.via is not None:
            locks += lock_anchor + skip
        return sql.SQL(
            "SELECT c.id::text FROM {child} c{join} WHERE c.tenant_id = %(tenant)s::uuid"
            " AND {column} = ANY(%(ids)s::uuid[]){kind} AND c.id <> ALL(%(not)s::uuid[])"
            " AND {due} LIMIT %(limit)s{locks}"
        ).format(
            child=table(edge.child),
            join=join,
            column=sql.Identifier("c", edge.column),
            kind=kind_of(edge),
            due=self.is_due("c"),
            locks=locks,
        )

    def kept_by_minimum(self, name: TableName) -> sql.Composable | None:
        """Return which of %(ids)s of a table that goes along a minimum keeps; None: none can."""
        kept = self.rule.is_kept(name, "c")
        if kept is None:
            return None
        return sql.SQL(
            "SELECT c.id::text FROM {table} c WHERE c.tenant_id = %(tenant)s::uuid"
            " AND c.id = ANY(%(ids)s::uuid[]) AND {kept}"
        ).format(table=table(name), kept=kept)

    def change(self) -> sql.Composable:
        """Give the rows %(ids)s that are still due their treated values; return their ids."""
        changes = [
            sql.SQL("{} = {}").format(sql.Identifier(t.column), t.new_value(column, "x"))
            for t, column in zip(self.rule.policy.treatments, self.rule.columns, strict=True)
        ]
        return sql.SQL(
            "UPDATE {table} x SET {changes} WHERE x.tenant_id = %(tenant)s::uuid"
            " AND x.id = ANY(%(ids)s::uuid[]) AND {due} RETURNING x.id::text"
        ).format(
            table=table(self.family.root),
            changes=sql.SQL(", ").join(changes),
            due=self.is_due("x"),
        )

    def archive(self, name: TableName, schema: str, columns: Sequence[Column]) -> sql.Composable:
        """Copy the rows %(ids)s of a table to its archive, for %(batch)s; return their ids."""
        names = sql.SQL(", ").join(sql.Identifier(c.name) for c in columns)
        return sql.SQL(
            "INSERT INTO {archive} ({names}, archived_at, archived_batch)"
            " SELECT {names}, transaction_timestamp(), %(batch)s::uuid FROM {table} x"
            " WHERE x.tenant_id = %(tenant)s::uuid AND x.id = ANY(%(ids)s::uuid[])"
            " RETURNING id::text"
        ).format(archive=sql.Identifier(schema, name.name), names=names, table=table(name))

    def kept(self, edge: Edge) -> sql.Composable:
        """Return which of %(ids)s a row refers to that stays (that is not in %(not)s)."""
        return sql.SQL(
            "SELECT DISTINCT {column}::text FROM {child} c WHERE c.tenant_id = %(tenant)s::uuid"
            " AND {column} = ANY(%(ids)s::uuid[]){kind}{others}"
        ).format(
            child=table(edge.child),
            column=sql.Identifier("c", edge.column),
            kind=kind_of(edge),
            others=sql.SQL(
                " AND c.id <> ALL(%(not)s::uuid[])" if edge.child == self.family.root else ""
            ),
        )

    def referred(self, edge: Edge) -> sql.Composable:
        """Return which of %(among)s the rows %(ids)s of the edge's child refer to."""
        return sql.SQL(
            "SELECT DISTINCT {column}::text FROM {child} c WHERE c.tenant_id = %(tenant)s::uuid"
            " AND c.id = ANY(%(ids)s::uuid[]) AND {column} = ANY(%(among)s::uuid[]){kind}"
        ).format(
            child=table(edge.child), column=sql.Identifier("c", edge.column), kind=kind_of(edge)
        )

    def delete(self, group: Sequence[TableName]) -> sql.Composable:
        """Delete %(ids0)s from the group's first table, %(ids1)s from its second, ..; return
        (number, id). One statement: references among them are checked at its end."""
        deletes = [
            sql.SQL("d{number} AS ({delete})").format(
                number=sql.SQL(str(number)), delete=self._delete(name, number)
            )
            for number, name in enumerate(group)
        ]
        results = [
            sql.SQL("SELECT {number}, id FROM d{number}").format(number=sql.SQL(str(number)))
            for number in range(len(group))
        ]
        return sql.SQL("WITH {} {}").format(
            sql.SQL(", ").join(deletes), sql.SQL(" UNION ALL ").join(results)
        )

    def _delete(self, name: TableName, number: int) -> sql.Composable:
        again = (
            sql.SQL(" AND {}").format(self.is_due("x")) if name == self.family.root else sql.SQL("")
        )
        return sql.SQL(
            "DELETE FROM {table} x WHERE x.tenant_id = %(tenant)s::uuid"
            " AND x.id = ANY({ids}::uuid[]){again} RETURNING x.id::text AS id"
        ).format(table=table(name), ids=sql.Placeholder(f"ids{number}"), again=again)


def table(name: TableName) -> sql.Composable:
    """Return a table's name, quoted."""
    return sql.Identifier(name.schema, name.name)


def kind_of(edge: Edge) -> sql.Composable:
    """Return what a soft reference by `edge` asks of the child's kind column."""
    if edge.kind_column is None:
        return sql.SQL("")
    return sql.SQL(" AND {} = {}").format(
        sql.Identifier("c", edge.kind_column), sql.Literal(edge.kind)
    )


Params = dict[str, Any]
