"""Deleted keys: how they are committed to, and the way back from a key to its deletion.

What was archived or changed (anonymised, pseudonymised) is committed to alike, and so is what an
erasure (`tenure.erased_keys`) or a purge did (`tenure.purged_keys`).

A key's hash is the first 16 bytes of `sha256(uuid_send(id))`. A batch keeps, per table, the
hashes of the keys it deleted, end to end as they went (sorting them would cost a tenth of all its
time), in `tenure.deleted_keys`; its record has the SHA-256 over that string. Who presents a key
learns whether, when and under which rule it went; from the hashes nobody learns a key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tenants.catalog import TableName
from tenants.connections import Cursor
from tenants.context import TenantId

HASH_BYTES = 16
HASH = "substr(sha256(uuid_send({})), 1, 16)"
"""A key's hash in SQL, of the expression put in."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a batch did to a row (`action`) of a tenant's table: a run's, under which version of
    which policy, or an erasure's or a purge's, which has neither run, policy nor cutoff. A purge
    is of a kind: "offboarding", or "replay".

    The action "cut" took a reference to an erased person's row away.
    """

    deleted_at: datetime
    run_id: UUID | None
    trace_id: str
    batch_id: UUID
    policy: str | None
    version: int | None
    cutoff: datetime | None
    action: str
    tenant_id: TenantId
    table: str
    erasure_id: UUID | None = None
    purge_id: UUID | None = None
    purge: str | None = None


# A hash may by chance stand across two others: `position` finds what may be, the rest decides.
_AMONG = """
    (%(tenant)s::uuid IS NULL OR k.tenant_id = %(tenant)s::uuid)
    AND (%(table)s::text IS NULL OR k.table_name = %(table)s)
    AND position(%(hash)s::bytea IN k.hashes) > 0
    AND EXISTS (SELECT FROM generate_series(1, octet_length(k.hashes), 16) at
                WHERE substr(k.hashes, at, 16) = %(hash)s::bytea)
"""
_FIND = f"""
SELECT b.recorded_at, b.run_id, b.trace_id, b.id, b.policy, b.policy_version, b.cutoff, b.action,
       k.tenant_id, k.table_name, NULL::uuid, NULL::uuid, NULL
FROM tenure.deleted_keys k
JOIN tenure.batches b
    ON b.run_id = k.run_id AND b.id = k.batch_id AND b.tenant_id = k.tenant_id
WHERE {_AMONG}
UNION ALL
SELECT b.recorded_at, NULL, b.trace_id, b.id, NULL, NULL, NULL, k.action, k.tenant_id,
       k.table_name, k.erasure_id, NULL, NULL
FROM tenure.erased_keys k
JOIN tenure.erasure_batches b
    ON b.tenant_id = k.tenant_id AND b.erasure_id = k.erasure_id AND b.id = k.batch_id
WHERE {_AMONG}
UNION ALL
SELECT b.recorded_at, NULL, b.trace_id, b.id, NULL, NULL, NULL, k.action, k.tenant_id,
       k.table_name, NULL, k.purge_id, p.kind
FROM tenure.purged_keys k
JOIN tenure.purge_batches b
    ON b.tenant_id = k.tenant_id AND b.purge_id = k.purge_id AND b.id = k.batch_id
JOIN tenure.purges p ON p.tenant_id = k.tenant_id AND p.id = k.purge_id
WHERE {_AMONG}
ORDER BY 1, 4
"""  # noqa: S608 - constants


def find(
    cursor: Cursor, tenant_id: TenantId | None, table: TableName | str | None, key: UUID
) -> list[Deletion]:
    """Return what batches did to a row by its key, oldest first; empty if none is recorded.

    Without the tenant, or the table, all are looked through: all hashes there are.

    As a role that sees the tenant's evidence: retention, or the application, in the tenant's
    context; verifier or auditor. There may be several: a row that was restored can go again.
    Batches from before keys were committed to are not found.
    """
    params = {
        "tenant": None if tenant_id is None else str(tenant_id),
        "table": None if table is None else str(table),
        "hash": key_hash(key),
    }
    # tenure: allow TS001 because a key may be presented without its tenant; policies bind the role
    cursor.execute(_FIND, params)
    return [Deletion(*row) for row in cursor.fetchall()]


def key_hash(key: UUID) -> bytes:
    """Return a key's hash, 16 bytes; the same as `HASH`."""
    return hashlib.sha256(key.bytes).digest()[:HASH_BYTES]
