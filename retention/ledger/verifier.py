"""Checks what a Tenure ledger has given out, without the system that gave it.

This one file needs Python 3.11 and `cryptography`, and nothing else: copy it out and run it. The
product checks with the same file; it imports nothing of the product, and must not. (It is longer
than our other modules for that reason alone.)

Formats: RFC 6962 and 9162 (trees and proofs), C2SP signed-note, tlog-checkpoint, tlog-cosignature.

Everything read here was written by somebody else. A text is taken only in its one canonical form:
what two readers could understand differently is refused.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
MAX_SIZE: Final = 2**63 - 1  # entries
MAX_NOTE: Final = 1_000_000  # bytes
MAX_SIGNATURES: Final = 100  # in one note; the standard asks for 16 at the least

LOG_SIGNATURE: Final = 0x01  # Ed25519 over the text
COSIGNATURE: Final = 0x04  # Ed25519 over a time and the text


class VerifierError(Exception):
    """Root of what is raised here: what was given does not verify."""


class ProofError(VerifierError):
    """A proof does not lead from what it begins with to the root."""


class NoteError(VerifierError):
    """A text that is no signed note, no checkpoint, or no key."""


class SignatureError(NoteError):
    """A note that no key given has signed, or one whose signature is wrong."""


# --- Trees: RFC 6962, section 2.1


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of an entry."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two nodes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class RootBuilder:
    """Hashes of entries in, in order; the root at any moment out. Keeps O(log n) hashes."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []  # of the complete trees, the largest first

    def add(self, hashed: bytes) -> None:
        """Append an entry's hash."""
        size, peaks = self.size, self._peaks
        self.size = size + 1
        while size & 1:
            hashed = hashlib.sha256(b"\x01" + peaks.pop() + hashed).digest()
            size >>= 1
        peaks.append(hashed)

    def root(self) -> bytes:
        """Return the root of what was added until now."""
        if not self._peaks:
            return EMPTY_ROOT
        right = self._peaks[-1]
        for left in reversed(self._peaks[:-1]):
            right = node_hash(left, right)
        return right


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Check that the entry with hash `leaf` is number `index` (from 0) of the tree of `size`
    entries with this root (RFC 9162, 2.1.3.2).

    Raises:
        ProofError: it is not, or the path does not show it.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise ProofError(f"no entry {index} in a tree of {size}")
    _check_hashes(leaf, root, *path)
    found = leaf
    for sibling, is_left in _climb(index, size - 1, path):
        found = node_hash(sibling, found) if is_left else node_hash(found, sibling)
    if found != root:
        raise ProofError(f"entry {index} leads to the root {found.hex()}, not {root.hex()}")


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Check that the tree of `new_size` begins with the tree of `old_size` (RFC 9162, 2.1.4.2).

    Raises:
        ProofError: it does not, or the path does not show it.
    """
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise ProofError(f"a tree of {new_size} entries cannot continue one of {old_size}")
    _check_hashes(old_root, new_root, *path)
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise ProofError(f"{old_root.hex()} is not the root of the empty tree")
    if old_size == new_size and old_root != new_root:
        raise ProofError(f"two trees of {old_size} entries have different roots")
    if old_size in {0, new_size}:
        if path:
            raise ProofError(f"the path has {len(path)} hashes where none belongs")
        return
    if not path:
        raise ProofError("the path is empty")
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    # A tree of 2^n entries is itself a node of the larger one, and not said again.
    first, *rest = path if at else [old_root, *path]
    old = new = first
    for step, is_left in _climb(at, last, rest):
        if is_left:
            old, new = node_hash(step, old), node_hash(step, new)
        else:
            new = node_hash(new, step)
    if old != old_root:
        raise ProofError(f"the path leads to the old root {old.hex()}, not {old_root.hex()}")
    if new != new_root:
        raise ProofError(f"the path leads to the new root {new.hex()}, not {new_root.hex()}")


def _climb(at: int, last: int, path: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield the hashes on the way from node `at` of a level, whose last is `last`, up to the root,
    and whether each is a left sibling. Raises ProofError if they are too many or too few."""
    for sibling in path:
        if last == 0:
            raise ProofError("the path has too many hashes")
        is_left = bool(at & 1) or at == last
        while is_left and not at & 1 and at:  # no right sibling on these levels: nothing to hash
            at, last = at >> 1, last >> 1
        yield sibling, is_left
        at, last = at >> 1, last >> 1
    if last:
        raise ProofError("the path has too few hashes")


def _check_hashes(*hashes: bytes) -> None:
    for each in hashes:
        if len(each) != HASH_SIZE:
            raise ProofError(f"a hash has {HASH_SIZE} bytes, not {len(each)}")


# --- Signed notes: C2SP signed-note, tlog-cosignature


@dataclass(frozen=True)
class VerifierKey:
    """A public key and the name it signs under: `name+key id+base64(kind, key)`.

    `kind` is LOG_SIGNATURE or COSIGNATURE; `public` has 32 bytes.
    """

    name: str
    kind: int
    public: bytes

    def __post_init__(self) -> None:
        if not _is_key_name(self.name):
            raise NoteError(f"no name for a key: {self.name!r}")
        if self.kind not in {LOG_SIGNATURE, COSIGNATURE}:
            raise NoteError(f"keys of kind {self.kind} are not known here")
        if len(self.public) != 32:
            raise NoteError(f"an Ed25519 key has 32 bytes, not {len(self.public)}")

    @property
    def key_id(self) -> bytes:
        """The four bytes by which signatures name this key."""
        encoded = self.name.encode() + b"\n" + bytes([self.kind]) + self.public
        return hashlib.sha256(encoded).digest()[:4]

    def __str__(self) -> str:
        material = base64.b64encode(bytes([self.kind]) + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{material}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Return the key of a `vkey`.

        Raises:
            NoteError: it is none, or its parts contradict each other.
        """
        name, plus, rest = text.partition("+")
        key_id, second_plus, material = rest.partition("+")
        if not plus or not second_plus:
            raise NoteError(f"not a verifier key: {text!r}")
        encoded = decode_base64(material)
        key = cls(name, encoded[0] if encoded else 0, encoded[1:])
        if key.key_id.hex() != key_id:
            raise NoteError(f"the key id of {text!r} is not {key_id!r} but {key.key_id.hex()!r}")
        return key


@dataclass(frozen=True)
class NoteSignature:
    """One signature line; `signature` is what follows the key id."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A text, its last newline included, and the signatures under it, none of them checked."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(str(each) for each in self.signatures)

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """Return the note that these bytes are; no signature is checked.

        Raises:
            NoteError: they are no signed note.
        """
        if len(data) > MAX_NOTE:
            raise NoteError(f"a note of {len(data)} bytes is too long")
        try:
            content = data.decode()
        except UnicodeDecodeError as error:
            raise NoteError("a note is UTF-8") from error
        if any(char < " " and char != "\n" for char in content):
            raise NoteError("a note has no control characters")
        text, blank, lines = content.rpartition("\n\n")
        if not blank or not lines.endswith("\n"):
            raise NoteError("a note is a text, an empty line, and lines of signatures")
        signatures = lines[:-1].split("\n")
        if len(signatures) > MAX_SIGNATURES:
            raise NoteError(f"{len(signatures)} signatures are too many")
        return cls(text + "\n", tuple(_signature_of(line) for line in signatures))

    def verified_by(self, keys: Iterable[VerifierKey]) -> dict[VerifierKey, int | None]:
        """Return which of `keys` have signed this note; of a cosigner, when (seconds since 1970).
        Signatures of other keys count for nothing.

        Raises:
            SignatureError: none has, or a signature that names one of them is wrong or twice there.
        """
        known: dict[tuple[str, bytes], VerifierKey] = {}
        for key in keys:
            if known.setdefault((key.name, key.key_id), key) != key:
                raise SignatureError(f"two keys are called {key.name}+{key.key_id.hex()}")
        found: dict[VerifierKey, int | None] = {}
        for each in self.signatures:
            signer = known.get((each.name, each.key_id))
            if signer is None:
                continue
            if signer in found:
                raise SignatureError(f"{signer.name}+{signer.key_id.hex()} has signed twice")
            found[signer] = _check_signature(signer, each.signature, self.text)
        if not found:
            raise SignatureError("no key that was given has signed this")
        return found


def cosigned_message(text: str, time: int) -> bytes:
    """Return what a cosigner signs: that it saw the checkpoint `text` at `time`."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _check_signature(key: VerifierKey, signature: bytes, text: str) -> int | None:
    """Return when a cosignature was made. Raises SignatureError."""
    time, message = None, text.encode()
    if key.kind == COSIGNATURE:
        time, signature = int.from_bytes(signature[:8]), signature[8:]
        if time > MAX_SIZE:
            raise SignatureError(f"{key.name} cosigned at a time that is none: {time}")
        message = cosigned_message(text, time)
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError(f"the signature of {key.name}+{key.key_id.hex()} is wrong") from error
    return time


def _signature_of(line: str) -> NoteSignature:
    match line.split(" "):
        case ["—", name, encoded] if _is_key_name(name):
            content = decode_base64(encoded)
            if len(content) > 4:
                return NoteSignature(name, content[:4], content[4:])
    raise NoteError(f"not a line of a signature: {line!r}")


def _is_key_name(name: str) -> bool:
    return (
        bool(name)
        and name.isprintable()
        and not any(each.isspace() or each == "+" for each in name)
    )


def decode_base64(text: str) -> bytes:
    """Return what a base64 text (RFC 4648, section 4) holds.

    Raises:
        NoteError: it is none, or not the one that its content has.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise NoteError(f"not base64: {text!r}") from error
    if base64.b64encode(content).decode() != text:
        raise NoteError(f"not the base64 of what it holds: {text!r}")
    return content


# --- Checkpoints: C2SP tlog-checkpoint


@dataclass(frozen=True)
class Checkpoint:
    """A ledger called `origin` had `size` entries, with this root."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not self.origin or not self.origin.isprintable():
            raise NoteError(f"no name for a ledger: {self.origin!r}")
        if not 0 <= self.size <= MAX_SIZE:
            raise NoteError(f"no size for a tree: {self.size}")
        if len(self.root) != HASH_SIZE:
            raise NoteError(f"a root has {HASH_SIZE} bytes, not {len(self.root)}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise NoteError(f"{self.root.hex()} is not the root of the empty tree")

    @property
    def text(self) -> str:
        """What is signed: three lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Return the checkpoint that a note's text is.

        Raises:
            NoteError: it is none, or has lines beyond the three: nobody can check those.
        """
        match text.split("\n"):
            case [origin, size, root, ""]:
                return cls(origin, parse_decimal(size), decode_base64(root))
        raise NoteError(f"a checkpoint is three lines (origin, size, root), not {text!r}")


@dataclass(frozen=True)
class SignedCheckpoint:
    """A checkpoint that was verified: by which keys of the log, and of which witnesses, when."""

    checkpoint: Checkpoint
    note: Note
    signed_by: tuple[VerifierKey, ...]
    cosigned_by: tuple[tuple[VerifierKey, int], ...]  # seconds since 1970

    @classmethod
    def verify(cls, data: bytes, keys: Iterable[VerifierKey]) -> SignedCheckpoint:
        """Return the checkpoint in a signed note; `keys` are those of logs and witnesses.

        The log's key must bear the checkpoint's origin as its name. Of witnesses, those that
        signed are named; whether they are enough is for the caller to say.

        Raises:
            NoteError: no checkpoint, or not signed by a key of its log.
        """
        note = Note.parse(data)
        checkpoint = Checkpoint.parse(note.text)
        trusted = tuple(
            key for key in keys if key.kind == COSIGNATURE or key.name == checkpoint.origin
        )
        found = note.verified_by(trusted)
        signers = tuple(key for key in found if key.kind == LOG_SIGNATURE)
        if not signers:
            raise SignatureError(f"no key of {checkpoint.origin} that was given has signed this")
        cosigners = tuple((key, time) for key, time in found.items() if time is not None)
        return cls(checkpoint, note, signers, cosigners)


def parse_decimal(text: str) -> int:
    """Return a number that is written as the formats of C2SP write it: no sign, no leading zero.

    Raises:
        NoteError: it is not.
    """
    if not re.fullmatch("0|[1-9][0-9]{0,18}", text):
        raise NoteError(f"not a decimal number: {text!r}")
    return int(text)
