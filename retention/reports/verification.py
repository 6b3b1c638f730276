"""What verification found: rows overdue, orphaned, back, undated, and the queries that tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.reports.paging import Page, PageRequest
from retention.reports.scope import EVERYTHING, Scope
from retention.reports.words import seconds_between
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class Verification:
    """A verification that ended. `findings` counts what must not be, as recorded; `account` is
    its number in the books, None where it moved none."""

    id: UUID
    trace_id: str
    as_of: datetime
    started_by: str
    started_at: datetime
    finished_at: datetime
    seconds: float | None
    findings: int
    account: int | None


@dataclass(frozen=True, slots=True)
class Check:
    """What was found for one subject (a policy, a reference, a table) over all tenants.

    `found` rows are in `tenants` tenants. Rows past their period, too, and no findings: `held`
    by holds, `undeletable` for references (since `undeletable_oldest`), `paused` by nothing but
    a pause of their policy. `oldest` is the oldest starting point among those found, `age_p99_s`
    for how long they have been due, of the tenant that is worst off; what started before
    `watermark` is processed in every tenant. `reasons` counts rows by why they are found or
    undeletable. `is_finding`: this must not be (undated rows are shown, and may be as they
    should).
    """

    kind: str
    subject: str
    found: int
    held: int
    undeletable: int
    paused: int
    tenants: int
    oldest: datetime | None
    undeletable_oldest: datetime | None
    age_p99_s: int | None
    watermark: datetime | None
    reasons: Mapping[str, int]
    is_finding: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """Rows found per kind of check, and rows past their period by what keeps them.

    `records` counts tables of batches, `unreconciled` rows by which books do not come out,
    `erasures` requests that had no answer in time.
    `adds_up`: the findings recorded with the verification (`counted` from its results) are
    those of its results.
    """

    overdue: int
    orphans: int
    held_missing: int
    returned: int
    records: int
    unreconciled: int
    erasures: int
    undated: int
    held: int
    undeletable: int
    paused: int
    counted: int
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
    undeletable: int
    paused: int
    oldest: datetime | None
    undeletable_oldest: datetime | None
    age_p99_s: int | None
    watermark: datetime | None
    reasons: Mapping[str, int]
    query: str


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """A verification: checks over all tenants, and a page of results per tenant."""

    verification: Verification
    totals: Totals
    checks: tuple[Check, ...]
    results: tuple[Result, ...]
    page: Page


# In the order in which they are shown.
KINDS = (
    "overdue", "erasures", "reconciliation", "returned", "records", "held_missing", "orphans",
    "undated",
)  # fmt: skip

_VERIFICATION = """
SELECT id::text, trace_id, as_of, started_by, started_at, finished_at, findings, account
FROM tenure.verifications
"""
# One that looked back says nothing of how it stands.
_LAST = _VERIFICATION + "WHERE account IS NOT NULL ORDER BY account DESC LIMIT 1"
_ONE = _VERIFICATION + "WHERE id = %(id)s::uuid"

_CHECKS = """
SELECT kind, subject, sum(found)::bigint, sum(held)::bigint, sum(undeletable)::bigint,
       sum(paused)::bigint, (count(DISTINCT tenant_id) FILTER (WHERE found > 0))::bigint,
       min(oldest) FILTER (WHERE found > 0), min(undeletable_oldest), max(age_p99_s),
       min(watermark),
       (SELECT coalesce(jsonb_object_agg(w.reason, w.rows), '{}') FROM (
            SELECT e.key AS reason, sum(e.value::bigint) AS rows
            FROM tenure.verification_results x, jsonb_each_text(x.reasons) e
            WHERE x.verification_id = %(id)s::uuid AND x.kind = r.kind AND x.subject = r.subject
              AND (%(tenant)s::uuid IS NULL OR x.tenant_id = %(tenant)s::uuid)
            GROUP BY e.key) w),
       sum(found) > 0 AND kind <> 'undated'
FROM tenure.verification_results r
WHERE verification_id = %(id)s::uuid
  AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s::uuid)
  AND (%(policy)s::text IS NULL
       OR (kind IN ('overdue', 'undated', 'reconciliation') AND subject = %(policy)s))
GROUP BY kind, subject
ORDER BY array_position(%(kinds)s::text[], kind), subject
"""

_RESULTS = """
SELECT r.kind, r.subject, t.slug, t.name, r.found, r.held, r.undeletable, r.paused, r.oldest,
       r.undeletable_oldest, r.age_p99_s, r.watermark, r.reasons, r.query
FROM tenure.verification_results r LEFT JOIN tenure.tenants t ON t.id = r.tenant_id
WHERE r.verification_id = %(id)s::uuid
  AND (%(tenant)s::uuid IS NULL OR r.tenant_id = %(tenant)s::uuid)
ORDER BY r.found = 0, array_position(%(kinds)s::text[], r.kind), r.subject, t.slug, r.id
LIMIT %(limit)s OFFSET %(offset)s
"""


def last_verification(
    cursor: Cursor, policy: str | None = None, scope: Scope = EVERYTHING
) -> tuple[Verification | None, tuple[Check, ...]]:
    """Return the latest verification that moved the books on, and its checks (or a policy's
    alone); two queries.

    (None, ()) while there was none.
    """
    cursor.execute(_LAST)
    row = cursor.fetchone()
    if row is None:
        return None, ()
    verification = Verification(*head_of(row))
    return verification, _checks(cursor, verification.id, policy, scope)


def verification_report(
    cursor: Cursor, verification_id: UUID, wanted: PageRequest, scope: Scope = EVERYTHING
) -> VerificationReport | None:
    """Return a verification with its results, None where there is no such; three queries.

    Of one tenant, its findings are that tenant's.
    """
    cursor.execute(_ONE, {"id": str(verification_id)})
    row = cursor.fetchone()
    if row is None:
        return None
    verification = Verification(*head_of(row))
    checks = _checks(cursor, verification.id, None, scope)
    asked = {"id": str(verification_id), "kinds": list(KINDS), **scope.params, **wanted.window}
    cursor.execute(_RESULTS, asked)
    results, page = wanted.cut([Result(*row) for row in cursor.fetchall()])
    if scope.tenant is not None:
        own = sum(check.found for check in checks if check.is_finding)
        verification = replace(verification, findings=own)
    return VerificationReport(verification, totals(verification, checks), checks, results, page)


def totals(verification: Verification, checks: tuple[Check, ...]) -> Totals:
    """Return the sums over all checks of a verification."""

    def found(kind: str) -> int:
        return sum(check.found for check in checks if check.kind == kind)

    counted = sum(check.found for check in checks if check.is_finding)
    return Totals(
        overdue=found("overdue"),
        orphans=found("orphans"),
        held_missing=found("held_missing"),
        returned=found("returned"),
        records=found("records"),
        unreconciled=found("reconciliation"),
        erasures=found("erasures"),
        undated=found("undated"),
        held=sum(check.held for check in checks),
        undeletable=sum(check.undeletable for check in checks),
        paused=sum(check.paused for check in checks),
        counted=counted,
        adds_up=counted == verification.findings,
    )


def head_of(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values of a `Verification` from id, trace_id, as_of, started_by, started_at,
    finished_at, findings, account."""
    key, trace_id, as_of, by, started, finished, findings, account = row
    seconds = seconds_between(started, finished)
    return (UUID(key), trace_id, as_of, by, started, finished, seconds, findings, account)


def _checks(
    cursor: Cursor, verification_id: UUID, policy: str | None, scope: Scope
) -> tuple[Check, ...]:
    asked = {"id": str(verification_id), "policy": policy, "kinds": list(KINDS), **scope.params}
    cursor.execute(_CHECKS, asked)
    return tuple(Check(*row) for row in cursor.fetchall())
