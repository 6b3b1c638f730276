"""A round over all erasures that are under way, as the scheduler makes it at each tick."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from uuid import UUID

from config.logging import get_logger
from retention.alerts import ERASURES, Alert, Looked
from retention.erasures.execution import Executor, Result
from retention.erasures.planning import make_plan
from retention.erasures.records import ENDED, STATES, Erasure, erasures
from retention.erasures.requests import keep_plan
from retention.troubles import is_unforeseen, one_line
from retention.turns import in_turn
from tenants.errors import PoolTimeoutError

_log = get_logger(__name__)


@dataclass(frozen=True)
class Round:
    """What a round came to: what was `done`; what is `left` open; of what could not go on, why;
    and which had no turn, for want of time."""

    done: tuple[Result, ...]
    left: tuple[Erasure, ...]
    troubles: dict[UUID, str]
    without_turn: tuple[UUID, ...] = ()

    @property
    def looked(self) -> Looked:
        """What was looked at, for its alerts."""
        return Looked(ERASURES, but=tuple(map(str, self.without_turn)))

    def alerts(self, now: datetime) -> list[Alert]:
        """Return what is to be said: whose answer is overdue, what cannot go on and why."""
        found = []
        for erasure in self.left:
            said = [self.troubles[erasure.id]] if erasure.id in self.troubles else []
            if erasure.is_overdue(now):
                due = erasure.due_at.isoformat(timespec="seconds")
                said.insert(0, f"{erasure.state}, and was due {due}")
            if said:
                what = f"{erasure.tenant}: {'; '.join(said)}"
                found.append(Alert("erasure", str(erasure.id), what))
        return found


def make_round(executor: Executor, *, until: float = inf) -> Round:
    """Make the plans that were asked for, carry out what was approved, and go on with what waited;
    those due first ahead. When the monotonic clock (s) says `until`, the rest has no turn.

    What waits comes last, in any order: of many that wait for years each has its turn, some time.
    """
    troubles = _make_plans(executor)
    done = []
    cases = executor.at_work()
    waiting = [erasure for erasure in cases if erasure.state == "deferred"]
    random.shuffle(waiting)
    cases = [*(erasure for erasure in cases if erasure.state != "deferred"), *waiting]
    left = {erasure.id for erasure in cases}
    for erasure, stop in in_turn(cases, executor.stop, until):
        left.discard(erasure.id)
        try:
            done.append(replace(executor, stop=stop).run(erasure.id))
        except PoolTimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - see retention.troubles
            # One that cannot go on is no reason for the others to wait, whatever it is: a tenant's
            # own rows can bring about what nobody thought of.
            troubles[erasure.id] = _failed("erasure_failed", erasure, error)
    return Round(tuple(done), tuple(_open(executor)), troubles, tuple(left))


def _open(executor: Executor) -> list[Erasure]:
    still_open = tuple(state for state in STATES if state not in ENDED)
    with executor.verifier.transaction(None, read_only=True) as cursor:
        return erasures(cursor, states=still_open)


def _make_plans(executor: Executor) -> dict[UUID, str]:
    """Make the plans that were asked for over the API, and keep each in the asker's name; return
    of which there could be none, and why."""
    troubles = {}
    for erasure in _open(executor):
        asker = erasure.plan_wanted_by
        if asker is None or executor.stop():
            continue
        try:
            plan = make_plan(
                executor.verifier,
                erasure.id,
                executor.subjects,
                catalog=executor.catalog,
                policies=executor.policies,
                now=executor.clock.now(),
            )
            keep_plan(executor.retention, erasure, plan, actor=asker)
        except PoolTimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - see retention.troubles
            troubles[erasure.id] = _failed("erasure_not_planned", erasure, error)
    return troubles


def _failed(event: str, erasure: Erasure, error: Exception) -> str:
    problem = one_line(error)
    _log.error(event, erasure_id=str(erasure.id), error=problem, exc_info=is_unforeseen(error))
    return problem
