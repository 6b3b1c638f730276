"""The worker's loop: claim a unit, work on it for a slice, let it go, claim the next.

Any number of workers share the work, in threads, processes or machines: what they agree on
is in `tenure.units`. One that dies keeps its unit until its lease runs out, and nothing
longer. Trouble with the database (a cut connection, a full disk) is the unit's only when it
comes again and again without any progress.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from math import inf
from typing import TypeVar
from uuid import UUID

import psycopg2
from psycopg2 import errors
from structlog.contextvars import bound_contextvars

from config.logging import get_logger
from retention import runs, units
from retention.batch import Attempt
from retention.errors import LeaseLostError, PlanError
from retention.executor import Options, Progress, UnitWork, task_of
from retention.plan import Plan, Unit, catalog_digest
from retention.run_report import UnitReport
from retention.troubles import is_passing, one_line
from tenants.catalog import Catalog
from tenants.connections import Cursor, RoleConnections
from tenants.errors import PoolTimeoutError

_log = get_logger(__name__)

MAX_ATTEMPTS = 10
_POLL_S = 0.1
_LONGEST_PAUSE_S = 5.0
_KEPT_PLANS = 8

Settle = Callable[[Cursor], None]
T = TypeVar("T")


@dataclass
class Worker:
    """Works on units as retention, under one name, one at a time.

    `ttl_s` is how long (s) it may be silent before others take its unit; `deleted` sums the
    rows of its batches, `round_trips` what it sent in them.
    """

    retention: RoleConnections
    verifier: RoleConnections
    catalog: Catalog
    options: Options
    ttl_s: float
    holder: str = field(default_factory=units.new_holder)
    deleted: int = 0
    round_trips: int = 0

    def __post_init__(self) -> None:
        self._claimant = units.Claimant(self.holder, catalog_digest(self.catalog), self.ttl_s)
        self._plans: dict[UUID, Plan] = {}
        self._reap_at = 0.0
        self._until = inf
        self._troubles = 0

    def work(self, run_id: UUID | None = None, *, for_s: float = inf) -> int:
        """Work until nothing is to be had, or for about so many seconds; return how many slices
        that were.

        Of one run: until it has ended, or nobody can work on it now (it is paused, or all that
        is left waits for its window); others' units of it are waited for. Raises psycopg2's
        errors when the database stays away.
        """
        self._until = time.monotonic() + for_s
        slices = 0
        settle: Settle | None = None
        last: UUID | None = None
        with ExitStack() as stack:
            while True:
                claim = self._persist(self._turn, settle, run_id)
                if last is not None and (claim is None or claim.run_id != last):
                    self._close_done()
                if claim is None:
                    settle = last = None
                    if self._ends() or not self._may_wait(run_id):
                        return slices
                    continue
                if not slices:
                    stack.enter_context(units.kept(self.retention, self._claimant))
                slices, last = slices + 1, claim.run_id
                with bound_contextvars(trace_id=claim.trace_id):
                    settle = self._serve(claim)

    def _ends(self) -> bool:
        return self.options.stop() or time.monotonic() >= self._until

    # -- between units -------------------------------------------------------------------

    def _turn(self, settle: Settle | None, run_id: UUID | None) -> units.Claim | None:
        """Settle the last unit and claim the next, in one transaction."""
        if time.monotonic() >= self._reap_at:
            units.reap(self.retention)
            self._reap_at = time.monotonic() + self.ttl_s / 3
        try:
            with self.retention.transaction(None) as cursor:
                if settle is not None:
                    settle(cursor)
                if self._troubles:
                    units.drop(cursor, self.holder)
                if self._ends():
                    return None
                return units.claim(cursor, self._claimant, run_id)
        except LeaseLostError as error:
            _log.warning("unit_lost", error=str(error))
            return self._turn(None, run_id)

    def _may_wait(self, run_id: UUID | None) -> bool:
        """After a claim that found nothing: wait a little, or tell that there is no use in it."""
        if run_id is None:
            self._close_done()
            return False
        if not self._persist(
            units.is_workable, self.retention, run_id, self._claimant.catalog_digest
        ):
            self._close_done()
            return False
        self._pause(_POLL_S)
        return True

    def _close_done(self) -> None:
        self._persist(runs.close_done, self.retention)

    def _persist(self, function: Callable[..., T], *arguments: object) -> T:
        """Call it again where the database was away, or somebody in the way, for a while."""
        while True:
            try:
                found = function(*arguments)
            except (psycopg2.Error, PoolTimeoutError) as error:
                # Two of us wanted the same tenant: one has it now.
                contended = isinstance(error, errors.UniqueViolation)
                if not contended and not is_passing(error):
                    raise
                self._troubles += 1
                if self._troubles > MAX_ATTEMPTS or self.options.stop():
                    raise
                _log.warning("database_trouble", error=one_line(error))
                self._pause(_POLL_S if contended else self._backoff())
            else:
                self._troubles = 0
                return found

    def _backoff(self) -> float:
        return min(_LONGEST_PAUSE_S, _POLL_S * 2.0**self._troubles)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.options.stop() and time.monotonic() < until:
            time.sleep(min(_POLL_S, seconds))

    # -- a unit --------------------------------------------------------------------------

    def _serve(self, claim: units.Claim) -> Settle | None:
        """Work on a unit for a slice; return how to settle it."""
        report = UnitReport(claim.policy, claim.tenant_id, str(claim.tenant_id))
        try:
            plan, unit = self._planned(claim)
            report = replace(report, tenant=unit.tenant)
            if claim.attempts > MAX_ATTEMPTS:
                trouble = claim.trouble or "its workers died"
                return _finish(claim, report, f"{MAX_ATTEMPTS} attempts came to nothing: {trouble}")
            return self._work(claim, plan, unit)
        except LeaseLostError as error:
            _log.warning("unit_lost", policy=claim.policy, error=str(error))
            return None
        except Exception as error:  # noqa: BLE001 - see retention.troubles
            # Whatever it is, it is this unit's: the others have their turn.
            text = f"{type(error).__name__}: {one_line(error)}"
            if is_passing(error):
                _log.warning("unit_interrupted", policy=claim.policy, error=one_line(error))
                self._pause(min(_LONGEST_PAUSE_S, _POLL_S * 2.0**claim.attempts))
                return lambda cursor: units.give_back(cursor, claim, None, trouble=text)
            _log.exception("unit_failed", policy=claim.policy)
            return _finish(claim, report, text)

    def _work(self, claim: units.Claim, plan: Plan, unit: Unit) -> Settle:
        def tell(attempt: Attempt) -> None:
            self.deleted += attempt.rows
            self.options.on_progress(
                Progress(
                    unit=claim.number,
                    units=len(plan.units),
                    policy=unit.policy,
                    tenant=unit.tenant,
                    batch_rows=attempt.rows,
                    unit_rows=work.rows,
                    rows=self.deleted,
                )
            )

        task = task_of(plan, unit, claim, self.catalog, self.options)
        work = UnitWork(self.retention, self.verifier, task, unit, self.options, tell)
        try:
            report = work.run()
        finally:
            self.round_trips += work.round_trips
        if report is None:
            _log.debug("unit_given_back", policy=claim.policy, reason=work.interrupted)
            return lambda cursor: units.give_back(cursor, claim, work.walk.to_json())
        return lambda cursor: units.finish(cursor, claim, report)

    def _planned(self, claim: units.Claim) -> tuple[Plan, Unit]:
        if claim.run_id not in self._plans:
            while len(self._plans) >= _KEPT_PLANS:
                self._plans.pop(next(iter(self._plans)))
            self._plans[claim.run_id] = runs.plan_of(self.retention, claim.run_id)
        plan = self._plans[claim.run_id]
        unit = plan.units[claim.number - 1] if claim.number <= len(plan.units) else None
        if unit is None or (unit.policy, unit.tenant_id) != (claim.policy, claim.tenant_id):
            raise PlanError(f"unit {claim.number} of run {claim.run_id} is not in its plan")
        return plan, unit


def _finish(claim: units.Claim, report: UnitReport, error: str) -> Settle:
    failed = replace(report, error=error).judged()
    return lambda cursor: units.finish(cursor, claim, failed)
