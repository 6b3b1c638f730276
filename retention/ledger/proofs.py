"""Proofs out of the database: that an entry is in the tree that a checkpoint signs, and that a
tree begins with an earlier one. They read the nodes they are made of, and no others.

For roles that read the ledger (tenure_auditor, tenure_verifier, tenure_retention). Entries that
tell of other tenants are for the caller to keep back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.errors import LedgerError
from retention.ledger import tree, verifier
from retention.ledger.checkpoint import Checkpoint, Note, VerifierKey
from retention.ledger.nodes import read_nodes
from retention.ledger.verifier import SignedCheckpoint, VerifierError
from tenants.connections import Cursor

_LAST = """
SELECT note FROM tenure.ledger_checkpoints WHERE exported_at IS NOT NULL
ORDER BY size DESC LIMIT 1
"""
_OF_SIZE = "SELECT note FROM tenure.ledger_checkpoints WHERE size = %s"
_ATTESTATIONS = """
SELECT kind, content FROM tenure.ledger_attestations WHERE size = %s ORDER BY kind, name
"""
_VKEYS = "SELECT vkey FROM tenure.ledger_key_steps ORDER BY taken_at, id"
_COLUMNS = "SELECT id::text, kind, tenant_id::text, recorded_at, position, leaf, row_key"
_OF_ROWS = f"""{_COLUMNS} FROM tenure.ledger_entries
WHERE source = %s AND row_key = ANY(%s)
ORDER BY position NULLS LAST, recorded_at, id"""
_AT_INDEX = f"{_COLUMNS} FROM tenure.ledger_entries WHERE position = %s"


@dataclass(frozen=True, slots=True)
class Proof:
    """That an entry is number `index` (from 0) of the tree that the checkpoint `note` signs: the
    hashes from the leaf's sibling upwards."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: Checkpoint
    note: bytes

    def text(self, leaf: bytes) -> str:
        """Return it as C2SP `tlog-proof@v1`, with the leaf as its extra data."""
        return str(verifier.Proof(self.index, self.path, self.note, leaf))

    def verify(self, leaf: bytes, keys: Sequence[VerifierKey]) -> SignedCheckpoint:
        """Check it as a stranger would; return the checkpoint with who signed it.

        Raises:
            VerifierError: it does not show what it should.
        """
        proof = verifier.Proof(self.index, self.path, self.note)
        return proof.verify(tree.leaf_hash(leaf), keys)


@dataclass(frozen=True, slots=True)
class Membership:
    """An entry and its place. `index` and `leaf` (the bytes that are hashed) are None as long as it
    waits for its place, `proof` until a checkpoint over it has been given out."""

    entry_id: UUID
    kind: str
    tenant_id: UUID | None
    entered_at: datetime
    index: int | None
    leaf: bytes | None
    proof: Proof | None


def of_row(
    cursor: Cursor, source: str, row_key: str, *, for_tenant: bool = False
) -> list[Membership]:
    """Return the entries of a row, the oldest first, each with its proof under the last checkpoint
    given out.

    `source` is the table's name without its schema, `row_key` the primary key, its columns joined
    with slashes in their order. A row whose key tells of a person is not found so.
    `for_tenant`: as tenure_app in the tenant's context, whose entries alone are found.
    """
    return of_rows(cursor, source, (row_key,), for_tenant=for_tenant)


def of_rows(
    cursor: Cursor, source: str, row_keys: Sequence[str], *, for_tenant: bool = False
) -> list[Membership]:
    """Return the entries of any of these rows of one table, as `of_row` does."""
    return [membership for _, membership in _of_rows(cursor, source, row_keys, for_tenant)]


def by_row(
    cursor: Cursor, source: str, row_keys: Sequence[str], *, for_tenant: bool = False
) -> dict[str, list[Membership]]:
    """Return the same by the rows' keys; those without an entry are left out."""
    found: dict[str, list[Membership]] = {}
    for row_key, membership in _of_rows(cursor, source, row_keys, for_tenant):
        found.setdefault(row_key, []).append(membership)
    return found


def _of_rows(
    cursor: Cursor, source: str, row_keys: Sequence[str], for_tenant: bool
) -> list[tuple[str, Membership]]:
    cursor.execute(_OF_ROWS, (source, list(row_keys)))
    rows = cursor.fetchall()
    memberships = _with_proofs(cursor, rows, last_note(cursor), for_tenant=for_tenant)
    return [(row[6], each) for row, each in zip(rows, memberships, strict=True)]


def at_index(cursor: Cursor, index: int, *, size: int | None = None) -> Membership:
    """Return the entry of an index with its proof under the last checkpoint given out, or under
    that of `size`.

    Raises:
        LedgerError: there is no such entry, or no such checkpoint.
    """
    note = last_note(cursor) if size is None else note_of_size(cursor, size)
    cursor.execute(_AT_INDEX, (index,))
    found = _with_proofs(cursor, cursor.fetchall(), note)
    if not found:
        raise LedgerError(f"the ledger has no entry {index}")
    return found[0]


def consistency(cursor: Cursor, old: int, new: int) -> tuple[bytes, ...]:
    """Return the proof that the tree of `new` entries begins with that of `old`.

    Raises:
        ProofError: old > new.
        LedgerError: the tree does not have as many.
    """
    node = read_nodes(cursor, tree.consistency_nodes(old, new))
    return tuple(tree.consistency_path(old, new, node))


def last_note(cursor: Cursor) -> bytes | None:
    """Return the last checkpoint given out."""
    cursor.execute(_LAST)
    row = cursor.fetchone()
    return row[0].encode() if row else None


def note_of_size(cursor: Cursor, size: int) -> bytes:
    """Return the checkpoint over so many entries.

    Raises:
        LedgerError: there is none.
    """
    cursor.execute(_OF_SIZE, (size,))
    row = cursor.fetchone()
    if row is None:
        raise LedgerError(f"there is no checkpoint of {size} entries")
    note: bytes = row[0].encode()
    return note


def attested_note(cursor: Cursor, note: bytes) -> tuple[bytes, list[bytes]]:
    """Return a checkpoint with the cosignatures that it has by now, and its timestamps.

    Raises:
        LedgerError: it cannot be read.
    """
    try:
        size = Checkpoint.parse(Note.parse(note).text).size
        cursor.execute(_ATTESTATIONS, (size,))
        said = [(kind, bytes(content)) for kind, content in cursor.fetchall()]
        lines = [content for kind, content in said if kind == "cosignature"]
        attested = str(Note.parse(b"".join((note, *lines)))).encode()
    except VerifierError as error:
        raise LedgerError(f"a checkpoint cannot be read: {error}") from error
    return attested, [content for kind, content in said if kind == "timestamp"]


def verifier_keys(cursor: Cursor, origin: str) -> list[VerifierKey]:
    """Return the keys that have signed, or sign, for a ledger, the oldest first."""
    cursor.execute(_VKEYS)
    try:
        keys = [VerifierKey.parse(row[0]) for row in cursor.fetchall()]
    except VerifierError as error:
        raise LedgerError(f"tenure.ledger_key_steps: {error}") from error
    return list(dict.fromkeys(key for key in keys if key.name == origin))


def _with_proofs(
    cursor: Cursor,
    rows: Sequence[tuple[Any, ...]],
    note: bytes | None,
    *,
    for_tenant: bool = False,
) -> list[Membership]:
    checkpoint = Checkpoint.parse(Note.parse(note).text) if note else None
    size = checkpoint.size if checkpoint else 0
    indices = [row[4] for row in rows if row[4] is not None and row[4] < size]
    node = read_nodes(
        cursor,
        {each for index in indices for each in tree.inclusion_nodes(size, index)},
        for_tenant=for_tenant,
    )
    found = []
    for entry_id, kind, tenant_id, entered_at, index, leaf, _ in rows:
        proof = None
        if note and checkpoint and index is not None and index < size:
            path = tuple(tree.inclusion_path(size, index, node))
            proof = Proof(index, path, checkpoint, note)
        found.append(
            Membership(
                UUID(entry_id),
                kind,
                UUID(tenant_id) if tenant_id else None,
                entered_at,
                index,
                bytes(leaf) if leaf is not None else None,
                proof,
            )
        )
    return found
