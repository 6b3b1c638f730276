"""A round over all erasures that are under way, as the scheduler makes it at each tick."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg2

from config.logging import get_logger
from retention.alerts import Alert
from retention.erasures.execution import Executor, Result
from retention.erasures.records import ENDED, STATES, Erasure, erasures
from retention.errors import RetentionError

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
    """Carry out what was approved, and go on with what waited; those due first ahead."""
    done, troubles = [], {}
    for erasure in executor.at_work():
        if executor.stop():
            break
        try:
            done.append(executor.run(erasure.id))
        except (RetentionError, psycopg2.Error) as error:
            # One that cannot go on is no reason for the others to wait.
            troubles[erasure.id] = str(error).strip().splitlines()[0]
            _log.error("erasure_failed", erasure_id=str(erasure.id), error=troubles[erasure.id])
    still_open = tuple(state for state in STATES if state not in ENDED)
    with executor.verifier.transaction(None, read_only=True) as cursor:
        left = erasures(cursor, states=still_open)
    return Round(tuple(done), tuple(left), troubles)
