"""Alerts: what somebody should look at now, said once for as long as it lasts.

An alert is raised by its kind and subject, and resolved when what it is about is over. It goes
to the log, to a counter, and to a webhook if there is one. What could not be delivered is
tried again at every tick; what lasts is said again after a day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from config.logging import get_logger
from retention.connectors.requests import Request
from retention.errors import DeliveryError
from retention.schedule import Taken
from retention.verification import VerificationReport
from tenants.connections import Cursor, RoleConnections
from tenants.models import new_id

Kind = Literal[
    "run",
    "overdue",
    "orphans",
    "verification",
    "missed",
    "ledger",
    "erasure",
    "connector",
    "offboarding",
    "replay",
]

REMIND_AFTER = timedelta(days=1)

_log = get_logger(__name__)

#: Sends an alert's JSON; raises DeliveryError.
Send = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to look at. `subject` says of what it is: a policy, a reference, a schedule."""

    kind: Kind
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What was looked at: these kinds, of these subjects (None for all) `but` some."""

    kinds: Collection[Kind]
    subjects: Collection[str] | None = None
    but: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that is not resolved yet."""

    id: UUID
    kind: Kind
    subject: str
    detail: str
    raised_at: datetime
    delivered_at: datetime | None
    problem: str | None


RUN: tuple[Kind, ...] = ("run",)
MISSED: tuple[Kind, ...] = ("missed",)
ERASURES: tuple[Kind, ...] = ("erasure",)
CONNECTORS: tuple[Kind, ...] = ("connector",)
OFFBOARDINGS: tuple[Kind, ...] = ("offboarding",)
REPLAYS: tuple[Kind, ...] = ("replay",)
LEDGER: tuple[Kind, ...] = ("ledger",)
VERIFIED: tuple[Kind, ...] = ("overdue", "orphans", "verification")


def of_verification(report: VerificationReport) -> list[Alert]:
    """Return what is to be said of a verification: what it found, by kind and subject."""
    counts: dict[tuple[Kind, str], int] = {}
    unknown: dict[tuple[Kind, str], str] = {}
    for result in report.results:
        # Erasures are told of one by one.
        if result.is_finding and result.kind != "erasures":
            kind: Kind = result.kind if result.kind in ("overdue", "orphans") else "verification"
            subject = (
                result.subject if kind != "verification" else f"{result.kind} {result.subject}"
            )
            counts[kind, subject] = counts.get((kind, subject), 0) + result.found
            if result.could_not_be_asked:
                unknown[kind, subject] = result.could_not_be_asked
    return [
        Alert(
            kind,
            subject,
            f"{unknown.get((kind, subject), f'{rows} rows')}, as of {report.as_of.isoformat()}",
        )
        for (kind, subject), rows in sorted(counts.items())
    ]


def of_gap(gap: timedelta, now: datetime) -> Alert:
    """Return what is to be said of a time in which nobody ticked."""
    began = (now - gap).isoformat(timespec="seconds")
    return Alert("missed", "scheduler", f"nobody was there from {began} for {gap}")


def of_requests(requests: Iterable[Request]) -> list[Alert]:
    """Return what is to be said of open requests to connectors: which are late, by connector."""
    late: dict[str, list[Request]] = {}
    for request in requests:
        if request.overdue:
            late.setdefault(request.connector, []).append(request)
    return [
        Alert(
            "connector",
            connector,
            f"{len(found)} requests were to be acknowledged by now, the oldest, {found[0].id}, by "
            f"{min(request.due_at for request in found).isoformat(timespec='seconds')}",
        )
        for connector, found in sorted(late.items())
    ]


def of_missed(taken: Taken) -> Alert:
    """Return what is to be said of scheduled times for which nobody was there."""
    return Alert(
        "missed",
        taken.name,
        f"{taken.missed} scheduled times before {taken.due_at.isoformat()} were missed",
    )


_RAISE = """
INSERT INTO tenure.alerts AS a (id, kind, subject, detail)
VALUES (%(id)s, %(kind)s, %(subject)s, %(detail)s)
ON CONFLICT (kind, subject) WHERE resolved_at IS NULL
DO UPDATE SET detail = excluded.detail, last_seen_at = clock_timestamp()
RETURNING a.id::text = %(id)s
"""
_RESOLVE = """
UPDATE tenure.alerts SET resolved_at = clock_timestamp()
WHERE resolved_at IS NULL AND kind = ANY(%(kinds)s)
  -- Of what is over as soon as it is said, somebody is to hear all the same.
  AND (kind <> 'missed' OR delivered_at IS NOT NULL
       OR raised_at < clock_timestamp() - %(remind)s)
  AND (%(subjects)s::text[] IS NULL OR subject = ANY(%(subjects)s::text[]))
  AND subject <> ALL (%(but)s::text[])
  AND NOT EXISTS (SELECT FROM unnest(%(left_kinds)s::text[], %(left)s::text[]) l(kind, subject)
                  WHERE l.kind = alerts.kind AND l.subject = alerts.subject)
"""
_UNDELIVERED = """
SELECT id::text, kind, subject, detail, raised_at FROM tenure.alerts
WHERE resolved_at IS NULL
  AND (delivered_at IS NULL  -- or delivered by a clock that was ahead
       OR delivered_at NOT BETWEEN clock_timestamp() - %(remind)s AND clock_timestamp())
-- One that is not taken must not keep the others from being sent.
ORDER BY attempts, raised_at LIMIT 20 FOR UPDATE SKIP LOCKED
"""
_DELIVERED = """
UPDATE tenure.alerts SET problem = %(problem)s,
    attempts = CASE WHEN %(problem)s::text IS NULL THEN 0 ELSE attempts + 1 END,
    delivered_at = CASE WHEN %(problem)s::text IS NULL THEN clock_timestamp() ELSE delivered_at END
WHERE id = %(id)s
"""


def raise_alerts(
    retention: RoleConnections, alerts: Collection[Alert], looked: Looked
) -> list[Alert]:
    """Raise these, and resolve the others of what was looked at; return those that are new."""
    fresh = []
    with retention.transaction(None) as cursor:
        for alert in alerts:
            cursor.execute(
                _RAISE,
                {
                    "id": str(new_id()),
                    "kind": alert.kind,
                    "subject": alert.subject,
                    "detail": alert.detail,
                },
            )
            row = cursor.fetchone()
            if row is not None and row[0]:
                fresh.append(alert)
        cursor.execute(
            _RESOLVE,
            {
                "kinds": list(looked.kinds),
                "remind": REMIND_AFTER,
                "subjects": None if looked.subjects is None else list(looked.subjects),
                "but": list(looked.but),
                "left_kinds": [alert.kind for alert in alerts],
                "left": [alert.subject for alert in alerts],
            },
        )
    for alert in fresh:
        _log.warning("alert", kind=alert.kind, subject=alert.subject, detail=alert.detail)
    return fresh


def deliver(retention: RoleConnections, send: Send) -> int:
    """Send what was not delivered yet, and what has lasted a day since; return how many went.

    Each is sent while its row is locked, so that of several processes one sends it. At least
    once: who dies between sending and committing sends it again.
    """
    sent = 0
    with retention.transaction(None) as cursor:
        cursor.execute(_UNDELIVERED, {"remind": REMIND_AFTER})
        for alert_id, kind, subject, detail, raised_at in cursor.fetchall():
            body = {
                "id": alert_id,
                "kind": kind,
                "subject": subject,
                "detail": detail,
                "raised_at": raised_at.isoformat(),
            }
            problem = _try(send, body)
            sent += problem is None
            cursor.execute(_DELIVERED, {"id": alert_id, "problem": problem})
            if problem is not None:
                _log.warning("alert_not_delivered", alert_id=alert_id, problem=problem)
                break  # who does not answer to one does not answer to the next
    return sent


def _try(send: Send, body: dict[str, Any]) -> str | None:
    try:
        send(json.dumps(body, sort_keys=True, ensure_ascii=False).encode())
    except DeliveryError as error:
        return str(error)
    return None


def open_alerts(cursor: Cursor) -> list[OpenAlert]:
    """Return what is not resolved, the oldest first, as a role that reads the evidence."""
    cursor.execute(
        "SELECT id::text, kind, subject, detail, raised_at, delivered_at, problem"
        " FROM tenure.alerts WHERE resolved_at IS NULL ORDER BY raised_at, id"
    )
    return [OpenAlert(UUID(row[0]), *row[1:]) for row in cursor.fetchall()]
