"""Inspections: what the lint gate and the posture audit said, kept with their digests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from retention.reports.paging import Page, PageRequest
from retention.reports.scope import Scope
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class InspectionLine:
    """A kept result. `subject` is what was looked at, as whoever kept it says; `digest` the
    SHA-256 of the result's text, and `digest_matches` that it still is."""

    id: UUID
    recorded_at: datetime
    kind: str
    subject: str
    passed: bool
    findings: int
    suppressed: int
    tool: str
    digest: str
    digest_matches: bool
    recorded_by: str


@dataclass(frozen=True, slots=True)
class InspectionsReport:
    """A page of inspections, newest first; `latest` is the last of each kind up to the period's
    end, whenever it was."""

    latest: tuple[InspectionLine, ...]
    inspections: tuple[InspectionLine, ...]
    page: Page


_COLUMNS = """
id::text, recorded_at, kind, subject, passed, findings, suppressed, tool, digest,
encode(sha256(convert_to(result, 'UTF8')), 'hex') = digest, recorded_by
"""
_LATEST = f"""
SELECT {_COLUMNS} FROM (
    SELECT DISTINCT ON (kind) * FROM tenure.inspections
    WHERE recorded_at < %(until)s::timestamptz ORDER BY kind, recorded_at DESC, id DESC) i
ORDER BY kind
"""  # noqa: S608 - a constant
_INSPECTIONS = f"""
SELECT {_COLUMNS} FROM tenure.inspections
WHERE recorded_at >= %(since)s::timestamptz AND recorded_at < %(until)s::timestamptz
ORDER BY recorded_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - a constant


def inspections_report(cursor: Cursor, wanted: PageRequest, scope: Scope) -> InspectionsReport:
    """Return a page of inspections; two queries. They are the installation's, not a tenant's."""
    cursor.execute(_LATEST, scope.params)
    latest = tuple(InspectionLine(UUID(row[0]), *row[1:]) for row in cursor.fetchall())
    cursor.execute(_INSPECTIONS, {**scope.params, **wanted.window})
    lines, page = wanted.cut([InspectionLine(UUID(row[0]), *row[1:]) for row in cursor.fetchall()])
    return InspectionsReport(latest, lines, page)


def inspection_result(cursor: Cursor, inspection_id: UUID) -> str | None:
    """Return the text that was kept, as it was; None where there is no such inspection."""
    cursor.execute(
        "SELECT result FROM tenure.inspections WHERE id = %s::uuid", (str(inspection_id),)
    )
    row = cursor.fetchone()
    return None if row is None else str(row[0])
