"""A unit's work: one policy in one tenant, in batches, for as long as its worker may have it.

Invariant: it may narrow the plan, never widen it. Cutoff, tenant, policy and version come
from the plan and the unit alone; a batch (`retention.batch`) looks again at everything that
could forbid it. What has been done is in the unit's row, written by the batches: whoever
claims the unit next goes on from there, whenever and however the last one died.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from psycopg2 import errorcodes
from structlog.contextvars import bound_contextvars

from config.logging import get_logger
from retention.batch import INTERRUPTIONS, Attempt, Position, Step, Task, run_batch
from retention.errors import OvertakenError, PlanError
from retention.graph import held_edges
from retention.pacing import Pacer, SteadyPacer
from retention.plan import Plan, Unit
from retention.policies import Policy, cutoff_value
from retention.rules import rule_of
from retention.run_report import RunReport, Skip, UnitReport
from retention.statements import Statements
from retention.units import Claim
from tenants.catalog import Catalog
from tenants.connections import RoleConnections

__all__ = ["Options", "Progress", "RunReport", "UnitWork", "Walk", "task_of"]

_log = get_logger(__name__)

# What a smaller batch, later, may get past: others' locks, a timeout, rows that refer to ours by
# a foreign key the catalog does not know, and a row whose key is in the archive from before.
_RETRIED = {
    errorcodes.FOREIGN_KEY_VIOLATION: "referenced by a foreign key that is not in the catalog",
    errorcodes.UNIQUE_VIOLATION: "there is such a row already, by a unique constraint",
    errorcodes.LOCK_NOT_AVAILABLE: "locked by others",
    errorcodes.DEADLOCK_DETECTED: "locked by others",
    errorcodes.SERIALIZATION_FAILURE: "locked by others",
    errorcodes.QUERY_CANCELED: "took longer than the statement timeout",
}
_GATE_TRIES = 3


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is: after a batch of the unit numbered `unit` (from 1) of `units`.

    `batch_rows` went in this batch, `unit_rows` in the unit, `rows` by this worker in all.
    """

    unit: int
    units: int
    policy: str
    tenant: str
    batch_rows: int
    unit_rows: int
    rows: int


def _nothing(_: object) -> None:
    return None


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Options:
    """How to work. `stop` is asked between batches; `on_step` is called after each step of a
    batch, in its transaction (for tests that kill). A unit is worked on for `slice_s` seconds,
    then others have their turn. `pacer` makes what paces a unit's batches, from its policy.
    """

    batch_size: int = 1000
    lock_timeout_ms: int = 2000
    slice_s: float = 2.0
    stop: Callable[[], bool] = _never
    on_progress: Callable[[Progress], None] = _nothing
    on_step: Callable[[Step], None] = _nothing
    pacer: Callable[[Policy], Pacer] | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise PlanError(f"batch size must be at least 1, got {self.batch_size}")

    def pacer_for(self, policy: Policy) -> Pacer:
        """Return what paces the batches of a unit of this policy."""
        return SteadyPacer(self.batch_size) if self.pacer is None else self.pacer(policy)


@dataclass
class Walk:
    """Where in its passes a unit is: first locked rows are skipped, then they are waited for.

    `after` is the last row that was looked at, `before` the unit's rows deleted when this pass
    began, `passed_over` counts what this pass had to leave, by reason, `held` what it had to
    leave because of holds on less than the tenant. `swept_over` counts the rows that sweeps let
    be, None where that is not known: not all batches of the pass were sweeps, or a worker died.
    """

    waiting: bool = False
    after: Position | None = None
    before: int = 0
    passed_over: Counter[str] = field(default_factory=Counter)
    held: int = 0
    swept_over: int | None = 0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Walk:
        """Read what the unit's row has; a fresh one where there is nothing yet."""
        after = Position(value["starts"], value["id"]) if "id" in value else None
        return cls(
            value.get("waiting", False),
            after,
            value.get("before", 0),
            Counter(value.get("passed_over", {})),
            value.get("held", 0),
            value.get("swept_over", None if value else 0),
        )

    def beside_position(self) -> dict[str, Any]:
        """Return all but the position, as JSON's values."""
        return {
            "waiting": self.waiting,
            "before": self.before,
            "passed_over": dict(self.passed_over),
            "held": self.held,
        }

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values."""
        position = {"starts": self.after.starts, "id": self.after.id} if self.after else {}
        return {**self.beside_position(), "swept_over": self.swept_over, **position}


@dataclass
class UnitWork:
    """The batches of one unit, as long as one worker has it.

    `tell` hears of each batch that deleted; `round_trips` counts what was sent.
    """

    retention: RoleConnections
    verifier: RoleConnections
    task: Task
    unit: Unit
    options: Options
    tell: Callable[[Attempt], None] = _nothing

    def __post_init__(self) -> None:
        self.walk = Walk.from_json(self.task.claim.progress)
        self.rows = self.task.claim.rows
        self.round_trips = 0
        self.left: int | None = None
        self.forbidden: str | None = None
        self.interrupted: str | None = None
        self._pacer = self.options.pacer_for(self.task.policy)
        self._until = time.monotonic() + self.options.slice_s
        self._batches = 0

    def run(self) -> UnitReport | None:
        """Work until nothing more goes, or it is forbidden; None where it is to be given back.

        Psycopg2's errors that no smaller batch gets past go through, and so do LeaseLostError
        and InvariantError.
        """
        family = self.task.statements.family
        # Rows of the table that refer to each other may free one another.
        repeats = any(edge.child == family.root for edge in family.keeping)
        while self._pass():
            walk = self.walk
            if self._over() or (walk.waiting and (not repeats or self.rows == walk.before)):
                return self._report()
            self.walk = Walk(waiting=True, before=self.rows)
        return None

    def _over(self) -> bool:
        return self.left == 0 or self.forbidden is not None

    def _yields(self, *, owed: bool) -> bool:
        """Tell whether the worker, or the slice, is at its end; this one not before the batch that
        is `owed`: whoever comes next would begin with the sweep that came to nothing, for ever
        where each takes as long as a slice."""
        if self.options.stop():
            self.interrupted = "stopping"
        elif self._batches and not owed and time.monotonic() >= self._until:
            self.interrupted = "its slice is over"
        return self.interrupted is not None

    def _next(self, *, careful: bool) -> Attempt:
        walk = self.walk
        return Attempt(
            limit=self._pacer.size,
            waiting=walk.waiting,
            after=walk.after,
            walk=walk.beside_position(),
            careful=careful,
            passed_over=walk.swept_over,
        )

    def _pass(self) -> bool:
        """Go once along the index, from where the walk is; False when interrupted."""
        walk, gate_tries, careful, owed = self.walk, 0, False, False
        while not self._over():
            if self._yields(owed=owed):
                return False
            self._pacer.rest(self.options.stop)
            attempt = self._next(careful=careful)
            began = time.monotonic()
            try:
                self._run(attempt)
            except OvertakenError:
                careful = owed = True
                continue
            except psycopg2.Error as error:
                careful, owed = careful or attempt.swept, attempt.swept
                gate_tries += not (attempt.swept or attempt.candidates)
                self._get_past(error, attempt, gate_tries)
                if gate_tries == _GATE_TRIES:
                    return True
                continue
            if attempt.forbidden in INTERRUPTIONS:
                self.interrupted = attempt.forbidden
                return False
            self.forbidden = attempt.forbidden
            walk.held += attempt.held
            self._count(attempt, time.monotonic() - began)
            if attempt.at_end:
                self.left = attempt.left
                return True
            owed = attempt.swept and not attempt.deleted
            # Whatever was in a sweep's way is behind us once a batch of full size went through.
            careful = attempt.candidates < attempt.limit if careful else owed
            walk.swept_over = attempt.passed_over
            walk.after = attempt.last or walk.after
        return True

    def _get_past(self, error: psycopg2.Error, attempt: Attempt, gate_tries: int) -> None:
        """Arrange for a smaller batch, or pass a row over; raises what none gets past."""
        reason = _RETRIED.get(error.pgcode or "")
        if reason is None:
            raise error
        if attempt.swept:
            return  # with locks, the next time
        if not attempt.candidates:
            self.walk.passed_over[reason] += gate_tries == _GATE_TRIES
        elif not self._pacer.contended(attempt):
            self.walk.passed_over[reason] += 1
            self.walk.after = attempt.last

    def _run(self, attempt: Attempt) -> None:
        # A batch is a span of the run's trace: in its log lines, its statements, its record.
        with bound_contextvars(span_id=attempt.span_id):
            self._batches += 1
            try:
                run_batch(self.retention, self.task, attempt)
            finally:
                self.round_trips += attempt.round_trips

    def _count(self, attempt: Attempt, seconds: float) -> None:
        self._pacer.committed(attempt, seconds)
        if not attempt.deleted:
            return
        self.rows += attempt.rows
        _log.debug(
            "batch_committed",
            span_id=attempt.span_id,
            policy=self.unit.policy,
            tenant_id=str(self.unit.tenant_id),
            deleted=attempt.deleted,
            seconds=round(seconds, 6),
        )
        self.tell(attempt)

    def _report(self) -> UnitReport:
        skips = [Skip(self.forbidden)] if self.forbidden else []
        # As many as the last pass met: all that are due, and left by the passes before.
        held = self.walk.held
        skips += [Skip("held", held)] if held and not self.forbidden else []
        skips += [Skip(reason, rows) for reason, rows in sorted(self.walk.passed_over.items())]
        return UnitReport(
            policy=self.unit.policy,
            tenant_id=self.unit.tenant_id,
            tenant=self.unit.tenant,
            left=self.left,
            skips=tuple(skips),
            stalled=self._stalled(),
        ).judged()

    def _stalled(self) -> str:
        """Return why a unit from which nothing was deleted is no success, or ""."""
        if not self.unit.rows or self.rows or self.forbidden:
            return ""
        locked = sum(self.walk.passed_over.values())
        if locked:
            return f"{locked} due rows, none could be deleted"
        # A purge that sees no rows looks like one with nothing to do: somebody else looks.
        with self.verifier.transaction(None, read_only=True) as cursor:
            cursor.execute(
                self.task.statements.left(),
                {"tenant": str(self.unit.tenant_id), "cutoff": self.task.cutoff_value},
            )
            row = cursor.fetchone()
        seen = row[0] if row else 0
        if seen > (self.left or 0):
            return f"the verifier sees {seen} due rows, the executor {self.left or 0}"
        return ""


def task_of(plan: Plan, unit: Unit, claim: Claim, catalog: Catalog, options: Options) -> Task:
    """Return what the batches of a claimed unit have in common; raises PlanError."""
    planned = plan.planned(unit.policy)
    policy = planned.policy
    cutoff = plan.cutoff(unit)
    family = policy.family(catalog)
    return Task(
        run_id=str(claim.run_id),
        trace_id=claim.trace_id,
        tenant_id=unit.tenant_id,
        policy=policy,
        versions=claim.versions,
        period=unit.period,
        cutoff=cutoff,
        cutoff_value=cutoff_value(policy, catalog, cutoff),
        columns={name: catalog.table(name).columns for name in family.members},
        statements=Statements(family, rule_of(policy, planned.beside, catalog, plan.as_of)),
        edges=held_edges(catalog),
        claim=claim,
        lock_timeout_ms=options.lock_timeout_ms,
        on_step=options.on_step,
    )
