"""Restorations: archived rows that somebody brought back, why, and until when they stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.reports.paging import Page, PageRequest
from retention.reports.scope import Scope
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class RestorationLine:
    """A batch that came back from the archive, as far as it was there. `trace_id` is the run's that
    archived it, at `archived_at`; `counts` are rows per table. No policy takes them before
    `kept_until`."""

    id: UUID
    tenant: str
    tenant_name: str
    trace_id: str
    batch_id: UUID
    policy: str
    rows: int
    counts: Mapping[str, int]
    reason: str
    restored_by: str
    archived_at: datetime
    restored_at: datetime
    kept_until: datetime
    stays: bool


@dataclass(frozen=True, slots=True)
class RestorationsReport:
    """How many batches stay by a restoration now; a page of those that came back in the period,
    newest first."""

    staying: int
    restorations: tuple[RestorationLine, ...]
    page: Page


_OF_TENANT = "(%(tenant)s::uuid IS NULL OR r.tenant_id = %(tenant)s::uuid)"
_NOW = f"""
SELECT count(*) FROM tenure.restorations r WHERE r.kept_until > clock_timestamp() AND {_OF_TENANT}
"""  # noqa: S608 - a constant
_RESTORATIONS = f"""
SELECT r.id::text, t.slug, t.name, b.trace_id, b.id::text, b.policy,
       (SELECT coalesce(sum(n.value::text::bigint), 0) FROM jsonb_each(r.counts) n)::bigint,
       r.counts, r.reason, r.restored_by, b.recorded_at, r.restored_at, r.kept_until,
       r.kept_until > clock_timestamp()
FROM tenure.restorations r
JOIN tenure.tenants t ON t.id = r.tenant_id
JOIN tenure.batches b ON b.tenant_id = r.tenant_id AND b.run_id = r.run_id AND b.id = r.batch_id
WHERE {_OF_TENANT}
  AND r.restored_at >= %(since)s::timestamptz AND r.restored_at < %(until)s::timestamptz
ORDER BY r.restored_at DESC, r.id DESC LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - a constant


def restorations_report(cursor: Cursor, wanted: PageRequest, scope: Scope) -> RestorationsReport:
    """Return a page of restorations; two queries."""
    cursor.execute(_NOW, scope.params)
    ((staying,),) = cursor.fetchall()
    cursor.execute(_RESTORATIONS, {**scope.params, **wanted.window})
    lines, page = wanted.cut([_line(row) for row in cursor.fetchall()])
    return RestorationsReport(staying, lines, page)


def _line(row: Sequence[Any]) -> RestorationLine:
    values = [UUID(row[0]), *row[1:4], UUID(row[4]), *row[5:]]
    return RestorationLine(*values)
