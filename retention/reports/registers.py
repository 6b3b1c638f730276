"""The registers: legal holds, and reads across tenants with their reasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from retention.reports.paging import Page, PageRequest
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class HoldLine:
    """A legal hold on a tenant; in force until it is released."""

    id: UUID
    tenant: str
    tenant_name: str
    matter: str
    reason: str
    placed_by: str
    placed_at: datetime
    released_by: str | None
    released_at: datetime | None
    in_force: bool


@dataclass(frozen=True, slots=True)
class HoldsReport:
    """A page of holds, those in force first, each newest first; and how many are in force."""

    in_force: int
    holds: tuple[HoldLine, ...]
    page: Page


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A read across tenants: by whom, why, from where in the program, and the statement."""

    id: UUID
    read_at: datetime
    actor: str
    reason: str
    place: str
    statement: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class ReadsReport:
    """A page of reads across tenants, newest first."""

    reads: tuple[ReadLine, ...]
    page: Page


_HOLDS = """
SELECT h.id::text, t.slug, t.name, h.matter, h.reason, h.placed_by, h.placed_at,
       h.released_by, h.released_at, h.released_at IS NULL
FROM tenure.holds h JOIN tenure.tenants t ON t.id = h.tenant_id
WHERE h.released_at IS NULL OR %(released)s
ORDER BY h.released_at IS NOT NULL, h.placed_at DESC, h.id DESC
LIMIT %(limit)s OFFSET %(offset)s
"""
_IN_FORCE = "SELECT count(*) FROM tenure.holds WHERE released_at IS NULL"

_READS = """
SELECT id::text, read_at, actor, reason, place, statement, trace_id
FROM tenure.cross_tenant_reads
ORDER BY read_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
"""


def holds_report(cursor: Cursor, wanted: PageRequest, *, released: bool = True) -> HoldsReport:
    """Return a page of holds, without `released` of those in force alone; two queries."""
    cursor.execute(_HOLDS, {"released": released, **wanted.window})
    lines, page = wanted.cut([HoldLine(UUID(row[0]), *row[1:]) for row in cursor.fetchall()])
    cursor.execute(_IN_FORCE)
    row = cursor.fetchone()
    return HoldsReport(row[0] if row else 0, lines, page)


def reads_report(cursor: Cursor, wanted: PageRequest) -> ReadsReport:
    """Return a page of reads across tenants; one query."""
    cursor.execute(_READS, wanted.window)
    lines, page = wanted.cut([ReadLine(UUID(row[0]), *row[1:]) for row in cursor.fetchall()])
    return ReadsReport(lines, page)
