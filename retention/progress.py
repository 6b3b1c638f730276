"""How far open runs have come: rows, rate, time left, who works on what, and what waits for what.

Read as tenure_auditor: the evidence, and no tenant's data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tenants.connections import Cursor

# Over which time a rate is taken.
_RATE_S = 60


@dataclass(frozen=True, slots=True)
class UnitHeld:
    """A unit that a worker has. `in_force` is False where it was silent for too long."""

    number: int
    policy: str
    tenant: str
    holder: str
    fence: int
    lease_until: datetime
    in_force: bool
    planned: int
    rows: int


@dataclass(frozen=True, slots=True)
class RunProgress:
    """A run that is open.

    Of its `units`, `done` have ended; of the others, `working` are held by a worker, `outside`
    wait for their window, and the rest for their turn. `rate` is rows a second over the last
    minute, and `seconds_left` what that makes of the rows that are planned and not gone; None
    where nothing moves.
    """

    trace_id: str
    state: str
    started_at: datetime
    units: int
    done: int
    working: int
    outside: int
    planned: int
    rows: int
    batches: int
    rate: float
    seconds_left: float | None
    held: tuple[UnitHeld, ...]


_RUNS = """
SELECT r.id, r.trace_id, r.state, r.started_at, count(*), count(u.finished_at), count(u.holder),
       count(*) FILTER (WHERE u.state = 'open' AND u.holder IS NULL
                          AND NOT tenure.in_window(u.opens, u.closes)),
       coalesce(sum(u.planned), 0)::bigint,
       coalesce(sum(greatest(u.planned - u.rows_deleted, 0)) FILTER (WHERE u.state = 'open'),
                0)::bigint,
       coalesce(sum(u.rows_deleted), 0)::bigint, coalesce(sum(u.batches), 0)::bigint,
       (SELECT coalesce(sum(b.rows_deleted), 0)::bigint FROM tenure.batches b
        WHERE b.run_id = r.id
          AND b.recorded_at > clock_timestamp() - make_interval(secs => %(over)s)),
       least(%(over)s, greatest(1, extract(epoch FROM clock_timestamp() - r.started_at)))::float
FROM tenure.runs r JOIN tenure.units u ON u.run_id = r.id
WHERE r.finished_at IS NULL
GROUP BY r.id, r.trace_id, r.state, r.started_at ORDER BY r.started_at, r.id
"""
_HELD = """
SELECT u.run_id, u.number, u.policy, t.slug, u.holder, u.fence, u.lease_until,
       u.lease_until > clock_timestamp(), u.planned, u.rows_deleted
FROM tenure.units u JOIN tenure.tenants t ON t.id = u.tenant_id
WHERE u.holder IS NOT NULL ORDER BY u.run_id, u.number
"""


def open_runs(cursor: Cursor) -> tuple[RunProgress, ...]:
    """Return the runs that are open, the oldest first; two queries."""
    cursor.execute(_HELD)
    held: dict[Any, list[UnitHeld]] = {}
    for run_id, *unit in cursor.fetchall():
        held.setdefault(run_id, []).append(UnitHeld(*unit))
    cursor.execute(_RUNS, {"over": _RATE_S})
    return tuple(_run(row, held) for row in cursor.fetchall())


def _run(row: tuple[Any, ...], held: dict[Any, list[UnitHeld]]) -> RunProgress:
    run_id, trace_id, state, started_at, *counts, lately, seconds = row
    units, done, working, outside, planned, left, rows, batches = counts
    rate = lately / seconds
    return RunProgress(
        trace_id=trace_id,
        state=state,
        started_at=started_at,
        units=units,
        done=done,
        working=working,
        outside=outside,
        planned=planned,
        rows=rows,
        batches=batches,
        rate=round(rate, 1),
        seconds_left=round(left / rate, 1) if rate else None,
        held=tuple(held.get(run_id, ())),
    )
