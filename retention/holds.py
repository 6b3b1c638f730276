"""Legal holds: placed and released; and the guard by which writes pass the gate.

From the moment a hold commits, nothing that commits later deletes or changes a row under it: who
places one, or takes back the release of one, turns the tenant's gate, and who deletes or changes
passes it (`retention.gate`).

The same gate keeps a person's rows together while they are erased (`retention.erasures`): once
that has started, no write changes or deletes them, so that none slips away.

A release loosens and needs no gate. It takes effect after its period of grace, by the
database's clock: until then the hold is in force, and taking it back leaves no gap.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import isodate  # type: ignore[import-untyped]  # it ships no types
import peewee

from retention import gate
from retention.errors import ErasingError, HeldError, HoldError
from retention.graph import Edge, archives_in, edges_of, held_edges
from retention.held_rows import HeldRows, Node
from retention.hold_keys import count_rows, keep_keys
from retention.hold_records import (
    Erasing,
    Hold,
    RowHold,
    Standing,
    find_hold,
    standing_holds,
)
from retention.hold_scopes import MOST_KEYS, TENANT, Ground, Scope
from retention.policies import Period
from retention.subjects import Subject, reference
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId, current_scope, require_transaction_of
from tenants.database import TenantDatabase
from tenants.models import new_id
from tenants.repository import DELETED_AT
from tenants.writes import Write

# What peewee runs its own statements in: the driver's errors become peewee's.
_peewee: Any = peewee
_driver_errors = _peewee.__exception_wrapper__

# Counting a tenant's rows may take longer than what serves is given.
_LONG = "SET LOCAL statement_timeout = '10min'"

# The clock is read after the wait: what was deleted meanwhile went before the hold.
_PLACE = """
INSERT INTO tenure.holds (tenant_id, id, scope, table_name, subject_id, condition, matter, reason,
                          placed_by, rows_then, keys_kept)
VALUES (%(tenant)s::uuid, %(hold)s::uuid, %(scope)s, %(table)s, %(subject)s::uuid, %(condition)s,
        %(matter)s, %(reason)s, %(actor)s, %(rows)s, %(keys)s)
"""
_RELEASE = """
UPDATE tenure.holds h SET released_by = %(actor)s, released_at = n.at,
    effective_at = n.at + %(grace)s::interval
FROM (SELECT clock_timestamp() AS at) n
WHERE h.tenant_id = %(tenant)s::uuid AND h.id = %(hold)s::uuid AND h.released_at IS NULL
RETURNING h.released_at, h.effective_at
"""
_TAKE_BACK = """
UPDATE tenure.holds h SET released_by = NULL, released_at = NULL, effective_at = NULL
WHERE h.tenant_id = %(tenant)s::uuid AND h.id = %(hold)s::uuid
  AND h.effective_at > clock_timestamp()
"""
_HAPPENED = """
INSERT INTO tenure.hold_events
    (tenant_id, id, hold_id, event, actor, reason, happened_at, effective_at)
VALUES (%(tenant)s::uuid, %(id)s::uuid, %(hold)s::uuid, %(event)s, %(actor)s, %(reason)s,
        coalesce(%(at)s, clock_timestamp()), %(effective)s)
"""


# -- placing and releasing --------------------------------------------------------------------


def place(
    retention: RoleConnections,
    tenant_id: TenantId,
    scope: Scope = TENANT,
    *,
    matter: str,
    reason: str,
    actor: str,
    ground: Ground | None = None,
) -> UUID:
    """Place a hold; return its id.

    With `ground`, which all but a hold on a tenant need, the rows under it are counted, and
    their keys kept up to MOST_KEYS. Waits for the tenant's open batches and open writes, and
    these for it (raises psycopg2's LockNotAvailable after the session's lock timeout: nothing
    is held then). Raises NoTenantError, and HoldError for an empty matter or reason, or for a
    scope that `ground` does not know or in which a row that is named is not there.
    """
    if not matter.strip() or not reason.strip():
        raise HoldError("a hold needs a matter and a reason")
    if ground is not None:
        scope = ground.checked(scope)
    elif scope.kind != "tenant":
        raise HoldError("a hold on less than a tenant needs the tables there are")
    hold_id = new_id()
    known: dict[str, Any] = {
        "tenant": str(tenant_id), "hold": str(hold_id), "actor": actor, "matter": matter,
        "reason": reason, "scope": scope.kind, "condition": scope.condition,
        "table": None if scope.table is None else str(scope.table),
        "subject": None if scope.subject is None else str(scope.subject),
    }  # fmt: skip
    with retention.transaction(tenant_id) as cursor:
        cursor.execute(_LONG)
        gate.turn_gate(cursor, tenant_id)
        counts = None if ground is None else count_rows(cursor, tenant_id, scope, ground)
        rows = None if counts is None else sum(counts.values())
        known |= {"rows": rows, "keys": rows is not None and rows <= MOST_KEYS}
        cursor.execute(_PLACE, known)
        if ground is not None and known["keys"]:
            keep_keys(cursor, scope, ground, known)
        _happened(cursor, known, "placed", reason)
    return hold_id


def release(
    retention: RoleConnections,
    verifier: RoleConnections,
    hold_id: UUID,
    *,
    actor: str,
    grace: str,
    reason: str | None = None,
) -> Hold:
    """Release a hold; return it as it is now.

    It stays in force for `grace`, an ISO 8601 duration (P0D: none), and can be taken back
    meanwhile; after that, what it deferred goes at the next run. Raises HoldError when there
    is no such hold, when it was released before, or for a wrong `grace`.
    """
    checked_grace(grace)
    hold = find_hold(verifier, hold_id)
    known = {"tenant": str(hold.tenant_id), "hold": str(hold_id), "actor": actor, "grace": grace}
    with retention.transaction(hold.tenant_id) as cursor:
        cursor.execute(_RELEASE, known)
        row = cursor.fetchone()
        if row is None:
            raise HoldError(f"hold {hold_id} was released before")
        _happened(cursor, known, "released", reason, at=row)
    return find_hold(verifier, hold_id)


def take_back(
    retention: RoleConnections,
    verifier: RoleConnections,
    hold_id: UUID,
    *,
    actor: str,
    reason: str | None = None,
) -> Hold:
    """Take back the release of a hold that is still in force; return it as it is now.

    Waits at the gate as `place` does. Raises HoldError when there is no such hold, when it was
    not released, or when its release has taken effect.
    """
    hold = find_hold(verifier, hold_id)
    known = {"tenant": str(hold.tenant_id), "hold": str(hold_id), "actor": actor}
    with retention.transaction(hold.tenant_id) as cursor:
        gate.turn_gate(cursor, hold.tenant_id)
        cursor.execute(_TAKE_BACK, known)
        if cursor.rowcount == 0:
            raise HoldError(
                f"hold {hold_id} was not released, or its release has taken effect: place it anew"
            )
        _happened(cursor, known, "taken back", reason)
    return find_hold(verifier, hold_id)


def checked_grace(text: str) -> str:
    """Return a period of grace, which may be none; raises HoldError for what is no duration."""
    try:
        if isodate.parse_duration(text) != timedelta():
            Period.parse(text)
    except (isodate.ISO8601Error, ValueError, OverflowError) as error:
        raise HoldError(
            f"{text!r} is no period of grace; write an ISO 8601 duration such as P14D, or P0D"
        ) from error
    return text


def _happened(
    cursor: Cursor,
    known: dict[str, Any],
    event: str,
    reason: str | None,
    *,
    at: tuple[Any, ...] = (None, None),
) -> None:
    told = {"id": str(new_id()), "event": event, "reason": (reason or "").strip() or None}
    cursor.execute(_HAPPENED, {**known, **told, "at": at[0], "effective": at[1]})


# -- the gate ---------------------------------------------------------------------------------


def pass_gate(app: TenantDatabase, write: Write | None = None) -> Collection[UUID] | None:
    """Let a write of the tenant in context through, or raise HeldError.

    Call it first in the transaction that changes or deletes rows: it lasts to that
    transaction's end, and a hold placed meanwhile waits. Returns None where nothing of the
    tenant is held. Where only some of it is, the rows of `write` are locked and looked at; their
    ids are returned, and no other rows may be written. A row that is held is neither changed nor
    deleted; one that a held row refers to, over any number of rows, is not deleted, and keeps
    what it refers to itself.

    Once a person's erasure has started, its rows are neither changed nor deleted; those kept on
    a legal basis may change in all but what they refer to.

    Raises HeldError with the matter (ErasingError with the erasure), and HoldError outside of a
    transaction, where it would protect nothing. Without a `write`, anything that is held is
    enough to raise, and so is an erasure that runs.
    """
    if not app.in_transaction():
        raise HoldError("pass_gate() protects nothing outside of a transaction")
    tenant_id = current_scope().tenant_id
    require_transaction_of(tenant_id)
    database: Any = app
    with _driver_errors:
        cursor = database.cursor(vouched=True)
        gate.pass_gate(cursor, tenant_id)
        standing = standing_holds(cursor, tenant_id)
        if standing.matters:
            raise HeldError(
                f"tenant {tenant_id} is under legal hold: {'; '.join(standing.matters)}"
            )
        if not standing.on_rows and not standing.erasing:
            return None
        if write is None:
            _require_nothing(tenant_id, standing)
            return None
    ids = tuple(write.rows())
    edges = edges_of(app.catalog)
    with _driver_errors:
        archives = {name for found in archives_in(app.catalog).values() for name in found}
        asked = HeldRows(
            cursor, tenant_id, held_edges(app.catalog), standing.on_rows, closed=archives
        )
        _require_free(asked, write, [str(row_id) for row_id in ids])
        for erasing in standing.erasing:
            _require_not_erased(cursor, edges, write, ids, erasing)
    return ids


def _require_nothing(tenant_id: TenantId, standing: Standing) -> None:
    """Raise where a write of nobody knows which rows could be in the way of anything."""
    if standing.on_rows:
        matters = "; ".join(sorted({hold.matter for hold in standing.on_rows}))
        raise HeldError(f"rows of tenant {tenant_id} are under legal hold: {matters}")
    running = [str(erasing.id) for erasing in standing.erasing if erasing.runs]
    if running:
        raise ErasingError(f"a person is being erased: erasure {', '.join(running)}")


def _require_free(asked: HeldRows, write: Write, ids: list[str]) -> None:
    rows = {write.table: ids}
    _refuse(asked.among(rows), "is under legal hold")
    if write.columns is None or write.columns & _tying(asked.edges, write):
        _refuse(asked.needed(rows), "is what a row under legal hold refers to")


def _require_not_erased(
    cursor: Cursor,
    edges: Sequence[Edge],
    write: Write,
    ids: Collection[UUID],
    erasing: Erasing,
) -> None:
    """Raise for rows of a person who is being erased. Of rows that are kept on a legal basis
    all may change but whom they belong to."""
    subject = Subject.from_definition(erasing.definition)
    declared = {one.table: one for one in subject.tables}.get(write.table)
    if declared is None:
        return
    if declared.action == "keep" and write.columns is not None:
        tying = _tying(edges, write) - {DELETED_AT}
        if not write.columns & tying:
            return
    followed = [edge for edge in edges if reference(edge) not in subject.cut]
    person = RowHold(erasing.id, "", Scope("subject", subject.table, subject=erasing.key))
    asked = HeldRows(cursor, current_scope().tenant_id, followed, [person])
    for name, row_id in asked.among({write.table: [str(one) for one in ids]}):
        raise ErasingError(
            f"{name} {row_id} is of a person who is being erased (erasure {erasing.id}), and does "
            "not change any more"
        )


def _tying(edges: Collection[Edge], write: Write) -> set[str]:
    """Return the columns whose change may cut a held row loose, or hide what it refers to."""
    columns = {e.column for e in edges if e.child == write.table}
    return (
        columns
        | {e.kind_column for e in edges if e.child == write.table and e.kind_column}
        | {DELETED_AT}
    )


def _refuse(found: dict[Node, RowHold], why: str) -> None:
    for (name, row_id), hold in found.items():
        raise HeldError(f"{name} {row_id} {why}: {hold.matter}")
