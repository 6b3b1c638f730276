"""What is due, done in turn: one tick of a scheduler, of any number that tick."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import inf

import psycopg2
from structlog.contextvars import bound_contextvars

from config.logging import get_logger
from config.trace import new_trace_id
from retention import lease as leases
from retention.alerts import (
    ERASURES,
    MISSED,
    OFFBOARDINGS,
    REPLAYS,
    RUN,
    VERIFIED,
    Alert,
    Looked,
    deliver,
    of_gap,
    of_missed,
    of_verification,
)
from retention.erasures import execution
from retention.erasures.rounds import make_round
from retention.errors import LeaseLostError, RetentionError
from retention.interventions import stopped
from retention.jobs import ask_connectors, help_out, open_and_work
from retention.leftovers import Leftovers, delete_leftovers
from retention.offboardings import execution as offboarding
from retention.plan import Plan
from retention.policies import Policy
from retention.replays import rounds as replays
from retention.replays.execution import Replayer
from retention.run_report import RunReport
from retention.runs import fail_outdated, latest
from retention.schedule import VERIFICATION, Taken, keep_watch, mark, peek, policy_schedule
from retention.units import open_units
from retention.verification import VerificationReport, last_finished
from retention.worker import one_line
from retention.workshop import Workshop
from tenants.context import TenantId
from tenants.errors import PoolTimeoutError, TenantError

VERIFY_EVERY = timedelta(hours=1)

_log = get_logger(__name__)


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
                    _, report = open_and_work(shop, plan, trace_id, lease=lease, for_s=for_s)
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
        with steps.of("replays"):
            shop.warn(
                replays.make_round(shop.verifier, lambda only: _again(shop, only)), Looked(REPLAYS)
            )
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


def _again(shop: Workshop, only: Collection[TenantId]) -> Replayer | None:
    if shop.ledger is None or shop.ledger.outside is None:
        return None
    return shop.replayer(only=only)


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


@dataclass(frozen=True)
class _Agenda:
    """What a tick has to do: which policies, and which scheduled times it takes up."""

    policies: tuple[Policy, ...]
    taken: tuple[Taken, ...]

    def has(self, name: str) -> bool:
        return any(taken.name == name for taken in self.taken)


def _look_around(shop: Workshop) -> _Agenda:
    """Say that somebody is here; return what schedules ask for now, and warn of what was
    missed. What is said first is that the database was restored, if it was."""
    shop.look_for_restore()
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
