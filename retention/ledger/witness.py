"""A witness: cosigns what continues all that it has seen of a ledger, and nothing else
(C2SP tlog-witness, tlog-cosignature).

Invariant: of one origin, every checkpoint cosigned continues every one cosigned before. It breaks
if the folder is lost or put back to an earlier state, or if two processes use two folders with
one key. So what was cosigned is on disk before anybody is told, and under a lock; a file that is
damaged is an error, and never a new beginning.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from retention.errors import WitnessError
from retention.ledger.checkpoint import Signer, add_signatures, cosign
from retention.ledger.verifier import (
    COSIGNATURE,
    EMPTY_ROOT,
    LOG_SIGNATURE,
    MAX_NOTE,
    MAX_PATH,
    Checkpoint,
    Note,
    NoteError,
    ProofError,
    SignedCheckpoint,
    VerifierKey,
    decode_base64,
    encode_base64,
    parse_decimal,
    verify_consistency,
)

MOST_BODY = MAX_NOTE + 64 * 45  # bytes of a request: a note, and the lines before it
TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request is answered with."""

    status: int
    body: bytes
    content_type: str = TEXT


@dataclass(frozen=True)
class Request:
    """A checkpoint, and the proof that it continues the one of `old` entries."""

    old: int
    path: tuple[bytes, ...]
    note: bytes

    def __bytes__(self) -> bytes:
        lines = [f"old {self.old}", *map(encode_base64, self.path), "", ""]
        return "\n".join(lines).encode() + self.note

    @classmethod
    def parse(cls, body: bytes) -> Request:
        """Return the request that these bytes are.

        Raises:
            NoteError: they are none.
        """
        head, blank, note = body.partition(b"\n\n")
        try:
            first, *path = head.decode().split("\n")
        except UnicodeDecodeError as error:
            raise NoteError("a request is UTF-8") from error
        if not blank or not first.startswith("old ") or len(path) > MAX_PATH:
            raise NoteError("a request is a line `old SIZE`, a proof, an empty line, a checkpoint")
        old = parse_decimal(first.removeprefix("old "))
        return cls(old, tuple(map(decode_base64, path)), note)


@dataclass(frozen=True)
class Witness:
    """Watches the ledgers that `logs` are keys of; what it saw last is in `folder`."""

    folder: Path
    logs: Sequence[VerifierKey]
    signer: Signer
    now: Callable[[], float] = field(default=time.time)

    def __post_init__(self) -> None:
        if self.signer.kind != COSIGNATURE:
            raise WitnessError("a witness signs with a key for cosigning")
        if not self.logs or any(each.kind != LOG_SIGNATURE for each in self.logs):
            raise WitnessError("a witness is told the keys of the ledgers that it watches")

    def add_checkpoint(self, body: bytes) -> Reply:
        """Answer a request to cosign a checkpoint.

        Raises:
            WitnessError: what was cosigned before cannot be read, or this cannot be kept.
        """
        try:
            request = Request.parse(body)
            note = Note.parse(request.note)
            origin, size = note.text.split("\n")[:2] if "\n" in note.text else ("", "")
        except (NoteError, ValueError) as error:
            return _refusal(400, error)
        keys = [each for each in self.logs if each.name == origin]
        if not keys:
            return _refusal(404, "this ledger is not watched here")
        try:
            Checkpoint.parse(note.text)
        except NoteError as error:
            return _refusal(422 if size == "0" else 400, error)
        try:
            signed = SignedCheckpoint.verify(request.note, keys)
        except NoteError as error:
            return _refusal(403, error)
        if request.old > signed.checkpoint.size:
            return _refusal(400, "a ledger does not shrink")
        with self._locked():
            return self._cosigned(request, signed)

    def latest(self, origin_hash: str) -> bytes | None:
        """Return the last checkpoint cosigned of the ledger whose origin has this SHA-256 (hex)."""
        for each in self.logs:
            if hashlib.sha256(each.name.encode()).hexdigest() == origin_hash:
                found = self._last(each.name)
                return None if found is None else str(found.note).encode()
        return None

    def _cosigned(self, request: Request, signed: SignedCheckpoint) -> Reply:
        checkpoint = signed.checkpoint
        last = self._last(checkpoint.origin)
        size, root = (
            (0, EMPTY_ROOT) if last is None else (last.checkpoint.size, last.checkpoint.root)
        )
        if request.old != size:
            return Reply(409, f"{size}\n".encode(), SIZE)
        try:
            verify_consistency(size, root, checkpoint.size, checkpoint.root, request.path)
        except ProofError as error:
            return _refusal(422, error)
        line = cosign(signed, self.signer, int(self.now()))
        # Of signatures, those that were verified: others' are not ours to hand on.
        verified = {(key.name, key.key_id) for key in signed.signed_by}
        ours = [each for each in signed.note.signatures if (each.name, each.key_id) in verified]
        kept = add_signatures(str(Note(checkpoint.text, tuple(ours))).encode(), [line])
        self._keep(checkpoint.origin, kept)
        return Reply(200, str(line).encode())

    def _path(self, origin: str) -> Path:
        return self.folder / f"{hashlib.sha256(origin.encode()).hexdigest()}.checkpoint"

    def _last(self, origin: str) -> SignedCheckpoint | None:
        try:
            content = self._path(origin).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise WitnessError(f"what was cosigned cannot be read: {error.strerror}") from error
        own = self.signer.verifier_key
        try:
            found = SignedCheckpoint.verify(content, [*self.logs, own])
        except NoteError as error:
            raise WitnessError(f"{self._path(origin)} is damaged: {error}") from error
        if found.checkpoint.origin != origin or own not in dict(found.cosigned_by):
            raise WitnessError(f"{self._path(origin)} is not what this witness cosigned")
        return found

    def _keep(self, origin: str, note: bytes) -> None:
        descriptor, fresh = tempfile.mkstemp(prefix=".checkpoint-", dir=self.folder)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(note)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(fresh, self._path(origin))
        except OSError as error:
            Path(fresh).unlink(missing_ok=True)
            raise WitnessError(f"a checkpoint cannot be kept: {error.strerror}") from error
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One checkpoint at a time, over all processes that use the folder."""
        try:
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise WitnessError(f"{self.folder} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _refusal(status: int, why: object) -> Reply:
    return Reply(status, f"{why}\n".encode(errors="backslashreplace"))
