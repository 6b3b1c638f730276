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
from tenants.catalog import TableName

GATE = "SELECT turned FROM tenure.gates WHERE tenant_id = %(tenant)s::uuid FOR SHARE"

# What may have changed since the plan: holds, the tenant's own state, the policy itself, and
# whether the run, or all retention, was stopped.
STANDING = """
SELECT (SELECT count(*) FROM tenure.holds
        WHERE tenant_id = %(tenant)s::uuid AND released_at IS NULL),
       (SELECT state FROM tenure.policy_states
        WHERE tenant_id = %(tenant)s::uuid AND policy = %(policy)s),
       (SELECT max(version) FROM tenure.policy_versions WHERE policy = %(policy)s),
       (SELECT state FROM tenure.runs WHERE id = %(run)s::uuid),
       tenure.is_stopped()
"""

RECORD = """
INSERT INTO tenure.batches (run_id, id, trace_id, span_id, tenant_id, policy, policy_version,
                            cutoff, rows_deleted, counts, progress, started_at)
VALUES (%(run)s::uuid, %(batch)s::uuid, %(trace)s, %(span)s, %(tenant)s::uuid, %(policy)s,
        %(version)s, %(cutoff_instant)s, %(rows)s, %(counts)s, %(progress)s,
        transaction_timestamp())
"""


@dataclass(frozen=True)
class Statements:
    """The statements of one family. `starts_type` is the starting point's column type."""

    family: Family
    starts: str
    starts_type: str

    def due(self, *, after: bool, lock: bool) -> sql.Composable:
        """Return the next due rows (id, starting point) in index order, at most %(limit)s.

        With `after`, those beyond (%(after_starts)s, %(after_id)s); with `lock`, those that
        nobody has locked, locked. Rows that others plainly keep are left out; whoever
        deletes looks again under lock.
        """
        starts = sql.Identifier("r", self.starts)
        beyond = sql.SQL(
            " AND ({starts}, r.id) > (%(after_starts)s::{type}, %(after_id)s::uuid)"
        ).format(starts=starts, type=sql.SQL(self.starts_type))
        unkept = [
            sql.SQL(
                " AND NOT EXISTS (SELECT FROM {child} c WHERE c.tenant_id = %(tenant)s::uuid"
                " AND {column} = r.id{kind})"
            ).format(child=table(e.child), column=sql.Identifier("c", e.column), kind=kind_of(e))
            for e in self.family.outer
            if e.parent == self.family.root
        ]
        return sql.SQL(
            "SELECT r.id::text, {starts}::text FROM {root} r"
            " WHERE r.tenant_id = %(tenant)s::uuid AND {starts} < %(cutoff)s{beyond}{unkept}"
            " ORDER BY {starts}, r.id LIMIT %(limit)s{lock}"
        ).format(
            starts=starts,
            root=table(self.family.root),
            beyond=beyond if after else sql.SQL(""),
            unkept=sql.Composed(unkept),
            lock=sql.SQL(" FOR UPDATE OF r SKIP LOCKED" if lock else ""),
        )

    def lock(self) -> sql.Composable:
        """Lock the rows %(ids)s that are still due, waiting for others; return their ids."""
        return sql.SQL(
            "SELECT r.id::text FROM {root} r WHERE r.tenant_id = %(tenant)s::uuid"
            " AND r.id = ANY(%(ids)s::uuid[]) AND {starts} < %(cutoff)s FOR UPDATE"
        ).format(root=table(self.family.root), starts=sql.Identifier("r", self.starts))

    def still_due(self) -> sql.Composable:
        """Count which of %(ids)s are due."""
        return sql.SQL(
            "SELECT count(*) FROM {root} r WHERE r.tenant_id = %(tenant)s::uuid"
            " AND r.id = ANY(%(ids)s::uuid[]) AND {starts} < %(cutoff)s"
        ).format(root=table(self.family.root), starts=sql.Identifier("r", self.starts))

    def left(self) -> sql.Composable:
        """Count the tenant's due rows."""
        return sql.SQL(
            "SELECT count(*) FROM {root} r WHERE r.tenant_id = %(tenant)s::uuid"
            " AND {starts} < %(cutoff)s"
        ).format(root=table(self.family.root), starts=sql.Identifier("r", self.starts))

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
        return sql.SQL(
            "SELECT c.id::text FROM {child} c WHERE c.tenant_id = %(tenant)s::uuid"
            " AND {column} = ANY(%(ids)s::uuid[]){kind} AND c.id <> ALL(%(not)s::uuid[])"
            " AND {starts} < %(cutoff)s LIMIT %(limit)s FOR UPDATE{skip}"
        ).format(
            child=table(edge.child),
            column=sql.Identifier("c", edge.column),
            kind=kind_of(edge),
            starts=sql.Identifier("c", self.starts),
            skip=sql.SQL(" SKIP LOCKED" if skip_locked else ""),
        )

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
            sql.SQL(" AND {} < %(cutoff)s").format(sql.Identifier("x", self.starts))
            if name == self.family.root
            else sql.SQL("")
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
