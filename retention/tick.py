"""What is due, done in turn: one tick of a scheduler, of any number that tick."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import inf

from structlog.contextvars import bound_contextvars

from config.logging import get_logger
from config.trace import TraceId, new_trace_id
from retention import lease as leases
from retention.agenda import (
    Agenda,
    look_around,
    troubles_left,
    unscheduled,
    verification_is_due,
    watched,
)
from retention.alerts import (
    REPLAYS,
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
from retention.ledger.orders import make_orders
from retention.leftovers import Leftovers, delete_leftovers
from retention.offboardings import execution as offboarding
from retention.outcomes import of_troubles
from retention.plan import Plan
from retention.planner import Failure
from retention.policies import Policy
from retention.replays import rounds as replays
from retention.replays.execution import Replayer
from retention.run_report import RunReport
from retention.runs import fail_outdated
from retention.schedule import is_unattended
from retention.troubles import ends_the_tick, one_line
from retention.units import open_units
from retention.verification import VerificationReport
from retention.workshop import Workshop
from tenants.context import TenantId

VERIFY_EVERY = timedelta(hours=1)
_PLANNING = "planning by any process"
_NAMED = 5

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
    an open run has not done with yet is not planned again. One whose policies others have
    superseded works alone, and says so where nobody else plans.
    """
    until = time.monotonic() + work_s
    why = shop.superseded()
    if why:
        return _give_way(shop, why, work_s)
    lease = leases.acquire(shop.retention, ttl_s=shop.lease_ttl_s)
    if lease is None:
        helped = help_out(shop, for_s=work_s)
        shop.publish()
        return Tick(leads=False, slices=helped)
    trace_id = new_trace_id()
    steps = _Steps(shop)
    leader = _Leader(shop, lease, trace_id, verify_every, work_s, until)
    with (
        leases.kept(shop.retention, lease),
        bound_contextvars(trace_id=trace_id),
        watched(shop),
    ):
        shop.look_for_restore()  # no step is for a database that lacks holds
        for name, step in leader.steps:
            with steps.of(name):
                step()
        shop.publish()
        steps.warn()
        if shop.send is not None:
            deliver(shop.retention, shop.send)
        steps.raise_first()
        return leader.done


def _give_way(shop: Workshop, why: str, work_s: float) -> Tick:
    """Only help: whoever began after others' policies were recorded goes by them, and plans."""
    _log.warning("superseded", why=why)
    helped = help_out(shop, for_s=work_s)
    with shop.verifier.transaction(None, read_only=True) as cursor:
        unattended = is_unattended(cursor, timedelta(seconds=shop.tick_s))
    if unattended:
        shop.warn([Alert("run", _PLANNING, f"nobody plans: {why}")], Looked(RUN, {_PLANNING}))
        if shop.send is not None:
            deliver(shop.retention, shop.send)
    shop.publish()
    return Tick(leads=False, slices=helped)


@dataclass
class _Leader:
    """What the one that has the lease does, step by step, in an order in which each finds what it
    needs of those before, if that went well: what is `done`, whose turn it is (`agenda`), and of
    which policies and tenants rows may go (`may_go`, None where nothing was planned)."""

    shop: Workshop
    lease: leases.Lease
    trace_id: TraceId
    verify_every: timedelta
    work_s: float
    until: float
    done: Tick = field(default_factory=lambda: Tick(leads=True))
    may_go: set[tuple[str, TenantId]] | None = None

    def __post_init__(self) -> None:
        self.agenda = unscheduled(self.shop)

    @property
    def steps(self) -> tuple[tuple[str, Callable[[], None]], ...]:
        """The steps, by name."""
        return (
            ("schedules", self._look_around),
            ("plan", self._plan),
            ("leftovers", self._delete_leftovers),
            ("erasures", self._erase),
            ("offboardings", self._offboard),
            ("replays", self._replay),
            ("work", self._help_out),
            ("runs", self._warn_of_runs),
            ("connectors", self._ask_connectors),
            ("certificates", self._certify),
            ("verification", self._verify),
        )

    def _look_around(self) -> None:
        self.agenda = look_around(self.shop)

    def _plan(self) -> None:
        """Plan, open a run of what may go, and work on it."""
        shop = self.shop
        fail_outdated(shop.retention, shop.catalog)
        shop.record()
        shop.warn([], Looked(RUN, {_PLANNING}))
        everything, failed = _planned(shop, self.agenda)
        self.agenda = self.agenda.without(failed)
        self.may_go = {(u.policy, u.tenant_id) for u in everything.units if u.may_run and u.rows}
        plan = everything.without(open_units(shop.retention))
        self.done = replace(self.done, plan=plan)
        if _is_stopped(shop):
            return
        if any(unit.may_run and unit.rows for unit in plan.units):
            for_s = self.until - time.monotonic()
            _, run = open_and_work(shop, plan, self.trace_id, lease=self.lease, for_s=for_s)
            self.done = replace(self.done, run=run)
        self.agenda.done(shop, plan.as_of)

    def _delete_leftovers(self) -> None:
        gone = delete_leftovers(self.shop.retention, self.shop.clock.now())
        self.done = replace(self.done, leftovers=gone)

    def _at_least(self) -> float:
        """Until when a round may last: for what runs have left of the time, a quarter at least."""
        return max(self.until, time.monotonic() + self.work_s / 4)

    def _erase(self) -> None:
        made = make_round(self.shop.erasures(), until=self._at_least())
        self.shop.warn(made.alerts(self.shop.clock.now()), made.looked)
        self.done = replace(self.done, erased=made.done)

    def _offboard(self) -> None:
        made = offboarding.make_round(self.shop.offboardings(), until=self._at_least())
        self.shop.warn(made.alerts, made.looked)
        self.done = replace(self.done, offboarded=made.done)

    def _replay(self) -> None:
        alerts = replays.make_round(self.shop.verifier, lambda only: _again(self.shop, only))
        self.shop.warn(alerts, Looked(REPLAYS))

    def _help_out(self) -> None:
        slices = help_out(self.shop, for_s=self.until - time.monotonic())
        self.done = replace(self.done, slices=slices)

    def _warn_of_runs(self) -> None:
        troubles, looked = troubles_left(self.shop, self.agenda, self.may_go)
        self.shop.warn(of_troubles(troubles), looked)

    def _ask_connectors(self) -> None:
        ask_connectors(self.shop)

    def _certify(self) -> None:
        shop = self.shop
        if shop.ledger is not None:
            make_orders(
                shop.ledger,
                shop.verifier,
                backups_kept_days=shop.backups_kept_days,
                stop=shop.options.stop,
            )

    def _verify(self) -> None:
        shop = self.shop
        if shop.options.stop() or not verification_is_due(shop, self.agenda, self.verify_every):
            return
        # As of the plan: what has come due since then is not overdue, but next.
        as_of = None if self.done.plan is None else self.done.plan.as_of
        found = shop.verify(as_of=as_of, trace_id=self.trace_id)
        self.agenda.done(shop, found.as_of, verified=True)
        self.done = replace(self.done, verification=found)
        shop.warn(of_verification(found), Looked(VERIFIED))


def _again(shop: Workshop, only: Collection[TenantId]) -> Replayer | None:
    if shop.ledger is None or shop.ledger.outside is None:
        return None
    return shop.replayer(only=only)


def _planned(shop: Workshop, agenda: Agenda) -> tuple[Plan, Collection[str]]:
    """Plan what is due now; return the plan, and which policies could not be planned. None of those
    keeps another from being, and no tenant's row keeps others' from going; rows without a starting
    point are for verifications to count."""
    alerts: list[Alert] = []
    failed: set[str] = set()

    def tell(failure: Failure) -> None:
        of = _some(failure.tenants)
        what = f"nothing is planned{of}: {one_line(failure.error)}"
        alerts.append(Alert("run", _of_plan(failure.policy), what))
        if not failure.tenants:
            failed.add(failure.policy.name)

    plan = shop.plan(only=agenda.policies, undated=False, on_failure=tell)
    shop.warn(alerts, Looked(RUN, {_of_plan(policy) for policy in agenda.policies}))
    return plan, failed


def _some(tenants: Sequence[str]) -> str:
    if not tenants:
        return ""
    more = len(tenants) - _NAMED
    return f" for {', '.join(tenants[:_NAMED])}" + (f" and {more} more" if more > 0 else "")


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
