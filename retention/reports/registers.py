"""The registers: legal holds, and reads across tenants with their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from retention.hold_records import IN_FORCE
from retention.reports.paging import Page, PageRequest
from retention.reports.scope import EVERYTHING, Scope
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class HoldLine:
    """A legal hold; in force until a release of it takes effect, at `effective_at`.

    `scope` is tenant, subject, table or rows; `table`, `subject_id` and `condition` are null
    where that has none. `rows_then` are the rows under it when it was placed, null where that
    was not counted; with `keys_kept` a verification says which of them are missing. Its clocks:
    for how long it has been (or was) in force, and, once released, how long it still is.
    """

    id: UUID
    tenant: str
    tenant_name: str
    scope: str
    table: str | None
    subject_id: str | None
    condition: str | None
    matter: str
    reason: str
    placed_by: str
    placed_at: datetime
    rows_then: int | None
    keys_kept: bool
    released_by: str | None
    released_at: datetime | None
    effective_at: datetime | None
    in_force: bool
    in_force_s: float
    ends_in_s: float | None


@dataclass(frozen=True, slots=True)
class HoldEventLine:
    """What became of a hold: placed, released (with effect from `effective_at`), taken back."""

    hold_id: UUID
    event: str
    actor: str
    reason: str | None
    happened_at: datetime
    effective_at: datetime | None


@dataclass(frozen=True, slots=True)
class HoldsReport:
    """A page of holds, those in force first, each newest first; how many are in force; and what
    became of those on the page, newest first."""

    in_force: int
    holds: tuple[HoldLine, ...]
    events: tuple[HoldEventLine, ...]
    page: Page


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A read across tenants: by whom, why, from where in the program, and the statement. To a
    tenant's own auditor, when and from where alone: the rest may name others."""

    id: UUID
    read_at: datetime
    actor: str | None
    reason: str | None
    place: str
    statement: str | None
    trace_id: str | None


@dataclass(frozen=True, slots=True)
class ReadsReport:
    """A page of reads across tenants, newest first."""

    reads: tuple[ReadLine, ...]
    page: Page


_OF_TENANT = "(%(tenant)s::uuid IS NULL OR h.tenant_id = %(tenant)s::uuid)"
_IN_FORCE = f"""
SELECT count(*) FROM tenure.holds h WHERE {IN_FORCE} AND {_OF_TENANT}
"""  # noqa: S608 - constants
_HOLDS = f"""
SELECT h.id::text, t.slug, t.name, h.scope, h.table_name, h.subject_id::text, h.condition,
       h.matter, h.reason, h.placed_by, h.placed_at, h.rows_then, h.keys_kept,
       h.released_by, h.released_at, h.effective_at, {IN_FORCE},
       extract(epoch FROM least(h.effective_at, clock_timestamp()) - h.placed_at)::float8,
       CASE WHEN {IN_FORCE}
           THEN extract(epoch FROM h.effective_at - clock_timestamp())::float8 END
FROM tenure.holds h JOIN tenure.tenants t ON t.id = h.tenant_id
WHERE ({IN_FORCE} OR %(released)s) AND {_OF_TENANT}
  AND h.placed_at < %(until)s::timestamptz
  AND (h.effective_at IS NULL OR h.effective_at >= %(since)s::timestamptz)
ORDER BY {IN_FORCE} DESC, h.placed_at DESC, h.id DESC
LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - constants
_EVENTS = """
SELECT e.hold_id::text, e.event, e.actor, e.reason, e.happened_at, e.effective_at
FROM tenure.hold_events e WHERE e.hold_id = ANY(%(holds)s::uuid[])
ORDER BY e.happened_at DESC, e.id DESC
"""

_TOLD = "actor, reason, place, statement, trace_id"
_READS = """
SELECT id::text, read_at, {}
FROM tenure.cross_tenant_reads
WHERE read_at >= %(since)s::timestamptz AND read_at < %(until)s::timestamptz
ORDER BY read_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
"""


def holds_report(
    cursor: Cursor, wanted: PageRequest, scope: Scope = EVERYTHING, *, released: bool = True
) -> HoldsReport:
    """Return a page of the holds that were in force at some time of the period; three queries.

    Without `released`, of those in force alone and without what became of them; two.
    """
    cursor.execute(_HOLDS, {"released": released, **scope.params, **wanted.window})
    lines, page = wanted.cut([HoldLine(UUID(row[0]), *row[1:]) for row in cursor.fetchall()])
    cursor.execute(_IN_FORCE, scope.params)
    row = cursor.fetchone()
    events: tuple[HoldEventLine, ...] = ()
    if released:
        cursor.execute(_EVENTS, {"holds": [str(line.id) for line in lines]})
        events = tuple(HoldEventLine(UUID(event[0]), *event[1:]) for event in cursor.fetchall())
    return HoldsReport(row[0] if row else 0, lines, events, page)


def reads_report(cursor: Cursor, wanted: PageRequest, scope: Scope = EVERYTHING) -> ReadsReport:
    """Return a page of reads across tenants; one query. They are nobody's alone: the scope's
    tenant does not matter."""
    told = "NULL, NULL, place, NULL, NULL" if scope.confined else _TOLD
    cursor.execute(_READS.format(told), {**scope.params, **wanted.window})
    lines, page = wanted.cut([ReadLine(UUID(row[0]), *row[1:]) for row in cursor.fetchall()])
    return ReadsReport(lines, page)
