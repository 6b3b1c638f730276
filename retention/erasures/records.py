"""Erasures as the database has them: how far each is, whom it is about, what became of it.

The auditor sees them without the person; the person's key is for those who work on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from retention.errors import ErasureError, UnknownErasureError
from retention.subjects import Subject
from tenants.catalog import TableName
from tenants.connections import Cursor
from tenants.context import TenantId
from tenants.models import new_id

State = Literal[
    "received", "confirmed", "planned", "approved", "running", "deferred", "completed", "refused",
    "withdrawn",
]  # fmt: skip
STATES: tuple[State, ...] = get_args(State)
ENDED: tuple[State, ...] = ("completed", "refused", "withdrawn")
#: Approved: nobody has to say any more that it may go on.
AT_WORK: tuple[State, ...] = ("approved", "running", "deferred")
Event = Literal[
    "received", "confirmed", "planned", "approved", "extended", "started", "deferred", "resumed",
    "verified", "completed", "refused", "withdrawn",
]  # fmt: skip

#: A month to answer, and at most two more (GDPR 12(3)).
MONTHS = 1
MORE_MONTHS = 2


@dataclass(frozen=True, slots=True)
class Erasure:
    """A person's request, without the person.

    `subject` names the declaration, `plan` numbers the plan that counts, whose declaration is
    `definition`. `waits_until` is when a deferred one goes on, None where nobody can say.
    `plan_wanted_by` is who waits for the worker to make a plan.
    """

    id: UUID
    tenant_id: TenantId
    tenant: str
    subject: str
    state: State
    entered_by: str
    received_at: datetime
    due_at: datetime
    extended_months: int
    plan: int | None
    definition: Mapping[str, Any] | None
    waits_until: datetime | None
    ended_at: datetime | None
    plan_wanted_by: str | None = None

    def is_overdue(self, now: datetime) -> bool:
        """Tell whether the person should have had an answer by now."""
        return (self.ended_at or now) > self.due_at

    @property
    def planned_subject(self) -> Subject:
        """The declaration it was planned with; raises ErasureError before there is a plan."""
        if self.definition is None:
            raise ErasureError(f"erasure {self.id} has no plan yet: tenure erasure plan {self.id}")
        return Subject.from_definition(self.definition)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values; ids and instants remain what they are."""
        shown = {name: getattr(self, name) for name in self.__slots__}
        del shown["definition"]
        return shown


@dataclass(frozen=True, slots=True)
class Person:
    """Whom an erasure is about, and who asks how: there until it ends.

    `asked_by` is the lookup it came with (`email = ..`), `identity` how the requester showed
    who they are, None before they did.
    """

    key: UUID
    asked_by: str | None
    requester: str
    identity: str | None


@dataclass(frozen=True, slots=True)
class ErasureEvent:
    """A step: what, by whom, when; `facts` are grounds, counts, instants."""

    event: Event
    actor: str
    happened_at: datetime
    facts: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values; instants remain what they are."""
        return {name: getattr(self, name) for name in self.__slots__}


_COLUMNS = """e.subject, e.state, e.entered_by, e.received_at, e.due_at, e.extended_months, e.plan,
    e.definition, e.waits_until, e.ended_at, e.plan_wanted_by"""
_LIST = f"""
SELECT e.id::text, e.tenant_id::text, t.slug, {_COLUMNS}
FROM tenure.erasures e JOIN tenure.tenants t ON t.id = e.tenant_id
WHERE (%(id)s::uuid IS NULL OR e.id = %(id)s::uuid)
  AND (%(tenant)s::uuid IS NULL OR e.tenant_id = %(tenant)s::uuid)
  AND (%(states)s::text[] IS NULL OR e.state = ANY(%(states)s::text[]))
ORDER BY e.due_at, e.id LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - a constant is put in
_COUNT = """
SELECT count(*) FROM tenure.erasures e
WHERE (%(tenant)s::uuid IS NULL OR e.tenant_id = %(tenant)s::uuid)
  AND (%(states)s::text[] IS NULL OR e.state = ANY(%(states)s::text[]))
"""
# Retention does not know tenants by their names.
_LOCK = f"""
SELECT e.id::text, e.tenant_id::text, e.tenant_id::text, {_COLUMNS} FROM tenure.erasures e
WHERE e.tenant_id = %(tenant)s::uuid AND e.id = %(id)s::uuid FOR UPDATE
"""  # noqa: S608 - a constant is put in
_PERSON = """
SELECT key::text, asked_by, requester, identity FROM tenure.erasure_subjects
WHERE tenant_id = %(tenant)s::uuid AND erasure_id = %(id)s::uuid
"""
_KEY = """
SELECT key::text FROM tenure.erasure_subjects
WHERE tenant_id = %(tenant)s::uuid AND erasure_id = %(id)s::uuid
"""
_EVENTS = """
SELECT event, actor, happened_at, facts FROM tenure.erasure_events
WHERE tenant_id = %(tenant)s::uuid AND erasure_id = %(id)s::uuid ORDER BY happened_at, id
"""
_EVENT = """
INSERT INTO tenure.erasure_events (tenant_id, id, erasure_id, event, actor, facts)
VALUES (%(tenant)s::uuid, %(event_id)s::uuid, %(id)s::uuid, %(event)s, %(actor)s, %(facts)s)
"""
_REMEMBERED = """
SELECT table_name, row_id::text FROM tenure.erasure_rows
WHERE tenant_id = %(tenant)s::uuid AND erasure_id = %(id)s::uuid
"""
_COUNTS = """
SELECT k.table_name, k.action, (sum(octet_length(k.hashes)) / 16)::bigint
FROM tenure.erased_keys k
WHERE k.tenant_id = %(tenant)s::uuid AND k.erasure_id = %(id)s::uuid
GROUP BY k.table_name, k.action ORDER BY k.table_name, k.action
"""


def erasures(
    cursor: Cursor,
    *,
    tenant_id: TenantId | None = None,
    states: tuple[State, ...] | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[Erasure]:
    """Return erasures, those due first ahead, as any role that sees them: all, or `limit` of them
    from number `offset` on, which counts from 0."""
    return _select(cursor, None, tenant_id, states, (limit, offset))


def count_erasures(
    cursor: Cursor, *, tenant_id: TenantId | None = None, states: tuple[State, ...] | None = None
) -> int:
    """Return how many there are of the same."""
    known = {
        "tenant": None if tenant_id is None else str(tenant_id),
        "states": None if states is None else list(states),
    }
    # tenure: allow TS001 because operators look at all tenants' erasures
    cursor.execute(_COUNT, known)
    ((count,),) = cursor.fetchall()
    return int(count)


def find_erasure(cursor: Cursor, erasure_id: UUID, tenant_id: TenantId | None = None) -> Erasure:
    """Return an erasure, of this tenant if one is given; raises ErasureError without one."""
    found = _select(cursor, erasure_id, tenant_id, None)
    if not found:
        raise UnknownErasureError(f"there is no erasure {erasure_id}")
    return found[0]


def lock_erasure(cursor: Cursor, erasure_id: UUID, tenant_id: TenantId) -> Erasure:
    """Lock an erasure for this transaction, as retention in the tenant's context; return it as
    it is then. Raises ErasureError without one."""
    cursor.execute(_LOCK, {"tenant": str(tenant_id), "id": str(erasure_id)})
    row = cursor.fetchone()
    if row is None:
        raise UnknownErasureError(f"there is no erasure {erasure_id}")
    return _erasure(row)


def _select(
    cursor: Cursor,
    erasure_id: UUID | None,
    tenant_id: TenantId | None,
    states: tuple[State, ...] | None,
    window: tuple[int | None, int] = (None, 0),
) -> list[Erasure]:
    limit, offset = window
    # tenure: allow TS001 because operators and auditors look at all tenants' erasures
    cursor.execute(
        _LIST,
        {
            "id": None if erasure_id is None else str(erasure_id),
            "tenant": None if tenant_id is None else str(tenant_id),
            "states": None if states is None else list(states),
            "limit": limit,
            "offset": offset,
        },
    )
    return [_erasure(row) for row in cursor.fetchall()]


def _erasure(row: tuple[Any, ...]) -> Erasure:
    return Erasure(UUID(row[0]), TenantId(UUID(row[1])), *row[2:])


def person_of(cursor: Cursor, erasure: Erasure) -> Person | None:
    """Return whom an erasure is about, as retention or verifier; None when it has ended."""
    cursor.execute(_PERSON, {"tenant": str(erasure.tenant_id), "id": str(erasure.id)})
    row = cursor.fetchone()
    return None if row is None else Person(UUID(row[0]), *row[1:])


def key_of(cursor: Cursor, erasure: Erasure) -> UUID | None:
    """Return the key of whom an erasure is about, which the application sees, too; None when it
    has ended."""
    cursor.execute(_KEY, {"tenant": str(erasure.tenant_id), "id": str(erasure.id)})
    row = cursor.fetchone()
    return None if row is None else UUID(row[0])


def remembered(cursor: Cursor, tenant_id: TenantId, erasure_id: UUID) -> dict[TableName, set[str]]:
    """Return rows that went and to which others may refer softly, as retention or verifier."""
    cursor.execute(_REMEMBERED, {"tenant": str(tenant_id), "id": str(erasure_id)})
    found: dict[TableName, set[str]] = {}
    for name, row in cursor.fetchall():
        found.setdefault(TableName.parse(name), set()).add(row)
    return found


def events_of(cursor: Cursor, erasure: Erasure) -> list[ErasureEvent]:
    """Return what became of an erasure, in order."""
    cursor.execute(_EVENTS, {"tenant": str(erasure.tenant_id), "id": str(erasure.id)})
    return [ErasureEvent(*row) for row in cursor.fetchall()]


def add_event(
    cursor: Cursor,
    erasure: Erasure,
    event: Event,
    actor: str,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Record a step, as retention in the tenant's context; in the transaction that takes it."""
    cursor.execute(
        _EVENT,
        {
            "tenant": str(erasure.tenant_id),
            "event_id": str(new_id()),
            "id": str(erasure.id),
            "event": event,
            "actor": actor,
            "facts": json.dumps(dict(facts or {}), default=str),
        },
    )


def erased_counts(cursor: Cursor, erasure: Erasure) -> dict[str, dict[str, int]]:
    """Return rows by table and action, as the batches' keys say."""
    cursor.execute(_COUNTS, {"tenant": str(erasure.tenant_id), "id": str(erasure.id)})
    found: dict[str, dict[str, int]] = {}
    for table, action, rows in cursor.fetchall():
        found.setdefault(table, {})[action] = rows
    return found
