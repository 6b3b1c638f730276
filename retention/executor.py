"""The executor: runs a plan in batches, under one trace id, and says truthfully how it went.

Invariant: it may narrow the plan, never widen it. Cutoffs, tenants, policies and their
versions come from the plan alone; a batch (`retention.batch`) looks again at everything
that could forbid it. Rows gone are rows recorded, whenever and however this dies: the next
run picks up what is left. If the checks at the start are loosened, a plan made for another
catalog, or under a policy that was since made longer, deletes what must be kept.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import psycopg2
from psycopg2 import errorcodes

from config.logging import get_logger
from config.trace import TraceId
from retention.batch import Attempt, Position, Step, Task, run_batch
from retention.errors import InvariantError, LeaseLostError, OvertakenError, PlanError
from retention.lease import Lease, check_fence
from retention.plan import Plan, PlannedPolicy, Unit, catalog_digest
from retention.policies import cutoff_value
from retention.policy_records import latest_versions
from retention.run_report import RunReport, RunState, Skip, UnitReport, verdict
from retention.statements import Statements
from tenants.catalog import Catalog
from tenants.connections import Cursor, RoleConnections
from tenants.errors import TenantError
from tenants.models import new_id

__all__ = ["Options", "Progress", "RunReport", "close_interrupted", "run"]

_log = get_logger(__name__)

# What a smaller batch, later, may get past: others' locks, a timeout, and rows that refer to
# ours by a foreign key the catalog does not know.
_RETRIED = {
    errorcodes.FOREIGN_KEY_VIOLATION: "referenced by a foreign key that is not in the catalog",
    errorcodes.LOCK_NOT_AVAILABLE: "locked by others",
    errorcodes.DEADLOCK_DETECTED: "locked by others",
    errorcodes.SERIALIZATION_FAILURE: "locked by others",
    errorcodes.QUERY_CANCELED: "took longer than the statement timeout",
}
_GATE_TRIES = 3


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is: after a batch of the unit numbered `unit` (from 1) of `units`."""

    unit: int
    units: int
    policy: str
    tenant: str
    unit_rows: int
    rows: int


def _nothing(_: object) -> None:
    return None


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Options:
    """How to run. `stop` is asked between batches; `on_step` is called after each step of a
    batch, in its transaction (for tests that kill)."""

    batch_size: int = 1000
    lock_timeout_ms: int = 2000
    stop: Callable[[], bool] = _never
    on_progress: Callable[[Progress], None] = _nothing
    on_step: Callable[[Step], None] = _nothing

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise PlanError(f"batch size must be at least 1, got {self.batch_size}")


def run(
    plan: Plan,
    *,
    retention: RoleConnections,
    verifier: RoleConnections,
    catalog: Catalog,
    lease: Lease,
    now: datetime,
    actor: str,
    trace_id: TraceId,
    options: Options | None = None,
) -> RunReport:
    """Run a plan; requires the lease, kept alive by the caller (`lease.kept`).

    Raises PlanError for a plan that does not fit this installation any more, and
    LeaseLostError when another took the lease. Anything else that goes wrong is in the
    report, and in the run's row, as state `failed`.
    """
    executor = _Executor(plan, retention, verifier, catalog, lease, trace_id, options or Options())
    executor.check(now)
    executor.begin(actor)
    return executor.run()


def close_interrupted(retention: RoleConnections, lease: Lease) -> None:
    """Say of runs whose executor is gone that they failed; requires the lease."""
    with retention.transaction(None) as cursor:
        check_fence(cursor, lease)
        _close_interrupted(cursor)


def _close_interrupted(cursor: Cursor) -> None:
    # Whoever held the lease before us is gone: what it left running did not finish.
    cursor.execute(
        "UPDATE tenure.runs SET state = 'failed', finished_at = clock_timestamp(),"
        " detail = 'interrupted; its batches record what it deleted' WHERE state = 'running'"
    )


@dataclass
class _Executor:
    plan: Plan
    retention: RoleConnections
    verifier: RoleConnections
    catalog: Catalog
    lease: Lease
    trace_id: TraceId
    options: Options
    run_id: UUID = field(default_factory=new_id)
    versions: dict[str, int] = field(default_factory=dict)
    round_trips: int = 0
    rows: int = 0

    # -- before ------------------------------------------------------------------------

    def check(self, now: datetime) -> None:
        """Raise PlanError unless the plan still fits; pins the policies' versions."""
        plan = self.plan
        if plan.as_of > now:
            raise PlanError(f"the plan is as of {plan.as_of.isoformat()}, which is in the future")
        if plan.catalog_digest != catalog_digest(self.catalog):
            raise PlanError("the plan was made for another catalog of tables; plan again")
        with self.retention.transaction(None) as cursor:
            latest = latest_versions(cursor, [p.policy.name for p in plan.policies])
        for planned in plan.policies:
            policy = planned.policy
            if planned.cutoff != policy.cutoff(plan.as_of):
                raise PlanError(
                    f"policy {policy.name!r}: the cutoff {planned.cutoff.isoformat()} is not "
                    f"{policy.period} before {plan.as_of.isoformat()}"
                )
            recorded = latest.get(policy.name)
            if recorded is None:
                raise PlanError(f"policy {policy.name!r} is not recorded in the database")
            if recorded.digest != policy.digest or planned.version not in (None, recorded.version):
                raise PlanError(
                    f"policy {policy.name!r} has changed since the plan (the database has version "
                    f"{recorded.version}); plan again"
                )
            self.versions[policy.name] = recorded.version

    def begin(self, actor: str) -> None:
        """Record the intent, before anything is deleted."""
        with self.retention.transaction(None) as cursor:
            check_fence(cursor, self.lease)
            _close_interrupted(cursor)
            cursor.execute(
                "INSERT INTO tenure.runs (id, trace_id, as_of, plan, state, started_by, started_at)"
                " VALUES (%s, %s, %s, %s, 'running', %s, clock_timestamp())",
                (
                    str(self.run_id),
                    self.trace_id,
                    self.plan.as_of,
                    json.dumps(self.plan.to_json(), ensure_ascii=False),
                    actor,
                ),
            )
        _log.info("run_started", trace_id=self.trace_id, as_of=self.plan.as_of.isoformat())

    # -- the run -----------------------------------------------------------------------

    def run(self) -> RunReport:
        """Run all units; return the report, after recording how it ended."""
        began = time.monotonic()
        reports: list[UnitReport] = []
        cancelled = False
        for number, unit in enumerate(self.plan.units, 1):
            if self.options.stop():
                cancelled = True
                break
            try:
                reports.append(self._unit(unit, number))
            except LeaseLostError as error:
                self._finish("failed", str(error))
                raise
        cancelled = cancelled or self.options.stop()
        state, detail = verdict(reports, cancelled=cancelled)
        self._finish(state, detail)
        return RunReport(
            run_id=self.run_id,
            trace_id=self.trace_id,
            as_of=self.plan.as_of,
            state=state,
            detail=detail,
            units=tuple(reports),
            round_trips=self.round_trips,
            seconds=time.monotonic() - began,
        )

    def _finish(self, state: RunState, detail: str) -> None:
        with self.retention.transaction(None) as cursor:
            cursor.execute(
                "UPDATE tenure.runs SET state = %s, detail = %s, finished_at = clock_timestamp()"
                " WHERE id = %s AND state = 'running'",
                (state, detail or None, str(self.run_id)),
            )
        log = _log.info if state.startswith("succeeded") else _log.warning
        log("run_ended", trace_id=self.trace_id, state=state, detail=detail, rows=self.rows)

    def _unit(self, unit: Unit, number: int) -> UnitReport:
        report = UnitReport(unit.policy, unit.tenant_id, unit.tenant)
        if not unit.may_run:
            held = sum(k.rows for k in unit.kept if k.reason == "held")
            return replace(report, skips=(Skip("held", held),)) if held else report
        work = _UnitWork(self, unit, number)
        try:
            work.run()
            stalled = self._stalled(unit, work)
        except (psycopg2.Error, InvariantError, TenantError) as error:
            _log.exception("unit_failed", trace_id=self.trace_id, policy=unit.policy)
            return replace(work.report(), error=f"{type(error).__name__}: {str(error).strip()}")
        return replace(work.report(), stalled=stalled)

    def _stalled(self, unit: Unit, work: _UnitWork) -> str:
        """Return why a unit from which nothing was deleted is no success, or ""."""
        if not unit.rows or work.deleted or work.cancelled or work.forbidden:
            return ""
        locked = sum(work.passed_over.values())
        if locked:
            return f"{locked} due rows, none could be deleted"
        # A purge that sees no rows looks like one with nothing to do: somebody else looks.
        statements = work.task.statements
        with self.verifier.transaction(None, read_only=True) as cursor:
            cursor.execute(
                statements.left(),
                {"tenant": str(unit.tenant_id), "cutoff": work.task.cutoff_value},
            )
            row = cursor.fetchone()
        seen = row[0] if row else 0
        if seen > (work.left or 0):
            return f"the verifier sees {seen} due rows, the executor {work.left or 0}"
        return ""


class _UnitWork:
    """The batches of one unit: a pass that skips locked rows, then passes that wait."""

    def __init__(self, executor: _Executor, unit: Unit, number: int) -> None:
        planned = executor.plan.planned(unit.policy)
        self.executor = executor
        self.unit = unit
        self.number = number
        self.task = _task(executor, unit, planned)
        self.deleted: Counter[str] = Counter()
        self.batches = 0
        self.left: int | None = None
        self.forbidden: str | None = None
        self.cancelled = False
        self.passed_over: Counter[str] = Counter()

    def run(self) -> None:
        """Work until nothing more goes, or it is forbidden or cancelled."""
        family = self.task.statements.family
        # Rows of the table that refer to each other may free one another.
        repeats = any(edge.child == family.root for edge in family.keeping)
        self._pass(waiting=False)
        while not self._over():
            before = sum(self.deleted.values())
            self.passed_over.clear()
            self._pass(waiting=True)
            if not repeats or sum(self.deleted.values()) == before:
                break

    def _over(self) -> bool:
        return self.left == 0 or self.cancelled or self.forbidden is not None

    def _pass(self, *, waiting: bool) -> None:
        size = self.executor.options.batch_size
        limit, gate_tries = size, 0
        position: Position | None = None
        careful = False
        passed_over: int | None = 0
        while not self._over():
            if self.executor.options.stop():
                self.cancelled = True
                return
            attempt = Attempt(limit, waiting, position, careful, passed_over)
            try:
                run_batch(self.executor.retention, self.task, attempt)
            except OvertakenError:
                careful = True
                continue
            except psycopg2.Error as error:
                reason = _RETRIED.get(error.pgcode or "")
                if reason is None:
                    raise
                if attempt.swept:
                    careful = True
                elif not attempt.candidates:
                    gate_tries += 1
                    if gate_tries == _GATE_TRIES:
                        self.passed_over[reason] += 1
                        return
                elif limit > 1:
                    limit = max(1, min(limit, attempt.candidates) // 2)
                else:
                    self.passed_over[reason] += 1
                    position, limit = attempt.last, size
                continue
            finally:
                self.executor.round_trips += attempt.round_trips
            self.forbidden = attempt.forbidden
            self._count(attempt)
            if attempt.at_end:
                self.left = attempt.left
                return
            # Whatever was in a sweep's way is behind us once a batch of full size went through.
            careful = limit < size if careful else attempt.swept and not attempt.deleted
            passed_over = attempt.passed_over
            position, limit = attempt.last or position, min(size, limit * 2)

    def _count(self, attempt: Attempt) -> None:
        if not attempt.deleted:
            return
        self.batches += 1
        self.deleted.update(attempt.deleted)
        self.executor.rows += attempt.rows
        _log.debug(
            "batch_committed",
            trace_id=self.task.trace_id,
            policy=self.unit.policy,
            tenant_id=str(self.unit.tenant_id),
            deleted=attempt.deleted,
        )
        self.executor.options.on_progress(
            Progress(
                unit=self.number,
                units=len(self.executor.plan.units),
                policy=self.unit.policy,
                tenant=self.unit.tenant,
                unit_rows=sum(self.deleted.values()),
                rows=self.executor.rows,
            )
        )

    def report(self) -> UnitReport:
        """Return what has been done so far."""
        skips = [Skip(self.forbidden)] if self.forbidden else []
        skips += [Skip(reason, rows) for reason, rows in sorted(self.passed_over.items())]
        return UnitReport(
            policy=self.unit.policy,
            tenant_id=self.unit.tenant_id,
            tenant=self.unit.tenant,
            deleted=tuple(sorted(self.deleted.items())),
            batches=self.batches,
            left=self.left,
            skips=tuple(skips),
        )


def _task(executor: _Executor, unit: Unit, planned: PlannedPolicy) -> Task:
    policy = planned.policy
    catalog = executor.catalog
    return Task(
        run_id=str(executor.run_id),
        trace_id=executor.trace_id,
        tenant_id=unit.tenant_id,
        policy=policy,
        version=executor.versions[policy.name],
        cutoff=planned.cutoff,
        cutoff_value=cutoff_value(policy, catalog, planned.cutoff),
        statements=Statements(
            policy.family(catalog),
            policy.starts,
            catalog.table(policy.table).column(policy.starts).type,
        ),
        lease=executor.lease,
        lock_timeout_ms=executor.options.lock_timeout_ms,
        on_step=executor.options.on_step,
    )
