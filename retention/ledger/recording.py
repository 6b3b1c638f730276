"""Writes down outside of the database what committed batches did: `retention.ledger.gone`.

Invariant: what is written is committed, in the ledger's order, and nothing is left out: lines go
on behind the entry that the last one names, which must be in the database under that position.
Where it is not, the database was restored: nothing is written before it was said
(`tenure retention replay`) where the lines go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from retention.errors import LedgerError
from retention.ledger.gone import GoneFolder, Line, Pen, packed
from retention.policies import Policy
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId

BATCHES = ("batch", "erasure-batch", "purge-batch")
_PORTION = 200

_NEXT = """
SELECT e.position, e.id::text, e.kind, e.tenant_id::text, e.recorded_at, e.body -> 'record'
FROM tenure.ledger_entries e
WHERE e.position > %s AND e.kind = ANY(%s) ORDER BY e.position LIMIT %s
"""
_IS_THERE = "SELECT EXISTS (SELECT FROM tenure.ledger_entries WHERE position = %s AND id = %s)"
_KEYS = {
    "batch": """
SELECT k.table_name, b.action, k.hashes FROM tenure.deleted_keys k
JOIN tenure.batches b ON b.tenant_id = k.tenant_id AND b.run_id = k.run_id AND b.id = k.batch_id
WHERE k.tenant_id = %(tenant)s::uuid AND k.run_id = %(cause)s::uuid AND k.batch_id = %(batch)s::uuid
ORDER BY k.table_name
""",
    "erasure-batch": """
SELECT table_name, action, hashes FROM tenure.erased_keys
WHERE tenant_id = %(tenant)s::uuid AND erasure_id = %(cause)s::uuid AND batch_id = %(batch)s::uuid
ORDER BY table_name, action
""",
    "purge-batch": """
SELECT table_name, action, hashes FROM tenure.purged_keys
WHERE tenant_id = %(tenant)s::uuid AND purge_id = %(cause)s::uuid AND batch_id = %(batch)s::uuid
ORDER BY table_name, action
""",
}
_CAUSE = {"batch": "run_id", "erasure-batch": "erasure_id", "purge-batch": "purge_id"}
_POLICY = "SELECT definition FROM tenure.policy_versions WHERE policy = %s AND version = %s"
_SUBJECT = """
SELECT definition FROM tenure.erasures WHERE tenant_id = %(tenant)s::uuid AND id = %(cause)s::uuid
"""


def record_gone(retention: RoleConnections, folder: GoneFolder) -> int:
    """Write down what committed batches did since the last time; return how many lines it took.

    Any number of processes may; what waits for its place in the ledger is left for the next time.

    Raises:
        LedgerError: the database was restored since the last line was written, or nothing can be
            written.
    """
    written = 0
    with folder.writing() as pen:
        _require_there(retention, pen)
        while portion := _next(retention, -1 if pen.last is None else pen.last.position):
            for position, entry, kind, tenant, at, record in portion:
                pen.open(at)
                what = _of_batch(retention, kind, TenantId(UUID(tenant)), record)
                pen.write(kind, position, UUID(entry), at, what)
                written += 1
    return written


def is_in(cursor: Cursor, line: Line) -> bool:
    """Tell whether the database has the entry that a line is of, where the line says."""
    cursor.execute(_IS_THERE, (line.position, None if line.entry is None else str(line.entry)))
    row = cursor.fetchone()
    return bool(row and row[0])


def _require_there(retention: RoleConnections, pen: Pen) -> None:
    last = pen.last
    if last is None or last.entry is None:
        return
    with retention.transaction(None, read_only=True) as cursor:
        if not is_in(cursor, last):
            raise LedgerError(
                f"{pen.folder.path} has on record what this database knows nothing of: the "
                "database was restored, or rewound. `tenure retention replay` erases again what "
                "had gone; until then no more is written there"
            )


def _next(retention: RoleConnections, after: int) -> list[tuple[Any, ...]]:
    with retention.transaction(None, read_only=True) as cursor:
        cursor.execute(_NEXT, (after, list(BATCHES), _PORTION))
        return cursor.fetchall()


def _of_batch(
    retention: RoleConnections, kind: str, tenant_id: TenantId, record: Mapping[str, Any]
) -> dict[str, Any]:
    known = {"tenant": str(tenant_id), "batch": record["id"], "cause": record[_CAUSE[kind]]}
    more: dict[str, Any] = {}
    with retention.transaction(tenant_id, read_only=True) as cursor:
        cursor.execute(_KEYS[kind], known)
        rows = [
            {"table": table, "action": action, "keys": packed(bytes(hashes))}
            for table, action, hashes in cursor.fetchall()
        ]
        if kind == "batch" and record["action"] in ("anonymise", "pseudonymise"):
            cursor.execute(_POLICY, (record["policy"], record["policy_version"]))
            ((definition,),) = cursor.fetchall()
            policy = Policy.from_definition(definition)
            columns = {t.column: t.definition() for t in policy.treatments}
            more["columns"] = {str(policy.table): columns}
        if kind == "purge-batch":
            more["columns"] = {
                table: entry["columns"]
                for table, of in record["counts"].items()
                for entry in of.values()
                if "columns" in entry
            }
            more["cut"] = [
                name
                for of in record["counts"].values()
                for entry in of.values()
                for name in entry.get("references", ())
            ]
        if kind == "erasure-batch":
            cursor.execute(_SUBJECT, known)
            ((definition,),) = cursor.fetchall()
            more["subject"] = definition
    if not rows:  # from before keys were committed to
        more["rows_unknown"] = record.get("rows_deleted")
    return {**known, **more, "rows": rows}
