"""What ties a row that went to the ledger: its key's hash is among those of its batch, their
digest stands in the batch's record and in its entry, and the entry is in the tree that a signed
checkpoint is over. Each link is computed again here.

The keys that checkpoints are verified by are those that the database records. Who trusts nobody
takes the proof along, and verifies it by a key that was given to them otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from retention.errors import LedgerError
from retention.ledger.checkpoint import VerifierKey
from retention.ledger.proofs import Membership, by_row
from retention.ledger.verifier import VerifierError
from tenants.connections import Cursor

#: A batch's table: tenant, run, batch, table.
Place = tuple[UUID, UUID, UUID, str]

PROVEN = "proven"


@dataclass(frozen=True, slots=True)
class Commitment:
    """The keys that a batch deleted of one table: how many, and the SHA-256 over their hashes, as
    computed now. `proof` is "proven", or says what is missing."""

    batch_id: UUID
    table: str
    rows: int
    sha256: str
    proof: str


@dataclass(frozen=True, slots=True)
class Entered:
    """A batch's entry in the ledger: number `index` of those that the checkpoint of `checkpoint`
    entries, with this `root`, is over. `tlog_proof` is the proof to be taken along."""

    batch_id: UUID
    entered_at: datetime
    index: int | None
    checkpoint: int | None
    root: str | None
    tlog_proof: str | None


_RECORDED = """
SELECT k.batch_id::text, k.table_name, octet_length(k.hashes) / 16,
       encode(sha256(k.hashes), 'hex'), b.tenant_id::text, b.run_id::text, b.policy,
       b.policy_version, b.action, b.cutoff, b.rows_deleted, b.counts, b.recorded_at
FROM tenure.deleted_keys k JOIN tenure.batches b
    ON b.tenant_id = k.tenant_id AND b.run_id = k.run_id AND b.id = k.batch_id
WHERE k.batch_id = ANY(%(batches)s::uuid[]) AND k.tenant_id = ANY(%(tenants)s::uuid[])
ORDER BY k.batch_id, k.table_name COLLATE "C"
"""
_KEY_STEPS = "SELECT vkey FROM tenure.ledger_key_steps ORDER BY taken_at, id"


def committed(
    cursor: Cursor, places: Sequence[Place], *, for_tenant: bool
) -> tuple[tuple[Commitment, ...], tuple[Entered, ...]]:
    """Return the commitments of batches' tables, and the batches' entries, with their proofs
    verified. `for_tenant`: as tenure_app in the tenant's context."""
    wanted = {(batch, table) for _, _, batch, table in places}
    params = {
        "batches": sorted({str(place[2]) for place in places}),
        "tenants": sorted({str(place[0]) for place in places}),
    }
    cursor.execute(_RECORDED, params)
    recorded = [row for row in cursor.fetchall() if (UUID(row[0]), row[1]) in wanted]
    rows = {batch: f"{run}/{batch}" for _, run, batch, _ in places}
    memberships: dict[str, list[Membership]] = {}
    try:
        memberships = by_row(cursor, "batches", sorted(rows.values()), for_tenant=for_tenant)
        keys = _keys(cursor) if memberships else ()
        problems = {
            batch: _problem_of_entry(memberships.get(row, []), keys) for batch, row in rows.items()
        }
    except (LedgerError, VerifierError) as error:
        problems = dict.fromkeys(rows, f"does not verify: {error}")
    commitments = []
    for row in recorded:
        batch = UUID(row[0])
        problem = problems[batch] or _difference(row, memberships[rows[batch]][0])
        commitments.append(Commitment(batch, row[1], row[2], row[3], problem or PROVEN))
    entered = tuple(
        _entered(batch, memberships[row][0])
        for batch, row in sorted(rows.items())
        if row in memberships
    )
    return tuple(commitments), entered


def _keys(cursor: Cursor) -> tuple[VerifierKey, ...]:
    cursor.execute(_KEY_STEPS)
    return tuple(VerifierKey.parse(row[0]) for row in cursor.fetchall())


def _problem_of_entry(found: Sequence[Membership], keys: Sequence[VerifierKey]) -> str | None:
    if len(found) != 1:
        return "not in the ledger" if not found else f"in the ledger {len(found)} times"
    [entry] = found
    if entry.leaf is None or entry.proof is None:
        return "under no checkpoint yet"
    origin = entry.proof.checkpoint.origin
    try:
        entry.proof.verify(entry.leaf, [key for key in keys if key.name == origin])
    except VerifierError as error:
        return f"does not verify: {error}"
    return None


def _difference(row: Sequence[Any], entry: Membership) -> str | None:
    """Return what a batch's record and its entry do not agree in."""
    _, table, rows, sha256, tenant, run, policy, version, action, cutoff, total, counts, at = row
    leaf = json.loads(entry.leaf or b"{}")
    said = leaf.get("record") or {}
    recorded = {
        "tenant_id": tenant,
        "run_id": run,
        "id": row[0],
        "policy": policy,
        "policy_version": version,
        "action": action,
        "rows_deleted": total,
        "counts": counts,
    }
    differs = [name for name, value in recorded.items() if said.get(name) != value]
    differs += [
        name
        for name, value in (("cutoff", cutoff), ("recorded_at", at))
        if _instant(said.get(name)) != value
    ]
    if leaf.get("tenant") != tenant:
        differs.append("tenant")
    if differs:
        return f"its entry says otherwise: {', '.join(differs)}"
    if counts.get(table) != {"rows": rows, "sha256": sha256}:
        return "its keys are not those that its entry is committed to"
    return None


def _instant(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (TypeError, ValueError):
        return None


def _entered(batch_id: UUID, found: Membership) -> Entered:
    proof, leaf = found.proof, found.leaf
    return Entered(
        batch_id,
        found.entered_at,
        found.index,
        None if proof is None else proof.checkpoint.size,
        None if proof is None else proof.checkpoint.root.hex(),
        proof.text(leaf) if proof is not None and leaf is not None else None,
    )
