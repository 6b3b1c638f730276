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
from retention.agenda import Agenda, look_around, unscheduled, verification_is_due, watched
from retention.alerts import (
    ERASURES,
    OFFBOARDINGS,
    RUN,
    VERIFIED,
    Alert,
    Looked,
    deliver,
    of_verification,
)
from retention.erasures import execution
from retention.erasures.rounds import make_round
from retention.interventions import stopped
from retention.jobs import ask_connectors, help_out, open_and_work
from retention.leftovers import Leftovers, delete_leftovers
from retention.offboardings import execution as offboarding
from retention.plan import Plan
from retention.policies import Policy
from retention.run_report import RunReport
from retention.runs import fail_outdated
from retention.troubles import ends_the_tick, one_line
from retention.units import open_units
from retention.verification import VerificationReport
from retention.workshop import Workshop

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
    with (
        leases.kept(shop.retention, lease),
        bound_contextvars(trace_id=trace_id),
        watched(shop),
    ):
        done, agenda = Tick(leads=True), unscheduled(shop)
        with steps.of("schedules"):
            agenda = look_around(shop)
        with steps.of("plan"):
            fail_outdated(shop.retention, shop.catalog)
            shop.record()
            plan, failed = _planned(shop, agenda)
            done = replace(done, plan=plan)
            if not _is_stopped(shop):
                if any(unit.may_run and unit.rows for unit in plan.units):
                    for_s = until - time.monotonic()
                    _, report = open_and_work(shop, plan, trace_id, lease=lease, for_s=for_s)
                    done = replace(done, run=report)
                agenda.done(shop, plan.as_of, but=failed)
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
            if not shop.options.stop() and verification_is_due(shop, agenda, verify_every):
                # As of the plan: what has come due since then is not overdue, but next.
                as_of = None if done.plan is None else done.plan.as_of
                found = shop.verify(as_of=as_of, trace_id=trace_id)
                agenda.done(shop, found.as_of, verified=True)
                done = replace(done, verification=found)
                shop.warn(of_verification(found), Looked(VERIFIED))
        shop.publish()
        steps.warn()
        if shop.send is not None:
            deliver(shop.retention, shop.send)
        steps.raise_first()
        return done


def _planned(shop: Workshop, agenda: Agenda) -> tuple[Plan, Collection[str]]:
    """Plan what is due now; return the plan, and which policies could not be planned. None of those
    keeps another from being; rows without a starting point are for verifications to count."""
    failed: dict[str, Alert] = {}

    def tell(policy: Policy, error: psycopg2.Error) -> None:
        what = f"nothing is planned: {one_line(error)}"
        failed[policy.name] = Alert("run", _of_plan(policy), what)

    plan = shop.plan(only=agenda.policies, undated=False, on_failure=tell)
    shop.warn(failed.values(), Looked(RUN, {_of_plan(policy) for policy in agenda.policies}))
    return plan.without(open_units(shop.retention)), failed.keys()


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
        except Exception as error:
            # Whatever it is: one tenant's row must not end the retention of all, tick after tick.
            if ends_the_tick(error):
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


def _is_stopped(shop: Workshop) -> bool:
    with shop.retention.transaction(None, read_only=True) as cursor:
        return stopped(cursor) is not None
