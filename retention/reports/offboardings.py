"""Offboardings with their clocks: which tenants leave, what is overdue and why, what went, and what
stays for which reason."""

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
class OffboardingLine:
    """An offboarding. `outcome` is in its grace, overdue (the grace is over, and it has not begun;
    or a connector is late), under way, deferred (by a hold), completed or taken back. Its clocks:
    how long is left until the deletion may begin (below zero: for how long it may), and how long
    all of it took.

    `exported_at` is as of when the copy is that counts, `access` what ended when the deletion
    began, `waits_for` why it does not go on, `connectors` how far each of them is. At the end
    `verified_by`, a role, found no row. `certificate` is the latest.
    """

    id: UUID
    tenant: str
    tenant_name: str
    state: str
    outcome: str
    requested_by: str
    reason: str
    requested_at: datetime
    grace: str
    deletes_at: datetime
    left_s: float | None
    took_s: float | None
    exported_at: datetime | None
    export_sha256: str | None
    taken_back_by: str | None
    taken_back_reason: str | None
    started_at: datetime | None
    access: Mapping[str, int] | None
    trace_id: str | None
    rows: int
    batches: int
    last_batch_at: datetime | None
    waits_for: str | None
    connectors: tuple[str, ...]
    verified_at: datetime | None
    verified_by: str | None
    certificate: UUID | None
    certified_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class StaysLine:
    """What stays of a tenant that left, by table of the evidence, and why; `rows` is null for
    what nobody may count."""

    offboarding_id: UUID
    table: str
    rows: int | None
    why: str


@dataclass(frozen=True, slots=True)
class OffboardingsReport:
    """How many are open, overdue and deferred now; a page of those that were open at some time of
    the period, open ones first, those due first ahead; and of these what went, and what stays."""

    open: int
    overdue: int
    deferred: int
    offboardings: tuple[OffboardingLine, ...]
    purged: tuple[PurgedLine, ...]
    stays: tuple[StaysLine, ...]
    page: Page


_OF_TENANT = "(%(tenant)s::uuid IS NULL OR o.tenant_id = %(tenant)s::uuid)"
_OUTCOME = """
CASE WHEN o.ended_at IS NOT NULL THEN o.state
     WHEN o.deletes_at > clock_timestamp() THEN 'in its grace'
     WHEN o.state = 'deferred' THEN 'deferred'
     WHEN o.started_at IS NULL OR EXISTS (
         SELECT FROM tenure.connector_requests r
         WHERE r.tenant_id = o.tenant_id AND r.cause = 'offboarding' AND r.cause_id = o.id
           AND r.ended_at IS NULL AND r.due_at < clock_timestamp())
     THEN 'overdue' ELSE 'under way' END
"""
# Of what is due and has not begun, nobody has said anything yet.
_WAITS = """
CASE WHEN o.ended_at IS NOT NULL OR o.waits IS NOT NULL OR o.started_at IS NOT NULL
          OR o.deletes_at > clock_timestamp() THEN o.waits
     WHEN o.export_id IS NULL THEN 'no copy was made' ELSE 'no worker has begun it' END
"""
_NOW = f"""
SELECT count(*), count(*) FILTER (WHERE n.outcome = 'overdue'),
       count(*) FILTER (WHERE n.outcome = 'deferred')
FROM (SELECT {_OUTCOME} AS outcome FROM tenure.offboardings o
      WHERE o.ended_at IS NULL AND {_OF_TENANT}) n
"""  # noqa: S608 - constants
_OFFBOARDINGS = f"""
SELECT o.id::text, t.slug, t.name, o.state, {_OUTCOME}, o.requested_by, o.reason, o.requested_at,
       o.grace, o.deletes_at,
       CASE WHEN o.ended_at IS NULL
           THEN extract(epoch FROM o.deletes_at - clock_timestamp())::float8 END,
       extract(epoch FROM o.ended_at - o.requested_at)::float8,
       x.as_of, x.manifest_sha256, o.taken_back_by, o.taken_back_reason, o.started_at,
       o.access, p.trace_id, coalesce(b.rows, 0), coalesce(b.batches, 0),
       b.last_at, {_WAITS},
       (SELECT coalesce(array_agg(r.connector || ': ' || r.state ORDER BY r.connector), '{{}}')
        FROM tenure.connector_requests r WHERE r.tenant_id = o.tenant_id
          AND r.cause = 'offboarding' AND r.cause_id = o.id),
       (o.counts->'verified'->>'at')::timestamptz, o.counts->'verified'->>'by',
       c.id::text, c.issued_at, o.ended_at, o.tenant_id::text, o.purge_id::text, o.stays
FROM tenure.offboardings o
JOIN tenure.tenants t ON t.id = o.tenant_id
LEFT JOIN tenure.exports x ON x.tenant_id = o.tenant_id AND x.id = o.export_id
LEFT JOIN tenure.purges p ON p.tenant_id = o.tenant_id AND p.id = o.purge_id
LEFT JOIN LATERAL (
    SELECT sum(b.rows)::bigint AS rows, count(*) AS batches, max(b.recorded_at) AS last_at
    FROM tenure.purge_batches b
    WHERE b.tenant_id = o.tenant_id AND b.purge_id = o.purge_id) b ON true
LEFT JOIN LATERAL (
    SELECT c.id, c.issued_at FROM tenure.certificates c
    WHERE c.kind = 'tenant' AND c.tenant_id = o.tenant_id AND c.subject_id = o.id
    ORDER BY c.issued_at DESC, c.id DESC LIMIT 1) c ON true
WHERE {_OF_TENANT} AND o.requested_at < %(until)s::timestamptz
  AND (o.ended_at IS NULL OR o.ended_at >= %(since)s::timestamptz)
ORDER BY o.ended_at IS NOT NULL, CASE WHEN o.ended_at IS NULL THEN o.deletes_at END,
    o.ended_at DESC, o.id DESC
LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - constants


def offboardings_report(cursor: Cursor, wanted: PageRequest, scope: Scope) -> OffboardingsReport:
    """Return a page of offboardings, and what there is of each; three queries."""
    cursor.execute(_NOW, scope.params)
    ((is_open, overdue, deferred),) = cursor.fetchall()
    cursor.execute(_OFFBOARDINGS, {**scope.params, **wanted.window})
    rows, page = wanted.cut(cursor.fetchall())
    purges = {UUID(row[-2]): UUID(row[0]) for row in rows if row[-2] is not None}
    return OffboardingsReport(
        is_open,
        overdue,
        deferred,
        tuple(_line(row) for row in rows),
        purged_lines(cursor, purges, [UUID(row[-3]) for row in rows]),
        tuple(line for row in rows for line in _stays(UUID(row[0]), row[-1] or {})),
        page,
    )


def _line(row: Sequence[Any]) -> OffboardingLine:
    certificate = None if row[26] is None else UUID(row[26])
    values = [UUID(row[0]), *row[1:23], tuple(row[23]), *row[24:26], certificate, *row[27:29]]
    return OffboardingLine(*values)


def _stays(offboarding_id: UUID, stays: Mapping[str, Mapping[str, Any]]) -> Iterator[StaysLine]:
    for table, of in sorted(stays.items()):
        yield StaysLine(offboarding_id, table, of["rows"], of["why"])
