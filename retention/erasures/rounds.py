"""A round over all erasures that are under way, as the scheduler makes it at each tick."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from config.logging import get_logger
from retention.alerts import Alert
from retention.erasures.execution import Executor, Result
from retention.erasures.planning import make_plan
from retention.erasures.records import ENDED, STATES, Erasure, erasures
from retention.erasures.requests import keep_plan
from retention.troubles import is_unforeseen, one_line
from tenants.errors import PoolTimeoutError

_log = get_logger(__name__)


@dataclass(frozen=True)
class Round:
    """What a round came to: what was `done`; what is `left` open; of what could not go on, why."""

    done: tuple[Result, ...]
    left: tuple[Erasure, ...]
    troubles: dict[UUID, str]

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


def make_round(executor: Executor) -> Round:
    """Make the plans that were asked for, carry out what was approved, and go on with what waited;
    those due first ahead."""
    troubles = _make_plans(executor)
    done = []
    for erasure in executor.at_work():
        if executor.stop():
            break
        try:
            done.append(executor.run(erasure.id))
        except PoolTimeoutError:
            raise
        except Exception as error:  # noqa: BLE001 - see retention.troubles
            # One that cannot go on is no reason for the others to wait, whatever it is: a tenant's
            # own rows can bring about what nobody thought of.
            troubles[erasure.id] = _failed("erasure_failed", erasure, error)
    return Round(tuple(done), tuple(_open(executor)), troubles)


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
