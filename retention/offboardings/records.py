"""The record of offboardings: asked for, taken back, found.

The database's own clock says when the grace is over, and its trigger that nothing begins before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

import psycopg2
from psycopg2 import errorcodes

from retention.errors import HoldError, OffboardingError, UnknownOffboardingError
from retention.gate import turn_gate
from retention.holds import checked_grace
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

State = Literal["requested", "taken back", "running", "waiting", "deferred", "completed"]
STATES: tuple[State, ...] = get_args(State)
AT_WORK: tuple[State, ...] = ("requested", "running", "waiting", "deferred")
Cause = Literal["grace", "export", "legal hold", "connectors"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
DEFAULT_GRACE = "P30D"


@dataclass(frozen=True, slots=True)
class Offboarding:
    """An offboarding on record.

    `is_due`: the grace is over by the database's clock. `access` counts what ended when the
    deletion began; `waits` says for what it waits; `counts` are rows by table and action, what
    connectors were asked and said, and what the verifier saw at the end; `stays` says per table
    what is kept, and why.
    """

    id: UUID
    tenant_id: TenantId
    tenant: str
    state: State
    requested_by: str
    reason: str
    requested_at: datetime
    grace: str
    deletes_at: datetime
    is_due: bool
    export_id: UUID | None
    taken_back_by: str | None
    taken_back_reason: str | None
    purge_id: UUID | None
    started_at: datetime | None
    access: Mapping[str, int] | None
    waits: str | None
    counts: Mapping[str, Any] | None
    stays: Mapping[str, Any] | None
    ended_at: datetime | None

    @property
    def waits_for(self) -> tuple[Cause, ...]:
        """What is in its way, by names that tell nothing of matters; () where nothing is."""
        if self.ended_at is not None:
            return ()
        unstarted = self.started_at is None
        ways = (
            unstarted and not self.is_due,
            unstarted and self.export_id is None,
            self.state == "deferred",
            self.state == "waiting",
        )
        return tuple(cause for cause, there in zip(CAUSES, ways, strict=True) if there)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values; ids and instants remain what they are."""
        return {name: getattr(self, name) for name in self.__slots__}


_REQUEST = """
INSERT INTO tenure.offboardings
    (tenant_id, id, requested_by, reason, grace, requested_at, deletes_at, receipt_digest)
SELECT %(tenant)s::uuid, %(id)s::uuid, %(actor)s, %(reason)s, %(grace)s, at,
       at + %(grace)s::interval, %(receipt)s::bytea
FROM clock_timestamp() at
"""
_LIST = """
SELECT o.id::text, o.tenant_id::text, t.slug, o.state, o.requested_by, o.reason, o.requested_at,
       o.grace, o.deletes_at, o.deletes_at <= clock_timestamp(), o.export_id,
       o.taken_back_by, o.taken_back_reason, o.purge_id, o.started_at, o.access, o.waits,
       o.counts, o.stays, o.ended_at
FROM tenure.offboardings o JOIN tenure.tenants t ON t.id = o.tenant_id
WHERE (%(tenant)s::uuid IS NULL OR o.tenant_id = %(tenant)s::uuid)
  AND (%(id)s::uuid IS NULL OR o.id = %(id)s::uuid) AND o.state = ANY(%(states)s)
ORDER BY o.requested_at DESC, o.id DESC LIMIT %(limit)s OFFSET %(offset)s
"""
_COUNT = """
SELECT count(*) FROM tenure.offboardings o WHERE o.tenant_id = %(tenant)s::uuid
"""
_REVOKE = """
INSERT INTO tenure.receipt_revocations (tenant_id, offboarding_id, revoked_by, reason)
VALUES (%(tenant)s::uuid, %(id)s::uuid, %(actor)s, %(reason)s) ON CONFLICT DO NOTHING
"""
_LOCK = """
SELECT state, started_at IS NOT NULL FROM tenure.offboardings
WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid FOR UPDATE
"""
_TAKE_BACK = """
UPDATE tenure.offboardings
SET state = 'taken back', waits = NULL, taken_back_by = %(actor)s, taken_back_reason = %(reason)s,
    ended_at = clock_timestamp()
WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid
"""
_EXPORTED = """
UPDATE tenure.offboardings SET export_id = %(export)s::uuid
WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid
"""


def request(
    retention: RoleConnections,
    tenant_id: TenantId,
    *,
    actor: str,
    reason: str,
    grace: str = DEFAULT_GRACE,
    receipt: bytes | None = None,
) -> UUID:
    """Record that a tenant is to leave, as retention or at a seat of the tenant's; return the
    offboarding's id. `receipt` is the digest of one, 32 bytes.

    Raises OffboardingError without a reason, for a grace that is no ISO 8601 duration, and where
    one is open already.
    """
    if not reason.strip():
        raise OffboardingError("an offboarding has a reason: a letter, the end of a contract")
    try:
        checked_grace(grace)
    except HoldError as error:
        raise OffboardingError(str(error)) from error
    offboarding_id = new_id()
    known = {"tenant": str(tenant_id), "id": str(offboarding_id), "actor": actor}
    try:
        with retention.transaction(tenant_id) as cursor:
            asked = {"reason": reason, "grace": grace, "receipt": receipt}
            cursor.execute(_REQUEST, {**known, **asked})
    except psycopg2.Error as error:
        if error.pgcode == errorcodes.UNIQUE_VIOLATION:
            raise OffboardingError("an offboarding of this tenant is open already") from error
        raise
    return offboarding_id


def take_back(
    retention: RoleConnections, offboarding: Offboarding, *, actor: str, reason: str
) -> None:
    """End an offboarding before anything is deleted by it; raises OffboardingError after."""
    if not reason.strip():
        raise OffboardingError("that an offboarding is taken back has a reason")
    with retention.transaction(offboarding.tenant_id) as cursor:
        turn_gate(cursor, offboarding.tenant_id)
        lock_unstarted(cursor, offboarding)
        known = {"tenant": str(offboarding.tenant_id), "id": str(offboarding.id)}
        cursor.execute(_TAKE_BACK, {**known, "actor": actor, "reason": reason})


def revoke_receipt(
    connections: RoleConnections, offboarding: Offboarding, *, actor: str, reason: str
) -> None:
    """Have an offboarding's receipt serve for nothing any more, from now on; the first who says so
    is kept. As tenure_app at a seat, or as retention. Raises OffboardingError without a reason."""
    if not reason.strip():
        raise OffboardingError("that a receipt is revoked has a reason")
    known = {"tenant": str(offboarding.tenant_id), "id": str(offboarding.id)}
    with connections.transaction(offboarding.tenant_id) as cursor:
        cursor.execute(_REVOKE, {**known, "actor": actor, "reason": reason})


def note_export(retention: RoleConnections, offboarding: Offboarding, export_id: UUID) -> None:
    """Record which export the tenant has; the latest counts. Raises OffboardingError once the
    deletion has begun."""
    with retention.transaction(offboarding.tenant_id) as cursor:
        lock_unstarted(cursor, offboarding)
        known = {"tenant": str(offboarding.tenant_id), "id": str(offboarding.id)}
        cursor.execute(_EXPORTED, {**known, "export": str(export_id)})


def lock_unstarted(cursor: Cursor, offboarding: Offboarding) -> None:
    """Lock an offboarding by which nothing was deleted yet; raises OffboardingError for others."""
    state, started = lock(cursor, offboarding)
    if started or state not in ("requested", "deferred"):
        what = "its deletion has begun" if started else f"it is {state}"
        raise OffboardingError(f"offboarding {offboarding.id}: {what}")


def lock(cursor: Cursor, offboarding: Offboarding) -> tuple[State, bool]:
    """Lock it; return its state, and whether its deletion has begun."""
    known = {"tenant": str(offboarding.tenant_id), "id": str(offboarding.id)}
    cursor.execute(_LOCK, known)
    ((state, started),) = cursor.fetchall()
    return state, started


def offboardings(
    cursor: Cursor,
    *,
    tenant_id: TenantId | None = None,
    states: Collection[State] = STATES,
    limit: int = 10_000,
    offset: int = 0,
) -> list[Offboarding]:
    """Return offboardings, the latest first: `limit` of them from number `offset` on, which counts
    from 0; as verifier or auditor of all tenants."""
    return _select(cursor, tenant_id, None, states, (limit, offset))


def count_offboardings(cursor: Cursor, tenant_id: TenantId) -> int:
    """Return how many offboardings of a tenant there were and are."""
    cursor.execute(_COUNT, {"tenant": str(tenant_id)})
    ((count,),) = cursor.fetchall()
    return int(count)


def find_offboarding(
    cursor: Cursor, offboarding_id: UUID, tenant_id: TenantId | None = None
) -> Offboarding:
    """Return an offboarding, of this tenant if one is given; raises UnknownOffboardingError where
    there is none that the role sees."""
    found = _select(cursor, tenant_id, offboarding_id, STATES)
    if not found:
        raise UnknownOffboardingError(f"there is no offboarding {offboarding_id}")
    return found[0]


def latest_of(cursor: Cursor, tenant_id: TenantId) -> Offboarding:
    """Return a tenant's latest offboarding; raises OffboardingError where there was none."""
    found = offboardings(cursor, tenant_id=tenant_id)
    if not found:
        raise OffboardingError("there is no offboarding of this tenant")
    return found[0]


def _select(
    cursor: Cursor,
    tenant_id: TenantId | None,
    offboarding_id: UUID | None,
    states: Collection[State],
    window: tuple[int, int] = (1, 0),
) -> list[Offboarding]:
    limit, offset = window
    # tenure: allow TS001 because operators and auditors look at all tenants' offboardings
    cursor.execute(
        _LIST,
        {
            "tenant": None if tenant_id is None else str(tenant_id),
            "id": None if offboarding_id is None else str(offboarding_id),
            "states": list(states),
            "limit": limit,
            "offset": offset,
        },
    )
    return [
        Offboarding(UUID(row[0]), TenantId(UUID(row[1])), *row[2:]) for row in cursor.fetchall()
    ]
