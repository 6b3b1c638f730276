"""Audits the hashes of keys that went, and from when the periods of these rows ran, against what
the records of their batches commit to.

The hashes feed no ledger, the records do: with the number of rows of each table, and the SHA-256
over their hashes, and over their starting points where these are kept. So a list that is missing,
or is another one, contradicts a record.
"""

from __future__ import annotations

from dataclasses import dataclass

from retention.ledger.findings import SHOWN, Findings
from tenants.connections import Cursor

# OFFSET 0: hashes are read and let go, and no join carries them.
_COMPARED = """
WITH stated AS (
    SELECT 'deleted_keys' AS source, b.tenant_id, b.id, t.name, '' AS action, t.entry
    FROM tenure.batches b CROSS JOIN LATERAL jsonb_each(
        CASE jsonb_typeof(b.counts) WHEN 'object' THEN b.counts ELSE '{}' END) t(name, entry)
    UNION ALL
    SELECT 'erased_keys', b.tenant_id, b.id, t.name, a.action, a.entry
    FROM tenure.erasure_batches b CROSS JOIN LATERAL jsonb_each(b.counts) t(name, actions)
    CROSS JOIN LATERAL jsonb_each(t.actions) a(action, entry)
    UNION ALL
    SELECT 'purged_keys', b.tenant_id, b.id, t.name, a.action, a.entry
    FROM tenure.purge_batches b CROSS JOIN LATERAL jsonb_each(b.counts) t(name, actions)
    CROSS JOIN LATERAL jsonb_each(t.actions) a(action, entry)
), kept AS (
    SELECT 'deleted_keys' AS source, tenant_id, batch_id AS id, table_name AS name, '' AS action,
           octet_length(hashes) / 16 AS keys, encode(sha256(hashes), 'hex') AS sha256,
           encode(sha256(starts), 'hex') AS starts
    FROM tenure.deleted_keys
    UNION ALL
    SELECT 'erased_keys', tenant_id, batch_id, table_name, action,
           octet_length(hashes) / 16, encode(sha256(hashes), 'hex'), NULL FROM tenure.erased_keys
    UNION ALL
    SELECT 'purged_keys', tenant_id, batch_id, table_name, action,
           octet_length(hashes) / 16, encode(sha256(hashes), 'hex'), NULL FROM tenure.purged_keys
    OFFSET 0
), compared AS (
    SELECT source, id, name, k.keys, s.entry -> 'rows' AS rows, CASE
        WHEN s.entry IS NULL THEN 'stray' WHEN k.keys IS NULL THEN 'gone'
        WHEN s.entry -> 'rows' IS DISTINCT FROM to_jsonb(k.keys)
             OR s.entry ->> 'sha256' IS DISTINCT FROM k.sha256 THEN 'other'
        WHEN s.entry ->> 'starts_sha256' IS DISTINCT FROM k.starts THEN 'other starts'
        ELSE 'same' END AS state
    FROM stated s FULL JOIN kept k USING (source, tenant_id, id, name, action)
)
"""
_COUNTS = "SELECT state, count(*), coalesce(sum(keys), 0)::bigint FROM compared GROUP BY state"
_FINDINGS = """
SELECT source, id, name, keys, rows, state FROM compared WHERE state <> 'same'
ORDER BY source, id, name LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Hashes:
    """How many lists of hashes, with their starting points, are what their batches' records commit
    to, and over how many keys; a batch has one of each table."""

    lists: int
    keys: int


def audit_keys(cursor: Cursor, findings: Findings) -> Hashes:
    """Compare the hashes of all keys that went with the records of their batches."""
    cursor.execute(_COMPARED + _COUNTS)
    counts = {state: (lists, keys) for state, lists, keys in cursor.fetchall()}
    unlike = sum(lists for state, (lists, _) in counts.items() if state != "same")
    if unlike:
        cursor.execute(_COMPARED + _FINDINGS, (SHOWN,))
        found = cursor.fetchall()
        for source, batch, table, keys, rows, state in found:
            said = {
                "gone": f"the hashes of its {rows} keys are gone",
                "stray": f"{keys} hashes that its record does not have",
                "other": f"{keys} hashes that are not those of its record, which has {rows}",
                "other starts": "starting points that are not those of its record",
            }[state]
            findings.add("keys", f"tenure.{source} of batch {batch}, {table}", said)
        findings.counts["keys"] += unlike - len(found)
    return Hashes(*counts.get("same", (0, 0)))
