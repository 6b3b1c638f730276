"""Deleted keys: how they are committed to, and the way back from a key to its deletion.

What was archived or changed (anonymised, pseudonymised) is committed to alike.

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
    """What a batch did to a row (`action`), under which version of which policy."""

    deleted_at: datetime
    run_id: UUID
    trace_id: str
    batch_id: UUID
    policy: str
    version: int
    cutoff: datetime
    action: str = "delete"


# A hash may by chance stand across two others: `position` finds what may be, the rest decides.
_FIND = """
SELECT b.recorded_at, b.run_id, b.trace_id, b.id, b.policy, b.policy_version, b.cutoff, b.action
FROM tenure.deleted_keys k
JOIN tenure.batches b
    ON b.run_id = k.run_id AND b.id = k.batch_id AND b.tenant_id = k.tenant_id
WHERE k.tenant_id = %(tenant)s::uuid AND k.table_name = %(table)s
  AND position(%(hash)s::bytea IN k.hashes) > 0
  AND EXISTS (SELECT FROM generate_series(1, octet_length(k.hashes), 16) at
              WHERE substr(k.hashes, at, 16) = %(hash)s::bytea)
ORDER BY b.recorded_at, b.id
"""


def find(cursor: Cursor, tenant_id: TenantId, table: TableName, key: UUID) -> list[Deletion]:
    """Return the deletions of a row by its key, oldest first; empty if none is recorded.

    As a role that sees the tenant's evidence: retention in the tenant's context, verifier or
    auditor. There may be several: a row that was restored can go again. Batches from before
    keys were committed to are not found.
    """
    cursor.execute(_FIND, {"tenant": str(tenant_id), "table": str(table), "hash": key_hash(key)})
    return [Deletion(*row) for row in cursor.fetchall()]


def key_hash(key: UUID) -> bytes:
    """Return a key's hash, 16 bytes; the same as `HASH`."""
    return hashlib.sha256(key.bytes).digest()[:HASH_BYTES]
