"""The record of exports: written before the first row is read, and ended once.

Who asked, what for, rows per table, and the digest of the manifest; of the person the hash of
the key alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from retention.deletions import key_hash
from retention.errors import ExportError
from tenants.connections import Cursor
from tenants.context import TenantId
from tenants.models import new_id

Kind = Literal["subject", "tenant"]


@dataclass(frozen=True, slots=True)
class Export:
    """An export on record. `received_at` is when the person asked for it, where that was said;
    `counts` are rows per table; one that stays begun was broken off."""

    id: UUID
    tenant_id: TenantId
    kind: Kind
    subject: str | None
    requested_by: str
    reason: str | None
    received_at: datetime | None
    state: Literal["begun", "finished", "failed"]
    began_at: datetime
    as_of: datetime | None
    counts: Mapping[str, int] | None
    bytes: int | None
    manifest_sha256: str | None
    ended_at: datetime | None
    problem: str | None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values; ids and instants remain what they are."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Made:
    """What an export came to: the snapshot's instant, rows per table, the zip's size, and the
    SHA-256 of its manifest, as hex."""

    as_of: datetime
    counts: Mapping[str, int]
    bytes: int
    manifest_sha256: str


_BEGIN = """
INSERT INTO tenure.exports (tenant_id, id, kind, subject, subject_hash, requested_by, reason,
    received_at)
VALUES (%(tenant)s::uuid, %(id)s::uuid, %(kind)s, %(subject)s, %(hash)s, %(actor)s, %(reason)s,
        %(received)s)
"""
_FINISH = """
UPDATE tenure.exports
SET state = 'finished', as_of = %(as_of)s, counts = %(counts)s::jsonb, bytes = %(bytes)s,
    manifest_sha256 = %(manifest)s, ended_at = clock_timestamp()
WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid AND ended_at IS NULL
"""
_FAIL = """
UPDATE tenure.exports SET state = 'failed', problem = %(problem)s, ended_at = clock_timestamp()
WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid AND ended_at IS NULL
"""
_LIST = """
SELECT e.id::text, e.tenant_id::text, e.kind, e.subject, e.requested_by, e.reason, e.received_at,
       e.state, e.began_at, e.as_of, e.counts, e.bytes, e.manifest_sha256, e.ended_at, e.problem
FROM tenure.exports e
WHERE (%(tenant)s::uuid IS NULL OR e.tenant_id = %(tenant)s::uuid)
  AND (%(id)s::uuid IS NULL OR e.id = %(id)s::uuid)
ORDER BY e.began_at DESC, e.id DESC LIMIT %(most)s OFFSET %(offset)s
"""
_COUNT = "SELECT count(*) FROM tenure.exports e WHERE e.tenant_id = %(tenant)s::uuid"


def begin(
    cursor: Cursor,
    tenant_id: TenantId,
    *,
    subject: str | None = None,
    key: UUID | None = None,
    actor: str,
    reason: str | None = None,
    received_at: datetime | None = None,
) -> UUID:
    """Record that an export begins: of the subject whose key this is, who asked for it at
    `received_at`, or of the whole tenant.

    As retention in the tenant's context, or as the application at its desk. Returns its id. Raises
    ExportError for a reason that says nothing.
    """
    if reason is not None and not reason.strip():
        raise ExportError("a reason that says nothing is none: leave it out, or give one")
    export_id = new_id()
    cursor.execute(
        _BEGIN,
        {
            "tenant": str(tenant_id),
            "id": str(export_id),
            "kind": "tenant" if key is None else "subject",
            "subject": subject,
            "hash": None if key is None else key_hash(key),
            "actor": actor,
            "reason": reason,
            "received": received_at,
        },
    )
    return export_id


def finish(cursor: Cursor, tenant_id: TenantId, export_id: UUID, made: Made) -> None:
    """Record that it is whole; raises ExportError where it has ended before."""
    cursor.execute(
        _FINISH,
        {
            "tenant": str(tenant_id),
            "id": str(export_id),
            "as_of": made.as_of,
            "counts": json.dumps(dict(made.counts)),
            "bytes": made.bytes,
            "manifest": made.manifest_sha256,
        },
    )
    if cursor.rowcount != 1:
        raise ExportError(f"export {export_id} has ended before, or is not there")


def fail(cursor: Cursor, tenant_id: TenantId, export_id: UUID, problem: str) -> None:
    """Record that nothing came of it, and why."""
    cursor.execute(_FAIL, {"tenant": str(tenant_id), "id": str(export_id), "problem": problem})


def exports(
    cursor: Cursor,
    *,
    tenant_id: TenantId | None = None,
    export_id: UUID | None = None,
    most: int = 1000,
    offset: int = 0,
) -> list[Export]:
    """Return exports, the latest first, `most` of them from number `offset` on (from 0): those of
    the tenant in context (as the application, at its desk), or, as verifier or auditor, of all
    tenants."""
    # tenure: allow TS001 because operators and auditors look at all tenants' exports
    cursor.execute(
        _LIST,
        {
            "tenant": None if tenant_id is None else str(tenant_id),
            "id": None if export_id is None else str(export_id),
            "most": most,
            "offset": offset,
        },
    )
    return [Export(UUID(row[0]), TenantId(UUID(row[1])), *row[2:]) for row in cursor.fetchall()]


def count_exports(cursor: Cursor, tenant_id: TenantId) -> int:
    """Return how many exports of a tenant there are."""
    cursor.execute(_COUNT, {"tenant": str(tenant_id)})
    ((count,),) = cursor.fetchall()
    return int(count)
