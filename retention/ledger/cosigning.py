"""Has a witness cosign a checkpoint: the log's half of C2SP tlog-witness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from retention.errors import AttestationError
from retention.ledger.exchange import Answer, post
from retention.ledger.verifier import (
    Note,
    NoteError,
    NoteSignature,
    SignedCheckpoint,
    VerifierKey,
    parse_decimal,
)
from retention.ledger.witness import SIZE, Request

ConsistencyPath = Callable[[int, int], Sequence[bytes]]  # from the old size to the new


@dataclass(frozen=True)
class RemoteWitness:
    """Where a witness takes checkpoints, and its key."""

    url: str = field(repr=False)  # what `/add-checkpoint` comes after
    key: VerifierKey

    def cosign(
        self, note: bytes, keys: Sequence[VerifierKey], seen: int, path: ConsistencyPath
    ) -> NoteSignature:
        """Return the witness's line under a signed checkpoint; it was verified.

        `seen` is how many entries the witness has seen, as far as is known here; it is asked
        again if it knows better. `path` is the proof from one size to another.

        Raises:
            AttestationError: it does not cosign. If what it saw is not what this continues,
                somebody rewrote the ledger, or runs a second one under its name.
        """
        size = SignedCheckpoint.verify(note, keys).checkpoint.size
        answer = self._asked(note, seen, size, path)
        if answer.status == 409 and answer.content_type == SIZE:
            answer = self._asked(note, _size_in(answer.body), size, path)
        if answer.status != 200:
            said = answer.body[:200].decode(errors="backslashreplace").strip()
            raise AttestationError(f"the witness answered {answer.status}: {said!r}")
        return self._line(note + answer.body, keys)

    def _asked(self, note: bytes, old: int, size: int, path: ConsistencyPath) -> Answer:
        if old > size:
            raise AttestationError(
                f"the witness has seen {old} entries, and the checkpoint has {size}: the ledger "
                "was put back, or another one runs under its name"
            )
        request = Request(old, tuple(path(old, size)), note)
        return post(f"{self.url.rstrip('/')}/add-checkpoint", bytes(request), "text/plain")

    def _line(self, note: bytes, keys: Sequence[VerifierKey]) -> NoteSignature:
        try:
            verified = SignedCheckpoint.verify(note, [*keys, self.key])
            if self.key in dict(verified.cosigned_by):
                lines = Note.parse(note).signatures
                mine = (self.key.name, self.key.key_id)
                return next(each for each in lines if (each.name, each.key_id) == mine)
        except NoteError as error:
            raise AttestationError(f"the witness's answer does not verify: {error}") from error
        raise AttestationError(f"{self.key.name} has not cosigned it; somebody else answered")


def _size_in(body: bytes) -> int:
    try:
        return parse_decimal(body.decode().removesuffix("\n"))
    except (NoteError, UnicodeDecodeError) as error:
        raise AttestationError("the witness answered with a size that is none") from error
