"""Verifications one after the other: the figures of each, in all and for one policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from retention.reports.paging import Page, PageRequest
from retention.reports.scope import EVERYTHING, Scope
from retention.reports.verification import Verification, head_of
from tenants.connections import Cursor

POINTS = 60


@dataclass(frozen=True, slots=True)
class VerificationLine(Verification):
    """A verification and its sums. `age_p99_s` is of the policy and tenant worst off."""

    overdue: int
    age_p99_s: int | None
    held: int
    undeletable: int
    paused: int
    orphans: int
    returned: int
    unreconciled: int

    @property
    def broken(self) -> int:
        """Rows that are orphaned, or back."""
        return self.orphans + self.returned

    @property
    def kept(self) -> int:
        """Rows past their period that something keeps."""
        return self.held + self.undeletable + self.paused


@dataclass(frozen=True, slots=True)
class VerificationsReport:
    """A page of verifications, newest first; `daily`: of each day (UTC) the last alone, of those
    that moved the books on."""

    daily: bool
    verifications: tuple[VerificationLine, ...]
    page: Page


@dataclass(frozen=True, slots=True)
class PolicyPoint:
    """What one verification found for a policy, over all tenants."""

    verification: UUID
    finished_at: datetime
    overdue: int
    age_p99_s: int | None
    watermark: datetime | None
    held: int
    undeletable: int
    paused: int
    unreconciled: int


# The page is cut before results are looked at: the cost is the page's.
_LINES = """
WITH page AS (
    SELECT id, trace_id, as_of, started_by, started_at, finished_at, {findings}, account
    FROM tenure.verifications v
    WHERE v.finished_at >= %(since)s::timestamptz AND v.finished_at < %(until)s::timestamptz
      AND (NOT %(daily)s OR v.account IS NOT NULL AND NOT EXISTS (
        SELECT FROM tenure.verifications w
        WHERE w.account IS NOT NULL AND w.finished_at > v.finished_at
          AND w.finished_at < date_trunc('day', v.finished_at, 'UTC') + interval '24 hours'))
    ORDER BY finished_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
)
SELECT p.id::text, p.trace_id, p.as_of, p.started_by, p.started_at, p.finished_at,
       CASE WHEN %(tenant)s::uuid IS NULL THEN p.findings ELSE f.findings END, p.account,
       f.overdue, f.age_p99_s, f.held, f.undeletable, f.paused, f.orphans, f.returned,
       f.unreconciled
FROM page p
CROSS JOIN LATERAL (
    SELECT coalesce(sum(found) FILTER (WHERE kind = 'overdue'), 0)::bigint AS overdue,
           max(age_p99_s) AS age_p99_s, coalesce(sum(held), 0)::bigint AS held,
           coalesce(sum(undeletable), 0)::bigint AS undeletable,
           coalesce(sum(paused), 0)::bigint AS paused,
           coalesce(sum(found) FILTER (WHERE kind = 'orphans'), 0)::bigint AS orphans,
           coalesce(sum(found) FILTER (WHERE kind = 'returned'), 0)::bigint AS returned,
           coalesce(sum(found) FILTER (WHERE kind = 'reconciliation'), 0)::bigint AS unreconciled,
           coalesce(sum(found) FILTER (WHERE kind <> 'undated'), 0)::bigint AS findings
    FROM tenure.verification_results
    WHERE verification_id = p.id
      AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s::uuid)
) f
ORDER BY p.finished_at DESC, p.id DESC
"""

_POINTS = """
WITH latest AS (
    SELECT id, finished_at FROM tenure.verifications WHERE account IS NOT NULL
    ORDER BY account DESC LIMIT %s
)
SELECT v.id::text, v.finished_at, coalesce(sum(found) FILTER (WHERE kind = 'overdue'), 0)::bigint,
       max(age_p99_s), min(watermark), sum(held)::bigint, sum(undeletable)::bigint,
       sum(paused)::bigint,
       coalesce(sum(found) FILTER (WHERE kind = 'reconciliation'), 0)::bigint
FROM latest v JOIN tenure.verification_results r ON r.verification_id = v.id
WHERE r.subject = %s AND r.kind IN ('overdue', 'reconciliation')
GROUP BY v.id, v.finished_at ORDER BY v.finished_at DESC, v.id DESC
"""


def verifications_report(
    cursor: Cursor, wanted: PageRequest, *, daily: bool = False, scope: Scope = EVERYTHING
) -> VerificationsReport:
    """Return a page of verifications; one query. Of one tenant, findings and sums are its own."""
    findings = "NULL::bigint AS findings" if scope.confined else "findings"
    cursor.execute(
        _LINES.format(findings=findings), {"daily": daily, **scope.params, **wanted.window}
    )
    lines = [VerificationLine(*head_of(row[:8]), *row[8:]) for row in cursor.fetchall()]
    shown, page = wanted.cut(lines)
    return VerificationsReport(daily, shown, page)


def policy_points(cursor: Cursor, policy: str) -> tuple[PolicyPoint, ...]:
    """Return what the latest verifications found for a policy, newest first; one query."""
    cursor.execute(_POINTS, (POINTS, policy))
    return tuple(PolicyPoint(UUID(row[0]), *row[1:]) for row in cursor.fetchall())
