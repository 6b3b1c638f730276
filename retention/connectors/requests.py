"""Requests to connectors, as the database has them: written down, looked up, ended.

A request is written in the transaction that decides what it is about, so that none is lost and
none is made for what was rolled back. By what a person is found (`told`) is kept until the
connector has answered, and not a moment longer; then the key's hash remains.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from retention.connectors.declarations import Connector, Connectors
from retention.deletions import key_hash
from retention.errors import ConnectorError
from tenants.connections import Cursor
from tenants.context import TenantId
from tenants.models import new_id

State = Literal["open", "delivered", "acknowledged", "refused", "withdrawn"]
Event = Literal[
    "requested", "told", "counted", "delivered", "deleted", "deferred", "failed", "acknowledged",
    "refused", "withdrawn",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """Whom an erasure is about: the kind of subject, its key, and by what else it is known
    outside (an address, a number). The latter are told to webhooks only."""

    subject: str
    key: UUID
    identifiers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """A request to a connector. Open until `ended_at`; `problem` is what the last attempt met.
    `told_at` is when the first message to a webhook was about to leave. One that is withdrawn was
    not answered until then."""

    id: UUID
    tenant_id: TenantId
    connector: str
    cause: str
    cause_id: UUID
    subject: str | None
    requested_at: datetime
    due_at: datetime
    state: State
    failures: int
    next_attempt_at: datetime
    told_at: datetime | None
    delivered_at: datetime | None
    ended_at: datetime | None
    problem: str | None
    overdue: bool

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON's values; ids and instants remain what they are."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """A step of a request: what, by whom, when; counts and texts as the connector gave them."""

    event: Event
    happened_at: datetime
    actor: str
    counts: Mapping[str, int]
    detail: str | None
    digest: str | None


_DUE = "clock_timestamp() + %(deadline)s::interval"
_REQUEST = f"""
INSERT INTO tenure.connector_requests AS r
    (tenant_id, id, connector, cause, cause_id, subject, subject_hash, told, requested_by, due_at)
VALUES (%(tenant)s::uuid, %(id)s::uuid, %(connector)s, %(cause)s, %(cause_id)s::uuid,
        %(subject)s, %(hash)s, %(told)s::jsonb, %(actor)s, {_DUE})
ON CONFLICT (tenant_id, cause_id, connector) DO NOTHING
RETURNING r.id::text
"""  # noqa: S608 - a constant is put in
_COLUMNS = """r.id::text, r.tenant_id::text, r.connector, r.cause, r.cause_id::text, r.subject,
    r.requested_at, r.due_at, r.state, r.failures, r.next_attempt_at, r.told_at, r.delivered_at,
    r.ended_at, r.problem, r.ended_at IS NULL AND r.due_at < clock_timestamp()"""
_LIST = f"""
SELECT {_COLUMNS} FROM tenure.connector_requests r
WHERE (%(id)s::uuid IS NULL OR r.id = %(id)s::uuid)
  AND (%(tenant)s::uuid IS NULL OR r.tenant_id = %(tenant)s::uuid)
  AND (%(cause)s::uuid IS NULL OR r.cause_id = %(cause)s::uuid)
  AND (%(all)s OR r.ended_at IS NULL)
ORDER BY r.requested_at, r.connector, r.id
"""  # noqa: S608 - a constant is put in
_EVENT = """
INSERT INTO tenure.connector_events
    (tenant_id, id, request_id, connector, event, counts, detail, digest, actor)
VALUES (%(tenant)s::uuid, %(id)s::uuid, %(request)s::uuid, %(connector)s, %(event)s,
        %(counts)s::jsonb, %(detail)s, %(digest)s, %(actor)s)
"""
_EVENTS = """
SELECT e.event, e.happened_at, e.actor, e.counts, e.detail, e.digest
FROM tenure.connector_events e
WHERE e.tenant_id = %(tenant)s::uuid AND e.request_id = %(request)s::uuid
ORDER BY e.happened_at, e.id
"""
_BY_HAND = """
SELECT DISTINCT r.connector FROM tenure.connector_events e
JOIN tenure.connector_requests r ON r.tenant_id = e.tenant_id AND r.id = e.request_id
WHERE e.tenant_id = %(tenant)s::uuid AND r.cause_id = %(cause)s::uuid
  AND e.event IN ('acknowledged', 'refused') AND e.actor <> 'connector:' || r.connector
ORDER BY r.connector
"""
_END = """
UPDATE tenure.connector_requests
SET state = %(state)s, ended_at = clock_timestamp(), told = NULL, problem = NULL
WHERE tenant_id = %(tenant)s::uuid AND id = %(request)s::uuid
  AND (ended_at IS NULL OR state = 'withdrawn' AND %(state)s <> 'withdrawn')
"""


def request_erasure(
    cursor: Cursor,
    erasure_id: UUID,
    *,
    tenant_id: TenantId,
    person: Person,
    connectors: Connectors,
    actor: str,
) -> list[UUID]:
    """Ask every connector that knows this kind of subject to erase it; return the requests' ids.

    In the transaction that erases, as retention in the tenant's context. Asked again for the
    same erasure, it asks only those that were not asked yet. Delivery is another's business
    (`retention.connectors.delivery`).

    Raises ConnectorError for a person without a key: that would be a request for the whole tenant.
    """
    if not isinstance(person.key, UUID):
        raise ConnectorError("a person is asked about by a key, and this one has none")
    values = _of_person(person)
    asked = [c for c in connectors.values() if c.serves(person.subject)]
    return _request(
        cursor,
        asked,
        tenant_id=tenant_id,
        cause=("erasure", erasure_id),
        actor=actor,
        values=values,
    )


def request_offboarding(
    cursor: Cursor, offboarding_id: UUID, *, tenant_id: TenantId, connectors: Connectors, actor: str
) -> list[UUID]:
    """Ask every connector to erase all that it has of a tenant; as `request_erasure`."""
    return _request(
        cursor,
        connectors.values(),
        tenant_id=tenant_id,
        cause=("offboarding", offboarding_id),
        actor=actor,
        values=_of_person(None),
    )


def request_again(
    cursor: Cursor,
    request_id: UUID,
    *,
    tenant_id: TenantId,
    person: Person | None,
    connector: Connector,
    actor: str,
) -> list[UUID]:
    """Ask a connector again what it was asked before a restore, by the request of this id; without
    `person` about all of the tenant. Each once; as `request_erasure`."""
    return _request(
        cursor,
        [connector],
        tenant_id=tenant_id,
        cause=("replay", request_id),
        actor=actor,
        values=_of_person(person),
    )


def _of_person(person: Person | None) -> dict[str, Any]:
    if person is None:
        return {"subject": None, "hash": None, "told": None}
    told = {"key": str(person.key), "identifiers": dict(person.identifiers)}
    return {"subject": person.subject, "hash": key_hash(person.key), "told": json.dumps(told)}


def _request(
    cursor: Cursor,
    connectors: Iterable[Connector],
    *,
    tenant_id: TenantId,
    cause: tuple[str, UUID],
    actor: str,
    values: Mapping[str, Any],
) -> list[UUID]:
    made = []
    for connector in connectors:
        cursor.execute(
            _REQUEST,
            {
                **values,
                "tenant": str(tenant_id),
                "id": str(new_id()),
                "connector": connector.name,
                "cause": cause[0],
                "cause_id": str(cause[1]),
                "actor": actor,
                "deadline": connector.deadline,
            },
        )
        row = cursor.fetchone()
        if row is not None:
            made.append(UUID(row[0]))
            add_event(cursor, tenant_id, made[-1], connector.name, "requested", actor=actor)
    return made


def open_requests(cursor: Cursor, erasure_id: UUID) -> list[Request]:
    """Return what connectors have not answered yet of an erasure, or of an offboarding."""
    return requests(cursor, cause_id=erasure_id)


def requests(
    cursor: Cursor,
    *,
    tenant_id: TenantId | None = None,
    cause_id: UUID | None = None,
    ended: bool = False,
) -> list[Request]:
    """Return requests, the oldest first; with `ended` those that were answered, too.

    As any role that sees them: of a tenant in context its own, verifier and auditor all.
    """
    return _select(cursor, None, tenant_id, cause_id, ended=ended)


def find_request(cursor: Cursor, request_id: UUID) -> Request:
    """Return a request; raises ConnectorError where there is none that the role sees."""
    found = _select(cursor, request_id, None, None, ended=True)
    if not found:
        raise ConnectorError(f"there is no request {request_id}")
    return found[0]


def _select(
    cursor: Cursor,
    request_id: UUID | None,
    tenant_id: TenantId | None,
    cause_id: UUID | None,
    *,
    ended: bool,
) -> list[Request]:
    # tenure: allow TS001 because operators and auditors look at all tenants' requests
    cursor.execute(
        _LIST,
        {
            "id": None if request_id is None else str(request_id),
            "tenant": None if tenant_id is None else str(tenant_id),
            "cause": None if cause_id is None else str(cause_id),
            "all": ended,
        },
    )
    return [
        Request(UUID(row[0]), TenantId(UUID(row[1])), row[2], row[3], UUID(row[4]), *row[5:])
        for row in cursor.fetchall()
    ]


def entered_by_hand(cursor: Cursor, cause_id: UUID, *, tenant_id: TenantId) -> list[str]:
    """Return which connectors' answers one of us entered; as retention in the context."""
    known = {"tenant": str(tenant_id), "cause": str(cause_id)}
    cursor.execute(_BY_HAND, known)
    return [row[0] for row in cursor.fetchall()]


def events_of(cursor: Cursor, request: Request) -> list[RequestEvent]:
    """Return the steps of a request, in order; as retention, verifier or auditor."""
    cursor.execute(_EVENTS, {"tenant": str(request.tenant_id), "request": str(request.id)})
    return [RequestEvent(*row) for row in cursor.fetchall()]


def add_event(
    cursor: Cursor,
    tenant_id: TenantId,
    request_id: UUID,
    connector: str,
    event: Event,
    *,
    actor: str,
    counts: Mapping[str, int] | None = None,
    detail: str | None = None,
    digest: str | None = None,
) -> None:
    """Record a step; as retention in the tenant's context."""
    cursor.execute(
        _EVENT,
        {
            "tenant": str(tenant_id),
            "id": str(new_id()),
            "request": str(request_id),
            "connector": connector,
            "event": event,
            "counts": json.dumps(dict(counts or {})),
            "detail": detail,
            "digest": digest,
            "actor": actor,
        },
    )


def end(
    cursor: Cursor,
    tenant_id: TenantId,
    request_id: UUID,
    connector: str,
    outcome: Literal["acknowledged", "refused", "withdrawn"],
    *,
    actor: str,
    counts: Mapping[str, int] | None = None,
    detail: str | None = None,
    digest: str | None = None,
) -> None:
    """End a request: what was told goes, what was answered stays. As retention in the context.

    Withdrawn, it ends without an answer; one that comes after all ends it again. Raises
    ConnectorError where it has ended before.
    """
    cursor.execute(_END, {"tenant": str(tenant_id), "request": str(request_id), "state": outcome})
    if cursor.rowcount != 1:
        raise ConnectorError(f"request {request_id} has ended before, or is not there")
    add_event(
        cursor, tenant_id, request_id, connector, outcome,
        actor=actor, counts=counts, detail=detail, digest=digest,
    )  # fmt: skip
