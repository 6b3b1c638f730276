"""Writes the ledger into one file that verifies offline, for all or for one tenant.

The first line has the checkpoints, with what others attested of them; each further line is an
entry's leaf as it was hashed, or, of what a tenant is not shown, its hash (see `verifier`). What is
written is checked against the last checkpoint on the way: a file that would not verify is none.

A tenant is shown its own entries, and of those without a tenant the kinds that are known to name
none. A kind that is not known here is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from retention.errors import LedgerError
from retention.ledger.checkpoint import Checkpoint, Note
from retention.ledger.proofs import attested_note, note_of_size
from retention.ledger.verifier import (
    MAX_HEADER,
    RootBuilder,
    export_header,
    hashed_line,
    leaf_hash,
)
from tenants.connections import Cursor
from tenants.context import TenantId

BLOCK = 1000  # entries

#: Kinds of entries without a tenant that say nothing of any: each tenant may read them.
FOR_ALL = frozenset(
    kind + suffix
    for kind in ("context-key", "intervention", "ledger-key", "ledger-source", "policy-version",
                 "policy-withdrawal", "run", "scheduled-time", "watch")
    for suffix in ("", "-changed", "-deleted")
)  # fmt: skip

_SIZES = """
SELECT c.size, octet_length(c.note) + coalesce(
    (SELECT sum(octet_length(content)) FROM tenure.ledger_attestations WHERE size = c.size), 0)
FROM tenure.ledger_checkpoints c WHERE c.exported_at IS NOT NULL AND starts_with(c.note, %s)
ORDER BY c.size
"""
_LAST = """
SELECT size, note FROM tenure.ledger_checkpoints WHERE exported_at IS NOT NULL
ORDER BY size DESC LIMIT 1
"""
_ENTRIES = """
SELECT position, kind, tenant_id::text, leaf FROM tenure.ledger_entries
WHERE position >= %s AND position < %s ORDER BY position
"""


@dataclass(frozen=True, slots=True)
class Exported:
    """What a file holds: so many entries, of which some as hashes alone, under so many checkpoints;
    `dropped` earlier ones did not go into its first line."""

    size: int
    hashed: int
    checkpoints: int
    dropped: int


def export(cursor: Cursor, stream: BinaryIO, tenant: TenantId | None = None) -> Exported:
    """Write all entries under the last checkpoint given out, or what `tenant` may read of them.

    Runs in one transaction on one snapshot, as tenure_auditor or tenure_verifier.

    Raises:
        LedgerError: no checkpoint was given out, or the entries are not those of the last one.
    """
    size, kept, dropped = _chosen(cursor)
    notes = [attested_note(cursor, note_of_size(cursor, each)) for each in kept]
    last = Checkpoint.parse(Note.parse(notes[-1][0]).text)
    stream.write(export_header(notes))
    builder, hashed = RootBuilder(), 0
    own = str(tenant) if tenant else None
    for kind, of, leaf in _entries(cursor, size):
        digest = leaf_hash(leaf)
        builder.add(digest)
        if own is None or of == own or (of is None and kind in FOR_ALL):
            stream.write(leaf + b"\n")
        else:
            hashed += 1
            stream.write(hashed_line(digest))
    if (builder.size, builder.root()) != (size, last.root):
        raise LedgerError(
            f"the first {size} entries are not those of the last checkpoint given out: what was "
            "written would not verify. `tenure ledger verify` tells what is wrong"
        )
    return Exported(size, hashed, len(kept), dropped)


def _chosen(cursor: Cursor) -> tuple[int, list[int], int]:
    """Return the size, the checkpoints that the first line has room for, and how many not.

    Where there are too many, every second one is left out, counted from the last, and so on.
    """
    cursor.execute(_LAST)
    row = cursor.fetchone()
    if row is None:
        raise LedgerError("no checkpoint was given out yet: `tenure ledger publish`")
    size, note = row
    cursor.execute(_SIZES, (note.partition("\n")[0] + "\n",))
    known = [(each, length) for each, length in cursor.fetchall() if each <= size]
    kept = known
    # In base64 and JSON, contents grow by less than a half.
    while sum(length * 3 // 2 + 100 for _, length in kept) > MAX_HEADER and len(kept) > 1:
        kept = kept[::-1][::2][::-1]
    return size, [each for each, _ in kept], len(known) - len(kept)


def _entries(cursor: Cursor, size: int) -> Iterator[tuple[str, str | None, bytes]]:
    for first in range(0, size, BLOCK):
        cursor.execute(_ENTRIES, (first, min(first + BLOCK, size)))
        for number, (position, kind, tenant, leaf) in enumerate(cursor.fetchall(), first):
            if position != number:
                raise LedgerError(f"entry {number} is not there: `tenure ledger verify`")
            yield kind, tenant, bytes(leaf)
