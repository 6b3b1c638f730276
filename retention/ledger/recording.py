"""Writes down outside of the database what committed batches did, whom else erasures asked, and
which tenants left: `retention.ledger.gone`.

Invariant: what is written is committed, in the ledger's order, and nothing is left out: lines go
on behind the entry that the last one names, which must be in the database under that position.
Where it is not, the database was restored: nothing is written before it was said
(`tenure retention replay`) where the lines go on. What is signed (`retention.ledger.gone_head`) was
written just now, or is what the database says of those batches; what was signed and is lost is
written again, and comes out as it was, or is not signed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from retention.errors import LedgerError
from retention.ledger.checkpoint import Signer, VerifierKey
from retention.ledger.gone import NOTHING, GoneFolder, Line, Pen, packed
from retention.ledger.gone_head import Head, read_head, write_head
from retention.ledger.keys import key_steps, keys_of
from retention.ledger.nodes import size_of_tree
from retention.policies import Policy
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId

BATCHES = ("batch", "erasure-batch", "purge-batch")
_PORTION = 200

# Of a person whose rows had all gone before, that a connector was asked is all that is known.
_NEXT = """
SELECT e.position, e.id::text, e.kind, e.tenant_id::text, e.recorded_at, e.body -> 'record'
FROM tenure.ledger_entries e
WHERE e.position > %s AND e.position < %s
  AND (e.kind = ANY(%s)
       OR e.kind = 'connector-event' AND e.body -> 'record' ->> 'event' = 'requested'
       OR e.kind = 'offboarding-changed' AND e.body -> 'record' ->> 'state' = 'running')
ORDER BY e.position LIMIT %s
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
_ASKED = """
SELECT cause, subject, subject_hash FROM tenure.connector_requests
WHERE tenant_id = %(tenant)s::uuid AND id = %(request)s::uuid
"""
_SUBJECT = """
SELECT definition FROM tenure.erasures WHERE tenant_id = %(tenant)s::uuid AND id = %(cause)s::uuid
"""


class Recorded(NamedTuple):
    """How many batches were written down; of how many of the ledger's entries the record now is."""

    batches: int
    covers: int


def record_gone(
    retention: RoleConnections, folder: GoneFolder, signers: Sequence[Signer] = ()
) -> Recorded:
    """Write down what committed batches did since the last time.

    Any number of processes may; what waits for its place in the ledger is left for the next time.
    Without `signers` what is written stays behind the head.

    Raises:
        LedgerError: the database was restored since the last line was written, the record is not
            as it was signed, or says other than the database; or nothing can be written.
    """
    written = 0
    with folder.writing() as pen:
        size, keys = _require_there(retention, pen, signers)
        head = read_head(folder, keys) if signers else None
        if signers:
            _require_ours(retention, pen, head, size)
        for line in _batches(retention, -1 if pen.last is None else pen.last.position, size):
            pen.open(line["at"])
            _require_as_signed(folder, pen.write(**line), head)
            written += 1
        if signers:
            sign_record(pen, head, size, signers)
    return Recorded(written, size)


def sign_record(pen: Pen, head: Head | None, size: int, signers: Sequence[Signer]) -> None:
    """Sign all that is written, which is all that went of the ledger's first `size` entries; `head`
    is what was signed before.

    Raises LedgerError where lines that were signed are missing.
    """
    lines, last = (0, NOTHING) if pen.last is None else (pen.last.number + 1, pen.last.sha256)
    if head and lines < head.lines:
        raise LedgerError(
            f"{pen.folder.path} has {lines} lines, and {head.lines} were signed. The last are "
            "missing, and the database does not know them: put the files back as they were"
        )
    # What another ledger's head says is of the entries of that one, before a restore.
    before = head.covers if head and head.origin == signers[0].name else 0
    following = Head(signers[0].name, lines, last, max(size, before))
    if following != head:
        write_head(pen.folder, following, signers)


def is_in(cursor: Cursor, line: Line) -> bool:
    """Tell whether the database has the entry that a line is of, where the line says."""
    cursor.execute(_IS_THERE, (line.position, None if line.entry is None else str(line.entry)))
    row = cursor.fetchone()
    return bool(row and row[0])


def _require_there(
    retention: RoleConnections, pen: Pen, signers: Sequence[Signer]
) -> tuple[int, list[VerifierKey]]:
    """Return the size of the tree, and the keys that sign, or have signed, as `signers` do."""
    last = pen.last
    with retention.transaction(None, read_only=True) as cursor:
        if last is not None and last.entry is not None and not is_in(cursor, last):
            raise LedgerError(
                f"{pen.folder.path} has on record what this database knows nothing of: the "
                "database was restored, or rewound. `tenure retention replay` erases again what "
                "had gone; until then no more is written there"
            )
        keys = [each.verifier_key for each in signers]
        if signers:
            keys += keys_of(key_steps(cursor), signers[0].name)
        return size_of_tree(cursor), list(dict.fromkeys(keys))


def _require_ours(retention: RoleConnections, pen: Pen, head: Head | None, size: int) -> None:
    """Raise LedgerError unless what stands behind the head is what the database says.

    Where nothing does, as it should be, this looks at the last line alone.
    """
    signed = head.lines if head else 0
    if pen.last is None or pen.last.number < signed:
        if pen.last is not None:
            _require_as_signed(pen.folder, pen.last, head)
        return
    seen: set[tuple[int, UUID | None]] = {(-1, None)}
    expected: Iterator[dict[str, Any]] = iter(())
    at = -1
    for line in pen.folder.lines():
        _require_as_signed(pen.folder, line, head)
        if line.number == signed:
            expected = _batches(retention, at, size)
        ours = line.number < signed or (line.number, line.kind) == (0, "opened")
        if line.number >= signed and line.is_batch:
            following = next(expected, None)
            ours = following is not None and line.says(**following)
        elif line.number >= signed and line.kind == "rewound":
            ours = (line.position, line.entry) in seen
            expected = _batches(retention, line.position, size)
        if not ours:
            raise LedgerError(
                f"{pen.folder.path}: line {line.number} was never signed, and is not what the "
                "database says. Somebody else wrote it: find out who, and take it away"
            )
        if line.is_batch:
            seen.add((line.position, line.entry))
        at = line.position


def _require_as_signed(folder: GoneFolder, line: Line, head: Head | None) -> None:
    if head and line.number == head.lines - 1 and line.sha256 != head.last:
        raise LedgerError(
            f"{folder.path}: line {line.number} is not the one that was signed. Put the files back "
            "as they were"
        )


def _batches(retention: RoleConnections, after: int, size: int) -> Iterator[dict[str, Any]]:
    """Yield what is to be written of batches at positions behind `after` and below `size`."""
    while True:
        with retention.transaction(None, read_only=True) as cursor:
            cursor.execute(_NEXT, (after, size, list(BATCHES), _PORTION))
            portion = cursor.fetchall()
        for position, entry, kind, tenant, at, record in portion:
            of_kind = _MORE.get(kind, _of_batch)
            more = of_kind(retention, kind, TenantId(UUID(tenant)), record)
            named = {"kind": kind, "position": position, "entry": UUID(entry), "at": at}
            yield {**named, "more": more}
            after = position
        if len(portion) < _PORTION:
            return


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


def _of_request(
    retention: RoleConnections, _kind: str, tenant_id: TenantId, record: Mapping[str, Any]
) -> dict[str, Any]:
    known = {"tenant": str(tenant_id), "request": record["request_id"]}
    with retention.transaction(tenant_id, read_only=True) as cursor:
        cursor.execute(_ASKED, known)
        ((cause, subject, key),) = cursor.fetchall()
    return {
        **known,
        "connector": record["connector"],
        "cause": cause,
        "subject": subject,
        "key": None if key is None else packed(bytes(key)),
        "rows": [],
    }


def _of_leaving(
    _retention: RoleConnections, _kind: str, tenant_id: TenantId, record: Mapping[str, Any]
) -> dict[str, Any]:
    return {"tenant": str(tenant_id), "offboarding": record["id"], "rows": []}


_MORE = {"connector-event": _of_request, "offboarding-changed": _of_leaving}
