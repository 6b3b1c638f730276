"""Offboarding: once the grace is over, all that is the tenant's goes, batch by batch.

Invariant: nothing goes before the grace is over and an export is finished (the database's trigger
sees to both); the tenant's access ends in the transaction in which the deletion begins; no row
goes by it that is under hold, nor one that such a row refers to; what went is what is recorded.
What is left to do is in no list, it is looked for each time: whoever dies at any step, the next
one goes on. It is completed only when all who were writing have ended, another role, with a
question of its own, found no row in any table of the domain, none was there behind the gate, and
all connectors have answered. A row that comes after that is found, and warned of (`make_round`).
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2 import errorcodes
from structlog.contextvars import bound_contextvars

from config.logging import get_logger
from config.trace import TraceId, new_trace_id
from retention.alerts import OFFBOARDINGS, Alert, Looked
from retention.connectors.declarations import Connectors
from retention.connectors.requests import open_requests, request_offboarding, requests
from retention.errors import InvariantError, OffboardingError
from retention.gate import is_stopped, turn_gate
from retention.graph import held_edges
from retention.hold_records import standing_holds
from retention.offboardings.checking import ENDS, came_back, has_rows, look, rows_left, what_stays
from retention.offboardings.finding import Portions, deletes_in_order
from retention.offboardings.records import (
    AT_WORK,
    Offboarding,
    State,
    find_offboarding,
    lock,
    offboardings,
)
from retention.replays.batch import Outcome, Rows, Step, Work, run_batch
from retention.troubles import is_unforeseen, one_line
from retention.turns import NEXT_TICK, in_turn
from tenants.catalog import Catalog
from tenants.connections import Cursor, RoleConnections
from tenants.errors import PoolTimeoutError
from tenants.models import new_id

_RETRIED = (
    errorcodes.LOCK_NOT_AVAILABLE,
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.SERIALIZATION_FAILURE,
    errorcodes.FOREIGN_KEY_VIOLATION,
    errorcodes.QUERY_CANCELED,
)
_TRIES = 5
_PAUSE_S = 0.05
_ROUNDS = 20

_BEGIN = """
INSERT INTO tenure.purges (tenant_id, id, kind, cause, trace_id, begun_by)
VALUES (%(tenant)s::uuid, %(purge)s::uuid, 'offboarding', %(cause)s, %(trace)s, %(actor)s)
"""
_START = """
UPDATE tenure.offboardings
SET state = 'running', waits = NULL, purge_id = %(purge)s::uuid, started_at = clock_timestamp()
WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid
"""
_SET = """
UPDATE tenure.offboardings SET state = %(state)s, waits = %(waits)s
WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid
  AND (state, waits) IS DISTINCT FROM (%(state)s, %(waits)s)
"""
_TRACE = """
SELECT trace_id FROM tenure.purges WHERE tenant_id = %(tenant)s::uuid AND id = %(purge)s::uuid
"""
_COUNTS = """
SELECT t.name, a.action, sum((a.entry ->> 'rows')::bigint)
FROM tenure.purge_batches b CROSS JOIN LATERAL jsonb_each(b.counts) t(name, actions)
CROSS JOIN LATERAL jsonb_each(t.actions) a(action, entry)
WHERE b.tenant_id = %(tenant)s::uuid AND b.purge_id = %(purge)s::uuid GROUP BY 1, 2
"""
_PURGED = """
UPDATE tenure.purges SET state = 'completed', counts = %(counts)s, kept = '{}',
       ended_at = clock_timestamp()
WHERE tenant_id = %(tenant)s::uuid AND id = %(purge)s::uuid AND state = 'running'
"""
_COMPLETE = """
UPDATE tenure.offboardings
SET state = 'completed', waits = NULL, counts = %(counts)s, stays = %(stays)s,
    ended_at = clock_timestamp()
WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid
"""

_log = get_logger(__name__)


def _never() -> bool:
    return False


def _nothing(_: object) -> None:
    return None


@dataclass(frozen=True)
class Result:
    """How far it came. `rows` went this time; `why` says what it waits for, "" when completed."""

    offboarding: Offboarding
    batches: int = 0
    rows: int = 0
    why: str = ""


@dataclass(frozen=True)
class Plan:
    """What would go and what stays: rows per table, children first; per table of `tenure` how many
    and why; the matters of holds; connectors that would be asked; what is in the way."""

    offboarding: Offboarding
    goes: Mapping[str, int]
    ends: Mapping[str, str]
    stays: Mapping[str, Mapping[str, Any]]
    holds: tuple[str, ...]
    connectors: tuple[str, ...]
    not_yet: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values."""
        return {
            "tenant": self.offboarding.tenant,
            "state": self.offboarding.state,
            "goes": dict(self.goes),
            "ends": dict(self.ends),
            "stays": {name: dict(of) for name, of in self.stays.items()},
            "holds": list(self.holds),
            "connectors": list(self.connectors),
            "not_yet": self.not_yet,
        }


@dataclass(frozen=True)
class Executor:
    """What carrying offboardings out needs, and who has it done. `limit` is how many rows a batch
    takes, `settle_s` how long (s) it waits for others' transactions to end; `stop` is asked between
    batches; `on_step` is called after each step (for tests that kill)."""

    retention: RoleConnections
    verifier: RoleConnections
    catalog: Catalog
    actor: str
    connectors: Connectors = field(default_factory=dict)
    limit: int = 1000
    lock_timeout_ms: int = 2000
    settle_s: float = 2.0
    stop: Callable[[], bool] = _never
    on_step: Callable[[str], None] = _nothing
    on_rows: Callable[[int], None] = _nothing

    def run(self, offboarding_id: UUID) -> Result:
        """Begin an offboarding whose grace is over, or go on with one; return how far it came.

        Raises OffboardingError where it has ended, InvariantError when what it relies on does not
        hold, or the verifier finds what should be gone; psycopg2's errors that no other try gets
        past.
        """
        offboarding = self.find(offboarding_id)
        if offboarding.state not in AT_WORK:
            raise OffboardingError(f"offboarding {offboarding_id} is {offboarding.state}")
        with bound_contextvars(trace_id=new_trace_id(), offboarding_id=str(offboarding_id)):
            return _Execution(self, offboarding).run()

    def find(self, offboarding_id: UUID) -> Offboarding:
        """Return an offboarding; raises OffboardingError."""
        with self.verifier.transaction(None, read_only=True) as cursor:
            return find_offboarding(cursor, offboarding_id)

    def at_work(self) -> list[Offboarding]:
        """Return those that may go on, the oldest first."""
        with self.verifier.transaction(None, read_only=True) as cursor:
            found = offboardings(cursor, states=AT_WORK)
        return [one for one in reversed(found) if one.is_due]

    def plan(self, offboarding: Offboarding) -> Plan:
        """Return what would go and what stays; changes nothing."""
        with self.verifier.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
            left = rows_left(cursor, self.catalog, offboarding.tenant_id)
            standing = standing_holds(cursor, offboarding.tenant_id)
            stays = what_stays(cursor, offboarding.tenant_id)
        order = [str(name) for group in deletes_in_order(self.catalog) for name in group]
        strangers = [name for name in left if name not in order]
        return Plan(
            offboarding,
            {name: left[name] for name in (*order, *strangers)},
            {f"tenure.{name}": when for name, when in ENDS.items()},
            stays,
            (*standing.matters, *(hold.matter for hold in standing.on_rows)),
            tuple(self.connectors),
            _not_yet(offboarding),
        )


def _not_yet(offboarding: Offboarding) -> str:
    """Return why an offboarding cannot begin yet, "" if it may."""
    if offboarding.started_at is not None:
        return ""
    if not offboarding.is_due:
        return f"is in its grace until {offboarding.deletes_at.isoformat(timespec='seconds')}"
    return "" if offboarding.export_id else "waits for an export that is finished"


@dataclass
class _Execution:
    executor: Executor
    offboarding: Offboarding
    batches: int = 0
    rows: int = 0

    def run(self) -> Result:
        why = self._run()
        return Result(self.executor.find(self.offboarding.id), self.batches, self.rows, why)

    @property
    def _known(self) -> dict[str, str]:
        one = self.offboarding
        return {"tenant": str(one.tenant_id), "id": str(one.id), "purge": str(one.purge_id)}

    def _run(self) -> str:
        """Work until it is completed, or return why it is not."""
        if self.offboarding.started_at is None:
            why = _not_yet(self.offboarding) or self._start()
            if why:
                return why
            self.executor.on_step("started")
            self.offboarding = self.executor.find(self.offboarding.id)
        work = self._work()
        for _ in range(_ROUNDS):
            before, kept = self.rows, dict[str, int]()
            portions = Portions(
                self.executor.retention, work.tenant_id, work.catalog, self.executor.limit
            )
            for rows in portions.all():
                outcome = self._batch(work, rows)
                if outcome is None:
                    return NEXT_TICK
                if outcome.stopped:
                    return "all retention is stopped"
                for why, of in outcome.kept.items():
                    kept[why] = kept.get(why, 0) + sum(map(len, of.values()))
            if self.rows > before:
                continue
            if "held" in kept:
                return self._wait("deferred", f"{kept['held']} rows are held")
            ended = self._end()
            if ended is not None:
                return ended
        return "others write faster than it deletes"

    def _start(self) -> str:
        """Record the intent, end access, and ask connectors, behind all writes that are open;
        return why not."""
        executor, one = self.executor, self.offboarding
        purge_id, trace_id = new_id(), new_trace_id()
        known = {**self._known, "purge": str(purge_id)}
        with executor.retention.transaction(one.tenant_id) as cursor:
            turn_gate(cursor, one.tenant_id)
            state, started = lock(cursor, one)
            if started:
                return ""  # another was quicker
            if state not in AT_WORK:
                return f"is {state}"
            if is_stopped(cursor):
                return "all retention is stopped"
            standing = standing_holds(cursor, one.tenant_id)
            if standing.matters:
                why = f"the tenant is under legal hold: {'; '.join(standing.matters)}"
                cursor.execute(_SET, {**known, "state": "deferred", "waits": why})
                return why
            cause = json.dumps({"offboarding": str(one.id)})
            begun = {**known, "cause": cause, "trace": trace_id, "actor": executor.actor}
            cursor.execute(_BEGIN, begun)
            cursor.execute(_START, known)
            request_offboarding(
                cursor,
                one.id,
                tenant_id=one.tenant_id,
                connectors=executor.connectors,
                actor=executor.actor,
            )
            executor.on_step("starting")
        return ""

    def _work(self) -> Work:
        executor, one = self.executor, self.offboarding
        if one.purge_id is None:
            raise InvariantError(f"offboarding {one.id} goes on, and has not begun")
        with executor.retention.transaction(one.tenant_id, read_only=True) as cursor:
            cursor.execute(_TRACE, self._known)
            ((trace_id,),) = cursor.fetchall()
        return Work(
            one.purge_id,
            one.tenant_id,
            executor.catalog,
            held_edges(executor.catalog),
            {},
            TraceId(trace_id),
            executor.lock_timeout_ms,
            self._stepped,
        )

    def _stepped(self, step: Step) -> None:
        self.executor.on_step(step)

    def _batch(self, work: Work, rows: Rows) -> Outcome | None:
        """Run a batch, again where others are in the way; None when told to stop."""
        for tries in range(1, _TRIES + 1):
            if self.executor.stop():
                return None
            try:
                outcome = run_batch(self.executor.retention, work, rows, None)
            except psycopg2.Error as error:
                if error.pgcode not in _RETRIED or tries == _TRIES:
                    raise
                said = str(error).strip().splitlines()[0]
                _log.warning("offboarding_batch_again", error=said)
                time.sleep(_PAUSE_S * tries)
                continue
            count = sum(sum(of.values()) for of in outcome.rows.values())
            if count:
                self.batches += 1
                self.rows += count
                self.executor.on_rows(count)
                if self.offboarding.state != "running":
                    self._wait("running", None)
            return outcome
        raise AssertionError("unreachable")

    def _wait(self, state: State, why: str | None) -> str:
        """Say what it waits for, or that it goes on."""
        with self.executor.retention.transaction(self.offboarding.tenant_id) as cursor:
            cursor.execute(_SET, {**self._known, "state": state, "waits": why})
        self.executor.on_step(state)
        self.offboarding = self.executor.find(self.offboarding.id)
        return why or ""

    # -- its end -------------------------------------------------------------------------

    def _end(self) -> str | None:
        """Verify, and complete it where nothing is left, or say what it waits for; None to look
        again. Raises InvariantError where the verifier finds what no look finds."""
        executor, one = self.executor, self.offboarding
        if not self._settled():
            return "waits for open transactions to end"
        with executor.verifier.transaction(
            None, isolation="REPEATABLE READ", read_only=True
        ) as cursor:
            verified = look(cursor, executor.catalog, one.tenant_id)
            stays = what_stays(cursor, one.tenant_id)
        left = {name: count for name, count in verified["left"].items() if count}
        executor.on_step("verified")
        with executor.retention.transaction(one.tenant_id) as cursor:
            turn_gate(cursor, one.tenant_id)
            state, _ = lock(cursor, one)
            if state == "completed":
                return ""  # another was quicker
            if has_rows(cursor, executor.catalog, one.tenant_id):
                return None
            if left:
                said = "; ".join(f"{name}: {count}" for name, count in sorted(left.items()))
                raise InvariantError(f"offboarding {one.id} is not done, says the verifier: {said}")
            asked = [request.connector for request in open_requests(cursor, one.id)]
            if asked:
                why = f"connectors have not answered: {', '.join(asked)}"
                cursor.execute(_SET, {**self._known, "state": "waiting", "waits": why})
                return why
            counts = {**self._counts(cursor), "verified": verified}
            cursor.execute(_PURGED, {**self._known, "counts": json.dumps(counts["deleted"])})
            done = {"counts": json.dumps(counts), "stays": json.dumps(stays)}
            cursor.execute(_COMPLETE, {**self._known, **done})
            executor.on_step("completing")
        executor.on_step("completed")
        return ""

    def _settled(self) -> bool:
        """Wait a while for all to end who are writing now; they may have been let in before."""
        retention, tenant_id = self.executor.retention, self.offboarding.tenant_id
        until = time.monotonic() + self.executor.settle_s
        with retention.transaction(tenant_id, read_only=True) as cursor:
            cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
            ((last,),) = cursor.fetchall()
        while True:
            with retention.transaction(tenant_id, read_only=True) as cursor:
                cursor.execute(
                    "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= %s::xid8", (last,)
                )
                ((ended,),) = cursor.fetchall()
            if ended or time.monotonic() > until:
                return bool(ended)
            time.sleep(_PAUSE_S)

    def _counts(self, cursor: Cursor) -> dict[str, Any]:
        cursor.execute(_COUNTS, self._known)
        deleted: dict[str, dict[str, int]] = {}
        for name, action, rows in cursor.fetchall():
            deleted.setdefault(name, {})[action] = int(rows)
        answered = requests(cursor, cause_id=self.offboarding.id, ended=True)
        return {
            "deleted": deleted,
            "elsewhere": {r.connector: r.state for r in answered},
            "requests": {r.connector: str(r.id) for r in answered},
        }


@dataclass(frozen=True)
class Round:
    """What a round over all offboardings came to, what somebody should look at, and which had no
    turn, for want of time."""

    done: tuple[Result, ...]
    alerts: tuple[Alert, ...]
    without_turn: tuple[UUID, ...] = ()

    @property
    def looked(self) -> Looked:
        """What was looked at, for its alerts."""
        return Looked(OFFBOARDINGS, but=tuple(map(str, self.without_turn)))


def make_round(executor: Executor, *, until: float = inf) -> Round:
    """Go on with all whose grace is over, until the monotonic clock (s) says `until`; and look
    whether anything came back of those that left.

    Somebody should look at one that cannot begin or go on for another reason than a hold or the
    end of its turn, and at a row of a tenant that has left.
    """
    done: list[Result] = []
    alerts: list[Alert] = []
    cases = executor.at_work()
    random.shuffle(cases)  # so that the last ones have a turn, too, where time is short
    left = {one.id for one in cases}
    for one, stop in in_turn(cases, executor.stop, until):
        left.discard(one.id)
        try:
            result = replace(executor, stop=stop).run(one.id)
            done.append(result)
            waits = result.offboarding.state not in ("requested", "running")
            said = "" if waits or result.why == NEXT_TICK else result.why
        except PoolTimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - see retention.troubles
            # One that cannot go on is no reason for the others to wait, whatever it is.
            said, known = one_line(error), str(one.id)
            traced = is_unforeseen(error)
            _log.error("offboarding_failed", offboarding_id=known, error=said, exc_info=traced)
        if said:
            alerts.append(Alert("offboarding", str(one.id), f"{one.tenant}: {said}"))
    with executor.verifier.transaction(None, read_only=True) as cursor:
        for departed in came_back(cursor, executor.catalog):
            what = f"{departed.tenant} has left, and has rows again in {', '.join(departed.tables)}"
            alerts.append(Alert("offboarding", str(departed.id), what))
    return Round(tuple(done), tuple(alerts), tuple(left))
