"""Runs in a list: when, by whom, as of when, what was planned and what went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.reports.paging import Page, PageRequest
from retention.reports.words import seconds_between
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class RunLine:
    """A retention run. `seconds` and `finished_at` are None while it is running or paused.

    `planned` rows were counted when the plan was made, `deleted` rows were recorded by
    `batches` batches.
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
    deleted: int
    batches: int


@dataclass(frozen=True, slots=True)
class RunsReport:
    """A page of runs, newest first."""

    runs: tuple[RunLine, ...]
    page: Page


# The page is cut before batches and plans are looked at: the cost is the page's.
_RUNS = """
WITH page AS (
    SELECT * FROM tenure.runs
    WHERE %(trace_id)s::text IS NULL OR trace_id = %(trace_id)s
    ORDER BY started_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
)
SELECT p.id::text, p.trace_id, p.state, p.detail, p.as_of, p.started_by, p.started_at,
       p.finished_at,
       (SELECT coalesce(sum(n::text::numeric), 0)::bigint FROM jsonb_path_query(
            p.plan, '$.units[*].goes[*].rows ? (@.type() == "number")') n),
       b.deleted, b.batches
FROM page p
CROSS JOIN LATERAL (
    SELECT coalesce(sum(rows_deleted), 0)::bigint AS deleted, count(*) AS batches
    FROM tenure.batches WHERE run_id = p.id
) b
ORDER BY p.started_at DESC, p.id DESC
"""


def runs_report(cursor: Cursor, wanted: PageRequest) -> RunsReport:
    """Return a page of runs; one query."""
    cursor.execute(_RUNS, {"trace_id": None, **wanted.window})
    lines, page = wanted.cut([_line(row) for row in cursor.fetchall()])
    return RunsReport(lines, page)


def run_line(cursor: Cursor, trace_id: str) -> RunLine | None:
    """Return the run under a trace id, None where there is none; one query."""
    cursor.execute(_RUNS, {"trace_id": trace_id, "limit": 1, "offset": 0})
    row = cursor.fetchone()
    return None if row is None else _line(row)


def _line(row: tuple[Any, ...]) -> RunLine:
    run_id, trace_id, state, detail, as_of, by, started, finished, planned, deleted, batches = row
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
        deleted=deleted,
        batches=batches,
    )
