"""Deleted keys: how they are committed to, and the way back from a key to its deletion.

What was archived or changed (anonymised, pseudonymised) is committed to alike, and so is what an
erasure (`tenure.erased_keys`) or a purge did (`tenure.purged_keys`).

A key's hash is the first 16 bytes of `sha256(uuid_send(id))`. A batch keeps, per table, the
hashes of the keys it deleted, end to end as they went (sorting them would cost a tenth of all its
time), in `tenure.deleted_keys`; its record has the SHA-256 over that string. Who presents a key
learns whether, when and under which rule it went, and from when its period ran
(`retention.starting_points`); from the hashes nobody learns a key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from retention.starting_points import UNKNOWN, Started
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

    The action "cut" took a reference to an erased person's row away. Of a run's, `started` says
    from when its period ran; `period`, for who asks for it (`retention.explain`), how long that
    was, by the tenant's own or the policy's. An erasure's, or an offboarding's, went because it was
    `requested_at`: by `request_due_at` at the latest, an offboarding's not before that.
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
    requested_at: datetime | None = None
    request_due_at: datetime | None = None
    started: Started = UNKNOWN
    period: str | None = None

    @property
    def due_at(self) -> datetime | None:
        """When it was due, by the request or as `Started.due_at` says."""
        return self.request_due_at or self.started.due_at(self.period)


# A hash may by chance stand across two others: `position` finds what may be, the rest decides.
_AMONG = """
    (%(tenant)s::uuid IS NULL OR k.tenant_id = %(tenant)s::uuid)
    AND (%(table)s::text IS NULL OR k.table_name = %(table)s)
    AND position(%(hash)s::bytea IN k.hashes) > 0
"""
# Which of a batch's rows it is, from 0.
_PLACE = """
    CROSS JOIN LATERAL (
        SELECT n FROM generate_series(0, octet_length(k.hashes) / 16 - 1) n
        WHERE substr(k.hashes, 16 * n + 1, 16) = %(hash)s::bytea ORDER BY n LIMIT 1) place
"""
STARTS = """
    LEFT JOIN LATERAL (
        SELECT CASE WHEN s.table_name = k.table_name
                    THEN substr(s.starts, s.width * place.n + 1, s.width) ELSE s.starts END AS kept,
               s.width, nullif(s.table_name, k.table_name) AS along
        FROM (SELECT d.table_name, d.starts, octet_length(d.starts) * 16 / octet_length(d.hashes)
                         AS width
              FROM tenure.deleted_keys d
              WHERE d.tenant_id = k.tenant_id AND d.run_id = k.run_id AND d.batch_id = k.batch_id
                AND d.starts IS NOT NULL
              ORDER BY d.table_name = k.table_name DESC LIMIT 1) s) started ON true
"""
"""Joins to a batch's table `k`, and the number of a row in it (`place.n`, from 0), what is kept of
when it started, for `Started.read`: (kept, width, along)."""
OWN_PERIOD = """
    LEFT JOIN LATERAL (
        SELECT m.value AS period FROM tenure.policy_changes c
        CROSS JOIN LATERAL (VALUES (c.after, 1), (c.before, -1)) m(value, times)
        WHERE c.tenant_id = b.tenant_id AND c.policy = b.policy AND c.what = 'period'
          AND c.changed_at <= r.started_at AND m.value IS NOT NULL
        GROUP BY m.value HAVING sum(m.times) > 0
        ORDER BY max(c.changed_at) DESC LIMIT 1) own ON true
"""
"""Joins to a batch `b` and its run `r` the tenant's own period when that began, NULL where it had
none: what came into force once more than it ceased to be (`retention.verification_terms`). Not as
tenure_retention."""
_FIND = f"""
SELECT b.recorded_at, b.run_id, b.trace_id, b.id, b.policy, b.policy_version, b.cutoff, b.action,
       k.tenant_id, k.table_name, NULL::uuid, NULL::uuid, NULL, NULL::timestamptz,
       NULL::timestamptz, started.kept, started.width, started.along
FROM tenure.deleted_keys k {_PLACE} {STARTS}
JOIN tenure.batches b
    ON b.run_id = k.run_id AND b.id = k.batch_id AND b.tenant_id = k.tenant_id
WHERE {_AMONG}
UNION ALL
SELECT b.recorded_at, NULL, b.trace_id, b.id, NULL, NULL, NULL, k.action, k.tenant_id,
       k.table_name, k.erasure_id, NULL, NULL, e.received_at, e.due_at, NULL, NULL, NULL
FROM tenure.erased_keys k {_PLACE}
JOIN tenure.erasure_batches b
    ON b.tenant_id = k.tenant_id AND b.erasure_id = k.erasure_id AND b.id = k.batch_id
JOIN tenure.erasures e ON e.tenant_id = k.tenant_id AND e.id = k.erasure_id
WHERE {_AMONG}
UNION ALL
SELECT b.recorded_at, NULL, b.trace_id, b.id, NULL, NULL, NULL, k.action, k.tenant_id,
       k.table_name, NULL, k.purge_id, p.kind, o.requested_at, o.deletes_at, NULL, NULL, NULL
FROM tenure.purged_keys k {_PLACE}
JOIN tenure.purge_batches b
    ON b.tenant_id = k.tenant_id AND b.purge_id = k.purge_id AND b.id = k.batch_id
JOIN tenure.purges p ON p.tenant_id = k.tenant_id AND p.id = k.purge_id
LEFT JOIN tenure.offboardings o ON o.tenant_id = k.tenant_id AND o.purge_id = k.purge_id
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
    return [
        replace(Deletion(*row[:-3]), started=Started.read(*row[-3:])) for row in cursor.fetchall()
    ]


def key_hash(key: UUID) -> bytes:
    """Return a key's hash, 16 bytes; the same as `HASH`."""
    return hashlib.sha256(key.bytes).digest()[:HASH_BYTES]
