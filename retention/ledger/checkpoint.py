"""Signing checkpoints (C2SP tlog-checkpoint, signed-note) and cosigning them (tlog-cosignature).

What may be signed is not decided here: `publishing` refuses what contradicts the last checkpoint
exported, a witness what contradicts the last that it saw. Reading and checking is in `verifier`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.ledger.verifier import (
    COSIGNATURE,
    LOG_SIGNATURE,
    Checkpoint,
    Note,
    NoteError,
    NoteSignature,
    SignatureError,
    SignedCheckpoint,
    VerifierKey,
    cosigned_message,
)

__all__ = [
    "COSIGNATURE",
    "LOG_SIGNATURE",
    "Checkpoint",
    "Note",
    "NoteError",
    "SignatureError",
    "SignedCheckpoint",
    "Signer",
    "VerifierKey",
    "add_signatures",
    "cosign",
    "sign",
]


@dataclass(frozen=True)
class Signer:
    """A private key and the name it signs under; `kind` is LOG_SIGNATURE or COSIGNATURE.

    One key is for one kind: a cosignature does not say whose it is.
    """

    name: str
    private: Ed25519PrivateKey = field(repr=False)
    kind: int = LOG_SIGNATURE

    @property
    def verifier_key(self) -> VerifierKey:
        """The public half, as others need it to check."""
        return VerifierKey(self.name, self.kind, self.private.public_key().public_bytes_raw())

    def signature(self, content: bytes) -> NoteSignature:
        """Return a signature line over a note's text."""
        return self._line(self.private.sign(content))

    def cosignature(self, content: str, time: int) -> NoteSignature:
        """Return a line that says: seen at `time` (seconds since 1970)."""
        return self._line(time.to_bytes(8) + self.private.sign(cosigned_message(content, time)))

    def _line(self, signature: bytes) -> NoteSignature:
        return NoteSignature(self.name, self.verifier_key.key_id, signature)


def sign(checkpoint: Checkpoint, *signers: Signer) -> bytes:
    """Return the signed note of a checkpoint; the same bytes each time. Two signers, the old key
    and the new, while keys change.

    Raises:
        NoteError: no signer, or one that does not sign as this ledger.
    """
    for each in signers:
        if (each.kind, each.name) != (LOG_SIGNATURE, checkpoint.origin):
            raise NoteError(f"{each.name!r} does not sign for {checkpoint.origin!r}")
    if not signers:
        raise NoteError("a checkpoint is signed by somebody")
    lines = [each.signature(checkpoint.text.encode()) for each in signers]
    return str(Note(checkpoint.text, tuple(lines))).encode()


def cosign(checkpoint: SignedCheckpoint, signer: Signer, time: int) -> NoteSignature:
    """Return a witness's line under a checkpoint that it has checked; `time` in seconds since 1970.

    Raises:
        NoteError: the key is none for cosigning.
    """
    if signer.kind != COSIGNATURE:
        raise NoteError(f"the key of {signer.name!r} is not one for cosigning")
    return signer.cosignature(checkpoint.note.text, time)


def add_signatures(note: bytes, lines: Iterable[NoteSignature]) -> bytes:
    """Return a note with further signatures; of a key that is there already, the later one counts.

    Raises:
        NoteError: the bytes are no signed note.
    """
    parsed = Note.parse(note)
    by_key = {(each.name, each.key_id): each for each in (*parsed.signatures, *lines)}
    return str(Note(parsed.text, tuple(by_key.values()))).encode()
