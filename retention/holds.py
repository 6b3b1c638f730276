"""Legal holds, and the gate where they meet deletes and writes.

Invariant: from the moment a hold commits, nothing that commits later deletes or changes a
row of the tenant. There is a row per tenant in `tenure.gates`. Whoever deletes or changes
takes it FOR SHARE in a statement of its own, first in its transaction, and only then looks
for holds: READ COMMITTED gives that second statement a snapshot from after the gate.
Placing a hold takes the row FOR UPDATE, so it waits for those who went through before, and
those who come later see the hold. It also changes the row, so that a stricter transaction,
whose snapshot is older than the hold, fails with a serialization error and does not pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from retention.errors import HeldError, HoldError
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId, current_scope
from tenants.database import TenantDatabase
from tenants.models import InstantField, IntegerField, TenantModel, TextField, new_id


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold on a tenant. It has no expiry; it ends by being released."""

    id: UUID
    tenant_id: TenantId
    tenant: str
    matter: str
    reason: str
    placed_by: str
    placed_at: datetime
    released_by: str | None
    released_at: datetime | None


def place(
    retention: RoleConnections, tenant_id: TenantId, *, matter: str, reason: str, actor: str
) -> UUID:
    """Place a hold; return its id.

    Waits for the tenant's open batch and open writes (raises psycopg2's LockNotAvailable
    after the session's lock timeout: nothing is held then). Raises HoldError for an empty
    matter or reason, or a tenant that does not exist.
    """
    if not matter.strip() or not reason.strip():
        raise HoldError("a hold needs a matter and a reason")
    hold_id = new_id()
    with retention.transaction(tenant_id) as cursor:
        cursor.execute(
            "SELECT turned FROM tenure.gates WHERE tenant_id = %s FOR UPDATE", (str(tenant_id),)
        )
        if cursor.fetchone() is None:
            raise HoldError(f"there is no tenant {tenant_id}")
        cursor.execute(
            "UPDATE tenure.gates SET turned = turned + 1 WHERE tenant_id = %s", (str(tenant_id),)
        )
        # The clock is read after the wait: what was deleted meanwhile went before the hold.
        cursor.execute(
            "INSERT INTO tenure.holds (tenant_id, id, matter, reason, placed_by, placed_at)"
            " VALUES (%s, %s, %s, %s, %s, clock_timestamp())",
            (str(tenant_id), str(hold_id), matter, reason, actor),
        )
    return hold_id


def release(
    retention: RoleConnections, verifier: RoleConnections, hold_id: UUID, *, actor: str
) -> Hold:
    """Release a hold, so that what it deferred goes at the next run; return it as it is now.

    Raises HoldError when there is no such hold, or it was released before.
    """
    hold = _find(verifier, hold_id)
    with retention.transaction(hold.tenant_id) as cursor:
        cursor.execute(
            "UPDATE tenure.holds SET released_by = %s, released_at = clock_timestamp()"
            " WHERE tenant_id = %s AND id = %s AND released_at IS NULL",
            (actor, str(hold.tenant_id), str(hold_id)),
        )
        if cursor.rowcount == 0:
            raise HoldError(f"hold {hold_id} was released before")
    return _find(verifier, hold_id)


_LIST = """
SELECT h.id::text, h.tenant_id::text, t.slug, h.matter, h.reason, h.placed_by, h.placed_at,
       h.released_by, h.released_at
FROM tenure.holds h JOIN tenure.tenants t ON t.id = h.tenant_id
WHERE (%(id)s::uuid IS NULL OR h.id = %(id)s::uuid)
  AND (%(tenant)s::uuid IS NULL OR h.tenant_id = %(tenant)s::uuid)
  AND (%(all)s OR h.released_at IS NULL)
ORDER BY h.placed_at, h.id
"""


def holds(
    cursor: Cursor, *, tenant_id: TenantId | None = None, released: bool = False
) -> list[Hold]:
    """Return the holds in force, with `released` all of them; as verifier or auditor."""
    return _select(cursor, None, tenant_id, everything=released)


def _find(verifier: RoleConnections, hold_id: UUID) -> Hold:
    with verifier.transaction(None, read_only=True) as cursor:
        found = _select(cursor, hold_id, None, everything=True)
    if not found:
        raise HoldError(f"there is no hold {hold_id}")
    return found[0]


def _select(
    cursor: Cursor, hold_id: UUID | None, tenant_id: TenantId | None, *, everything: bool
) -> list[Hold]:
    # tenure: allow TS001 because operators list the holds of all tenants, as tenure_verifier
    cursor.execute(
        _LIST,
        {
            "id": None if hold_id is None else str(hold_id),
            "tenant": None if tenant_id is None else str(tenant_id),
            "all": everything,
        },
    )
    return [Hold(UUID(row[0]), TenantId(UUID(row[1])), *row[2:]) for row in cursor.fetchall()]


class _Gate(TenantModel):
    """`tenure.gates`: its key is the tenant alone, so the inherited `id` is never read."""

    turned = IntegerField()

    class Meta:
        schema = "tenure"
        table_name = "gates"


class _HoldRow(TenantModel):
    """`tenure.holds`, as the application may read it."""

    matter = TextField()
    placed_at = InstantField()
    released_at = InstantField(null=True)

    class Meta:
        schema = "tenure"
        table_name = "holds"


def pass_gate(app: TenantDatabase) -> None:
    """Let a write of the tenant in context through, or raise HeldError.

    Call it first in the transaction that changes or deletes rows: it lasts to that
    transaction's end, and a hold placed meanwhile waits. Raises HeldError with the matter,
    and HoldError outside of a transaction, where it would protect nothing.
    """
    if not app.in_transaction():
        raise HoldError("pass_gate() protects nothing outside of a transaction")
    tenant_id = current_scope().tenant_id
    gate = _Gate.select(_Gate.turned).for_update("FOR SHARE").bind(app)
    if not list(gate.tuples()):
        raise HoldError(f"tenant {tenant_id} has no gate")
    in_force = (
        _HoldRow.select(_HoldRow.matter)
        .where(_HoldRow.released_at.is_null())
        .order_by(_HoldRow.placed_at)
        .bind(app)
    )
    matters = [matter for (matter,) in in_force.tuples()]
    if matters:
        raise HeldError(f"tenant {tenant_id} is under legal hold: {'; '.join(matters)}")
