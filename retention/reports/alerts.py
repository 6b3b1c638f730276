"""What was warned of: open alerts and past ones, and how long each lasted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from retention.reports.paging import Page, PageRequest
from retention.reports.scope import Scope
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class AlertLine:
    """An alert. `state` is open or resolved, `lasted_s` up to its end or now; `delivered_at` is
    when the webhook last took it, `problem` why it would not."""

    id: UUID
    state: str
    kind: str
    subject: str
    detail: str
    raised_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    lasted_s: float
    delivered_at: datetime | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class AlertsReport:
    """A page of the alerts that were open at some time of the period, open ones first, each
    newest first; how many are open now."""

    open: int
    alerts: tuple[AlertLine, ...]
    page: Page


_ALERTS = """
SELECT id::text, CASE WHEN resolved_at IS NULL THEN 'open' ELSE 'resolved' END, kind, subject,
       detail, raised_at, last_seen_at, resolved_at,
       extract(epoch FROM coalesce(resolved_at, clock_timestamp()) - raised_at)::float8,
       delivered_at, problem
FROM tenure.alerts
WHERE raised_at < %(until)s::timestamptz
  AND (resolved_at IS NULL OR resolved_at >= %(since)s::timestamptz)
ORDER BY resolved_at IS NOT NULL, raised_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
"""


def alerts_report(cursor: Cursor, wanted: PageRequest, scope: Scope) -> AlertsReport:
    """Return a page of alerts; two queries. They are the installation's, not a tenant's."""
    cursor.execute(_ALERTS, {**scope.params, **wanted.window})
    lines, page = wanted.cut([AlertLine(UUID(row[0]), *row[1:]) for row in cursor.fetchall()])
    cursor.execute("SELECT count(*) FROM tenure.alerts WHERE resolved_at IS NULL")
    row = cursor.fetchone()
    return AlertsReport(row[0] if row else 0, lines, page)
