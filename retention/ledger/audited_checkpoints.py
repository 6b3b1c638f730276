"""Audits checkpoints: those in the database, those in the folder, and one that somebody holds.

Each must be signed by a key of its ledger; what each says of the tree is a claim, which the audit
of the tree compares.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from retention.errors import LedgerError
from retention.ledger.audited_tree import Claim
from retention.ledger.checkpoint import Checkpoint, Note, SignedCheckpoint, VerifierKey
from retention.ledger.findings import Findings
from retention.ledger.publishing import Outside
from retention.ledger.verifier import VerifierError
from tenants.connections import Cursor

_BLOCK = 1000
_INSIDE = """
SELECT size, root, note, exported_at IS NOT NULL FROM tenure.ledger_checkpoints
WHERE size > %s ORDER BY size LIMIT %s
"""
_TABLE = "tenure.ledger_checkpoints"


@dataclass
class Checkpoints:
    """What checkpoints say, by size; `inside` and `outside` count those that were read."""

    keys: Sequence[VerifierKey]
    findings: Findings
    claims: dict[int, list[Claim]] = field(default_factory=lambda: defaultdict(list))
    inside: int = 0
    outside: int = 0

    def held(self, note: bytes, where: str) -> int:
        """Take one that somebody was given; return its size.

        Raises:
            LedgerError: it is no checkpoint at all.
        """
        try:
            size = Checkpoint.parse(Note.parse(note).text).size
        except VerifierError as error:
            raise LedgerError(f"{where}: {error}") from error
        self._verified(note, where)
        return size

    def read(
        self, cursor: Cursor, outside: Outside | None, listed: Sequence[tuple[int, Path]]
    ) -> None:
        """Take those of the database and, if there is one, of the folder. `listed` was in the
        folder before this transaction looked at the database, so that the database has it."""
        ours: dict[int, tuple[bytes, bool]] = {}  # note, and whether it was exported
        for size, root, note, exported in _inside(cursor):
            self.inside += 1
            found = self._verified(note, f"{_TABLE}, size {size}")
            if found and (found.checkpoint.size, found.checkpoint.root) != (size, root):
                self._say(size, f"{_TABLE} contradicts the note in it")
            if outside and note.startswith(f"{outside.origin}\n".encode()):
                ours[size] = note, exported
        if outside:
            for size, path in listed:
                self.outside += 1
                self._compare(size, path, outside.folder.read(path), ours.get(size))
            self._missing(outside, {size for size, (_, exported) in ours.items() if exported})

    def _compare(
        self, size: int, path: Path, note: bytes, inside: tuple[bytes, bool] | None
    ) -> None:
        found = self._verified(note, str(path))
        if found and found.checkpoint.size != size:
            self._say(size, f"{path} is of another size than its name says")
        if inside is None:
            self._say(size, f"{path} was given out, and {_TABLE} does not have it")
        elif inside[0] != note:
            self._say(size, f"{path} is another one than {_TABLE} has")

    def _missing(self, outside: Outside, exported: set[int]) -> None:
        folder = outside.folder
        there = dict(folder.notes())
        for size in sorted(exported - set(there)):
            self._say(size, f"was exported, and is not in {folder.path}")
        last = folder.last()
        if last is None and not there:
            return
        # A process that died before it set the last one has not marked it as exported either.
        allowed = [size for size in there if size >= max(exported, default=0)]
        if last not in [folder.read(there[size]) for size in allowed]:
            self._say(
                max(exported, default=0), f"{folder.last_path} is not the last that was given out"
            )

    def _verified(self, note: bytes, where: str) -> SignedCheckpoint | None:
        try:
            found = SignedCheckpoint.verify(note, self.keys)
        except VerifierError as error:
            self.findings.add("checkpoint", where, str(error))
            return None
        self.claims[found.checkpoint.size].append(Claim(found.checkpoint.root, where))
        return found

    def _say(self, size: int, detail: str) -> None:
        self.findings.add("checkpoint", f"{size} entries", detail)


def _inside(cursor: Cursor) -> Iterator[tuple[int, bytes, bytes, bool]]:
    after = 0
    while True:
        cursor.execute(_INSIDE, (after, _BLOCK))
        rows = cursor.fetchall()
        for size, root, note, exported in rows:
            yield size, bytes(root), note.encode(), exported
            after = size
        if len(rows) < _BLOCK:
            return
