"""Carrying an erasure out: started, batch by batch, deferred while something keeps rows, verified
by another's eyes, completed.

Invariant: nothing is erased before the intent is recorded: starting turns the tenant's gate, so
that writes which began before have ended, and those that come later see the erasure and change
nothing of the person (`retention.holds.pass_gate`). What there is left to do is in no list: each
batch looks at the rows as they are. So whoever dies at any step, the next one goes on, and does
nothing twice. An erasure is completed only in a transaction that has found nothing left, after
everybody who was writing when the last rows went has ended, and after a verification with
questions of its own found it done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg2
from psycopg2 import errorcodes
from structlog.contextvars import bound_contextvars

from config.clock import Clock
from config.trace import TraceId, new_trace_id
from retention.connectors.declarations import Connectors
from retention.connectors.requests import (
    Person,
    entered_by_hand,
    open_requests,
    request_erasure,
)
from retention.connectors.requests import requests as connector_requests
from retention.erasures.batch import (
    Outcome,
    Step,
    Work,
    case_of,
    look,
    require_at_work,
    run_batch,
)
from retention.erasures.checking import Question, leftovers
from retention.erasures.judging import Case, Judgement
from retention.erasures.planning import declared, tables_of, waiting_in
from retention.erasures.records import (
    AT_WORK,
    Erasure,
    State,
    add_event,
    erased_counts,
    erasures,
    find_erasure,
    lock_erasure,
    person_of,
)
from retention.erasures.requests import forget
from retention.errors import ErasureError, InvariantError, OvertakenError
from retention.gate import is_stopped, pass_gate, turn_gate
from retention.hold_records import standing_holds
from retention.policies import Policy
from retention.subject_rows import identifiers_of
from retention.subjects import Subject
from retention.turns import NEXT_TICK
from tenants.catalog import Catalog
from tenants.connections import Cursor, RoleConnections

# What a smaller batch, or another try, may get past.
_RETRIED = (
    errorcodes.LOCK_NOT_AVAILABLE,
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.SERIALIZATION_FAILURE,
    errorcodes.FOREIGN_KEY_VIOLATION,
    errorcodes.QUERY_CANCELED,
)
_TRIES = 5
_PAUSE_S = 0.05
_STOPPED = "all retention is stopped"

# Of those who were writing when the last batch committed: whether all have ended.
_SETTLED = """
SELECT coalesce(max(b.transaction) < pg_snapshot_xmin(pg_current_snapshot()), true)
FROM tenure.erasure_batches b
WHERE b.tenant_id = %(tenant)s::uuid AND b.erasure_id = %(id)s::uuid
"""


def _never() -> bool:
    return False


def _nothing(_: object) -> None:
    return None


@dataclass(frozen=True)
class Executor:
    """What carrying erasures out needs, and who has it done.

    `limit` is how many rows a batch takes; `stop` is asked between batches; `on_step` is called
    after each step (for tests that kill); `settle_s` is how long (s) it waits for others'
    transactions to end before it gives up until the next time.
    """

    retention: RoleConnections
    verifier: RoleConnections
    catalog: Catalog
    policies: Sequence[Policy]
    subjects: Sequence[Subject]
    clock: Clock
    actor: str
    connectors: Connectors = field(default_factory=dict)
    limit: int = 1000
    lock_timeout_ms: int = 2000
    settle_s: float = 2.0
    stop: Callable[[], bool] = _never
    on_step: Callable[[str], None] = _nothing
    on_rows: Callable[[int], None] = _nothing

    def run(self, erasure_id: UUID) -> Result:
        """Start an approved erasure, or go on with one; return how far it came.

        Raises ErasureError where it may not be, InvariantError when what it relies on does not
        hold, or the verification found something; psycopg2's errors that no other try gets past.
        """
        trace_id = new_trace_id()
        with bound_contextvars(trace_id=trace_id, erasure_id=str(erasure_id)):
            return _Execution(self, erasure_id, trace_id).run()

    def at_work(self) -> list[Erasure]:
        """Return the erasures that may be carried out, those due first ahead."""
        with self.verifier.transaction(None, read_only=True) as cursor:
            return erasures(cursor, states=AT_WORK)


@dataclass(frozen=True)
class Result:
    """How far one execution came. `rows` by table and action went this time; `why` says what it
    waits for, "" when it is completed."""

    erasure: Erasure
    trace_id: TraceId
    batches: int = 0
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    why: str = ""

    @property
    def count(self) -> int:
        """Rows that went this time."""
        return sum(sum(of.values()) for of in self.rows.values())


class _Execution:
    def __init__(self, executor: Executor, erasure_id: UUID, trace_id: TraceId) -> None:
        self.executor = executor
        with executor.verifier.transaction(None, read_only=True) as cursor:
            self.erasure = find_erasure(cursor, erasure_id)
        if self.erasure.state not in AT_WORK:
            raise ErasureError(
                f"erasure {erasure_id} is {self.erasure.state}; it is carried out once it is "
                "approved"
            )
        self.work = Work(
            erasure_id=erasure_id,
            tenant_id=self.erasure.tenant_id,
            subject=declared(executor.subjects, self.erasure),
            catalog=executor.catalog,
            policies=executor.policies,
            trace_id=trace_id,
            clock=executor.clock,
            actor=executor.actor,
            lock_timeout_ms=executor.lock_timeout_ms,
            on_step=self._stepped,
        )
        self.batches = 0
        self.rows: dict[str, dict[str, int]] = {}

    def _stepped(self, step: Step) -> None:
        self.executor.on_step(step)

    def run(self) -> Result:
        try:
            return self._result(self._run())
        except ErasureError:
            result = self._result("")
            if result.erasure.ended_at is None:
                raise
            return result  # another was quicker

    def _run(self) -> str:
        """Work until it is completed, or return why it is not."""
        if self.erasure.state == "approved" and not self._start():
            return _STOPPED
        until = time.monotonic() + self.executor.settle_s
        while not self.executor.stop():
            outcome = self._next()
            if isinstance(outcome, str):
                return outcome
            if outcome.count:
                self._count(outcome)
                continue
            ended = self._end(outcome.judged)
            if ended is not None:
                return ended
            if time.monotonic() > until:
                return "waits for open transactions to end"
            time.sleep(_PAUSE_S)
        return NEXT_TICK

    def _end(self, judged: Judgement | None) -> str | None:
        """Defer it, or complete it, where nothing goes any more; None to look again."""
        if judged is None:
            return _STOPPED
        if judged.waits:
            return "waits for holds or minimum periods" if self._defer() else None
        if self._completed():
            return ""
        return "waits for connectors to acknowledge" if self._defer() else None

    def _next(self) -> Outcome | str:
        """Run a batch, a smaller one where others are in the way; return why none came through."""
        limit = self.executor.limit
        for tries in range(1, _TRIES + 1):
            try:
                return run_batch(self.executor.retention, self.work, limit)
            except (psycopg2.Error, OvertakenError) as error:
                if isinstance(error, psycopg2.Error) and error.pgcode not in _RETRIED:
                    raise
                why = f"others are in the way: {str(error).strip().splitlines()[0]}"
            limit = max(1, limit // 2)
            time.sleep(_PAUSE_S * tries)
        return why

    def _result(self, why: str) -> Result:
        with self.executor.verifier.transaction(None, read_only=True) as cursor:
            erasure = find_erasure(cursor, self.erasure.id)
        return Result(erasure, TraceId(self.work.trace_id), self.batches, self.rows, why)

    def _count(self, outcome: Outcome) -> None:
        self.batches += 1
        self.executor.on_rows(outcome.count)
        for name, of in outcome.rows.items():
            into = self.rows.setdefault(name, {})
            for action, rows in of.items():
                into[action] = into.get(action, 0) + rows

    # -- its ends ------------------------------------------------------------------------

    def _start(self) -> bool:
        """Record the intent, behind all writes that are open; False when all is stopped."""
        executor, work = self.executor, self.work
        with executor.retention.transaction(work.tenant_id) as cursor:
            turn_gate(cursor, work.tenant_id)
            erasure = lock_erasure(cursor, work.erasure_id, work.tenant_id)
            if erasure.state != "approved":
                return erasure.state in AT_WORK  # another was quicker
            if erasure.planned_subject.digest != work.subject.digest:
                raise ErasureError(
                    f"the declaration of {work.subject.name!r} has changed since erasure "
                    f"{erasure.id} was planned; plan it again: tenure erasure plan {erasure.id}"
                )
            if is_stopped(cursor):
                return False
            self._set(cursor, "running")
            self._ask_connectors(cursor, erasure)
            add_event(cursor, erasure, "started", executor.actor, {"trace_id": work.trace_id})
        executor.on_step("started")
        return True

    def _ask_connectors(self, cursor: Cursor, erasure: Erasure) -> None:
        """Write down what others are asked to erase, while it is known how they know the person."""
        person = person_of(cursor, erasure)
        if person is None:
            raise InvariantError(f"erasure {erasure.id} starts, and nobody knows whom it is about")
        subject = self.work.subject
        request_erasure(
            cursor,
            erasure.id,
            tenant_id=erasure.tenant_id,
            person=Person(
                subject.name,
                person.key,
                identifiers_of(cursor, subject, erasure.tenant_id, person.key),
            ),
            connectors=self.executor.connectors,
            actor=self.executor.actor,
        )

    def _look_again(self, cursor: Cursor) -> tuple[Erasure, Case, Judgement]:
        pass_gate(cursor, self.work.tenant_id)
        erasure = lock_erasure(cursor, self.work.erasure_id, self.work.tenant_id)
        require_at_work(erasure, self.work.subject)
        person = person_of(cursor, erasure)
        if person is None:
            raise InvariantError(f"erasure {erasure.id} goes on, and nobody knows whom it is about")
        case = case_of(cursor, self.work, person.key)
        return erasure, case, look(cursor, case, standing_holds(cursor, self.work.tenant_id))

    def _defer(self) -> bool:
        """Say that it waits, for what keeps rows or for connectors, if it still does and nothing
        can go."""
        with self.executor.retention.transaction(self.work.tenant_id) as cursor:
            erasure, _, judged = self._look_again(cursor)
            asked = [request.connector for request in open_requests(cursor, erasure.id)]
            if judged.rows or not (judged.waits or asked):
                return False
            until = None if asked else judged.waits_until
            if erasure.state == "deferred" and erasure.waits_until == until:
                return True
            self._set(cursor, "deferred", waits_until=until)
            facts = {
                str(name): waiting
                for name in self.work.subject.reach(self.work.catalog).tables
                if (waiting := [one.to_json() for one in waiting_in(judged, name)])
            }
            told = {"waiting": facts, "connectors": asked}
            add_event(cursor, erasure, "deferred", self.executor.actor, told)
        self.executor.on_step("deferred")
        return True

    def _completed(self) -> bool:
        """Verify, and complete if nothing is left; False when it must be looked at again.

        Raises InvariantError where the verifier finds what no look finds.
        """
        found = self._verify()
        self.executor.on_step("verified")
        with self.executor.retention.transaction(self.work.tenant_id) as cursor:
            erasure, case, judged = self._look_again(cursor)
            if judged.rows or judged.waits or not self._settled(cursor):
                return False
            if open_requests(cursor, erasure.id):
                return False
            if found:
                said = "; ".join(f"{what}: {count}" for what, count in sorted(found.items()))
                raise InvariantError(f"erasure {erasure.id} is not done, says the verifier: {said}")
            kept = [
                table.to_json()
                for table in tables_of(cursor, case, judged)
                if table.action == "keep" and table.rows
            ]
            asked = connector_requests(cursor, cause_id=erasure.id, ended=True)
            counts = {
                "erased": erased_counts(cursor, erasure),
                "kept": kept,
                "elsewhere": {request.connector: request.state for request in asked},
                "requests": {request.connector: str(request.id) for request in asked},
                "by_hand": entered_by_hand(cursor, erasure.id, tenant_id=erasure.tenant_id),
            }
            forget(cursor, erasure)
            add_event(cursor, erasure, "verified", "tenure_verifier", {"findings": 0})
            add_event(cursor, erasure, "completed", self.executor.actor, counts)
            self._set(cursor, "completed", ended=True)
            self.executor.on_step("completing")
        self.executor.on_step("completed")
        return True

    def _settled(self, cursor: Cursor) -> bool:
        known = {"tenant": str(self.work.tenant_id), "id": str(self.work.erasure_id)}
        cursor.execute(_SETTLED, known)
        ((settled,),) = cursor.fetchall()
        return bool(settled)

    def _verify(self) -> dict[str, int]:
        """Return what another's eyes find that should not be."""
        with self.executor.verifier.transaction(
            None, isolation="REPEATABLE READ", read_only=True
        ) as cursor:
            erasure = find_erasure(cursor, self.work.erasure_id)
            person = person_of(cursor, erasure)
            if person is None or erasure.definition is None:
                return {}  # another completed it
            question = Question(erasure.tenant_id, erasure.id, person.key, erasure.definition)
            return leftovers(cursor, self.executor.catalog, question)

    def _set(
        self,
        cursor: Cursor,
        state: State,
        *,
        waits_until: datetime | None = None,
        ended: bool = False,
    ) -> None:
        cursor.execute(
            "UPDATE tenure.erasures SET state = %(state)s, waits_until = %(waits)s,"
            " ended_at = CASE WHEN %(ended)s THEN clock_timestamp() END"
            " WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid",
            {
                "tenant": str(self.work.tenant_id),
                "id": str(self.work.erasure_id),
                "state": state,
                "waits": waits_until,
                "ended": ended,
            },
        )
