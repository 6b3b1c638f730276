"""What verification found: rows overdue, orphaned, undated, and the queries that tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.reports.paging import Page, PageRequest
from retention.reports.words import seconds_between
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class Verification:
    """A verification that ended. `findings` counts rows overdue or orphaned, as recorded."""

    id: UUID
    trace_id: str
    as_of: datetime
    started_by: str
    started_at: datetime
    finished_at: datetime
    seconds: float | None
    findings: int


@dataclass(frozen=True, slots=True)
class Check:
    """What was found for one subject (a policy, a reference, a table) over all tenants.

    `found` rows are in `tenants` tenants; `held` rows are past their period, too, and kept
    by holds, `paused` ones by nothing but a pause of their policy. `oldest` is the oldest
    starting point among those found. `is_finding`: this must not be (undated rows are shown,
    and may be as they should).
    """

    kind: str
    subject: str
    found: int
    held: int
    paused: int
    tenants: int
    oldest: datetime | None
    is_finding: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """Rows found per kind of check, and rows past their period under hold or pause.

    `adds_up`: the findings recorded with the verification are those of its results.
    """

    overdue: int
    orphans: int
    held_missing: int
    undated: int
    held: int
    paused: int
    adds_up: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What one query found in one tenant; without a tenant it found nothing in any."""

    kind: str
    subject: str
    tenant: str | None
    tenant_name: str | None
    found: int
    held: int
    paused: int
    oldest: datetime | None
    query: str


@dataclass(frozen=True, slots=True)
class VerificationsReport:
    """A page of verifications, newest first."""

    verifications: tuple[Verification, ...]
    page: Page


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """A verification: checks over all tenants, and a page of results per tenant."""

    verification: Verification
    totals: Totals
    checks: tuple[Check, ...]
    results: tuple[Result, ...]
    page: Page


_VERIFICATION = """
SELECT id::text, trace_id, as_of, started_by, started_at, finished_at, findings
FROM tenure.verifications
"""
_LAST = _VERIFICATION + "ORDER BY finished_at DESC, id DESC LIMIT 1"
_LIST = _VERIFICATION + "ORDER BY finished_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s"
_ONE = _VERIFICATION + "WHERE id = %(id)s::uuid"

_CHECKS = """
SELECT kind, subject, sum(found)::bigint, sum(held)::bigint, sum(paused)::bigint,
       (count(DISTINCT tenant_id) FILTER (WHERE found > 0))::bigint,
       min(oldest) FILTER (WHERE found > 0)
FROM tenure.verification_results
WHERE verification_id = %(id)s::uuid
  AND (%(policy)s::text IS NULL OR (kind IN ('overdue', 'undated') AND subject = %(policy)s))
GROUP BY kind, subject
ORDER BY array_position(ARRAY['overdue', 'orphans', 'held_missing', 'undated'], kind), subject
"""

_RESULTS = """
SELECT r.kind, r.subject, t.slug, t.name, r.found, r.held, r.paused, r.oldest, r.query
FROM tenure.verification_results r LEFT JOIN tenure.tenants t ON t.id = r.tenant_id
WHERE r.verification_id = %(id)s::uuid
ORDER BY r.found = 0,
         array_position(ARRAY['overdue', 'orphans', 'held_missing', 'undated'], r.kind),
         r.subject, t.slug, r.id
LIMIT %(limit)s OFFSET %(offset)s
"""


def last_verification(
    cursor: Cursor, policy: str | None = None
) -> tuple[Verification | None, tuple[Check, ...]]:
    """Return the latest verification and its checks (or a policy's alone); two queries.

    (None, ()) while there was none.
    """
    cursor.execute(_LAST)
    row = cursor.fetchone()
    if row is None:
        return None, ()
    verification = _verification(row)
    return verification, _checks(cursor, verification.id, policy)


def verifications_report(cursor: Cursor, wanted: PageRequest) -> VerificationsReport:
    """Return a page of verifications; one query."""
    cursor.execute(_LIST, wanted.window)
    lines, page = wanted.cut([_verification(row) for row in cursor.fetchall()])
    return VerificationsReport(lines, page)


def verification_report(
    cursor: Cursor, verification_id: UUID, wanted: PageRequest
) -> VerificationReport | None:
    """Return a verification with its results, None where there is no such; three queries."""
    cursor.execute(_ONE, {"id": str(verification_id)})
    row = cursor.fetchone()
    if row is None:
        return None
    verification = _verification(row)
    checks = _checks(cursor, verification.id, None)
    cursor.execute(_RESULTS, {"id": str(verification_id), **wanted.window})
    results, page = wanted.cut([Result(*row) for row in cursor.fetchall()])
    return VerificationReport(verification, totals(verification, checks), checks, results, page)


def totals(verification: Verification, checks: tuple[Check, ...]) -> Totals:
    """Return the sums over all checks of a verification."""

    def found(kind: str) -> int:
        return sum(check.found for check in checks if check.kind == kind)

    return Totals(
        overdue=found("overdue"),
        orphans=found("orphans"),
        held_missing=found("held_missing"),
        undated=found("undated"),
        held=sum(check.held for check in checks),
        paused=sum(check.paused for check in checks),
        adds_up=sum(check.found for check in checks if check.is_finding) == verification.findings,
    )


def _verification(row: tuple[Any, ...]) -> Verification:
    verification_id, trace_id, as_of, by, started, finished, findings = row
    return Verification(
        id=UUID(verification_id),
        trace_id=trace_id,
        as_of=as_of,
        started_by=by,
        started_at=started,
        finished_at=finished,
        seconds=seconds_between(started, finished),
        findings=findings,
    )


def _checks(cursor: Cursor, verification_id: UUID, policy: str | None) -> tuple[Check, ...]:
    cursor.execute(_CHECKS, {"id": str(verification_id), "policy": policy})
    return tuple(
        Check(kind, subject, found, held, paused, tenants, oldest, found > 0 and kind != "undated")
        for kind, subject, found, held, paused, tenants, oldest in cursor.fetchall()
    )
