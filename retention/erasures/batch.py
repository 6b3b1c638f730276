"""One batch of an erasure: a READ COMMITTED transaction that erases rows and records that it did.

Invariant: the rows that are gone or changed are the rows that are recorded, for both commit
together; no row goes that was under hold or a minimum when its batch passed the gate, nor one
that such a row refers to; and no row of the person is left without a way to it: what refers by
foreign key goes before what it refers to, and of what may be referred to softly the key is kept
(`tenure.erasure_rows`) until a later look finds nothing by it. The order of the steps:

1. the gate, FOR SHARE, in a statement of its own: a hold placed from now on waits for us;
2. the turn, which one erasure's batch has at a time, so that whoever stops all retention waits
   for the one that is open; the erasure's row, locked; whether it still may go on, by its state,
   its declaration, and whether all retention was stopped;
3. holds, then the judgement over the person's rows as they are now (`judging`);
4. what goes in this batch, children first, at most `limit` rows (a circle of tables goes whole):
   locked, parents before children. Then the judgement again: what came meanwhile is seen, and
   by foreign key nothing can come any more. What is chosen now was locked before, or is locked,
   and judged once more;
5. references of others emptied, rows changed, children deleted before parents, each committing
   to its keys; a count that differs from what was locked rolls everything back;
6. the record; commit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from uuid import UUID

from psycopg2 import sql

from config.clock import Clock
from retention.erasures import statements
from retention.erasures.judging import Case, Judgement, judge
from retention.erasures.records import Erasure, add_event, lock_erasure, person_of, remembered
from retention.errors import ErasureError, InvariantError, OvertakenError
from retention.gate import is_stopped, pass_gate, take_turn
from retention.graph import Edge
from retention.hold_records import Standing, standing_holds
from retention.policies import Policy
from retention.subjects import Reach, Subject
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

Step = Literal["gate", "checked", "judged", "locked", "cut", "changed", "deleted", "recorded",
               "committed"]  # fmt: skip
STEPS: tuple[Step, ...] = get_args(Step)

_LOOKS = 10


@dataclass(frozen=True)
class Work:
    """What the batches of one erasure have in common. `subject` is as declared now."""

    erasure_id: UUID
    tenant_id: TenantId
    subject: Subject
    catalog: Catalog
    policies: Sequence[Policy]
    trace_id: str
    clock: Clock
    actor: str
    lock_timeout_ms: int = 2000
    on_step: Callable[[Step], None] = lambda _step: None


@dataclass
class Outcome:
    """What a batch came to. `rows` by table and action; `judged` is None when all is stopped.

    With `more`, something was left for another batch.
    """

    erasure: Erasure
    judged: Judgement | None = None
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    more: bool = False

    @property
    def count(self) -> int:
        """Rows, all tables and actions together."""
        return sum(sum(of.values()) for of in self.rows.values())


@dataclass(frozen=True)
class Portion:
    """What goes in one batch: rows to delete and to change by table, others' to cut by edge."""

    rows: Mapping[TableName, set[str]]
    cut: Mapping[Edge, set[str]]
    more: bool

    def within(self, locked: Mapping[TableName, set[str]]) -> bool:
        """Tell whether all of it is locked."""
        every = [*self.rows.items(), *((edge.child, ids) for edge, ids in self.cut.items())]
        return all(ids <= locked.get(name, set()) for name, ids in every)

    def by_table(self) -> dict[TableName, set[str]]:
        """Return all rows it touches."""
        found = {name: set(ids) for name, ids in self.rows.items()}
        for edge, ids in self.cut.items():
            found.setdefault(edge.child, set()).update(ids)
        return found


def choose(judged: Judgement, reach: Reach, limit: int) -> Portion:
    """Return the next rows to go, children first: tables in their order, until `limit` is met."""
    rows: dict[TableName, set[str]] = {}
    room, more = limit, False
    for group in reach.order:
        going = {name: judged.going[name] for name in group if judged.going.get(name)}
        wanted = sum(map(len, going.values()))
        if not wanted:
            continue
        if room <= 0:
            more = True
            break
        loops = len(group) > 1 or any(e.child == e.parent == group[0] for e in reach.edges)
        if wanted > room and not loops:
            ((name, ids),) = going.items()
            rows[name] = set(sorted(ids)[:room])
            more = True
            break
        rows |= {name: set(ids) for name, ids in going.items()}
        room -= wanted
    cut = {
        edge: {row for row, parent in pairs if parent in rows.get(edge.parent, ())}
        for edge, pairs in judged.cut.items()
    }
    return Portion(rows, {edge: ids for edge, ids in cut.items() if ids}, more)


def run_batch(retention: RoleConnections, work: Work, limit: int) -> Outcome:
    """Run one batch; psycopg2's errors pass through, rolled back, and so does OvertakenError.

    Raises ErasureError where the erasure may not go on, InvariantError.
    """
    with retention.transaction(work.tenant_id, tidy=True) as cursor:
        outcome = _Batch(cursor, work, limit).run()
    work.on_step("committed")
    return outcome


def count_exactly(
    counts: dict[str, dict[str, Any]],
    rows: Mapping[int, tuple[TableName, str, Collection[str]]],
    done: Sequence[tuple[Any, ...]],
    tenant_id: TenantId,
) -> None:
    """Add to `counts` what became of `rows` (table, action, ids, by number), as `done` says
    (number, count, SHA-256 over the hashes of the keys; what follows is not looked at).

    Raises InvariantError where it was not these very rows: then the transaction must not commit.
    """
    found = {number: (count, sha256) for number, count, sha256, *_ in done}
    for number, (name, action, ids) in rows.items():
        count, sha256 = found.get(number, (0, ""))
        if count != len(ids):
            raise InvariantError(
                f"{name}: {len(ids)} rows of tenant {tenant_id} were locked and "
                f"{count} could be erased ({action}); nothing is"
            )
        counts.setdefault(str(name), {})[action] = {"rows": count, "sha256": sha256}


def case_of(cursor: Cursor, work: Work, key: UUID) -> Case:
    """Return what is judged: the person's rows, what went before borne in mind."""
    seeds = remembered(cursor, work.tenant_id, work.erasure_id)
    now = work.clock.now()
    return Case(work.tenant_id, work.subject, key, work.catalog, work.policies, now, seeds)


def look(cursor: Cursor, case: Case, standing: Standing) -> Judgement:
    """Judge the person's rows as they are now."""
    return judge(cursor, case, standing.on_rows, tenant_held=bool(standing.matters))


def require_at_work(erasure: Erasure, subject: Subject) -> None:
    """Raise ErasureError unless an erasure is under way, by the declaration there is now."""
    if erasure.state not in ("running", "deferred"):
        raise ErasureError(f"erasure {erasure.id} is {erasure.state}, and nothing is erased by it")
    if erasure.planned_subject.digest != subject.digest:
        raise ErasureError(
            f"the declaration of {subject.name!r} is another than erasure {erasure.id} was planned "
            f"with; plan it again, and have that approved: tenure erasure plan {erasure.id}"
        )


def resume(cursor: Cursor, erasure: Erasure, actor: str) -> None:
    """Say that a deferred erasure goes on."""
    cursor.execute(
        "UPDATE tenure.erasures SET state = 'running', waits_until = NULL"
        " WHERE tenant_id = %s AND id = %s",
        (str(erasure.tenant_id), str(erasure.id)),
    )
    add_event(cursor, erasure, "resumed", actor)


class _Batch:
    def __init__(self, cursor: Cursor, work: Work, limit: int) -> None:
        self.cursor = cursor
        self.work = work
        self.limit = limit
        self.reach = work.subject.reach(work.catalog)
        self.numbers = self.reach.numbers()
        self.batch_id = str(new_id())
        self.counts: dict[str, dict[str, dict[str, Any]]] = {}

    def run(self) -> Outcome:
        work = self.work
        # SET is no query: the gate is still the first statement that takes a snapshot.
        self.cursor.execute(f"SET LOCAL lock_timeout = {int(work.lock_timeout_ms)}")
        pass_gate(self.cursor, work.tenant_id)
        work.on_step("gate")
        take_turn(self.cursor)
        erasure = lock_erasure(self.cursor, work.erasure_id, work.tenant_id)
        require_at_work(erasure, work.subject)
        if is_stopped(self.cursor):
            return Outcome(erasure)
        person = person_of(self.cursor, erasure)
        if person is None:
            raise InvariantError(f"erasure {erasure.id} goes on, and nobody knows whom it is about")
        work.on_step("checked")
        judged, portion = self._settle(case_of(self.cursor, work, person.key))
        outcome = Outcome(erasure, judged, more=portion.more)
        if not portion.rows:
            return outcome
        work.on_step("locked")
        if erasure.state == "deferred":
            resume(self.cursor, erasure, work.actor)
        self._act(portion)
        self._record()
        work.on_step("recorded")
        for name, of in self.counts.items():
            outcome.rows[name] = {action: entry["rows"] for action, entry in of.items()}
        return outcome

    def _settle(self, case: Case) -> tuple[Judgement, Portion]:
        """Return what goes, locked, as judged after it was."""
        standing = standing_holds(self.cursor, self.work.tenant_id)
        judged = look(self.cursor, case, standing)
        self.work.on_step("judged")
        portion = choose(judged, self.reach, self.limit)
        locked: dict[TableName, set[str]] = {}
        for _ in range(_LOOKS):
            if not portion.rows:
                return judged, portion
            if locked and portion.within(locked):
                return judged, portion
            for name, ids in self._lock(portion).items():
                locked.setdefault(name, set()).update(ids)
            judged = look(self.cursor, case, standing)
            portion = choose(judged, self.reach, self.limit)
        raise OvertakenError(f"others write faster than erasure {self.work.erasure_id} looks")

    def _lock(self, portion: Portion) -> dict[TableName, set[str]]:
        wanted = portion.by_table()
        parents_first = [name for group in self.reach.order[::-1] for name in group]
        found = {}
        for name in (*parents_first, *sorted(set(wanted) - set(parents_first))):
            if wanted.get(name):
                self._run(statements.lock(name), {"ids": wanted[name]})
                found[name] = {row[0] for row in self.cursor.fetchall()}
        if not any(found.values()) and any(wanted.values()):
            self._require_gone(wanted)
        return found

    def _require_gone(self, wanted: Mapping[TableName, Collection[str]]) -> None:
        """Row locks by a role without an UPDATE policy lock nothing, and say nothing."""
        for name, ids in wanted.items():
            query = sql.SQL(
                "SELECT count(*) FROM {} r WHERE r.tenant_id = %(tenant)s::uuid"
                " AND r.id = ANY(%(ids)s::uuid[])"
            ).format(sql.Identifier(name.schema, name.name))
            self._run(query, {"ids": ids})
            if self.cursor.fetchall()[0][0]:
                raise InvariantError(
                    f"{name}: rows of tenant {self.work.tenant_id} could not be locked, and nobody "
                    "holds them: has tenure_retention lost its UPDATE policy?"
                )

    # -- what goes -----------------------------------------------------------------------

    def _act(self, portion: Portion) -> None:
        self._cut(portion)
        self.work.on_step("cut")
        for group in self.reach.order:
            going = {name: portion.rows[name] for name in group if portion.rows.get(name)}
            for name, ids in going.items():
                declared = self.work.subject.of(name)
                if declared.action != "delete":
                    number = self.numbers[name]
                    change = statements.change(declared, self.work.catalog, number)
                    self._counted(change, {number: (name, declared.action, ids)})
            self.work.on_step("changed")
            self._delete({n: i for n, i in going.items() if self._deletes(n)})
        self.work.on_step("deleted")

    def _deletes(self, name: TableName) -> bool:
        return self.work.subject.of(name).action == "delete"

    def _cut(self, portion: Portion) -> None:
        edges: dict[TableName, list[Edge]] = {}
        for edge in portion.cut:
            edges.setdefault(edge.child, []).append(edge)
        for name, of in edges.items():
            ids = set().union(*(portion.cut[edge] for edge in of))
            parents = {f"p{n}": portion.rows[edge.parent] for n, edge in enumerate(of)}
            self._counted(statements.cut(name, of, 0), {0: (name, "cut", ids)}, parents)

    def _delete(self, going: Mapping[TableName, set[str]]) -> None:
        if not going:
            return
        soft = {e.parent for e in self.reach.edges if e.constraint is None} - {self.reach.top}
        for name in soft & going.keys():
            self._run(statements.REMEMBER, {"table": str(name), "ids": going[name]})
        self._counted(
            statements.delete(tuple(going), self.numbers),
            {self.numbers[name]: (name, "delete", ids) for name, ids in going.items()},
        )

    def _counted(
        self,
        statement: sql.Composable,
        rows: Mapping[int, tuple[TableName, str, Collection[str]]],
        more: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Run what deletes or changes these very rows; raises InvariantError for others."""
        members = {f"m{number}": ids for number, (_, _, ids) in rows.items()}
        self._run(statement, {**members, **(more or {})})
        count_exactly(self.counts, rows, self.cursor.fetchall(), self.work.tenant_id)

    def _record(self) -> None:
        rows = sum(entry["rows"] for of in self.counts.values() for entry in of.values())
        self.cursor.execute(
            statements.RECORD,
            {
                "tenant": str(self.work.tenant_id),
                "batch": self.batch_id,
                "erasure": str(self.work.erasure_id),
                "trace": self.work.trace_id,
                "rows": rows,
                "counts": json.dumps(self.counts),
            },
        )

    def _run(self, statement: sql.Composable | str, params: Mapping[str, Any]) -> None:
        arrays = {
            key: value if isinstance(value, str) else "{" + ",".join(value) + "}"
            for key, value in params.items()
        }
        known = {
            "tenant": str(self.work.tenant_id),
            "erasure": str(self.work.erasure_id),
            "batch": self.batch_id,
        }
        self.cursor.execute(statement, {**known, **arrays})
