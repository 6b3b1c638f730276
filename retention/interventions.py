"""What people do to runs: pause, resume and cancel one, stop all retention and let it start.

Invariant: once one of these returns, no batch that it forbids commits. It is written down
first, in a transaction that waits for nobody. Every batch locks its unit and only then looks
whether it may go on; so those that looked before hold their units locked, and are waited for
here, and those that look later see it. (A lock that batches share would not do: a waiter for
it can be passed by again and again.) Batches of erasures, offboardings and replays, and portions of
files that go elsewhere, take turns, one at a time, before they look (`retention.gate`); so they are
waited for by taking a turn. A message to somebody outside that is under way is not waited for.

A restored database lacks the holds that were placed since its backup. That it is one (`restored`)
stops all but what had gone before, which goes again, until somebody says that they are in.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg2 import errors

from config.logging import get_logger
from retention import units
from retention.errors import RunError
from retention.gate import take_turn
from tenants.connections import Cursor, RoleConnections

Action = Literal["stop", "start", "pause", "resume", "cancel", "restored"]
PATIENCE_S = 60.0
RESTORED = (
    "the database was restored: enter the holds again that were placed since its backup, replay, "
    "then `tenure retention start`"
)

_log = get_logger(__name__)

# (what the run must be, what it becomes)
_CHANGES: dict[Action, tuple[tuple[str, ...], str]] = {
    "pause": (("running",), "paused"),
    "resume": (("paused",), "running"),
    "cancel": (("running", "paused"), "cancelled"),
}
_RECORD = """
INSERT INTO tenure.interventions (run_id, action, actor, reason) VALUES (%s, %s, %s, %s)
"""
_CHANGE = """
UPDATE tenure.runs SET state = %(to)s,
    detail = CASE WHEN %(to)s = 'cancelled' THEN %(detail)s ELSE detail END,
    finished_at = CASE WHEN %(to)s = 'cancelled' THEN clock_timestamp() END
WHERE id = %(run)s AND state = ANY(%(from)s)
"""
_WAIT = """
SELECT number FROM tenure.units
WHERE holder IS NOT NULL AND (%(run)s::uuid IS NULL OR run_id = %(run)s::uuid) FOR SHARE
"""
_FIND = """
SELECT id, trace_id, state FROM tenure.runs WHERE starts_with(trace_id, %s) LIMIT 2
"""
_LATEST = """
SELECT action, actor, reason, taken_at FROM tenure.interventions
WHERE run_id IS NULL ORDER BY number DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Stop:
    """That all retention is stopped: by whom, why, since when."""

    actor: str
    reason: str
    taken_at: datetime


def find_run(retention: RoleConnections, trace: str) -> UUID:
    """Return the run with this trace id, or the one whose trace id begins so; raises RunError."""
    with retention.transaction(None, read_only=True) as cursor:
        cursor.execute(_FIND, (trace,))
        found = cursor.fetchall()
    if len(trace) < 8 or len(found) != 1:
        what = "more than one run has" if len(found) > 1 else "there is no run with"
        raise RunError(f"{what} a trace id that begins with {trace!r} (8 digits or more)")
    return UUID(str(found[0][0]))


def intervene(
    retention: RoleConnections,
    run_id: UUID,
    action: Action,
    *,
    actor: str,
    reason: str,
    patience_s: float = PATIENCE_S,
) -> None:
    """Pause, resume or cancel a run; once it returns, no batch of a paused or cancelled run
    commits.

    Raises RunError for a run that is not in a state for it, and where an open batch goes on
    for longer than `patience_s` seconds: the run is paused or cancelled then all the same.
    """
    before, after = _CHANGES[action]
    with retention.transaction(None) as cursor:
        cursor.execute(
            _CHANGE,
            {
                "run": str(run_id),
                "from": list(before),
                "to": after,
                "detail": f"cancelled by {actor}: {reason}",
            },
        )
        if not cursor.rowcount:
            raise RunError(f"run {run_id} is not {' or '.join(before)}; it cannot {action}")
        _record(cursor, run_id, action, actor, reason)
    if action != "resume":
        _wait_for_open_batches(retention, run_id, patience_s)
    if action == "cancel":
        with retention.transaction(None) as cursor:
            units.cancel_left_over(cursor)


def stop(
    retention: RoleConnections, *, actor: str, reason: str, patience_s: float = PATIENCE_S
) -> None:
    """Stop all retention; once it returns, no batch commits. Raises RunError as `intervene`."""
    with retention.transaction(None) as cursor:
        _record(cursor, None, "stop", actor, reason)
    _wait_for_open_batches(retention, None, patience_s)


def restored(retention: RoleConnections, *, actor: str) -> bool:
    """Stop all retention because the database was restored; False where it is stopped already.

    What goes on is what had gone since the backup (`retention.replays`). Waits for nobody: who is
    in a batch knows no more holds than whoever has just restored.
    """
    with retention.transaction(None) as cursor:
        if stopped(cursor) is not None:
            return False
        _record(cursor, None, "restored", actor, RESTORED)
    return True


def start(retention: RoleConnections, *, actor: str, reason: str) -> None:
    """Let retention go on after a stop; raises RunError when it is not stopped."""
    with retention.transaction(None) as cursor:
        if stopped(cursor) is None:
            raise RunError("retention is not stopped")
        _record(cursor, None, "start", actor, reason)


def stopped(cursor: Cursor) -> Stop | None:
    """Return who stopped retention, None where nobody did; as retention or auditor."""
    cursor.execute(_LATEST)
    row = cursor.fetchone()
    return Stop(*row[1:]) if row and row[0] in ("stop", "restored") else None


def _record(cursor: Cursor, run_id: UUID | None, action: Action, actor: str, reason: str) -> None:
    if not reason.strip():
        raise RunError(f"to {action} needs a reason")
    cursor.execute(_RECORD, (None if run_id is None else str(run_id), action, actor, reason))
    of_run = {} if run_id is None else {"run_id": str(run_id)}
    _log.warning("intervention", action=action, actor=actor, reason=reason, **of_run)


def _wait_for_open_batches(
    retention: RoleConnections, run_id: UUID | None, patience_s: float
) -> None:
    until = time.monotonic() + patience_s
    while True:
        try:
            with retention.transaction(None) as cursor:
                cursor.execute("SET LOCAL lock_timeout = '1s'")
                cursor.execute(_WAIT, {"run": None if run_id is None else str(run_id)})
                if run_id is None:
                    take_turn(cursor)
        except errors.LockNotAvailable as error:
            if time.monotonic() >= until:
                raise RunError(
                    "it is in force, but a batch that began before is still open after "
                    f"{patience_s:g} s"
                ) from error
        else:
            return
