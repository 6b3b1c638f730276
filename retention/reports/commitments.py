"""What ties a row that went to the ledger: its key's hash is among those of its batch, their
digest stands in the batch's record and in its entry, and the entry is in the tree that a signed
checkpoint is over. Each link is computed again here.

The keys that checkpoints are verified by are those that the database records. Who trusts nobody
takes the proof along, and verifies it by a key that was given to them otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from retention.errors import LedgerError
from retention.ledger.checkpoint import VerifierKey
from retention.ledger.proofs import Membership, by_row
from retention.ledger.verifier import VerifierError
from tenants.connections import Cursor

#: What a batch belongs to.
Cause = Literal["run", "erasure", "purge"]

PROVEN = "proven"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a row's key is committed to: a batch of a run, an erasure or a purge (`cause_id`), a
    table, and what became of the row there."""

    cause: Cause
    tenant_id: UUID
    cause_id: UUID
    batch_id: UUID
    table: str
    action: str

    @property
    def row_key(self) -> str:
        """The key of the batch's row, as the ledger has it."""
        return f"{self.cause_id if self.cause == 'run' else self.tenant_id}/{self.batch_id}"


@dataclass(frozen=True, slots=True)
class Commitment:
    """The keys of one table that a batch deleted or changed: how many, and the SHA-256 over their
    hashes, and over their starting points where these are kept, as computed now. `cause` is run,
    erasure or purge. `proof` is "proven", or says what is missing."""

    batch_id: UUID
    table: str
    action: str
    cause: Cause
    rows: int
    sha256: str
    starts_sha256: str | None
    proof: str

    @property
    def name(self) -> str:
        """The name of these keys among those of their batch; see `kept_of`."""
        return self.table if self.cause == "run" else f"{self.table}.{self.action}"


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


# Of each: its keys, what its record has of them, and what of the record its entry must have, too.
_KEYS = """
SELECT k.batch_id::text, k.table_name, {action}, octet_length(k.hashes) / 16,
       encode(sha256(k.hashes), 'hex'), {starts}, b.tenant_id::text, {counted}, {record}, {instants}
FROM {keys} k JOIN {batches} b ON {join}
WHERE k.batch_id = ANY(%(batches)s::uuid[]) AND k.tenant_id = ANY(%(tenants)s::uuid[])
ORDER BY k.batch_id, k.table_name COLLATE "C", 3
"""
_OF_RUNS = _KEYS.format(
    action="b.action",
    starts="encode(sha256(k.starts), 'hex')",
    counted="b.counts->k.table_name",
    record="jsonb_build_object('tenant_id', b.tenant_id, 'run_id', b.run_id, 'id', b.id,"
    " 'policy', b.policy, 'policy_version', b.policy_version, 'action', b.action,"
    " 'rows_deleted', b.rows_deleted, 'counts', b.counts)",
    instants="b.cutoff, b.recorded_at",
    keys="tenure.deleted_keys",
    batches="tenure.batches",
    join="b.tenant_id = k.tenant_id AND b.run_id = k.run_id AND b.id = k.batch_id",
)


def _of(cause: str, keys: str, batches: str) -> str:
    return _KEYS.format(
        action="k.action",
        starts="NULL",
        counted="b.counts->k.table_name->k.action",
        record=f"jsonb_build_object('tenant_id', b.tenant_id, 'id', b.id, '{cause}_id',"
        f" b.{cause}_id, 'trace_id', b.trace_id, 'rows', b.rows, 'counts', b.counts)",
        instants="b.started_at, b.recorded_at",
        keys=keys,
        batches=batches,
        join=f"b.tenant_id = k.tenant_id AND b.{cause}_id = k.{cause}_id AND b.id = k.batch_id",
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """Batches of one cause: their table, without its schema; the question for their keys; and the
    names of the instants that it ends in."""

    table: str
    query: str
    instants: tuple[str, str]


_SOURCES: Mapping[Cause, _Source] = {
    "run": _Source("batches", _OF_RUNS, ("cutoff", "recorded_at")),
    "erasure": _Source(
        "erasure_batches",
        _of("erasure", "tenure.erased_keys", "tenure.erasure_batches"),
        ("started_at", "recorded_at"),
    ),
    "purge": _Source(
        "purge_batches",
        _of("purge", "tenure.purged_keys", "tenure.purge_batches"),
        ("started_at", "recorded_at"),
    ),
}
_KEY_STEPS = "SELECT vkey FROM tenure.ledger_key_steps ORDER BY taken_at, id"


def committed(
    cursor: Cursor, places: Collection[Place], *, for_tenant: bool
) -> tuple[tuple[Commitment, ...], tuple[Entered, ...]]:
    """Return the commitments of these places, and their batches' entries, with their proofs
    verified. `for_tenant`: as tenure_app in the tenant's context."""
    commitments: list[Commitment] = []
    entered: list[Entered] = []
    for cause in _SOURCES:
        asked = sorted(place for place in places if place.cause == cause)
        if asked:
            found, entries = _committed(cursor, cause, asked, for_tenant=for_tenant)
            commitments += found
            entered += entries
    return tuple(commitments), tuple(entered)


def _committed(
    cursor: Cursor, cause: Cause, places: Sequence[Place], *, for_tenant: bool
) -> tuple[list[Commitment], list[Entered]]:
    source = _SOURCES[cause]
    wanted = {(place.batch_id, place.table, place.action) for place in places}
    params = {
        "batches": sorted({str(place.batch_id) for place in places}),
        "tenants": sorted({str(place.tenant_id) for place in places}),
    }
    # tenure: allow TS004 because one of three constants is asked; policies bind the role
    cursor.execute(source.query, params)
    recorded = [row for row in cursor.fetchall() if (UUID(row[0]), *row[1:3]) in wanted]
    rows = {place.batch_id: place.row_key for place in places}
    memberships: dict[str, list[Membership]] = {}
    try:
        memberships = by_row(cursor, source.table, sorted(rows.values()), for_tenant=for_tenant)
        keys = _keys(cursor) if memberships else ()
        problems = {
            batch: _problem_of_entry(memberships.get(row, []), keys) for batch, row in rows.items()
        }
    except (LedgerError, VerifierError) as error:
        problems = dict.fromkeys(rows, f"does not verify: {error}")
    commitments = []
    for row in recorded:
        batch = UUID(row[0])
        problem = problems[batch] or _difference(source, row, memberships[rows[batch]][0])
        commitments.append(
            Commitment(batch, row[1], row[2], cause, row[3], row[4], row[5], problem or PROVEN)
        )
    entered = [
        _entered(batch, memberships[row][0])
        for batch, row in sorted(rows.items())
        if row in memberships
    ]
    return commitments, entered


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


def _difference(source: _Source, row: Sequence[Any], entry: Membership) -> str | None:
    """Return what a batch's record and its entry do not agree in."""
    _, _, _, rows, sha256, starts, tenant, counted, recorded, *instants = row
    leaf = json.loads(entry.leaf or b"{}")
    said = leaf.get("record") or {}
    differs = [name for name, value in recorded.items() if said.get(name) != value]
    differs += [
        name
        for name, value in zip(source.instants, instants, strict=True)
        if _instant(said.get(name)) != value
    ]
    if leaf.get("tenant") != tenant:
        differs.append("tenant")
    if differs:
        return f"its entry says otherwise: {', '.join(differs)}"
    has = counted if isinstance(counted, dict) else {}
    if (has.get("rows"), has.get("sha256")) != (rows, sha256):
        return "its keys are not those that its entry is committed to"
    if has.get("starts_sha256") != starts:
        return "its starting points are not those that its entry is committed to"
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
