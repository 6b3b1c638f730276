"""What was handed out: copies of people's and tenants' data, with their clocks; certificates.

Whose a copy is, of a person, is not shown: the record has a hash. Who asked for a copy of their
data has it within a month (GDPR 12(3)), counted from when they asked, or, where nobody said when
that was, from when the copy was begun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.reports.paging import MAX_SIZE, Page, PageRequest
from retention.reports.scope import Scope
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class ExportLine:
    """A copy. `kind` is subject or tenant, `subject` which kind of person. `outcome` is in time,
    overdue, answered in time, answered late; of a copy of all of a tenant, its state.
    `made_good_at` is when a later copy of the same was finished, where this one was not; `left_s`
    is how long is left until `due_at` (below zero: overdue).
    """

    id: UUID
    tenant: str
    tenant_name: str
    kind: str
    subject: str | None
    state: str
    outcome: str
    requested_by: str
    reason: str | None
    received_at: datetime
    due_at: datetime | None
    left_s: float | None
    began_at: datetime
    took_s: float | None
    as_of: datetime | None
    tables: int | None
    rows: int | None
    bytes: int | None
    manifest_sha256: str | None
    made_good_at: datetime | None
    problem: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class CertificateLine:
    """A certificate that was given out: of a run, an erasure or a tenant that left
    (`subject_id`); `tenant` is null for one of all tenants, `issued_by` for a tenant's own auditor.
    `statement_sha256` is over all that it states."""

    id: UUID
    kind: str
    subject_id: UUID
    tenant: str | None
    issued_at: datetime
    issued_by: str | None
    release: str
    backups_kept_days: int | None
    statement_sha256: str


@dataclass(frozen=True, slots=True)
class ExportsReport:
    """How many people wait for a copy now, and longer than a month; a page of copies that were
    open at some time of the period, open ones first, those due first ahead; and the certificates
    of the period, newest first, of which `cut` says that only the latest MAX_SIZE are there."""

    open: int
    overdue: int
    exports: tuple[ExportLine, ...]
    certificates: tuple[CertificateLine, ...]
    cut: bool
    page: Page


# A month by the calendar, in UTC; what was broken off or failed is open until one is finished.
_COPIES = """
SELECT x.*, CASE WHEN x.ended_at IS NULL OR x.state = 'failed' THEN x.made_good END AS made_good_at,
       CASE WHEN x.state = 'finished' THEN x.ended_at ELSE x.made_good END AS answered_at
FROM (
    SELECT e.tenant_id, e.id, e.kind, e.subject, e.state, e.requested_by, e.reason, e.began_at,
           e.as_of, e.counts, e.bytes, e.manifest_sha256, e.problem, e.ended_at,
           coalesce(e.received_at, e.began_at) AS received,
           CASE WHEN e.kind = 'subject' THEN
               (coalesce(e.received_at, e.began_at) AT TIME ZONE 'UTC' + interval '1 month')
                   AT TIME ZONE 'UTC' END AS due_at,
           CASE WHEN e.state <> 'finished' THEN tenure.copied_later(e.id) END AS made_good
    FROM tenure.exports e
    WHERE %(tenant)s::uuid IS NULL OR e.tenant_id = %(tenant)s::uuid
) x
"""
_NOW = f"""
SELECT count(*), count(*) FILTER (WHERE c.due_at < clock_timestamp())
FROM ({_COPIES}) c WHERE c.kind = 'subject' AND c.answered_at IS NULL
"""  # noqa: S608 - a constant
_EXPORTS = f"""
SELECT c.id::text, t.slug, t.name, c.kind, c.subject, c.state,
       CASE WHEN c.kind = 'tenant' THEN c.state
            WHEN c.answered_at IS NULL
            THEN CASE WHEN c.due_at < clock_timestamp() THEN 'overdue' ELSE 'in time' END
            ELSE CASE WHEN c.due_at < c.answered_at THEN 'answered late'
                      ELSE 'answered in time' END END,
       c.requested_by, c.reason, c.received, c.due_at,
       CASE WHEN c.answered_at IS NULL
           THEN extract(epoch FROM c.due_at - clock_timestamp())::float8 END,
       c.began_at, extract(epoch FROM c.ended_at - c.began_at)::float8, c.as_of,
       (SELECT count(*) FROM jsonb_object_keys(c.counts))::bigint,
       (SELECT sum(n.value::text::bigint) FROM jsonb_each(c.counts) n)::bigint,
       c.bytes, c.manifest_sha256, c.made_good_at, c.problem, c.ended_at, c.counts IS NULL
FROM ({_COPIES}) c JOIN tenure.tenants t ON t.id = c.tenant_id
WHERE c.received < %(until)s::timestamptz
  AND (c.answered_at IS NULL AND c.kind = 'subject' OR c.ended_at IS NULL
       OR greatest(c.ended_at, c.answered_at) >= %(since)s::timestamptz)
ORDER BY NOT (c.answered_at IS NULL AND c.kind = 'subject'),
    CASE WHEN c.answered_at IS NULL THEN c.due_at END, c.began_at DESC, c.id DESC
LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - a constant
_CERTIFICATES = """
SELECT c.id::text, c.kind, c.subject_id::text, t.slug, c.issued_at, {}, c.release,
       c.backups_kept_days, c.statement_sha256
FROM tenure.certificates c LEFT JOIN tenure.tenants t ON t.id = c.tenant_id
WHERE (%(tenant)s::uuid IS NULL OR c.tenant_id = %(tenant)s::uuid)
  AND c.issued_at >= %(since)s::timestamptz AND c.issued_at < %(until)s::timestamptz
ORDER BY c.issued_at DESC, c.id DESC LIMIT %(limit)s OFFSET %(offset)s
"""


def exports_report(cursor: Cursor, wanted: PageRequest, scope: Scope) -> ExportsReport:
    """Return a page of copies, and the certificates of the period; three queries."""
    cursor.execute(_NOW, scope.params)
    ((is_open, overdue),) = cursor.fetchall()
    cursor.execute(_EXPORTS, {**scope.params, **wanted.window})
    lines, page = wanted.cut([_line(row) for row in cursor.fetchall()])
    latest = PageRequest(size=MAX_SIZE)
    by = "NULL" if scope.confined else "c.issued_by"
    cursor.execute(_CERTIFICATES.format(by), {**scope.params, **latest.window})
    certificates, of_all = latest.cut([_certificate(row) for row in cursor.fetchall()])
    return ExportsReport(is_open, overdue, lines, certificates, of_all.next is not None, page)


def _line(row: Sequence[Any]) -> ExportLine:
    *values, unknown = row
    if unknown:  # of a copy that is not finished nobody has counted anything
        values[15] = None
    return ExportLine(UUID(values[0]), *values[1:])


def _certificate(row: Sequence[Any]) -> CertificateLine:
    return CertificateLine(UUID(row[0]), row[1], UUID(row[2]), *row[3:])
