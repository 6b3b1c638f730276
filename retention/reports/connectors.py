"""What others were asked to erase: each request with its clock, and each connector's account."""

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
class ConnectorLine:
    """A connector's account of the period's requests; `oldest_open_at` is when the oldest that is
    still open was made."""

    connector: str
    requests: int
    open: int
    overdue: int
    acknowledged: int
    refused: int
    withdrawn: int
    oldest_open_at: datetime | None


@dataclass(frozen=True, slots=True)
class RequestLine:
    """A request. `outcome` is in time, overdue, answered in time, answered late, or never
    answered, where it was withdrawn; `left_s` is left until its deadline (below zero: overdue),
    `took_s` how long the answer took.

    `cause_id` is the erasure's, or the offboarding's. `told_at` is when the first message was about
    to leave; `problem` is what the last attempt met.
    """

    id: UUID
    tenant: str
    tenant_name: str
    connector: str
    cause: str
    cause_id: UUID
    subject: str | None
    state: str
    outcome: str
    requested_at: datetime
    due_at: datetime
    left_s: float | None
    took_s: float | None
    failures: int
    next_attempt_at: datetime | None
    told_at: datetime | None
    delivered_at: datetime | None
    ended_at: datetime | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class RequestEventLine:
    """A step of a request; `digest` is the SHA-256 of the acknowledgement's body."""

    request_id: UUID
    connector: str
    event: str
    counts: Mapping[str, Any]
    detail: str | None
    digest: str | None
    actor: str
    happened_at: datetime


@dataclass(frozen=True, slots=True)
class ConnectorsReport:
    """How many requests are open and overdue now; each connector's account; a page of the
    requests that were open at some time of the period, open ones first; and their steps."""

    open: int
    overdue: int
    connectors: tuple[ConnectorLine, ...]
    requests: tuple[RequestLine, ...]
    events: tuple[RequestEventLine, ...]
    page: Page


_OF_TENANT = "(%(tenant)s::uuid IS NULL OR r.tenant_id = %(tenant)s::uuid)"
_OF_PERIOD = f"""{_OF_TENANT} AND r.requested_at < %(until)s::timestamptz
  AND (r.ended_at IS NULL OR r.ended_at >= %(since)s::timestamptz)"""
_NOW = f"""
SELECT count(*), count(*) FILTER (WHERE r.due_at < clock_timestamp())
FROM tenure.connector_requests r WHERE r.ended_at IS NULL AND {_OF_TENANT}
"""  # noqa: S608 - a constant
_CONNECTORS = f"""
SELECT r.connector, count(*), count(*) FILTER (WHERE r.ended_at IS NULL),
       count(*) FILTER (WHERE r.ended_at IS NULL AND r.due_at < clock_timestamp()),
       count(*) FILTER (WHERE r.state = 'acknowledged'),
       count(*) FILTER (WHERE r.state = 'refused'),
       count(*) FILTER (WHERE r.state = 'withdrawn'),
       min(r.requested_at) FILTER (WHERE r.ended_at IS NULL)
FROM tenure.connector_requests r WHERE {_OF_PERIOD}
GROUP BY r.connector ORDER BY r.connector
"""  # noqa: S608 - a constant
_REQUESTS = f"""
SELECT r.id::text, t.slug, t.name, r.connector, r.cause, r.cause_id::text, r.subject, r.state,
       CASE WHEN r.ended_at IS NULL
           THEN CASE WHEN r.due_at < clock_timestamp() THEN 'overdue' ELSE 'in time' END
           WHEN r.state = 'withdrawn' THEN 'never answered'
           ELSE CASE WHEN r.due_at < r.ended_at THEN 'answered late' ELSE 'answered in time' END
       END,
       r.requested_at, r.due_at,
       CASE WHEN r.ended_at IS NULL
           THEN extract(epoch FROM r.due_at - clock_timestamp())::float8 END,
       CASE WHEN r.state <> 'withdrawn'
           THEN extract(epoch FROM r.ended_at - r.requested_at)::float8 END,
       r.failures, CASE WHEN r.ended_at IS NULL THEN r.next_attempt_at END, r.told_at,
       r.delivered_at, r.ended_at, r.problem
FROM tenure.connector_requests r
JOIN tenure.tenants t ON t.id = r.tenant_id
WHERE {_OF_PERIOD}
ORDER BY r.ended_at IS NOT NULL, CASE WHEN r.ended_at IS NULL THEN r.due_at END,
    r.ended_at DESC, r.id DESC
LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - a constant
_EVENTS = """
SELECT v.request_id::text, v.connector, v.event, v.counts, v.detail, v.digest, v.actor,
       v.happened_at
FROM tenure.connector_events v WHERE v.request_id = ANY(%(requests)s::uuid[])
ORDER BY v.happened_at DESC, v.id DESC
"""


def connectors_report(cursor: Cursor, wanted: PageRequest, scope: Scope) -> ConnectorsReport:
    """Return a page of requests to connectors, and what there is of each; four queries."""
    cursor.execute(_NOW, scope.params)
    ((is_open, overdue),) = cursor.fetchall()
    cursor.execute(_CONNECTORS, scope.params)
    connectors = tuple(ConnectorLine(*row) for row in cursor.fetchall())
    cursor.execute(_REQUESTS, {**scope.params, **wanted.window})
    lines, page = wanted.cut([_line(row) for row in cursor.fetchall()])
    cursor.execute(_EVENTS, {"requests": [str(line.id) for line in lines]})
    events = tuple(RequestEventLine(UUID(row[0]), *row[1:]) for row in cursor.fetchall())
    return ConnectorsReport(is_open, overdue, connectors, lines, events, page)


def _line(row: Sequence[Any]) -> RequestLine:
    values = [UUID(row[0]), *row[1:5], UUID(row[5]), *row[6:]]
    return RequestLine(*values)
