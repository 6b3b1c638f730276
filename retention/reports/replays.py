"""Replays with their clocks: what went before a restore and went again; what did not, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.reports.paging import Page, PageRequest
from retention.reports.purged import PurgedLine, purged_lines
from retention.reports.scope import Scope
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class ReplayLine:
    """A replay in one tenant. `outcome` is under way, completed, incomplete (rows that went before
    the restore are there, and stay) or made good: by a later one, which was completed at
    `made_good_at`. Its clocks: for how long nothing happened in one that is under way, and how
    long it took.

    `rows` went again or were changed again, `kept` stay.
    """

    id: UUID
    tenant: str
    tenant_name: str
    state: str
    outcome: str
    begun_by: str
    began_at: datetime
    quiet_s: float | None
    took_s: float | None
    rows: int
    batches: int
    last_batch_at: datetime | None
    kept: int
    made_good_at: datetime | None
    trace_id: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class LeftLine:
    """Rows that went before the restore and stay: of which table, and why."""

    replay_id: UUID
    why: str
    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class RecordLine:
    """Up to which line of which records, that are kept outside of the database, a replay knew what
    had gone; `sha256` is over that line."""

    replay_id: UUID
    journal: str
    through: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ReplaysReport:
    """How many are under way now, and incomplete; a page of those that were under way in the
    period, or incomplete, open ones first, each newest first; and of these the rest."""

    running: int
    incomplete: int
    replays: tuple[ReplayLine, ...]
    purged: tuple[PurgedLine, ...]
    left: tuple[LeftLine, ...]
    records: tuple[RecordLine, ...]
    page: Page


_OF_TENANT = "(%(tenant)s::uuid IS NULL OR p.tenant_id = %(tenant)s::uuid)"
# The first that was completed after an incomplete one.
_MADE_GOOD = """
SELECT min(l.ended_at) AS at FROM tenure.purges l
WHERE p.state = 'incomplete' AND l.tenant_id = p.tenant_id AND l.kind = 'replay'
  AND l.state = 'completed' AND l.ended_at > p.ended_at
"""
_OUTCOME = """
CASE WHEN p.state = 'running' THEN 'under way' WHEN g.at IS NOT NULL THEN 'made good'
     ELSE p.state END
"""
_NOW = f"""
SELECT count(*) FILTER (WHERE n.outcome = 'under way'),
       count(*) FILTER (WHERE n.outcome = 'incomplete')
FROM (SELECT {_OUTCOME} AS outcome FROM tenure.purges p
      LEFT JOIN LATERAL ({_MADE_GOOD}) g ON true
      WHERE p.kind = 'replay' AND {_OF_TENANT}) n
"""  # noqa: S608 - constants
_REPLAYS = f"""
SELECT p.id::text, t.slug, t.name, p.state, {_OUTCOME}, p.begun_by, p.began_at,
       CASE WHEN p.ended_at IS NULL THEN extract(
           epoch FROM clock_timestamp() - coalesce(b.last_at, p.began_at))::float8 END,
       extract(epoch FROM p.ended_at - p.began_at)::float8,
       coalesce(b.rows, 0), coalesce(b.batches, 0), b.last_at, g.at, p.trace_id, p.ended_at,
       p.tenant_id::text, p.kept, p.cause
FROM tenure.purges p
JOIN tenure.tenants t ON t.id = p.tenant_id
LEFT JOIN LATERAL ({_MADE_GOOD}) g ON true
LEFT JOIN LATERAL (
    SELECT sum(b.rows)::bigint AS rows, count(*) AS batches, max(b.recorded_at) AS last_at
    FROM tenure.purge_batches b
    WHERE b.tenant_id = p.tenant_id AND b.purge_id = p.id) b ON true
WHERE p.kind = 'replay' AND {_OF_TENANT} AND p.began_at < %(until)s::timestamptz
  AND (p.ended_at IS NULL OR p.ended_at >= %(since)s::timestamptz
       OR p.state = 'incomplete' AND (g.at IS NULL OR g.at >= %(since)s::timestamptz))
ORDER BY {_OUTCOME} NOT IN ('under way', 'incomplete'), p.began_at DESC, p.id DESC
LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - constants


def replays_report(cursor: Cursor, wanted: PageRequest, scope: Scope) -> ReplaysReport:
    """Return a page of replays, and what there is of each; three queries."""
    cursor.execute(_NOW, scope.params)
    ((running, incomplete),) = cursor.fetchall()
    cursor.execute(_REPLAYS, {**scope.params, **wanted.window})
    rows, page = wanted.cut(cursor.fetchall())
    left = {UUID(row[0]): tuple(_left(UUID(row[0]), row[-2] or {})) for row in rows}
    return ReplaysReport(
        running,
        incomplete,
        tuple(_line(row, sum(line.rows for line in left[UUID(row[0])])) for row in rows),
        purged_lines(cursor, {each: each for each in left}, [UUID(row[-3]) for row in rows]),
        tuple(line for lines in left.values() for line in lines),
        tuple(line for row in rows for line in _records(UUID(row[0]), row[-1])),
        page,
    )


def _line(row: Sequence[Any], kept: int) -> ReplayLine:
    values = [UUID(row[0]), *row[1:12], kept, *row[12:15]]
    return ReplayLine(*values)


def _left(replay_id: UUID, kept: Mapping[str, Mapping[str, int]]) -> Iterator[LeftLine]:
    for why, tables in sorted(kept.items()):
        for table, rows in sorted(tables.items()):
            yield LeftLine(replay_id, why, table, rows)


def _records(replay_id: UUID, cause: Mapping[str, Any]) -> Iterator[RecordLine]:
    for one in cause.get("records", ()):
        yield RecordLine(replay_id, one["journal"], one["through"], one["sha256"])
