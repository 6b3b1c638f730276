"""Holds as the database has them: what each is on, whether it is in force, what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.errors import HoldError
from retention.hold_scopes import Scope, ScopeKind
from tenants.catalog import TableName
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId

# By the database's clock alone: no two processes may differ over it.
IN_FORCE = "(h.effective_at IS NULL OR h.effective_at > pg_catalog.clock_timestamp())"


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold. It has no expiry; it ends when a release of it takes effect.

    `rows_then` are the rows under it when it was placed, None where that was not counted;
    with `keys_kept` their keys are known.
    """

    id: UUID
    tenant_id: TenantId
    tenant: str
    scope: Scope
    matter: str
    reason: str
    placed_by: str
    placed_at: datetime
    released_by: str | None
    released_at: datetime | None
    effective_at: datetime | None
    in_force: bool
    rows_then: int | None
    keys_kept: bool

    def to_json(self) -> dict[str, Any]:
        """Return the hold as JSON's values; ids and instants remain what they are."""
        return {
            "id": self.id,
            "tenant_id": self.tenant_id,
            "tenant": self.tenant,
            "scope": self.scope.kind,
            "table": None if self.scope.table is None else str(self.scope.table),
            "subject_id": self.scope.subject,
            "condition": self.scope.condition,
            "matter": self.matter,
            "reason": self.reason,
            "placed_by": self.placed_by,
            "placed_at": self.placed_at,
            "released_by": self.released_by,
            "released_at": self.released_at,
            "effective_at": self.effective_at,
            "in_force": self.in_force,
            "rows_then": self.rows_then,
            "keys_kept": self.keys_kept,
        }


@dataclass(frozen=True, slots=True)
class HoldEvent:
    """What became of a hold. `effective_at` says when a release takes effect."""

    event: str
    actor: str
    reason: str | None
    happened_at: datetime
    effective_at: datetime | None


_LIST = f"""
SELECT h.id::text, h.tenant_id::text, t.slug, h.scope, h.table_name, h.subject_id::text,
       h.condition, h.matter, h.reason, h.placed_by, h.placed_at, h.released_by, h.released_at,
       h.effective_at, {IN_FORCE}, h.rows_then, h.keys_kept
FROM tenure.holds h JOIN tenure.tenants t ON t.id = h.tenant_id
WHERE (%(id)s::uuid IS NULL OR h.id = %(id)s::uuid)
  AND (%(tenant)s::uuid IS NULL OR h.tenant_id = %(tenant)s::uuid)
  AND (%(all)s OR {IN_FORCE})
ORDER BY h.placed_at, h.id
"""  # noqa: S608 - a constant is put in
_EVENTS = """
SELECT e.event, e.actor, e.reason, e.happened_at, e.effective_at FROM tenure.hold_events e
WHERE e.tenant_id = %(tenant)s::uuid AND e.hold_id = %(hold)s::uuid
ORDER BY e.happened_at, e.id
"""


def holds(
    cursor: Cursor, *, tenant_id: TenantId | None = None, released: bool = False
) -> list[Hold]:
    """Return the holds in force, with `released` all of them; as verifier."""
    return _select(cursor, None, tenant_id, everything=released)


def find_hold(verifier: RoleConnections, hold_id: UUID) -> Hold:
    """Return a hold; raises HoldError where there is none."""
    with verifier.transaction(None, read_only=True) as cursor:
        found = _select(cursor, hold_id, None, everything=True)
    if not found:
        raise HoldError(f"there is no hold {hold_id}")
    return found[0]


def events_of(verifier: RoleConnections, hold: Hold) -> list[HoldEvent]:
    """Return what became of a hold, in order."""
    with verifier.transaction(None, read_only=True) as cursor:
        cursor.execute(_EVENTS, {"tenant": str(hold.tenant_id), "hold": str(hold.id)})
        return [HoldEvent(*row) for row in cursor.fetchall()]


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
    return [
        Hold(UUID(row[0]), TenantId(UUID(row[1])), row[2], scope_of(row[3:7]), *row[7:])
        for row in cursor.fetchall()
    ]


def scope_of(row: Sequence[Any]) -> Scope:
    """Return the scope in (scope, table_name, subject_id, condition); keys are not read."""
    kind: ScopeKind = row[0]
    name, subject, condition = row[1:4]
    return Scope(
        kind,
        None if name is None else TableName.parse(name),
        None if subject is None else UUID(str(subject)),
        condition,
    )


# -- what a write or a batch asks, behind the gate --------------------------------------------


@dataclass(frozen=True, slots=True)
class RowHold:
    """A hold in force on less than the tenant, as a write or a batch needs it."""

    id: UUID
    matter: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class Erasing:
    """A person who is being erased, by the declaration in `definition`; `runs` while nothing is
    waited for."""

    id: UUID
    key: UUID
    definition: Mapping[str, Any]
    runs: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """A tenant's holds in force: the matters of those on all of it, and those on less; and who
    is being erased, which is in the way of writes alone."""

    matters: tuple[str, ...]
    on_rows: tuple[RowHold, ...]
    erasing: tuple[Erasing, ...] = ()


_STANDING = f"""
SELECT h.id::text, h.scope, h.table_name, h.subject_id::text, h.condition, h.matter,
       NULL::jsonb, h.placed_at
FROM tenure.holds h
WHERE h.tenant_id = %(tenant)s::uuid AND {IN_FORCE}
UNION ALL
SELECT e.id::text, 'erasure', NULL, s.key::text, NULL, e.state, e.definition, NULL
FROM tenure.erasures e
JOIN tenure.erasure_subjects s ON s.tenant_id = e.tenant_id AND s.erasure_id = e.id
WHERE e.tenant_id = %(tenant)s::uuid AND e.state IN ('running', 'deferred')
ORDER BY 8, 1
"""  # noqa: S608 - a constant is put in


def standing_holds(cursor: Cursor, tenant_id: TenantId) -> Standing:
    """Return the tenant's holds in force and whom it erases, as any role that may see them."""
    cursor.execute(_STANDING, {"tenant": str(tenant_id)})
    rows = cursor.fetchall()
    return Standing(
        tuple(row[5] for row in rows if row[1] == "tenant"),
        tuple(
            RowHold(UUID(row[0]), row[5], scope_of(row[1:5]))
            for row in rows
            if row[1] not in ("tenant", "erasure")
        ),
        tuple(
            Erasing(UUID(row[0]), UUID(row[3]), row[6], row[5] == "running")
            for row in rows
            if row[1] == "erasure"
        ),
    )
