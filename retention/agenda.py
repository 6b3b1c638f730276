"""What a tick has to do by the clock: whose turn it is, whether to verify; and that somebody is
there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from retention.alerts import MISSED, RUN, Alert, Looked, of_gap, of_missed
from retention.errors import ScheduleError
from retention.heartbeat import beating
from retention.outcomes import Trouble, last_troubles
from retention.policies import Policy
from retention.runs import latest
from retention.schedule import (
    VERIFICATION,
    Taken,
    checked_schedule,
    keep_watch,
    last_taken,
    mark,
    peek,
    policy_schedule,
)
from retention.verification import last_finished
from retention.workshop import Workshop
from tenants.context import TenantId


@dataclass(frozen=True)
class Agenda:
    """What a tick has to do: which policies, and which scheduled times it takes up."""

    policies: tuple[Policy, ...]
    taken: tuple[Taken, ...] = ()

    @property
    def has_verification(self) -> bool:
        """True where the verification's schedule says so."""
        return any(one.name == VERIFICATION for one in self.taken)

    def without(self, policies: Collection[str]) -> Agenda:
        """Return the agenda without these policies, whose turn it is still."""
        names = {policy_schedule(policy) for policy in policies}
        return Agenda(
            tuple(policy for policy in self.policies if policy.name not in policies),
            tuple(one for one in self.taken if one.name not in names),
        )

    def done(self, shop: Workshop, as_of: datetime, *, verified: bool = False) -> None:
        """Mark what was done, by work as of that instant: the policies, or the verification."""
        chosen = [one for one in self.taken if (one.name == VERIFICATION) is verified]
        if chosen:
            with shop.retention.transaction(None) as cursor:
                for one in chosen:
                    mark(cursor, one, as_of)


def unscheduled(shop: Workshop) -> Agenda:
    """Return what there is to do at every tick."""
    return Agenda(tuple(policy for policy in shop.policies if not policy.schedule))


def look_around(shop: Workshop) -> Agenda:
    """Return what schedules ask for now; warn of what was missed, and of what never comes."""
    now = shop.clock.now()
    wanted = {policy_schedule(p.name): p.schedule for p in shop.policies if p.schedule}
    if shop.verify_schedule is not None:
        wanted[VERIFICATION] = shop.verify_schedule
    troubles = []
    for name, schedule in tuple(wanted.items()):
        try:
            checked_schedule(schedule)
        except ScheduleError as error:
            del wanted[name]
            troubles.append(Alert("run", _of_schedule(name), str(error)))
    shop.warn(troubles, Looked(RUN, {_of_schedule(n) for n in _names(shop)}))
    with shop.retention.transaction(None) as cursor:
        found = [peek(cursor, name, schedule, now) for name, schedule in wanted.items()]
    taken = tuple(one for one in found if one is not None)
    shop.warn([of_missed(one) for one in taken if one.missed], Looked(MISSED, _names(shop)))
    due = {one.name for one in taken}
    return Agenda(
        tuple(p for p in shop.policies if not p.schedule or policy_schedule(p.name) in due), taken
    )


def _names(shop: Workshop) -> set[str]:
    return {VERIFICATION, *(policy_schedule(policy.name) for policy in shop.policies)}


def _of_schedule(name: str) -> str:
    return f"schedule of {name}"


@contextmanager
def watched(shop: Workshop) -> Iterator[None]:
    """Say that somebody is here, as long as the block runs; warn of times in which nobody was."""
    interval = timedelta(seconds=shop.tick_s)

    def watch(*, looked: bool = False) -> None:
        with shop.retention.transaction(None) as cursor:
            gap = keep_watch(cursor, interval)
        if gap is not None or looked:
            told = [] if gap is None else [of_gap(gap, shop.clock.now())]
            shop.warn(told, Looked(MISSED, {"scheduler"}))

    watch(looked=True)
    # Three times in what a watch outlasts, so that a long tick is none without anybody.
    with beating("watch", 3 * shop.tick_s, watch):
        yield


def troubles_left(
    shop: Workshop, agenda: Agenda, planned: Collection[tuple[str, TenantId]] | None
) -> tuple[list[Trouble], Looked]:
    """Return which policies' last units stalled or failed and are not done with, and what was
    looked at for that. `planned` are the policies and tenants of which this tick's plan has rows
    that may go; None where nothing was planned.

    It is done with where a unit since has ended well, or a plan since found nothing that may go: of
    a policy that was planned now, this plan, of another, that of its last turn.
    """
    with shop.verifier.transaction(None, read_only=True) as cursor:
        found = last_troubles(cursor)
        turns = last_taken(cursor, shop.clock.now())
    now = set() if planned is None else {policy.name for policy in agenda.policies}
    names = {policy.name for policy in shop.policies}

    def lasts(one: Trouble) -> bool:
        if planned is not None and one.policy in now:
            return (one.policy, one.tenant_id) in planned
        turn = turns.get(policy_schedule(one.policy))
        return one.policy in names and (turn is None or one.ended_at > turn)

    return list(filter(lasts, found)), Looked(RUN, names | {one.policy for one in found})


def verification_is_due(shop: Workshop, agenda: Agenda, verify_every: timedelta) -> bool:
    """After runs, when none has work left that may go on: what it has not come to is not overdue.
    And on its schedule, or every so often, whatever goes on."""
    if agenda.has_verification:
        return True
    last = last_finished(shop.retention)
    is_long_ago = last is not None and shop.clock.now() - last >= verify_every
    if is_long_ago and shop.verify_schedule is None:
        return True
    goes_on, ended = latest(shop.retention)
    if goes_on:
        return False
    return last is None or (ended is not None and ended > last)
