"""The work as a scheduler or a command has it done: from policies to runs, and to reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import inf
from uuid import UUID

import psycopg2
from structlog.contextvars import bound_contextvars

from config.clock import Clock
from config.logging import get_logger
from config.trace import TraceId, new_trace_id
from retention import lease as leases
from retention.alerts import (
    CONNECTORS,
    ERASURES,
    LEDGER,
    MISSED,
    OFFBOARDINGS,
    RUN,
    VERIFIED,
    Alert,
    Looked,
    Send,
    deliver,
    of_gap,
    of_missed,
    of_requests,
    of_run,
    of_verification,
    raise_alerts,
)
from retention.connectors.declarations import Connectors
from retention.connectors.delivery import Courier, Result, deliver_due
from retention.connectors.requests import requests
from retention.erasures import execution
from retention.erasures.rounds import make_round
from retention.errors import LeaseLostError, LedgerError, RetentionError
from retention.executor import Options
from retention.exports.making import Exporter
from retention.interventions import intervene, stopped
from retention.ledger.gone import GoneFolder
from retention.ledger.keys import key_steps
from retention.ledger.publishing import Ledger, Published, verified, writer_of
from retention.ledger.verifier import VerifierKey
from retention.leftovers import Leftovers, delete_leftovers
from retention.live_check import check_live, check_subjects
from retention.offboardings import execution as offboarding
from retention.plan import Plan
from retention.planner import plan as make_plan
from retention.policies import Policy
from retention.policy_records import record_policies
from retention.replays.execution import Replayer
from retention.replays.wanted import Sources
from retention.run_report import OPEN_STATES, RunReport, RunState
from retention.runs import Intent, fail_outdated, latest, open_run, report_of
from retention.schedule import (
    VERIFICATION,
    Taken,
    keep_watch,
    mark,
    peek,
    policy_schedule,
)
from retention.subjects import Subject, named
from retention.units import open_units
from retention.verification import VerificationReport, last_finished, verify
from retention.worker import Worker, one_line
from tenants.catalog import Catalog
from tenants.connections import RoleConnections
from tenants.context import TenantId
from tenants.errors import PoolTimeoutError, TenantError

VERIFY_EVERY = timedelta(hours=1)

_log = get_logger(__name__)


@dataclass(frozen=True)
class Workshop:
    """What the work needs, and who has it done (`actor`).

    `on_run_ended` hears the state of each run that this process brings to its end, `on_alert`
    of each alert it raises; `send` delivers alerts (see `retention.alerts`). `tick_s` is how
    often (s) somebody ticks, `verify_schedule` when to verify, by cron; `ledger` is where what was
    done is put in order and signed.
    """

    retention: RoleConnections
    verifier: RoleConnections
    catalog: Catalog
    policies: tuple[Policy, ...]
    clock: Clock
    actor: str
    options: Options = field(default_factory=Options)
    lease_ttl_s: float = leases.DEFAULT_TTL_S
    on_run_ended: Callable[[RunState], None] = lambda _state: None
    on_alert: Callable[[Alert], None] = lambda _alert: None
    send: Send | None = None
    tick_s: float = 60.0
    verify_schedule: str | None = None
    subjects: tuple[Subject, ...] = ()
    ledger: Ledger | None = None
    connectors: Connectors = field(default_factory=dict)

    @property
    def courier(self) -> Courier:
        """What delivers requests to connectors, until told to stop."""
        return Courier(
            self.retention, self.verifier, self.connectors, self.catalog, self.options.stop
        )

    @property
    def exporter(self) -> Exporter:
        """What writes copies of a person's or a tenant's data, until told to stop."""
        return Exporter(
            self.retention, self.catalog, self.policies, self.connectors, self.options.stop
        )

    def replayer(
        self,
        further: Iterable[GoneFolder] = (),
        *,
        keys: Iterable[VerifierKey] = (),
        given_out: Iterable[bytes] = (),
        accept_unsigned: bool = False,
        stop: Callable[[], bool] | None = None,
    ) -> Replayer:
        """Return what erases again after a restore: by the ledger's own records, and others.

        `keys` are those that are believed, if not the ones that the database names; `given_out`
        notes of checkpoints that the records must reach. Raises LedgerError for such a note that
        nobody has signed.
        """
        outside = None if self.ledger is None else self.ledger.outside
        own = () if outside is None else (outside.gone,)
        note = None if outside is None else outside.folder.last()
        writer = None if outside is None else writer_of(outside)
        believed = tuple(keys)
        if not believed:
            with self.verifier.transaction(None, read_only=True) as cursor:
                believed = tuple(step.key for step in key_steps(cursor))
            # What a copy of the database does not know yet.
            believed += tuple(s.verifier_key for s in (writer.signers if writer else ()))
        notes = (*([] if note is None else [note]), *given_out)
        return Replayer(
            retention=self.retention,
            verifier=self.verifier,
            catalog=self.catalog,
            actor=self.actor,
            sources=Sources(
                (*own, *further),
                believed,
                tuple(verified(each, believed, "a checkpoint given out") for each in notes),
                accept_unsigned,
            ),
            goes_on=writer,
            before=None if note is None else note.decode(),
            limit=self.options.batch_size,
            lock_timeout_ms=self.options.lock_timeout_ms,
            stop=stop or self.options.stop,
        )

    def subject(self, name: str) -> Subject:
        """Return the subject declared under this name; raises SubjectError listing those."""
        return named(self.subjects, name)

    def check(self) -> None:
        """Raise PolicyError unless the database can bear the policies as they are."""
        with self.verifier.transaction(None, read_only=True) as cursor:
            check_live(cursor, self.catalog, self.policies)

    def check_subjects(self) -> None:
        """Raise SubjectError unless the database can bear the subjects as they are."""
        with self.verifier.transaction(None, read_only=True) as cursor:
            check_subjects(cursor, self.catalog, self.subjects)

    def warn(self, alerts: Collection[Alert], looked: Looked) -> None:
        """Raise alerts, and tell of those that are new."""
        for alert in raise_alerts(self.retention, alerts, looked):
            self.on_alert(alert)

    def publish(self) -> Published | None:
        """Publish the ledger, if there is one; see `publish`."""
        return None if self.ledger is None else publish(self.ledger, self.on_alert)

    def run_ended(self, run_id: UUID, state: RunState) -> None:
        """Tell that a run has ended, and warn of what stalled or failed in it."""
        report = report_of(self.verifier, run_id)
        self.warn(of_run(report), Looked(RUN, {unit.policy for unit in report.units}))
        self.on_run_ended(state)

    def plan(
        self,
        *,
        as_of: datetime | None = None,
        only: Collection[Policy] | None = None,
        tenants: Collection[TenantId] | None = None,
        undated: bool = True,
        on_failure: Callable[[Policy, psycopg2.Error], None] | None = None,
    ) -> Plan:
        """Plan; see `retention.planner.plan`. `only` restricts it to some policies."""
        return make_plan(
            self.verifier,
            self.catalog,
            self.policies if only is None else only,
            now=self.clock.now(),
            as_of=as_of,
            tenants=tenants,
            everything=self.policies,
            undated=undated,
            on_failure=on_failure,
        )

    def record(self) -> Mapping[str, int]:
        """Record changed policies; return every policy's version.

        Raises PolicyError where the database cannot bear them: then none is recorded.
        """
        self.check()
        return record_policies(self.retention, self.policies, actor=self.actor)

    def open(self, plan: Plan, *, trace_id: TraceId, lease: leases.Lease | None = None) -> UUID:
        """Write a run down, for workers to take; see `retention.runs.open_run`."""
        intent = Intent(plan, self.actor, self.clock.now(), trace_id)
        return open_run(self.retention, self.catalog, intent, lease)

    def worker(self) -> Worker:
        """Return a worker of its own name."""
        return Worker(
            self.retention,
            self.verifier,
            self.catalog,
            self.options,
            self.lease_ttl_s,
            self.run_ended,
        )

    def erasures(self) -> execution.Executor:
        """Return what carries erasures out."""
        return execution.Executor(
            retention=self.retention,
            verifier=self.verifier,
            catalog=self.catalog,
            policies=self.policies,
            subjects=self.subjects,
            clock=self.clock,
            actor=self.actor,
            connectors=self.connectors,
            limit=self.options.batch_size,
            lock_timeout_ms=self.options.lock_timeout_ms,
            stop=self.options.stop,
        )

    def offboardings(self) -> offboarding.Executor:
        """Return what carries offboardings out."""
        return offboarding.Executor(
            retention=self.retention,
            verifier=self.verifier,
            catalog=self.catalog,
            actor=self.actor,
            connectors=self.connectors,
            limit=self.options.batch_size,
            lock_timeout_ms=self.options.lock_timeout_ms,
            stop=self.options.stop,
        )

    def verify(self, *, as_of: datetime | None = None, trace_id: TraceId) -> VerificationReport:
        """Verify; see `retention.verification.verify`."""
        return verify(
            self.verifier,
            self.retention,
            self.catalog,
            self.policies,
            now=self.clock.now(),
            actor=self.actor,
            trace_id=trace_id,
            as_of=as_of,
        )


def publish(
    ledger: Ledger, on_alert: Callable[[Alert], None] = lambda _alert: None
) -> Published | None:
    """Put in order what entered the ledger, sign it, and give the checkpoint out.

    What is in the way is warned of, and not raised: what was done has been done and entered, and
    whoever publishes next makes up for it.
    """
    published, problem = None, None
    try:
        published = ledger.publish()
        problem = "; ".join(published.problems) or None
    except LedgerError as error:
        problem = str(error)
    alerts = [Alert("ledger", "checkpoints", problem)] if problem else []
    for alert in raise_alerts(ledger.retention, alerts, Looked(LEDGER)):
        on_alert(alert)
    return published


def run_once(
    shop: Workshop, planned: Callable[[], Plan], *, trace_id: TraceId | None = None
) -> RunReport:
    """Record the policies, make the plan, open a run, and work on it until it has ended.

    Other workers may help. Where nobody can go on now (it was paused, or what is left waits
    for its window), the report says that it is open. When told to stop, the run is cancelled.
    Raises PlanError, RunError.
    """
    trace_id = trace_id or new_trace_id()
    with bound_contextvars(trace_id=trace_id):
        shop.record()
        run_id, report = _open_and_work(shop, planned(), trace_id)
        if shop.options.stop() and report.state in OPEN_STATES:
            intervene(shop.retention, run_id, "cancel", actor=shop.actor, reason="told to stop")
            report = report_of(
                shop.verifier, run_id, round_trips=report.round_trips, seconds=report.seconds
            )
        shop.publish()
        return report


def _open_and_work(
    shop: Workshop,
    plan: Plan,
    trace_id: TraceId,
    *,
    lease: leases.Lease | None = None,
    for_s: float = inf,
) -> tuple[UUID, RunReport]:
    began = time.monotonic()
    run_id = shop.open(plan, trace_id=trace_id, lease=lease)
    worker = shop.worker()
    worker.work(run_id, for_s=for_s)
    seconds = time.monotonic() - began
    return run_id, report_of(shop.verifier, run_id, round_trips=worker.round_trips, seconds=seconds)


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick did.

    `leads` is False where another process has the lease: then it only helped. `run` is the one
    that it opened and worked on, `slices` how often it worked on a unit of another.
    """

    leads: bool
    plan: Plan | None = None
    run: RunReport | None = None
    slices: int = 0
    erased: tuple[execution.Result, ...] = ()
    offboarded: tuple[offboarding.Result, ...] = ()
    verification: VerificationReport | None = None
    leftovers: Leftovers = field(default_factory=Leftovers)


def help_out(shop: Workshop, *, for_s: float = inf) -> int:
    """Work on whatever runs are open, as long as there is something to be had, for about so
    many seconds; return how many slices that were."""
    return shop.worker().work(for_s=for_s)


def tick(shop: Workshop, *, verify_every: timedelta = VERIFY_EVERY, work_s: float = inf) -> Tick:
    """Do what is due: open a run if something may go, work, go on with erasures that are
    approved and offboardings whose grace is over, verify when runs have ended, and every so often
    (or on its schedule); delete sessions and tokens whose time is over; warn.

    Any number of processes may tick. The one with the lease plans and verifies; all work, for
    about `work_s` seconds, so that what comes due meanwhile is planned beside a long run. What
    an open run has not done with yet is not planned again.
    """
    until = time.monotonic() + work_s
    lease = leases.acquire(shop.retention, ttl_s=shop.lease_ttl_s)
    if lease is None:
        helped = help_out(shop, for_s=work_s)
        shop.publish()
        return Tick(leads=False, slices=helped)
    trace_id = new_trace_id()
    steps = _Steps(shop)
    with leases.kept(shop.retention, lease), bound_contextvars(trace_id=trace_id):
        done = Tick(leads=True)
        agenda = _look_around(shop)
        with steps.of("plan"):
            fail_outdated(shop.retention, shop.catalog)
            shop.record()
            plan = _planned(shop, agenda)
            done = replace(done, plan=plan)
            if not _is_stopped(shop):
                if any(unit.may_run and unit.rows for unit in plan.units):
                    for_s = until - time.monotonic()
                    _, report = _open_and_work(shop, plan, trace_id, lease=lease, for_s=for_s)
                    done = replace(done, run=report)
                _mark(shop, agenda)
        with steps.of("leftovers"):
            done = replace(done, leftovers=delete_leftovers(shop.retention, shop.clock.now()))
        with steps.of("erasures"):
            erased = make_round(shop.erasures())
            shop.warn(erased.alerts(shop.clock.now()), Looked(ERASURES))
            done = replace(done, erased=erased.done)
        with steps.of("offboardings"):
            left = offboarding.make_round(shop.offboardings())
            shop.warn(left.alerts, Looked(OFFBOARDINGS))
            done = replace(done, offboarded=left.done)
        with steps.of("work"):
            slices = help_out(shop, for_s=until - time.monotonic())
            done = replace(done, slices=slices)
        with steps.of("connectors"):
            ask_connectors(shop)
        with steps.of("verification"):
            if not shop.options.stop() and _verification_is_due(shop, agenda, verify_every):
                # As of the plan: what has come due since then is not overdue, but next.
                as_of = None if done.plan is None else done.plan.as_of
                found = shop.verify(as_of=as_of, trace_id=trace_id)
                done = replace(done, verification=found)
                shop.warn(of_verification(found), Looked(VERIFIED))
        shop.publish()
        steps.warn()
        if shop.send is not None:
            deliver(shop.retention, shop.send)
        steps.raise_first()
        return done


def _planned(shop: Workshop, agenda: _Agenda) -> Plan:
    """Plan what is due now. A policy that cannot be planned keeps no other from being; rows without
    a starting point are for verifications to count."""
    failed: list[Alert] = []

    def tell(policy: Policy, error: psycopg2.Error) -> None:
        failed.append(Alert("run", _of_plan(policy), f"nothing is planned: {one_line(error)}"))

    plan = shop.plan(only=agenda.policies, undated=False, on_failure=tell)
    shop.warn(failed, Looked(RUN, {_of_plan(policy) for policy in agenda.policies}))
    return plan.without(open_units(shop.retention))


def _of_plan(policy: Policy) -> str:
    return f"plan of {policy.name}"


@dataclass
class _Steps:
    """The steps of a tick: what goes wrong in one is warned of, and keeps no other from its turn.

    A database that is away, or a lease that is lost, ends the tick.
    """

    shop: Workshop
    taken: list[str] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Run the block as this step."""
        self.taken.append(step)
        try:
            yield
        except LeaseLostError:
            raise
        except (psycopg2.Error, RetentionError, TenantError) as error:
            if isinstance(error, psycopg2.Error) and error.pgcode is None:
                raise
            if isinstance(error, PoolTimeoutError):
                raise
            _log.exception("tick_step_failed", step=step)
            self.failed[step] = error

    def warn(self) -> None:
        """Warn of what failed, and take back the warnings of what did not."""
        alerts = [
            Alert("run", f"step {step} of the tick", one_line(error))
            for step, error in self.failed.items()
        ]
        self.shop.warn(alerts, Looked(RUN, {f"step {step} of the tick" for step in self.taken}))

    def raise_first(self) -> None:
        """Raise the first that went wrong, if anything did."""
        for error in self.failed.values():
            raise error


def ask_connectors(shop: Workshop, *, everything: bool = False) -> Mapping[Result, int]:
    """Attempt the requests to connectors that are due, or all; warn of those that are late.

    Returns how many attempts came to what.
    """
    results = deliver_due(shop.courier, everything=everything)
    with shop.verifier.transaction(None, read_only=True) as cursor:
        left = requests(cursor)
    shop.warn(of_requests(left), Looked(CONNECTORS))
    return results


@dataclass(frozen=True)
class _Agenda:
    """What a tick has to do: which policies, and which scheduled times it takes up."""

    policies: tuple[Policy, ...]
    taken: tuple[Taken, ...]

    def has(self, name: str) -> bool:
        return any(taken.name == name for taken in self.taken)


def _look_around(shop: Workshop) -> _Agenda:
    """Say that somebody is here; return what schedules ask for now, and warn of what was
    missed."""
    now, interval = shop.clock.now(), timedelta(seconds=shop.tick_s)
    wanted = {policy_schedule(p.name): p.schedule for p in shop.policies if p.schedule}
    if shop.verify_schedule is not None:
        wanted[VERIFICATION] = shop.verify_schedule
    with shop.retention.transaction(None) as cursor:
        gap = keep_watch(cursor, interval)
        found = [peek(cursor, name, schedule, now) for name, schedule in wanted.items()]
    taken = tuple(one for one in found if one is not None)
    missed = [of_missed(one) for one in taken if one.missed]
    if gap is not None:
        missed.append(of_gap(gap, now))
    shop.warn(missed, Looked(MISSED))
    due = {one.name for one in taken}
    return _Agenda(
        tuple(p for p in shop.policies if not p.schedule or policy_schedule(p.name) in due), taken
    )


def _mark(shop: Workshop, agenda: _Agenda) -> None:
    if not agenda.taken:
        return
    now = shop.clock.now()
    with shop.retention.transaction(None) as cursor:
        for taken in agenda.taken:
            mark(cursor, taken, now)


def _verification_is_due(shop: Workshop, agenda: _Agenda, verify_every: timedelta) -> bool:
    """After runs, when none has work left that may go on: what it has not come to is not overdue.
    And on its schedule, or every so often, whatever goes on."""
    if agenda.has(VERIFICATION):
        return True
    last = last_finished(shop.retention)
    is_long_ago = last is not None and shop.clock.now() - last >= verify_every
    if is_long_ago and shop.verify_schedule is None:
        return True
    goes_on, ended = latest(shop.retention)
    if goes_on:
        return False
    return last is None or (ended is not None and ended > last)


def _is_stopped(shop: Workshop) -> bool:
    with shop.retention.transaction(None, read_only=True) as cursor:
        return stopped(cursor) is not None
