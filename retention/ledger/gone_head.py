"""How far the record of what went is vouched for: its head, signed with the ledger's key.

`head` lies beside the record's files (`retention.ledger.gone`), a signed note (C2SP signed-note) of
five lines: what it is, the ledger's name, how many lines there are, the SHA-256 of the last one
(64 digits 0 where there is none), and how many entries of the ledger they are all that went of. As
each line has the digest of the one before, a signature under the last is one under all of them.
Its first line is no ledger's name and its third no root, so it is never taken for a checkpoint.

What stands behind the head was written by a process that died, or had no key; or by somebody else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from retention.errors import LedgerError
from retention.ledger.checkpoint import LOG_SIGNATURE, Note, NoteError, Signer, VerifierKey
from retention.ledger.gone import NOTHING, GoneFolder, Line, said
from retention.ledger.keys import sync_folder
from retention.ledger.verifier import MAX_NOTE, SignedCheckpoint, parse_decimal

HEADER = "tenure-deletions/v1"
_NAME = "head"


@dataclass(frozen=True, slots=True)
class Head:
    """The record beside ledger `origin` has `lines`; the last has the SHA-256 `last` (hexadecimal).
    It is complete for the ledger's first `covers` entries."""

    origin: str
    lines: int
    last: str
    covers: int

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{HEADER}\n{self.origin}\n{self.lines}\n{self.last}\n{self.covers}\n"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Return the head that a note's text is. Raises NoteError where it is none."""
        match text.split("\n"):
            case [header, origin, lines, last, covers, ""] if header == HEADER:
                if re.fullmatch("[0-9a-f]{64}", last) and (lines != "0" or last == NOTHING):
                    return cls(origin, parse_decimal(lines), last, parse_decimal(covers))
        raise NoteError(f"this is no head of a record of what went: {text!r}")


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes a record on in `folder`, and signs it; two signers while keys change."""

    folder: GoneFolder
    signers: tuple[Signer, ...]


def has_head(folder: GoneFolder) -> bool:
    """Tell whether there is something that may be a head."""
    return (folder.path / _NAME).exists()


def read_head(folder: GoneFolder, keys: Iterable[VerifierKey]) -> Head | None:
    """Return the head of a record, signed by one of `keys`; None where there is none yet.

    Raises:
        LedgerError: it cannot be read, or no ledger of `keys` has signed it.
    """
    path = folder.path / _NAME
    with said("read", path):
        try:
            with path.open("rb") as stream:
                content = stream.read(MAX_NOTE + 1)
        except FileNotFoundError:
            return None
    try:
        note = Note.parse(content)
        head = Head.parse(note.text)
        note.verified_by(k for k in keys if (k.kind, k.name) == (LOG_SIGNATURE, head.origin))
    except NoteError as error:
        raise LedgerError(f"{path}: {error}. What the record says is not believed") from error
    return head


def write_head(folder: GoneFolder, head: Head, signers: Sequence[Signer]) -> None:
    """Sign a head, and put it into the place of the one before; who calls keeps others out.

    Raises LedgerError where it cannot be written.
    """
    note = Note(head.text, tuple(each.signature(head.text.encode()) for each in signers))
    path, fresh = folder.path / _NAME, folder.path / f".{_NAME}"
    with said("write", path):
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(str(note).encode())
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(path)
        sync_folder(folder.path)


def signed_lines(
    folder: GoneFolder,
    keys: Sequence[VerifierKey],
    given_out: Sequence[SignedCheckpoint] = (),
    *,
    accept_unsigned: bool = False,
) -> Iterator[Line]:
    """Yield the lines of a record, of which none is missing and none is anybody's but the ledger's.

    Nothing is to be done by them before the last: only then it is known. With `accept_unsigned`
    what stands behind the head is believed, too, and so is a record without one.

    Raises:
        LedgerError: a line is missing, changed, or not vouched for; or the record does not reach as
            far as a checkpoint of its ledger that was `given_out`.
    """
    head = read_head(folder, keys)
    lines = unsigned = 0
    for line in folder.lines():
        lines += 1
        unsigned += line.is_batch and lines > (head.lines if head else 0)
        if head and lines == head.lines and line.sha256 != head.last:
            raise LedgerError(f"{folder.path}: line {lines - 1} is not the one that was signed")
        yield line
    if head is None:
        if not accept_unsigned and (lines or given_out):
            raise LedgerError(
                f"{folder.path} has no signed head: nobody vouches for its {lines} lines. Put it "
                "back, or, if you know that they are as they were written, accept them unsigned"
            )
        return
    if lines < head.lines:
        raise LedgerError(
            f"{folder.path} has {lines} lines, and {head.lines} were signed: the last are missing. "
            "Put the files back as they were"
        )
    if unsigned and not accept_unsigned:
        raise LedgerError(
            f"{folder.path} has {unsigned} batches behind those that were signed: a process "
            "died before it could sign them, or somebody else wrote them. Look at them; if they "
            "are ours, accept them unsigned"
        )
    for each in given_out:
        if each.checkpoint.origin == head.origin and each.checkpoint.size > head.covers:
            raise LedgerError(
                f"{folder.path} is the record of the first {head.covers} entries of {head.origin}, "
                f"and a checkpoint of {each.checkpoint.size} was given out: this is an older copy "
                "of the record. Put back the newest"
            )
