"""Runs in a list: when, by whom, as of when, what was planned and what went; and when nobody
was there to run anything, what comes next, and who stopped it all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.reports.paging import MAX_SIZE, Page, PageRequest
from retention.reports.scope import EVERYTHING, Scope, Ticking
from retention.reports.words import seconds_between
from retention.schedule import (
    VERIFICATION,
    WATCHES,
    gaps_of,
    last_taken,
    next_time,
    policy_schedule,
)
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class RunLine:
    """A retention run. `seconds` and `finished_at` are None while it is running or paused.

    `planned` rows were counted when the plan was made, `done` rows were recorded by `batches`
    batches; `actions` says what was done to how many of them: delete, archive, anonymise,
    pseudonymise.
    """

    id: UUID
    trace_id: str
    state: str
    detail: str | None
    as_of: datetime
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None
    planned: int
    done: int
    actions: Mapping[str, int]
    batches: int


@dataclass(frozen=True, slots=True)
class GapLine:
    """Nobody ticked from the last tick before to the first one after; `until` is None while it
    lasts, and `seconds` are up to now."""

    since: datetime
    until: datetime | None
    seconds: float


@dataclass(frozen=True, slots=True)
class MissedLine:
    """A schedule that was taken up late: `missed` of its times came before `due_at`, since the
    last one, and nobody was there."""

    schedule: str
    due_at: datetime
    taken_at: datetime
    missed: int


@dataclass(frozen=True, slots=True)
class NextLine:
    """What comes next: a policy, or the verification; by its schedule (`cron`, in UTC), or,
    without one, at the next tick. `next_at` is None where every tick is, or none."""

    what: str
    cron: str | None
    next_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class StopLine:
    """Somebody stopped, or started again, all retention. Who, and why, is not for a tenant's own
    auditor: null there."""

    taken_at: datetime
    action: str
    actor: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class RunsReport:
    """A page of runs, newest first; and of the period, newest first: `gaps`, `missed` times,
    `stops`. `cut` says of which only the latest MAX_SIZE are there. `next` is as of now,
    whatever the period; `watched_since` is the first tick ever, None while there was none: then
    there are no gaps to be seen."""

    runs: tuple[RunLine, ...]
    watched_since: datetime | None
    gaps: tuple[GapLine, ...]
    missed: tuple[MissedLine, ...]
    stops: tuple[StopLine, ...]
    next: tuple[NextLine, ...]
    cut: Mapping[str, bool]
    page: Page


# The page is cut before batches and plans are looked at: the cost is the page's.
_RUNS = """
WITH page AS (
    SELECT * FROM tenure.runs
    WHERE (%(trace_id)s::text IS NULL OR trace_id = %(trace_id)s)
      AND started_at >= %(since)s::timestamptz AND started_at < %(until)s::timestamptz
    ORDER BY started_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
)
SELECT p.id::text, p.trace_id, p.state, p.detail, p.as_of, p.started_by, p.started_at,
       p.finished_at,
       (SELECT coalesce(sum(n::text::numeric), 0)::bigint FROM jsonb_path_query(
            p.plan, '$.units[*].goes[*].rows ? (@.type() == "number")') n),
       b.done, b.actions, b.batches
FROM page p
CROSS JOIN LATERAL (
    SELECT coalesce(sum(a.rows), 0)::bigint AS done, coalesce(sum(a.batches), 0)::bigint AS batches,
           coalesce(jsonb_object_agg(a.action, a.rows) FILTER (WHERE a.rows > 0), '{}') AS actions
    FROM (SELECT action, sum(rows_deleted)::bigint AS rows, count(*) AS batches
          FROM tenure.batches WHERE run_id = p.id GROUP BY action) a
) b
ORDER BY p.started_at DESC, p.id DESC
"""


# What a tenant's part of a run is: its units and batches, and nothing of others' plans.
_RUNS_OF_TENANT = """
WITH page AS (
    SELECT r.id, r.trace_id, r.state, r.as_of, r.started_by, r.started_at, r.finished_at
    FROM tenure.runs r
    WHERE r.started_at >= %(since)s::timestamptz AND r.started_at < %(until)s::timestamptz
      AND (EXISTS (SELECT FROM tenure.units u
                   WHERE u.run_id = r.id AND u.tenant_id = %(tenant)s::uuid)
           OR EXISTS (SELECT FROM tenure.batches b
                      WHERE b.run_id = r.id AND b.tenant_id = %(tenant)s::uuid))
    ORDER BY r.started_at DESC, r.id DESC LIMIT %(limit)s OFFSET %(offset)s
)
SELECT p.id::text, p.trace_id, coalesce(nullif(u.state, 'open'), p.state), u.detail, p.as_of,
       p.started_by, p.started_at, p.finished_at, u.planned, b.done, b.actions, b.batches
FROM page p
CROSS JOIN LATERAL (
    SELECT (array_agg(state ORDER BY array_position(ARRAY['failed', 'stalled', 'open', 'cancelled',
                'succeeded_with_skips', 'succeeded'], state)))[1] AS state,
           string_agg(DISTINCT detail, '; ') AS detail,
           coalesce(sum(planned), 0)::bigint AS planned
    FROM tenure.units WHERE run_id = p.id AND tenant_id = %(tenant)s::uuid
) u
CROSS JOIN LATERAL (
    SELECT coalesce(sum(a.rows), 0)::bigint AS done, coalesce(sum(a.batches), 0)::bigint AS batches,
           coalesce(jsonb_object_agg(a.action, a.rows) FILTER (WHERE a.rows > 0), '{}') AS actions
    FROM (SELECT action, sum(rows_deleted)::bigint AS rows, count(*) AS batches
          FROM tenure.batches WHERE run_id = p.id AND tenant_id = %(tenant)s::uuid
          GROUP BY action) a
) b
ORDER BY p.started_at DESC, p.id DESC
"""

_MISSED = """
SELECT name, due_at, taken_at, missed FROM tenure.scheduled
WHERE missed > 0 AND due_at >= %(since)s::timestamptz AND due_at < %(until)s::timestamptz
ORDER BY due_at DESC, name LIMIT %(limit)s OFFSET %(offset)s
"""
_STOPS = """
SELECT taken_at, action, {} FROM tenure.interventions
WHERE run_id IS NULL
  AND taken_at >= %(since)s::timestamptz AND taken_at < %(until)s::timestamptz
ORDER BY number DESC LIMIT %(limit)s OFFSET %(offset)s
"""
_SCHEDULES = """
SELECT DISTINCT ON (v.policy) v.policy, v.definition->>'schedule' FROM tenure.policy_versions v
WHERE coalesce((SELECT w.event FROM tenure.policy_withdrawals w WHERE w.policy = v.policy
                ORDER BY w.number DESC LIMIT 1), 'returned') = 'returned'
ORDER BY v.policy, v.version DESC
"""


def runs_report(
    cursor: Cursor, wanted: PageRequest, ticking: Ticking, scope: Scope = EVERYTHING
) -> RunsReport:
    """Return a page of runs with what lies between them; six queries.

    Of one tenant: its part of each run that had any; gaps and schedules are everybody's.
    """
    lines, page = latest_runs(cursor, wanted, scope)
    latest = PageRequest(size=MAX_SIZE)
    params = {**scope.params, **latest.window}
    cursor.execute(_MISSED, params)
    missed, of_missed = latest.cut([MissedLine(*row) for row in cursor.fetchall()])
    cursor.execute(_STOPS.format("NULL, NULL" if scope.confined else "actor, reason"), params)
    stops, of_stops = latest.cut([StopLine(*row) for row in cursor.fetchall()])
    cut = {"missed": of_missed.next is not None, "stops": of_stops.next is not None}
    cursor.execute(WATCHES, {"since": "-infinity"})
    watches = cursor.fetchall()
    since = watches[0][0] if watches else None
    gaps = _gaps(watches, ticking, scope)
    return RunsReport(lines, since, gaps, missed, stops, _next(cursor, ticking), cut, page)


def latest_runs(
    cursor: Cursor, wanted: PageRequest, scope: Scope = EVERYTHING
) -> tuple[tuple[RunLine, ...], Page]:
    """Return a page of runs, newest first; one query."""
    if scope.tenant is None:
        cursor.execute(_RUNS, {"trace_id": None, **scope.params, **wanted.window})
    else:
        cursor.execute(_RUNS_OF_TENANT, {**scope.params, **wanted.window})
    return wanted.cut([_line(row) for row in cursor.fetchall()])


def run_line(cursor: Cursor, trace_id: str) -> RunLine | None:
    """Return the run under a trace id, None where there is none; one query."""
    cursor.execute(_RUNS, {"trace_id": trace_id, "limit": 1, "offset": 0, **EVERYTHING.params})
    row = cursor.fetchone()
    return None if row is None else _line(row)


def _gaps(
    watches: Iterable[tuple[Any, ...]], ticking: Ticking, scope: Scope
) -> tuple[GapLine, ...]:
    found = gaps_of(((began, last) for began, last in watches), ticking.now, ticking.tick)
    return tuple(
        GapLine(gap.since, gap.until, ((gap.until or ticking.now) - gap.since).total_seconds())
        for gap in reversed(list(found))
        if (scope.until is None or gap.since < scope.until)
        and (scope.since is None or gap.until is None or gap.until > scope.since)
    )


def _next(cursor: Cursor, ticking: Ticking) -> tuple[NextLine, ...]:
    last = last_taken(cursor, ticking.now)
    cursor.execute(_SCHEDULES)
    wanted = {policy_schedule(policy): cron for policy, cron in cursor.fetchall()}
    wanted[VERIFICATION] = ticking.verify_schedule
    return tuple(
        NextLine(what, cron, next_time(cron, ticking.now) if cron else None, last.get(what))
        for what, cron in wanted.items()
    )


def _line(row: tuple[Any, ...]) -> RunLine:
    run_id, trace_id, state, detail, as_of, by, started, finished, planned, *rest = row
    done, actions, batches = rest
    return RunLine(
        id=UUID(run_id),
        trace_id=trace_id,
        state=state,
        detail=detail,
        as_of=as_of,
        started_by=by,
        started_at=started,
        finished_at=finished,
        seconds=seconds_between(started, finished),
        planned=planned,
        done=done,
        actions=actions,
        batches=batches,
    )
