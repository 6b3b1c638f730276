"""What else became of the row whose key somebody presents: by an erasure, or by a purge. Such rows
are in no population that samples are drawn from; each is proven like those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.deletions import Deletion
from retention.reports.commitments import Cause, Commitment, Entered, Place
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class ErasedRow:
    """What an erasure did to the row whose key was presented; `action` "cut" took its reference to
    the erased person away. It was `requested_at`, to be done by `due_at`. `proof`, `index` and
    `checkpoint` are as a sample's."""

    tenant: str
    table: str
    action: str
    requested_at: datetime | None
    due_at: datetime | None
    erased_at: datetime
    erasure_id: UUID
    batch_id: UUID
    trace_id: str
    proof: str
    index: int | None
    checkpoint: int | None


@dataclass(frozen=True, slots=True)
class PurgedRow:
    """What a purge did to the row whose key was presented. `purge` is offboarding or replay,
    `cause_id` that offboarding's id, which was `requested_at` and deletes from `due_at` on; `rule`
    says under which rule the row went, `started_by` who had the purge begun, `approved_by` who
    asked for the offboarding."""

    tenant: str
    table: str
    action: str
    requested_at: datetime | None
    due_at: datetime | None
    purged_at: datetime
    purge: str
    purge_id: UUID
    cause_id: UUID | None
    rule: str
    approved_by: str | None
    started_by: str
    batch_id: UUID
    trace_id: str
    proof: str
    index: int | None
    checkpoint: int | None


_SLUGS = "SELECT id::text, slug FROM tenure.tenants WHERE id = ANY(%s::uuid[])"
_PURGES = """
SELECT p.id::text, p.cause, p.begun_by, o.id::text, o.requested_by
FROM tenure.purges p
LEFT JOIN tenure.offboardings o ON o.tenant_id = p.tenant_id AND o.purge_id = p.id
WHERE p.tenant_id = ANY(%(tenants)s::uuid[]) AND p.id = ANY(%(purges)s::uuid[])
"""


@dataclass(frozen=True)
class Proven:
    """What was found to prove rows, by batch."""

    commitments: Sequence[Commitment]
    entries: Sequence[Entered]

    def of(self, row: Deletion) -> dict[str, Any]:
        """Return a row's `proof`, `index` and `checkpoint`."""
        wanted = (row.batch_id, row.table, row.action)
        proofs = (c.proof for c in self.commitments if (c.batch_id, c.table, c.action) == wanted)
        entry = next((e for e in self.entries if e.batch_id == row.batch_id), None)
        return {
            "proof": next(proofs, "its keys are not to be seen"),
            "index": None if entry is None else entry.index,
            "checkpoint": None if entry is None else entry.checkpoint,
        }


def place_of(row: Deletion) -> Place:
    """Return where a row's key is committed to."""
    cause: Cause = "run"
    cause_id = row.run_id
    if row.erasure_id is not None:
        cause, cause_id = "erasure", row.erasure_id
    elif row.purge_id is not None:
        cause, cause_id = "purge", row.purge_id
    assert cause_id is not None  # noqa: S101 - one of the three did it
    return Place(cause, row.tenant_id, cause_id, row.batch_id, row.table, row.action)


def erased_rows(cursor: Cursor, found: Iterable[Deletion], proven: Proven) -> tuple[ErasedRow, ...]:
    """Return what erasures did, of all that was done to a row."""
    rows = [(row, row.erasure_id) for row in found if row.erasure_id is not None]
    slugs = _slugs(cursor, [row for row, _ in rows])
    return tuple(
        ErasedRow(
            tenant=slugs[row.tenant_id],
            table=row.table,
            action=row.action,
            requested_at=row.requested_at,
            due_at=row.due_at,
            erased_at=row.deleted_at,
            erasure_id=erasure_id,
            batch_id=row.batch_id,
            trace_id=row.trace_id,
            **proven.of(row),
        )
        for row, erasure_id in rows
    )


def purged_rows(cursor: Cursor, found: Iterable[Deletion], proven: Proven) -> tuple[PurgedRow, ...]:
    """Return what purges did, of all that was done to a row."""
    rows = [(row, row.purge_id) for row in found if row.purge_id is not None]
    if not rows:
        return ()
    slugs = _slugs(cursor, [row for row, _ in rows])
    asked = {
        "tenants": [str(row.tenant_id) for row, _ in rows],
        "purges": [str(purge_id) for _, purge_id in rows],
    }
    cursor.execute(_PURGES, asked)
    purges = {UUID(row[0]): row[1:] for row in cursor.fetchall()}
    return tuple(
        _purged(row, purge_id, purges[purge_id], slugs[row.tenant_id], proven)
        for row, purge_id in rows
    )


def _purged(
    row: Deletion, purge_id: UUID, purge: Sequence[Any], tenant: str, proven: Proven
) -> PurgedRow:
    cause, begun_by, offboarding, requested_by = purge
    return PurgedRow(
        tenant=tenant,
        table=row.table,
        action=row.action,
        requested_at=row.requested_at,
        due_at=row.due_at,
        purged_at=row.deleted_at,
        purge=row.purge or "",
        purge_id=purge_id,
        cause_id=None if offboarding is None else UUID(offboarding),
        rule=_rule(cause, left=offboarding is not None),
        approved_by=requested_by,
        started_by=begun_by,
        batch_id=row.batch_id,
        trace_id=row.trace_id,
        **proven.of(row),
    )


def _rule(cause: Mapping[str, Any], *, left: bool) -> str:
    if left:
        return "all rows of a tenant that leaves go"
    upto = ", ".join(f"{one['journal']} up to line {one['through']}" for one in cause["records"])
    return f"what went before a restore goes again, by the records {upto}"


def _slugs(cursor: Cursor, rows: Sequence[Deletion]) -> dict[UUID, str]:
    if not rows:
        return {}
    cursor.execute(_SLUGS, ([str(row.tenant_id) for row in rows],))
    return {UUID(tenant): slug for tenant, slug in cursor.fetchall()}
