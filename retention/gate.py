"""The gate, where deletes and writes meet holds; and the turn, by which all of it can be stopped.

Invariant: from the moment a hold commits, nothing that commits later deletes or changes a
row under it. There is a row per tenant in `tenure.gates`. Whoever deletes or changes passes it:
takes it FOR SHARE in a statement of its own, first in its transaction, and only then looks
for holds: READ COMMITTED gives that second statement a snapshot from after the gate.
Placing a hold turns it: takes the row FOR UPDATE, so it waits for those who went through before,
and those who come later see the hold. So does whatever else nothing may slip past. It also changes
the row, so that a stricter transaction, whose snapshot is older than the hold, fails with a
serialization error and does not pass.

Whoever deletes behind the gate, and is no unit's batch, takes a turn, one such transaction at a
time, and only then looks whether all retention was stopped: so who stops it waits for the one that
is open, by taking a turn (`retention.interventions`).
"""

from __future__ import annotations

from retention.errors import InvariantError, NoTenantError
from tenants.connections import Cursor
from tenants.context import TenantId

PASSING = "SELECT turned FROM tenure.gates WHERE tenant_id = %(tenant)s::uuid FOR SHARE"
"""For whoever sends more in the same message; all others call `pass_gate`."""

_TURN = "SELECT turned FROM tenure.gates WHERE tenant_id = %(tenant)s::uuid FOR UPDATE"
_TURNED = "UPDATE tenure.gates SET turned = turned + 1 WHERE tenant_id = %(tenant)s::uuid"


def pass_gate(cursor: Cursor, tenant_id: TenantId) -> None:
    """Pass the tenant's gate, until the transaction ends; first in it, but for what is set.

    Raises InvariantError where there is none, or none that the role could lock.
    """
    cursor.execute(PASSING, {"tenant": str(tenant_id)})
    if cursor.fetchone() is None:
        raise InvariantError(f"tenant {tenant_id} has no gate that could be locked")


def turn_gate(cursor: Cursor, tenant_id: TenantId) -> None:
    """Wait for the tenant's open batches and writes; those that come later see what this
    transaction writes. First in it; raises NoTenantError."""
    cursor.execute(_TURN, {"tenant": str(tenant_id)})
    if cursor.fetchone() is None:
        raise NoTenantError(f"there is no tenant {tenant_id}")
    cursor.execute(_TURNED, {"tenant": str(tenant_id)})


def take_turn(cursor: Cursor) -> None:
    """Wait for whoever has the turn, and have it until the transaction ends."""
    cursor.execute("SELECT pg_advisory_xact_lock(7308339911)")


def is_stopped(cursor: Cursor) -> bool:
    """Tell whether somebody stopped all retention."""
    # tenure: allow TS005 because it says one thing of the installation, and reads no tenant's rows
    cursor.execute("SELECT tenure.is_stopped()")
    return cursor.fetchone() != (False,)


def is_restored(cursor: Cursor) -> bool:
    """Tell whether it is stopped because the database was restored: what had gone goes again."""
    # tenure: allow TS005 because it says one thing of the installation, and reads no tenant's rows
    cursor.execute("SELECT tenure.is_restored()")
    return cursor.fetchone() == (True,)
