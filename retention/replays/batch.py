"""One batch of a replay, or of an offboarding: rows go, and that they did is recorded.

Invariant: only rows that it is given (on record as gone, or of a tenant that leaves) go, or change
as they had been changed; none that is under hold when its batch passed the gate; none that a row
refers to which stays, and a row that is held, or that a held row needs, keeps its references. What
is gone is what is recorded, for both commit together. The order of the steps: the gate, FOR SHARE,
in a statement of its own; the turn, which one such batch has at a time; whether all retention was
stopped; the rows, locked; what keeps them, asked once they are; references emptied, rows deleted
(tables that refer to each other in one statement) or changed, each counted against what was
locked; the record; commit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from uuid import UUID

from psycopg2 import sql

from retention.deletions import key_hash
from retention.erasures import statements
from retention.erasures.batch import count_exactly
from retention.errors import InvariantError
from retention.gate import is_restored, is_stopped, pass_gate, take_turn
from retention.graph import Edge, edges_of
from retention.held_rows import HeldRows, Node
from retention.hold_records import Standing, standing_holds
from retention.replays.wanted import Change
from retention.statements import kind_of, table
from retention.subjects import SubjectTable, reference
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

Step = Literal["gate", "locked", "judged", "cut", "changed", "deleted", "recorded", "committed"]
STEPS: tuple[Step, ...] = get_args(Step)

Rows = Mapping[TableName, set[str]]

_RECORD = """
INSERT INTO tenure.purge_batches (tenant_id, id, purge_id, trace_id, rows, counts, started_at)
VALUES (%(tenant)s::uuid, %(batch)s::uuid, %(purge)s::uuid, %(trace)s, %(rows)s, %(counts)s,
        transaction_timestamp())
"""


@dataclass(frozen=True)
class Work:
    """What the batches of one purge have in common. `edges` are all by which a row is held; `cut`
    has, by references that are emptied where what they refer to goes, the hashes of its keys.
    `again`: it had gone before a restore, which stops all else."""

    purge_id: UUID
    tenant_id: TenantId
    catalog: Catalog
    edges: Sequence[Edge]
    cut: Mapping[str, Collection[bytes]]
    trace_id: str
    lock_timeout_ms: int = 2000
    on_step: Callable[[Step], None] = lambda _step: None
    again: bool = False


@dataclass
class Outcome:
    """What a batch came to: rows by table and action, and what stays, by reason and table."""

    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    kept: dict[str, dict[TableName, set[str]]] = field(default_factory=dict)
    stopped: bool = False

    def keep(self, why: str, rows: Rows) -> None:
        """Note that rows stay."""
        for name, ids in rows.items():
            if ids:
                self.kept.setdefault(why, {}).setdefault(name, set()).update(ids)


def run_batch(retention: RoleConnections, work: Work, rows: Rows, how: Change | None) -> Outcome:
    """Delete these rows, of tables that may refer to each other, or change them (`how`).

    Rolled back, psycopg2's errors pass through. Raises InvariantError.
    """
    with retention.transaction(work.tenant_id, tidy=True) as cursor:
        outcome = _Batch(cursor, work, rows, how).run()
    work.on_step("committed")
    return outcome


class _Batch:
    def __init__(self, cursor: Cursor, work: Work, rows: Rows, how: Change | None) -> None:
        self.cursor = cursor
        self.work = work
        self.wanted = rows
        self.how = how
        self.batch_id = str(new_id())
        self.numbers = {name: number for number, name in enumerate(rows)}
        self.counts: dict[str, dict[str, dict[str, Any]]] = {}
        self.outcome = Outcome()

    def run(self) -> Outcome:
        work = self.work
        # SET is no query: the gate is still the first statement that takes a snapshot.
        self.cursor.execute(f"SET LOCAL lock_timeout = {int(work.lock_timeout_ms)}")
        pass_gate(self.cursor, work.tenant_id)
        work.on_step("gate")
        take_turn(self.cursor)
        if is_stopped(self.cursor) and not (work.again and is_restored(self.cursor)):
            self.outcome.stopped = True
            return self.outcome
        locked = {name: self._locked(name, ids) for name, ids in self.wanted.items()}
        work.on_step("locked")
        standing = standing_holds(self.cursor, work.tenant_id)
        going = self._free(locked, standing)
        cut: dict[Edge, set[str]] = {}
        if self.how is None:
            going, cut = self._unreferenced(going, standing)
        work.on_step("judged")
        if not any(going.values()):
            return self.outcome
        self._act(going, cut)
        self._record()
        work.on_step("recorded")
        for name, of in self.counts.items():
            self.outcome.rows[name] = {action: entry["rows"] for action, entry in of.items()}
        return self.outcome

    def _locked(self, name: TableName, ids: set[str]) -> set[str]:
        if not ids:
            return set()
        found = {row[0] for row in self._run(statements.lock(name), {"ids": ids})}
        if not found:
            there = sql.SQL(
                "SELECT count(*) FROM {} r WHERE r.tenant_id = %(tenant)s::uuid"
                " AND r.id = ANY(%(ids)s::uuid[])"
            ).format(table(name))
            # Row locks by a role without an UPDATE policy lock nothing, and say nothing.
            if self._run(there, {"ids": ids})[0][0]:
                raise InvariantError(
                    f"{name}: rows of tenant {self.work.tenant_id} could not be locked, and nobody "
                    "holds them: has tenure_retention lost its UPDATE policy?"
                )
        return found

    def _free(self, rows: Rows, standing: Standing) -> dict[TableName, set[str]]:
        """Return those that no hold is on."""
        if standing.matters:
            self.outcome.keep("held", rows)
            return {name: set() for name in rows}
        if not standing.on_rows:
            return dict(rows)
        asked = HeldRows(self.cursor, self.work.tenant_id, self.work.edges, standing.on_rows)
        held = asked.among(rows)
        stay = {name: {i for i in ids if (name, i) in held} for name, ids in rows.items()}
        self.outcome.keep("held", stay)
        return {name: ids - stay[name] for name, ids in rows.items()}

    def _unreferenced(
        self, rows: Rows, standing: Standing
    ) -> tuple[dict[TableName, set[str]], dict[Edge, set[str]]]:
        """Return those that nothing refers to which stays, and whose references are emptied."""
        going = dict(rows)
        # Archived rows keep nothing: they refer to what may be gone long since.
        referring = {
            edge: self._referring(edge, going[edge.parent])
            for edge in edges_of(self.work.catalog)
            if going.get(edge.parent)
        }
        tied = self._tied(referring, standing)
        while True:
            stay: dict[str, dict[TableName, set[str]]] = {"held": {}, "referred to": {}}
            for edge, pairs in referring.items():
                for child, parent, loses in pairs:
                    is_tied = (edge.child, child) in tied
                    stays = child not in going.get(edge.child, ()) and (is_tied or not loses)
                    if stays and parent in going[edge.parent]:
                        why = "held" if loses else "referred to"
                        stay[why].setdefault(edge.parent, set()).add(parent)
            if not any(stay.values()):
                break
            for why, of in stay.items():
                staying = {name: ids & going[name] for name, ids in of.items()}
                self.outcome.keep(why, staying)
                going = {name: ids - staying.get(name, set()) for name, ids in going.items()}
        cut = {
            edge: {
                child
                for child, parent, loses in pairs
                if loses and parent in going[edge.parent] and child not in going.get(edge.child, ())
            }
            for edge, pairs in referring.items()
        }
        return going, {edge: ids for edge, ids in cut.items() if ids}

    def _referring(self, edge: Edge, ids: set[str]) -> list[tuple[str, str, bool]]:
        """Return (row, what it refers to, whether it is to lose that) for references to these
        rows. Those that may lose it are locked."""
        hashes = self.work.cut.get(reference(edge), ())
        found = self._run(
            sql.SQL(
                "SELECT c.id::text, {column}::text FROM {child} c"
                " WHERE c.tenant_id = %(tenant)s::uuid AND {column} = ANY(%(ids)s::uuid[])"
                "{kind} ORDER BY c.id{lock}"
            ).format(
                child=table(edge.child),
                column=sql.Identifier("c", edge.column),
                kind=kind_of(edge),
                lock=sql.SQL(" FOR UPDATE" if hashes else ""),
            ),
            {"ids": ids},
        )
        return [(child, parent, key_hash(UUID(parent)) in hashes) for child, parent in found]

    def _tied(
        self, referring: Mapping[Edge, Collection[tuple[str, str, bool]]], standing: Standing
    ) -> Collection[Node]:
        """Return the rows that are to lose a reference and are held, or needed by a held one."""
        losing: dict[TableName, set[str]] = {}
        for edge, pairs in referring.items():
            losing.setdefault(edge.child, set()).update(c for c, _, loses in pairs if loses)
        if not standing.on_rows or not any(losing.values()):
            return ()
        asked = HeldRows(self.cursor, self.work.tenant_id, self.work.edges, standing.on_rows)
        return asked.needed(losing)

    # -- what goes -----------------------------------------------------------------------

    def _act(self, going: Rows, cut: Mapping[Edge, set[str]]) -> None:
        rows = {name: ids for name, ids in going.items() if ids}
        if self.how is not None:
            how = self.how
            declared = SubjectTable(how.table, how.action, how.treatments)  # type: ignore[arg-type]  # of records
            number = self.numbers[how.table]
            change = statements.change(declared, self.work.catalog, number, keys=_keys)
            self._counted(change, {number: (how.table, how.action, rows[how.table])})
            written = {t.column: t.definition() for t in how.treatments}
            self.counts[str(how.table)][how.action]["columns"] = written
            self.work.on_step("changed")
            return
        children: dict[TableName, list[Edge]] = {}
        for edge in cut:
            children.setdefault(edge.child, []).append(edge)
        for name, edges in children.items():
            emptied = statements.cut(name, edges, 0, keys=_keys)
            more = {f"p{place}": rows[edge.parent] for place, edge in enumerate(edges)}
            ids = set().union(*(cut[edge] for edge in edges))
            self._counted(emptied, {0: (name, "cut", ids)}, more)
            self.counts[str(name)]["cut"]["references"] = [reference(e) for e in edges]
        self.work.on_step("cut")
        self._counted(
            statements.delete(tuple(rows), self.numbers, keys=_keys),
            {self.numbers[name]: (name, "delete", ids) for name, ids in rows.items()},
        )
        self.work.on_step("deleted")

    def _counted(
        self,
        statement: sql.Composable,
        rows: Mapping[int, tuple[TableName, str, set[str]]],
        more: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Run what deletes or changes these very rows; raises InvariantError for others."""
        members = {f"m{number}": ids for number, (_, _, ids) in rows.items()}
        done = self._run(statement, {**members, **(more or {})})
        count_exactly(self.counts, rows, done, self.work.tenant_id)

    def _record(self) -> None:
        rows = sum(entry["rows"] for of in self.counts.values() for entry in of.values())
        self._run(
            _RECORD,
            {"trace": self.work.trace_id, "rows": str(rows), "counts": json.dumps(self.counts)},
        )

    def _run(
        self, statement: sql.Composable | str, params: Mapping[str, str | Collection[str]]
    ) -> list[tuple[Any, ...]]:
        arrays = {
            key: value if isinstance(value, str) else "{" + ",".join(value) + "}"
            for key, value in params.items()
        }
        known = {
            "tenant": str(self.work.tenant_id),
            "purge": str(self.work.purge_id),
            "batch": self.batch_id,
        }
        self.cursor.execute(statement, {**known, **arrays})
        return self.cursor.fetchall() if self.cursor.description else []


def _keys(name: TableName, action: str, hashes: sql.Composable) -> sql.Composable:
    return sql.SQL(
        "INSERT INTO tenure.purged_keys (tenant_id, purge_id, batch_id, table_name, action,"
        " hashes) SELECT %(tenant)s::uuid, %(purge)s::uuid, %(batch)s::uuid, {name}, {action},"
        " {hashes}"
    ).format(name=sql.Literal(str(name)), action=sql.Literal(action), hashes=hashes)
