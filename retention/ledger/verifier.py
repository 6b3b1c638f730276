"""Checks what a Tenure ledger has given out, without the system that gave it.

This one file needs Python 3.11 and `cryptography` 45, or newer, and nothing else: copy it out and
run it. The product checks with the same file; it imports nothing of the product, and must not. (It
is longer than our other modules for that reason alone.)

    python verifier.py --key VKEY FILE      # what is then known, and what is not
    python verifier.py --help

Formats: RFC 6962 and 9162 (trees and proofs), C2SP signed-note, tlog-checkpoint, tlog-cosignature
and tlog-proof, RFC 3161 (timestamps), RFC 8785 (JSON); our own: the export and the certificate.

Everything read here was written by somebody else. A text is taken only in its one canonical form:
what two readers could understand differently is refused.
"""

from __future__ import annotations

import argparse
import base64
import bisect
import calendar
import hashlib
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

HASH_SIZE: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
MAX_SIZE: Final = 2**63 - 1  # entries
MAX_NOTE: Final = 1_000_000  # bytes
MAX_SIGNATURES: Final = 100  # in one note; the standard asks for 16 at the least
MAX_HEADER: Final = 2**26  # bytes of an export's first line
MAX_LINE: Final = 2**24  # bytes of an entry
MAX_PATH: Final = 63  # hashes

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


class TimestampError(VerifierError):
    """A timestamp that is none, or not of this checkpoint, or not by an authority given."""


class ExportError(VerifierError):
    """A file that is no export, or contradicts itself or what is known of its ledger."""


class CertificateError(VerifierError):
    """A file that is no certificate, or states what its entries do not say."""


# --- Trees: RFC 6962, section 2.1


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of an entry."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two nodes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


_STRIDE: Final = 256  # entries that are hashed together, a power of two


def _top(hashes: Sequence[bytes]) -> bytes:
    """Return the node over 2^n nodes."""
    sha256 = hashlib.sha256
    while len(hashes) > 1:
        each = iter(hashes)
        hashes = [sha256(b"\x01" + a + b).digest() for a, b in zip(each, each, strict=True)]
    return hashes[0]


class RootBuilder:
    """Hashes of entries in, in order; the root at any moment out. Keeps O(log n) hashes."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []  # of the complete trees, the largest first

    def add(self, hashed: bytes) -> None:
        """Append an entry's hash."""
        self._append(hashed, 0)

    def extend(self, hashes: Sequence[bytes]) -> None:
        """Append entries' hashes; the same as adding each, and faster."""
        at = 0
        while at < len(hashes):
            if self.size % _STRIDE or len(hashes) - at < _STRIDE:
                self._append(hashes[at], 0)
                at += 1
            else:
                self._append(_top(hashes[at : at + _STRIDE]), _STRIDE.bit_length() - 1)
                at += _STRIDE

    def _append(self, hashed: bytes, level: int) -> None:
        count, peaks = self.size >> level, self._peaks
        self.size += 1 << level
        while count & 1:
            hashed = hashlib.sha256(b"\x01" + peaks.pop() + hashed).digest()
            count >>= 1
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
        material = encode_base64(bytes([self.kind]) + self.public)
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
        return f"— {self.name} {encode_base64(self.key_id + self.signature)}\n"


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


def encode_base64(content: bytes) -> str:
    """Return a content as base64 (RFC 4648, section 4)."""
    return base64.b64encode(content).decode()


def decode_base64(text: str) -> bytes:
    """Return what a base64 text (RFC 4648, section 4) holds.

    Raises:
        NoteError: it is none, or not the one that its content has.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise NoteError(f"not base64: {text!r}") from error
    if encode_base64(content) != text:
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
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"

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


# --- Proofs: C2SP tlog-proof

PROOF_HEADER: Final = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True)
class Proof:
    """That an entry is number `index` (from 0) of the ledger whose signed checkpoint is in it.

    `extra` is not authenticated; ours holds the entry itself, which the proof then is about.
    """

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes  # a signed note
    extra: bytes | None = None

    def __str__(self) -> str:
        extra = [] if self.extra is None else [f"extra {encode_base64(self.extra)}"]
        path = [encode_base64(each) for each in self.path]
        lines = [PROOF_HEADER, *extra, f"index {self.index}", *path, "", self.checkpoint.decode()]
        return "\n".join(lines)

    @classmethod
    def parse(cls, data: bytes) -> Proof:
        """Return the proof that these bytes are; nothing of it is checked.

        Raises:
            ProofError: they are none.
        """
        try:
            header, blank, checkpoint = data.partition(b"\n\n")
            lines = header.decode().split("\n")
            if not blank or lines.pop(0) != PROOF_HEADER:
                raise ProofError(f"not a proof: it begins with {data[:60]!r}")
            extra = None
            if lines and lines[0].startswith("extra "):
                extra = decode_base64(lines.pop(0).removeprefix("extra "))
            if not lines or not lines[0].startswith("index ") or extra == b"":
                raise ProofError("a proof says the index of its entry")
            index = parse_decimal(lines.pop(0).removeprefix("index "))
            path = tuple(decode_base64(line) for line in lines)
        except (NoteError, UnicodeDecodeError) as error:
            raise ProofError(f"not a proof: {error}") from error
        if len(path) > MAX_PATH:
            raise ProofError(f"{len(path)} hashes are too many for a path")
        _check_hashes(*path)
        return cls(index, path, checkpoint, extra)

    def verify(self, leaf: bytes, keys: Iterable[VerifierKey]) -> SignedCheckpoint:
        """Check that the entry with hash `leaf` is where this says; return the checkpoint.

        Raises:
            VerifierError: it is not, or the checkpoint is not signed by a key of its log.
        """
        signed = SignedCheckpoint.verify(self.checkpoint, keys)
        checkpoint = signed.checkpoint
        verify_inclusion(leaf, self.index, checkpoint.size, self.path, checkpoint.root)
        return signed


# --- Timestamps: RFC 3161, in a SignedData of RFC 5652, whose signer RFC 5816 names


def _oid(dotted: str) -> bytes:
    """Return an object identifier as DER has it, without its head (X.690, 8.19)."""
    first, second, *rest = map(int, dotted.split("."))
    encoded = bytearray()
    for number in (40 * first + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        encoded += bytes(reversed(groups))
    return bytes(encoded)


_SIGNED_DATA: Final = _oid("1.2.840.113549.1.7.2")
_TST_INFO: Final = _oid("1.2.840.113549.1.9.16.1.4")
_CONTENT_TYPE: Final = _oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST: Final = _oid("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE: Final = _oid("1.2.840.113549.1.9.16.2.12")
_SIGNING_CERTIFICATE_V2: Final = _oid("1.2.840.113549.1.9.16.2.47")
_HASHES: Final[dict[bytes, hashes.HashAlgorithm]] = {
    _oid("2.16.840.1.101.3.4.2.1"): hashes.SHA256(),
    _oid("2.16.840.1.101.3.4.2.2"): hashes.SHA384(),
    _oid("2.16.840.1.101.3.4.2.3"): hashes.SHA512(),
}
_RSA: Final = _oid("1.2.840.113549.1.1.1")  # with the digest that the signer names
_RSA_WITH: Final = {
    _oid("1.2.840.113549.1.1.11"): "sha256",
    _oid("1.2.840.113549.1.1.12"): "sha384",
    _oid("1.2.840.113549.1.1.13"): "sha512",
}
_ECDSA_WITH: Final = {
    _oid("1.2.840.10045.4.3.2"): "sha256",
    _oid("1.2.840.10045.4.3.3"): "sha384",
    _oid("1.2.840.10045.4.3.4"): "sha512",
}
# What reading hostile DER and certificates raises.
_UNREADABLE: Final = (
    ValueError,
    IndexError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_INTEGER, _OCTETS, _OID, _TIME, _SEQUENCE, _SET = 0x02, 0x04, 0x06, 0x18, 0x30, 0x31
_GRANTED: Final = bytes.fromhex("3003020100")  # PKIStatusInfo with nothing but the status 0


@dataclass(frozen=True)
class Timestamp:
    """An authority saw a checkpoint at this time. `nonce` is what it was asked with."""

    time: datetime
    authority: str  # the signer's name (RFC 4514)
    nonce: int | None

    @classmethod
    def verify(cls, response: bytes, text: str, anchor: x509.Certificate) -> Timestamp:
        """Return what a TimeStampResp (DER) says of the checkpoint with this text.

        `anchor` is the authority's own certificate, or that of an authority above it: the
        certificates between are then taken from the response. They must be valid at the time
        stated; whether one was revoked is not asked.

        Raises:
            TimestampError: it is no timestamp of this text by this authority.
        """
        try:
            return _timestamp(response, text.encode(), anchor)
        except _UNREADABLE as error:
            raise TimestampError(f"not a timestamp: {error}") from error


class _Der:
    """Reads DER (X.690), strictly, one value after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def peek(self) -> int:
        """Return the next value's tag, or -1 at the end."""
        return self._data[self._at] if self._at < len(self._data) else -1

    def take(self, tag: int) -> bytes:
        """Return the content of the next value, which must have this tag."""
        return self.whole(tag)[1]

    def whole(self, tag: int) -> tuple[bytes, bytes]:
        """Return the next value's bytes, its head included, and its content."""
        start = self._at
        if self.peek() != tag:
            raise TimestampError(f"tag {self.peek():#x} where {tag:#x} belongs")
        length, at = self._data[start + 1], start + 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(self._data[at : at + count])
            at += count
            if not 1 <= count <= 4 or length < (0x80 if count == 1 else 1 << 8 * (count - 1)):
                raise TimestampError("a length is not written as DER writes it")
        self._at = at + length
        if self._at > len(self._data):
            raise TimestampError("a value ends before its length does")
        return self._data[start : self._at], self._data[at : self._at]

    def inner(self, tag: int) -> _Der:
        """Return a reader of the next value's content."""
        return _Der(self.take(tag))

    def oid(self) -> bytes:
        """Return the next value, an object identifier, as `_oid` writes it."""
        return self.take(_OID)

    def integer(self) -> int:
        """Return the next value, an integer."""
        content = self.take(_INTEGER)
        if not content or (len(content) > 1 and content[0] == (content[1] >> 7) * 0xFF):
            raise TimestampError("an integer is not written as DER writes it")
        return int.from_bytes(content, signed=True)

    def algorithm(self) -> bytes:
        """Return the identifier of the next AlgorithmIdentifier; parameters may be NULL."""
        reader = self.inner(_SEQUENCE)
        found = reader.oid()
        if reader.peek() == 0x05 and reader.take(0x05):
            raise TimestampError("a NULL has content")
        reader.end()
        return found

    def skip(self, *tags: int) -> None:
        """Pass by the next value if it has one of these tags."""
        if self.peek() in tags:
            self.whole(self.peek())

    def end(self) -> None:
        """Raise TimestampError if something is left."""
        if self._at != len(self._data):
            raise TimestampError("there is more than belongs there")


def _timestamp(response: bytes, message: bytes, anchor: x509.Certificate) -> Timestamp:
    outer = _Der(response)
    reader = outer.inner(_SEQUENCE)
    outer.end()
    if reader.whole(_SEQUENCE)[0] != _GRANTED:
        raise TimestampError("the authority did not grant it")
    content_info = reader.inner(_SEQUENCE)
    reader.end()
    _expect(content_info.oid(), _SIGNED_DATA)
    wrapped = content_info.inner(0xA0)
    content_info.end()
    signed_data = wrapped.inner(_SEQUENCE)
    wrapped.end()

    _expect(signed_data.integer(), 3)
    digests = signed_data.inner(_SET)
    digest = digests.algorithm()
    digests.end()
    encapsulated = signed_data.inner(_SEQUENCE)
    _expect(encapsulated.oid(), _TST_INFO)
    content = encapsulated.inner(0xA0)
    encapsulated.end()
    info = content.take(_OCTETS)
    content.end()
    bag = _certificates(signed_data.take(0xA0)) if signed_data.peek() == 0xA0 else []
    signed_data.skip(0xA1)  # revocation lists
    signers = signed_data.inner(_SET)
    signed_data.end()
    signer = signers.inner(_SEQUENCE)
    signers.end()

    time, nonce = _stated(info, message)
    certificate = _check_signer(signer, digest, info, [*bag, anchor])
    _check_authority(certificate, bag, anchor, time)
    return Timestamp(time, _shown(certificate.subject.rfc4514_string()), nonce)


def _stated(info: bytes, message: bytes) -> tuple[datetime, int | None]:
    """Return time and nonce of a TSTInfo, which must be about this message."""
    outer = _Der(info)
    reader = outer.inner(_SEQUENCE)
    outer.end()
    _expect(reader.integer(), 1)
    reader.oid()  # the authority's policy
    imprint = reader.inner(_SEQUENCE)
    algorithm = _hash_of(imprint.algorithm())
    imprinted = imprint.take(_OCTETS)
    imprint.end()
    if imprinted != _digest(algorithm, message):
        raise TimestampError("it is a timestamp of something else")
    reader.integer()  # its number
    text = reader.take(_TIME).decode("ascii")
    if not re.fullmatch(r"[0-9]{14}(\.[0-9]*[1-9])?Z", text):
        raise TimestampError(f"not a time: {text!r}")
    time = datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    reader.skip(_SEQUENCE)  # accuracy
    reader.skip(0x01)  # ordering
    nonce = reader.integer() if reader.peek() == _INTEGER else None
    reader.skip(0xA0)  # the authority's name
    if reader.peek() == 0xA1:
        raise TimestampError("it has extensions, which are not known here")
    reader.end()
    return time, nonce


def _check_signer(
    signer: _Der, digest: bytes, info: bytes, candidates: Sequence[x509.Certificate]
) -> x509.Certificate:
    """Return the certificate of the SignerInfo, which must have signed `info`."""
    _expect(signer.integer(), 1)
    named = signer.inner(_SEQUENCE)
    issuer, _ = named.whole(_SEQUENCE)
    serial = named.integer()
    named.end()
    _expect(signer.algorithm(), digest)
    algorithm = _hash_of(digest)
    attributes, content = signer.whole(0xA0)
    signature_algorithm = signer.algorithm()
    signature = signer.take(_OCTETS)
    signer.skip(0xA1)  # attributes that are not signed
    signer.end()

    found = _attributes(content)
    _expect(_value(found, _CONTENT_TYPE).oid(), _TST_INFO)
    if _value(found, _MESSAGE_DIGEST).take(_OCTETS) != _digest(algorithm, info):
        raise TimestampError("what was signed is something else")
    for each in candidates:
        if each.issuer.public_bytes() == issuer and each.serial_number == serial:
            break
    else:
        raise TimestampError("the certificate of who signed it is missing")
    _check_named(found, each)
    # Signed is the set of attributes under its own tag (RFC 5652, 5.4).
    _check_key(each, signature_algorithm, algorithm, signature, b"\x31" + attributes[1:])
    return each


def _digest(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    return hashlib.new(algorithm.name, data).digest()


def _value(attributes: dict[bytes, bytes], name: bytes) -> _Der:
    if name not in attributes:
        raise TimestampError(f"the attribute {name.hex()} is missing")
    return _Der(attributes[name])


def _attributes(content: bytes) -> dict[bytes, bytes]:
    """Return the attributes' values; each must have one, and be there once."""
    reader, found = _Der(content), dict[bytes, bytes]()
    while reader.peek() != -1:
        attribute = reader.inner(_SEQUENCE)
        name = attribute.oid()
        values = attribute.inner(_SET)
        attribute.end()
        if name in found:
            raise TimestampError(f"the attribute {name.hex()} is there twice")
        found[name], _ = values.whole(values.peek())
        values.end()
    return found


def _check_named(attributes: dict[bytes, bytes], certificate: x509.Certificate) -> None:
    """Check that the signature names this certificate and no other (RFC 5816, RFC 2634)."""
    older = _SIGNING_CERTIFICATE_V2 not in attributes
    value = _value(attributes, _SIGNING_CERTIFICATE if older else _SIGNING_CERTIFICATE_V2)
    first = value.inner(_SEQUENCE).inner(_SEQUENCE).inner(_SEQUENCE)
    algorithm: hashes.HashAlgorithm = hashes.SHA1() if older else hashes.SHA256()  # noqa: S303
    if not older and first.peek() == _SEQUENCE:
        algorithm = _hash_of(first.algorithm())
    if first.take(_OCTETS) != certificate.fingerprint(algorithm):
        raise TimestampError("it is signed by another certificate than it says")


def _check_key(
    certificate: x509.Certificate,
    algorithm: bytes,
    digest: hashes.HashAlgorithm,
    signature: bytes,
    message: bytes,
) -> None:
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey) and (
            algorithm == _RSA or _RSA_WITH.get(algorithm) == digest.name
        ):
            if key.key_size < 2048:
                raise TimestampError(f"an RSA key of {key.key_size} bits is too short")
            key.verify(signature, message, padding.PKCS1v15(), digest)
        elif (
            isinstance(key, ec.EllipticCurvePublicKey) and _ECDSA_WITH.get(algorithm) == digest.name
        ):
            key.verify(signature, message, ec.ECDSA(digest))
        else:
            raise TimestampError(
                f"signatures {algorithm.hex()} are not known here, or not this key's"
            )
    except InvalidSignature as error:
        raise TimestampError("the authority's signature is wrong") from error


def _check_authority(
    certificate: x509.Certificate,
    bag: Sequence[x509.Certificate],
    anchor: x509.Certificate,
    time: datetime,
) -> None:
    """Check that the certificate was one for timestamps, at that time, of this authority."""
    if not certificate.not_valid_before_utc <= time <= certificate.not_valid_after_utc:
        raise TimestampError(f"the authority's certificate was not valid at {time:%Y-%m-%d}")
    _only_for_timestamps(None, certificate, _extended_usage(certificate))
    if certificate == anchor:
        return
    present, agnostic = verification.Criticality.CRITICAL, verification.Criticality.AGNOSTIC
    end = verification.ExtensionPolicy.permit_all().require_present(
        x509.ExtendedKeyUsage, present, _only_for_timestamps
    )
    above = (
        verification.ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, present, _is_authority)
        .require_present(x509.KeyUsage, agnostic, _signs_certificates)
        .may_be_present(x509.ExtendedKeyUsage, agnostic, _for_timestamps)
    )
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store([anchor]))
        .time(time)
        .extension_policies(ca_policy=above, ee_policy=end)
        .build_client_verifier()
    )
    try:
        verifier.verify(certificate, [each for each in bag if each != certificate])
    except verification.VerificationError as error:
        raise TimestampError(
            f"{certificate.subject.rfc4514_string()} is not under the authority that was given "
            f"({anchor.subject.rfc4514_string()}): {error}"
        ) from error


def _extended_usage(certificate: x509.Certificate) -> x509.ExtendedKeyUsage | None:
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return None
    return found.value if found.critical else None


def _only_for_timestamps(
    _policy: object, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None
) -> None:
    if usage is None or list(usage) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise TimestampError("the certificate is not one for timestamps, and for nothing else")


def _for_timestamps(
    _policy: object, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None
) -> None:
    if usage is not None and ExtendedKeyUsageOID.TIME_STAMPING not in usage:
        raise ValueError("an authority that is not for timestamps")


def _is_authority(
    _policy: object, _certificate: x509.Certificate, constraints: x509.BasicConstraints | None
) -> None:
    if constraints is None or not constraints.ca:
        raise ValueError("a certificate of no authority")


def _signs_certificates(
    _policy: object, _certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is None or not usage.key_cert_sign:
        raise ValueError("an authority that does not sign certificates")


def _certificates(content: bytes) -> list[x509.Certificate]:
    reader, found = _Der(content), []
    while reader.peek() != -1:
        whole, _ = reader.whole(_SEQUENCE)
        found.append(x509.load_der_x509_certificate(whole))
    return found


def _hash_of(identifier: bytes) -> hashes.HashAlgorithm:
    if identifier not in _HASHES:
        raise TimestampError(f"hashes called {identifier.hex()} are not known here")
    return _HASHES[identifier]


def _expect(found: object, expected: object) -> None:
    if found != expected:
        raise TimestampError(f"{found!r} where {expected!r} belongs")


# --- JSON in its canonical form: RFC 8785


def canonical(value: object) -> bytes:
    """Return the canonical JSON of a value without fractions."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if not text.isascii():
        # Names are sorted by UTF-16's units, which is another order beyond the first plane.
        text = json.dumps(_in_order(value), separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _in_order(value: object) -> object:
    match value:
        case dict():
            names = sorted(value, key=lambda name: name.encode("utf-16-be"))
            return {name: _in_order(value[name]) for name in names}
        case list():
            return [_in_order(each) for each in value]
    return value


def parse_canonical(data: bytes) -> dict[str, object]:
    """Return the object that these bytes are.

    Raises:
        ExportError: they are no JSON object, or not in canonical form.
    """
    try:
        value = json.loads(data.decode(), parse_float=_refused, parse_constant=_refused)
        if isinstance(value, dict) and canonical(value) == data:
            return value
    except (ValueError, RecursionError) as error:
        raise ExportError(f"not JSON as it is written here: {error}") from error
    raise ExportError("not a JSON object in canonical form (RFC 8785)")


def sealed(content: dict[str, object]) -> bytes:
    """Return the canonical JSON of an object with its own SHA-256 in it."""
    return canonical(content | {"sha256": hashlib.sha256(canonical(content)).hexdigest()})


def unsealed(data: bytes) -> dict[str, object]:
    """Return the object that `sealed` wrote, without its hash. That guards against accidents; who
    means to change it can compute it anew.

    Raises:
        ExportError: it is none, or was changed.
    """
    content = parse_canonical(data)
    if content.pop("sha256", None) != hashlib.sha256(canonical(content)).hexdigest():
        raise ExportError("it is not what its own SHA-256 says: it was changed")
    return content


def _refused(text: str) -> object:
    raise ValueError(f"no number that is written here: {text}")


# --- What is trusted, and what others attest


@dataclass(frozen=True)
class Trust:
    """Who is believed. Each witness and each authority given must have attested."""

    keys: tuple[VerifierKey, ...]  # of the log: one, or the old and the new one
    witnesses: tuple[VerifierKey, ...] = ()
    authorities: tuple[x509.Certificate, ...] = ()

    def __post_init__(self) -> None:
        if not self.keys or any(each.kind != LOG_SIGNATURE for each in self.keys):
            raise NoteError("a ledger is checked with a key that signs for it")
        if any(each.kind != COSIGNATURE for each in self.witnesses):
            raise NoteError("a witness's key is one for cosigning")


@dataclass(frozen=True)
class Attested:
    """A verified checkpoint, and who else saw it, when; `failed`: why a timestamp did not do."""

    signed: SignedCheckpoint
    cosigned: tuple[tuple[VerifierKey, datetime], ...]
    stamped: tuple[tuple[x509.Certificate, Timestamp], ...]
    timestamps: int  # that are there, verified or not
    failed: tuple[str, ...]

    @classmethod
    def verify(cls, note: bytes, timestamps: Sequence[bytes], trust: Trust) -> Attested:
        """Return what is to be known of a checkpoint.

        Raises:
            NoteError: it is none, or not signed by its log.
        """
        signed = SignedCheckpoint.verify(note, (*trust.keys, *trust.witnesses))
        stamped, failed = [], []
        for authority in trust.authorities:
            for each in timestamps:
                try:
                    stamp = Timestamp.verify(each, signed.checkpoint.text, authority)
                    stamped.append((authority, stamp))
                except TimestampError as error:
                    failed.append(str(error))
        cosigned = tuple((key, _instant(time)) for key, time in signed.cosigned_by)
        return cls(signed, cosigned, tuple(stamped), len(timestamps), tuple(failed))

    @property
    def times(self) -> list[datetime]:
        """When it was seen, by those who are believed."""
        return [time for _, time in self.cosigned] + [each.time for _, each in self.stamped]

    def require(self, trust: Trust) -> None:
        """Raise SignatureError or TimestampError unless all attest that are asked for."""
        size = self.signed.checkpoint.size
        seen = {key for key, _ in self.cosigned}
        for witness in trust.witnesses:
            if witness not in seen:
                raise SignatureError(f"{witness.name} has not cosigned the checkpoint of {size}")
        stamped = [anchor for anchor, _ in self.stamped]
        for authority in trust.authorities:
            if authority not in stamped:
                why = f": {self.failed[0]}" if self.failed else ""
                raise TimestampError(
                    f"the checkpoint of {size} has no timestamp under "
                    f"{authority.subject.rfc4514_string()}{why}"
                )


def _instant(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise SignatureError(f"a witness's time is none: {seconds}") from error


# --- Exports

EXPORT_FORMAT: Final = "tenure-ledger-export/v1"
_BEGINS: Final = re.compile(
    rb'\{"at":"([0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])'
    rb'T(?:[01][0-9]|2[0-3])):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?Z",'
)
_HIDDEN: Final = b'{"hash":'  # no entry begins so
_HASHED: Final = re.compile(rb'\{"hash":"([0-9a-f]{64})"\}')
# Between what an entry says of its time and what others say of a checkpoint, or the entries ahead
# of it. An entry is written before its transaction commits, and has its place after that, by its
# time among those that wait: so one stands behind a younger one only where that one's transaction
# was over, and had its place, before its own ended. An hour is twice the longest statement that the
# product has by its settings, and it writes evidence at the end of its transactions. Clocks differ.
LATENESS: Final = timedelta(hours=1)
CLOCKS: Final = timedelta(minutes=5)
_UNBOUNDED: Final = (b"", b"~")  # seconds as text: before all, and after
_MOST_RUNS: Final = 20  # of entries that are not shown, that are named
_MOST_SHAPES: Final = 1000
_PLAIN: Final = bytes({*range(0x20, 0x7F)} - {ord("\\")})  # what stands for itself in JSON's texts

#: Of entries of rows that came, by kind, the fields that say when what they are of was done.
INSTANTS: Final = {
    "access-change": ("changed_at",),
    "alert": ("raised_at", "resolved_at"),
    "batch": ("started_at", "recorded_at"),
    "certificate": ("issued_at",),
    "connector-event": ("happened_at",),
    "connector-request": ("requested_at", "told_at", "delivered_at", "ended_at"),
    "context-key": ("taken_at",),
    "cross-tenant-read": ("read_at",),
    "erasure": ("ended_at",),
    "erasure-batch": ("started_at", "recorded_at"),
    "erasure-event": ("happened_at",),
    "erasure-plan": ("made_at",),
    "export": ("began_at", "ended_at"),
    "forgetting": ("requested_at", "done_at"),
    "hold": ("placed_at", "released_at"),
    "hold-event": ("happened_at",),
    "inspection": ("recorded_at",),
    "intervention": ("taken_at",),
    "leftovers": ("deleted_at",),
    "ledger-key": ("taken_at",),
    "ledger-source": ("fed_at",),
    "login": ("created_at",),
    "membership": ("created_at",),
    "offboarding": ("requested_at", "started_at", "ended_at"),
    "policy-change": ("changed_at",),
    "policy-period": ("changed_at",),
    "policy-state": ("changed_at",),
    "policy-version": ("recorded_at",),
    "policy-withdrawal": ("recorded_at",),
    "purge": ("began_at", "ended_at"),
    "purge-batch": ("started_at", "recorded_at"),
    "receipt-revocation": ("revoked_at",),
    "restoration": ("restored_at",),
    "run": ("started_at", "finished_at"),
    "scheduled-time": ("taken_at",),
    "tenant": ("created_at",),
    "unit": ("finished_at",),
    "verification": ("finished_at",),
    "watch": ("began_at",),
}


@dataclass
class Unread:
    """Entries that an export does not show: `hashed` by nothing but their hash, where the first of
    them are in `runs` (first and last index), and `digests` by a digest of what they say."""

    hashed: int = 0
    digests: int = 0
    runs: list[tuple[int, int]] = field(default_factory=list)

    def add(self, index: int) -> None:
        """Take an entry of which only the hash is there; the indices ascend."""
        self.hashed += 1
        if self.runs and self.runs[-1][1] == index - 1:
            self.runs[-1] = (self.runs[-1][0], index)
        elif len(self.runs) <= _MOST_RUNS:
            self.runs.append((index, index))

    def __str__(self) -> str:
        listed = [str(a) if a == b else f"{a} to {b}" for a, b in self.runs[:_MOST_RUNS]]
        return ", ".join(listed) + (", and more" if len(self.runs) > _MOST_RUNS else "")


@dataclass(frozen=True)
class Exchange:
    """An entry by which `key` began to sign, in the place of `previous`."""

    index: int
    key: str
    previous: str | None


@dataclass
class Astray:
    """Instants that are not close to when the entries that say them were entered: how many, and
    what the first of them are."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, said: str) -> None:
        """Take one."""
        self.count += 1
        if self.count <= _MOST_RUNS:
            self.first.append(said)

    def __str__(self) -> str:
        return "; ".join(self.first) + ("; and more" if self.count > _MOST_RUNS else "")


@dataclass(frozen=True)
class Export:
    """What a verified export holds. The last checkpoint is that of all its entries."""

    checkpoints: tuple[Attested, ...]
    unread: Unread
    since: Checkpoint | None
    exchanges: tuple[Exchange, ...]
    astray: Astray

    @property
    def last(self) -> Attested:
        """The checkpoint of all the entries."""
        return self.checkpoints[-1]


def export_header(checkpoints: Iterable[tuple[bytes, Sequence[bytes]]]) -> bytes:
    """Return the first line of an export, of signed notes and the timestamps of each (DER),
    oldest first."""
    listed = [
        {
            "note": note.decode(),
            "timestamps": [encode_base64(each) for each in timestamps],
        }
        for note, timestamps in checkpoints
    ]
    return sealed({"format": EXPORT_FORMAT, "checkpoints": listed}) + b"\n"


def hashed_line(hashed: bytes) -> bytes:
    """Return the line of an export that stands for an entry that is not shown."""
    return b'{"hash":"' + hashed.hex().encode() + b'"}\n'


def verify_export(
    stream: BinaryIO, trust: Trust, since: bytes | None = None, *, whole: bool = False
) -> Export:
    """Check an export, reading it once, in little memory.

    `since` is a checkpoint (a signed note) that was given out earlier: the export must begin
    with what it stands for. With `whole` all its entries must be there to be read.

    Raises:
        VerifierError: it does not verify, and why.
    """
    header = stream.readline(MAX_HEADER)
    if not header.endswith(b"\n"):
        raise ExportError("not an export: its first line does not end")
    checkpoints = _checkpoints(unsealed(header[:-1]), trust)
    last = checkpoints[-1].signed.checkpoint
    known = [each.signed.checkpoint for each in checkpoints]
    held = None
    if since is not None:
        held = SignedCheckpoint.verify(since, trust.keys).checkpoint
        if held.origin != last.origin:
            raise ExportError(f"the checkpoint is of {held.origin}, the export of {last.origin}")
        if held.size > last.size:
            raise ExportError(
                f"the export ends at {last.size} entries; your checkpoint has {held.size}"
            )
        known.append(held)
    checkpoints[-1].require(trust)
    unread, reading = _check_lines(stream, known, Times(checkpoints))
    if whole and unread.hashed:
        raise ExportError(f"it shows nothing but the hash of entries {unread}")
    _check_keys(checkpoints, reading.exchanges)
    return Export(checkpoints, unread, held, tuple(reading.exchanges), reading.astray)


def _checkpoints(header: dict[str, object], trust: Trust) -> tuple[Attested, ...]:
    listed = header.get("checkpoints")
    if header.get("format") != EXPORT_FORMAT or len(header) != 2 or not isinstance(listed, list):
        raise ExportError(f"not an export of the format {EXPORT_FORMAT}")
    found: list[Attested] = []
    for each in listed:
        match each:
            case {"note": str(note), "timestamps": list(timestamps)} if len(each) == 2:
                stamps = [decode_base64(str(stamp)) for stamp in timestamps]
                found.append(Attested.verify(note.encode(), stamps, trust))
            case _:
                raise ExportError("a checkpoint is a note and its timestamps")
    if not found:
        raise ExportError("an export has a checkpoint")
    if len({each.signed.checkpoint.origin for each in found}) > 1:
        raise ExportError("the checkpoints are of different ledgers")
    sizes = [each.signed.checkpoint.size for each in found]
    if sorted(set(sizes)) != sizes:
        raise ExportError("the checkpoints do not stand oldest first")
    return tuple(found)


def _check_keys(checkpoints: Sequence[Attested], exchanges: Sequence[Exchange]) -> None:
    """Check that each checkpoint bears the signature of the key that signed then. The first one
    over an exchange may be known by the former key, which signs it, too.

    Raises:
        ExportError: one bears that of a key which had been exchanged alone.
    """
    at, above = 0, 0
    for each in checkpoints:
        size, origin = each.signed.checkpoint.size, each.signed.checkpoint.origin
        while at < len(exchanges) and exchanges[at].index < size:
            at += 1
        own = [one for one in exchanges[:at] if one.key.startswith(f"{origin}+")]
        signers = {str(key) for key in each.signed.signed_by}
        if own and own[-1].key not in signers:
            last = own[-1]
            if last.previous not in signers or above > last.index:
                raise ExportError(
                    f"the checkpoint of {size} is signed by a key that had been exchanged at entry "
                    f"{last.index}, and not by {last.key}: give that key, if it is the ledger's"
                )
        above = size


class Times:
    """Compares what entries say of their time with when checkpoints were seen."""

    def __init__(self, checkpoints: Sequence[Attested]) -> None:
        seen = sorted(
            (each.signed.checkpoint.size, min(each.times), max(each.times))
            for each in checkpoints
            if each.times
        )
        self._sizes = [size for size, _, _ in seen]
        # The latest of all up to there, the earliest of all from there on.
        self._latest = list(itertools.accumulate((last for _, _, last in seen), max))
        self._earliest = list(itertools.accumulate((first for _, first, _ in seen[::-1]), min))
        self._earliest.reverse()

    def bounds(self, index: int) -> tuple[bytes, bytes]:
        """Return the earliest and the latest second that entry `index` can say."""
        at = bisect.bisect_right(self._sizes, index)  # these were seen without it
        return (
            _second(self._latest[at - 1], -LATENESS) if at else _UNBOUNDED[0],
            _second(self._earliest[at], CLOCKS) if at < len(self._sizes) else _UNBOUNDED[1],
        )


def _second(time: datetime, by: timedelta) -> bytes:
    # What a time and a span come to.
    within = max(datetime(1000, 1, 1, tzinfo=UTC), min(time, datetime(9000, 1, 1, tzinfo=UTC)))
    return (within + by).strftime("%Y-%m-%dT%H:%M:%S").encode()


def _check_lines(
    stream: BinaryIO, known: list[Checkpoint], times: Times
) -> tuple[Unread, _Reading]:
    """Check the entries against the checkpoints; return what they do not show, and what was read
    of those that they do."""
    builder, blocks, lines, at = RootBuilder(), _blocks(stream), list[bytes](), 0
    unread, reading = Unread(), _Reading()
    for checkpoint in sorted(known, key=lambda each: each.size):
        reading.bounds = times.bounds(builder.size)
        while builder.size < checkpoint.size:
            part = lines[at : at + checkpoint.size - builder.size]
            _add_lines(builder, part, reading, unread)
            at += len(part)
            if at == len(lines) and builder.size < checkpoint.size:
                lines, at = next(blocks, []), 0
                if not lines:
                    raise ExportError(f"the file ends before entry {builder.size}")
        if builder.root() != checkpoint.root:
            raise ExportError(
                f"the first {checkpoint.size} entries are not those of the checkpoint of "
                f"{checkpoint.size}: their root is {builder.root().hex()}, not "
                f"{checkpoint.root.hex()}"
            )
    if at < len(lines) or next(blocks, []):
        raise ExportError(f"there is more after the {builder.size} entries of the last checkpoint")
    reading.end()
    return unread, reading


def _blocks(stream: BinaryIO) -> Iterator[list[bytes]]:
    """Yield lines without their ends, some at a time and never none."""
    rest = b""
    while block := stream.read(2**20):
        *lines, rest = (rest + block).split(b"\n")
        if lines:
            yield lines
        if len(rest) > MAX_LINE:
            raise ExportError(f"a line is longer than {MAX_LINE} bytes")
    if rest:
        raise ExportError("the last line does not end")


def _add_lines(
    builder: RootBuilder, lines: Sequence[bytes], reading: _Reading, unread: Unread
) -> None:
    """Add entries to the tree, and to `unread` those that show nothing of what they say."""
    sha256, first = hashlib.sha256, builder.size
    hashes = [sha256(b"\x00" + line).digest() for line in lines]
    for n in [n for n, line in enumerate(lines) if line[:8] == _HIDDEN]:
        hashes[n] = _hash_in(lines[n])
        unread.add(first + n)
    reading.read(first, lines)
    # A quotation mark within a text has a backslash before it.
    unread.digests += sum(b'"body_sha256":"' in line for line in lines)
    builder.extend(hashes)


_Match = Callable[[bytes], re.Match[bytes] | None]


@dataclass(frozen=True)
class _Shape:
    """Entries of a kind that differ in nothing but what texts and numbers they have, all of plain
    characters. `match` takes one, and its groups are the instants of `fields`; `close` takes it
    where these are of the same hour in which it was entered."""

    match: _Match
    close: _Match
    fields: tuple[str, ...]

    @classmethod
    def of(cls, content: dict[str, Any]) -> _Shape:
        """Return that of an entry which was parsed, and is in canonical form."""
        named = INSTANTS.get(content["kind"], ())
        record = content.get("record")
        said = record if isinstance(record, dict) else {}
        fields = tuple(each for each in sorted(said) if each in named and said[each] is not None)

        def pattern(instant: bytes) -> _Match:
            parts = [
                re.escape(canonical(name)) + b":" + (
                    re.escape(canonical(value)) if name == "kind"
                    else _pattern(value, dict.fromkeys(fields, instant)) if name == "record"
                    else _pattern(value)
                )
                for name, value in sorted(content.items()) if name != "at"
            ]  # fmt: skip
            return re.compile(_BEGINS.pattern + b",".join(parts) + rb"\}").fullmatch

        return cls(pattern(rb'"([^"]*)"'), pattern(rb'"\1[^"]*\+00:00"'), fields)


def _pattern(value: object, instead: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """Return what matches canonical JSON of the same shape, if its characters are plain; of an
    object's keys, some can be matched by what is given `instead`."""
    match value:
        case dict():
            parts = [
                re.escape(canonical(name)) + b":" + (instead.get(name) or _pattern(each))
                for name, each in sorted(value.items())
            ]
            return rb"\{" + b",".join(parts) + rb"\}"
        case list():
            return rb"\[" + b",".join(map(_pattern, value)) + rb"\]"
        case str():
            return b'"[^"]*"'
        case bool() | None:
            return rb"(?:true|false|null)"
    return rb"(?:0|-?[1-9][0-9]*)"


class _Reading:
    """Reads entries, in order: each is in the one form that it has, says when it was entered, and
    not another time than those ahead of it, and others, allow for.

    Where one is written in another form, two readers can understand it differently. To parse each
    would take several times what hashing takes: so those of a shape that was parsed are matched.
    """

    def __init__(self) -> None:
        self.bounds = _UNBOUNDED
        self.exchanges: list[Exchange] = []
        self.astray = Astray()
        self._latest = b""
        self._close: _Match = _no_match
        self._shapes: dict[bytes, list[_Shape]] = {}
        self._count = 0
        self._fed: dict[str, str] = {}  # by kind, since when its rows enter
        self._before: dict[str, list[tuple[str, str]]] = {}  # what may be of rows from before

    def read(self, first: int, lines: Sequence[bytes]) -> None:
        """Take the next entries, the first of which has the index `first`. Those of which there is
        the hash alone say nothing.

        Raises:
            ExportError: one is none, not in its form, or contradicts others in its time.
        """
        plain = not b"".join(lines).translate(None, _PLAIN)
        latest, bounds, close = self._latest, self.bounds, self._close
        for index, line in enumerate(lines, first):
            if not (plain and close(line)):
                if line[:8] == _HIDDEN:
                    continue
                self._judge(index, line)
                close = self._close
            said = line[7:26]
            if said >= latest:
                latest = said
            else:
                _require_order(index, said, latest)
            if bounds is not _UNBOUNDED:
                _require_seen(index, said, bounds)
        self._latest = latest

    def end(self) -> None:
        """Judge what the last entry leaves over."""
        if self._latest:
            instant_of(self._latest)
        for kind in self._before:
            self._settle(kind, "")

    def _judge(self, index: int, line: bytes) -> None:
        """Take an entry that is not like the one before."""
        values = self._matched(line) if not line.translate(None, _PLAIN) else None
        for name, value in self._parsed(index, line) if values is None else values:
            if not _is_close(value, line[7:26]):
                self._go_astray(index, line, f"{name} {value[:40]}")

    def _matched(self, line: bytes) -> Sequence[tuple[str, str]] | None:
        at = line.find(b'"kind":"') + 8
        for shape in self._shapes.get(line[at : line.find(b'"', at)], ()):
            found = shape.match(line)
            if found is not None:
                self._close = shape.close
                said = [each.decode() for each in found.groups()[1:]]
                return list(zip(shape.fields, said, strict=True))
        return None

    def _parsed(self, index: int, line: bytes) -> Sequence[tuple[str, str]]:
        if line[:1] != b"{" or line[-1:] != b"}":
            raise ExportError(f"line {index} of the entries is none")
        try:
            content = parse_canonical(line)
        except ExportError as error:
            raise ExportError(f"entry {index}: {error}") from error
        if not _BEGINS.match(line):
            raise ExportError(f"entry {index} does not say when it was entered")
        kind, record = content.get("kind"), content.get("record")
        if kind == "ledger-key":
            self.exchanges.append(_exchange(index, record))
        elif kind == "ledger-source":
            self._feed(record)
        elif isinstance(kind, str) and not line.translate(None, _PLAIN):
            self._learn(kind, content)
        if not isinstance(record, dict):
            return ()
        fields = INSTANTS.get(str(kind), ())
        return [(f, str(record[f])) for f in fields if record.get(f) is not None]

    def _learn(self, kind: str, content: dict[str, object]) -> None:
        if self._count < _MOST_SHAPES:
            self._count += 1
            shape = _Shape.of(content)
            self._close = shape.close
            self._shapes.setdefault(kind.encode(), []).insert(0, shape)

    def _feed(self, record: object) -> None:
        match record:
            case {"kind": str(kind), "fed_at": str(since)} if kind not in self._fed:
                self._fed[kind] = since[:19]
                self._settle(kind, since[:19])

    def _go_astray(self, index: int, line: bytes, said: str) -> None:
        """Rows that were there before their table fed the ledger were entered when it began."""
        kind, at = str(parse_canonical(line)["kind"]), line[7:26].decode()
        told = f"entry {index}, {kind}, says {said}, and is of {at}"
        if kind in self._fed:
            if at > self._fed[kind]:
                self.astray.add(told)
            return
        self._before.setdefault(kind, []).append((at, told))
        # Those of the youngest are enough to tell whether all were there before.
        if len(self._before[kind]) > 2 * _MOST_RUNS:
            self._before[kind] = sorted(self._before[kind])[-_MOST_RUNS:]

    def _settle(self, kind: str, since: str) -> None:
        for at, told in self._before.pop(kind, ()) if since else self._before[kind]:
            if at > since:
                self.astray.add(told)


def _no_match(_line: bytes) -> None:
    """Of no shape as yet."""


def _require_order(index: int, said: bytes, latest: bytes) -> None:
    if said < _second(instant_of(latest), -LATENESS):
        raise ExportError(
            f"entry {index} says that it is of {said.decode()}, and stands behind one of "
            f"{latest.decode()}: it was back-dated"
        )


def _require_seen(index: int, said: bytes, bounds: tuple[bytes, bytes]) -> None:
    earliest, latest = bounds
    if not earliest <= said <= latest:
        raise ExportError(
            f"entry {index} says that it is of {said.decode()}, but others saw the ledger "
            f"{'without' if said < earliest else 'with'} it at a time that contradicts this"
        )


def _exchange(index: int, record: object) -> Exchange:
    match record:
        case {"vkey": str(key), **rest}:
            previous = rest.get("previous_vkey")
            return Exchange(index, key, previous if isinstance(previous, str) else None)
    raise ExportError(f"entry {index} is of a key that signs, and does not show which")


def instant_of(said: bytes) -> datetime:
    """Return the instant that a second of an entry's time stands for, such as
    `2026-01-31T12:00:00`. Raises ExportError where that is none."""
    try:
        return datetime.fromisoformat(said.decode()).replace(tzinfo=UTC)
    except ValueError as error:
        raise ExportError(f"an entry says that it is of {said!r}, which is no time") from error


def _is_close(value: str, said: bytes) -> bool:
    """Tell whether an instant, in UTC, is no more than LATENESS from what an entry says of its
    own time."""
    at = instant_of(said)
    close = _second(at, -LATENESS) <= value[:19].encode() <= _second(at, LATENESS)
    return close and value.endswith("+00:00")


def _hash_in(line: bytes) -> bytes:
    found = _HASHED.fullmatch(line)
    if found is None:
        raise ExportError(f"not the hash of an entry: {line!r}")
    return bytes.fromhex(found[1].decode())


# --- Certificates: what was deleted, drawn from entries that are proven in the same file

CERTIFICATE_FORMAT: Final = "tenure-certificate/v1"
MAX_CERTIFICATE: Final = 2**28  # bytes
_CERTIFICATE_START: Final = b'{"certificate":'


#: Where a kind of entry has the digest of a value under a name of its own.
_DIGESTS: Final = {("erasure-plan", "plan"): "digest"}


@dataclass(frozen=True)
class Shown:
    """An entry that a certificate rests on. `texts` are those of its commitments that were opened,
    `values` and `rows` what it has digests of: large values, and rows of another table, a JSON
    array each."""

    index: int
    leaf: bytes
    kind: str
    tenant: str | None
    at: str
    record: dict[str, Any]
    texts: dict[str, str]
    values: dict[str, str]
    rows: dict[str, tuple[str, ...]]

    @classmethod
    def open(cls, index: int, leaf: bytes, opened: Opened) -> Shown:
        """Return an entry with what was opened of it, each held against what the entry says.

        Raises:
            CertificateError: it does not say so, or is none that is known here.
        """
        where = f"entry {index}"
        match parse_canonical(leaf):
            case {
                "v": 1, "kind": str(kind), "tenant": str() | None as tenant, "at": str(at),
                "record": dict(record), "commitments": dict(commitments), "id": str(),
                **others,
            } if not others:  # fmt: skip
                pass
            case _:
                raise CertificateError(f"{where} is not one that is known here")
        for name, (salt, text) in opened.texts.items():
            if commitments.get(name) != hashlib.sha256(salt + text.encode()).hexdigest():
                raise CertificateError(f"{where} commits to another {name} than {_shown(text)!r}")
        for name, text in opened.values.items():
            digest = _DIGESTS.get((kind, name), f"{name}_sha256")
            if record.get(digest) != hashlib.sha256(text.encode()).hexdigest():
                raise CertificateError(f"{where} was made of another {name} than is shown")
        for name, lines in opened.rows.items():
            if not _has_rows(record, name, lines):
                raise CertificateError(f"{where} was made of other {name} than are shown")
        texts = {name: text for name, (_, text) in opened.texts.items()}
        return cls(index, leaf, kind, tenant, at, record, texts, opened.values, opened.rows)


def _has_rows(record: dict[str, Any], name: str, lines: Sequence[str]) -> bool:
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return (record.get(f"{name}_count"), record.get(f"{name}_sha256")) == (len(lines), digest)


@dataclass(frozen=True)
class Opened:
    """What is shown of an entry beside itself: texts with the salts (32 bytes) of their
    commitments, values, rows."""

    texts: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    rows: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return it as a certificate has it."""
        texts = {n: {"salt": salt.hex(), "text": text} for n, (salt, text) in self.texts.items()}
        rows = {name: list(lines) for name, lines in self.rows.items()}
        return {"texts": texts, "values": self.values, "rows": rows}


@dataclass(frozen=True)
class Certificate:
    """A certificate that was verified: what it states, the entries that bear it out."""

    id: str
    statement: dict[str, Any]
    evidence: tuple[Shown, ...]
    checkpoint: Attested


def verify_certificate(data: bytes, trust: Trust, since: bytes | None = None) -> Certificate:
    """Check a certificate: each entry is in the ledger, and together they say what it states, all
    of it, as it was when it was issued.

    Raises:
        VerifierError: it does not verify, and why.
    """
    if len(data) > MAX_CERTIFICATE or not data.endswith(b"}\n"):
        raise CertificateError("not a certificate: it is too long, or does not end")
    content = unsealed(data[:-1])
    if content.get("format") != CERTIFICATE_FORMAT or len(content) != 5:
        raise CertificateError(f"not a certificate of the format {CERTIFICATE_FORMAT}")
    match content:
        case {
            "certificate": str(name), "statement": dict(statement), "evidence": list(listed),
            "checkpoint": {"note": str(note), "timestamps": list(stamps), **others},
        } if not others:  # fmt: skip
            pass
        case _:
            raise CertificateError("not a certificate")
    timestamps = [decode_base64(str(stamp)) for stamp in stamps]
    attested = _alone(note.encode(), trust, since, timestamps)
    evidence = tuple(_proven(each, note.encode(), attested) for each in listed)
    expected = statement_of(evidence, attested.signed.checkpoint)
    # Compared as bytes: to Python, true is 1.
    if expected["issued"]["id"] != name or canonical(expected) != canonical(statement):
        wrong = sorted(k for k in {*expected, *statement} if expected.get(k) != statement.get(k))
        raise CertificateError(
            "what it states is not what its entries say: " + ", ".join(wrong or ["its id"])
        )
    return Certificate(name, statement, evidence, attested)


def _proven(listed: object, note: bytes, attested: Attested) -> Shown:
    match listed:
        case {
            "proof": str(text), "texts": dict(texts), "values": dict(values), "rows": dict(rows),
            **others,
        } if not others:  # fmt: skip
            proof = Proof.parse(text.encode())
        case _:
            raise CertificateError("an entry is a proof, and what was opened of it")
    if proof.extra is None or proof.checkpoint != note or str(proof) != text:
        raise CertificateError("a proof holds its entry, and is under the certificate's checkpoint")
    checkpoint = attested.signed.checkpoint
    leaf = proof.extra
    verify_inclusion(leaf_hash(leaf), proof.index, checkpoint.size, proof.path, checkpoint.root)
    try:
        opened = Opened(
            {name: (_salt(each["salt"]), _str(each["text"])) for name, each in texts.items()},
            {name: _str(each) for name, each in values.items()},
            {name: tuple(map(_str, each)) for name, each in rows.items()},
        )
    except (TypeError, KeyError, ValueError) as error:
        raise CertificateError("what was opened of an entry cannot be read") from error
    shown = Shown.open(proof.index, leaf, opened)
    earliest, latest = Times([attested]).bounds(proof.index)
    if not earliest <= shown.at[:19].encode() <= latest:
        raise CertificateError(
            f"entry {proof.index} says that it is of {_shown(shown.at)}, but others saw the ledger "
            "with it before"
        )
    return shown


def _salt(text: str) -> bytes:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError("no salt")
    return bytes.fromhex(text)


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def statement_of(evidence: Sequence[Shown], checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what these entries, the certificate's own among them, say together.

    Raises:
        CertificateError: they do not belong together, or contradict each other.
    """
    if any(a.index >= b.index for a, b in itertools.pairwise(evidence)):
        raise CertificateError("the entries do not stand in their order")
    own = [each for each in evidence if each.kind == "certificate"]
    if len(own) != 1:
        raise CertificateError(f"a certificate has been entered once, not {len(own)} times")
    issued, record = own[0], own[0].record
    try:
        subject = (record["kind"], record["subject_id"], record["tenant_id"])
        rest = [each for each in evidence if each is not issued]
        body = body_of(*subject, record["backups_kept_days"], rest)
        digest = digest_of_body(body)
        stated = {
            "id": record["id"],
            "at": record["issued_at"],
            "by": issued.texts.get("issued_by"),
            "release": record["release"],
            "entry": issued.index,
        }
    except (KeyError, TypeError) as error:
        raise CertificateError(f"entry {issued.index} issues no certificate") from error
    except (ValueError, RecursionError) as error:  # half of a surrogate pair, or a deep nest
        raise CertificateError("what the entries say cannot be written down") from error
    if record.get("statement_sha256") != digest:
        raise CertificateError("the entries are not those that it was issued on")
    ledger = {
        "origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()
    }  # fmt: skip
    return {**body, "issued": stated, "ledger": ledger}


def digest_of_body(body: dict[str, Any]) -> str:
    """Return the SHA-256 by which the ledger knows what a certificate states."""
    return hashlib.sha256(canonical(body)).hexdigest()


def body_of(
    kind: str, subject: str, tenant: str | None, backups: int | None, evidence: Sequence[Shown]
) -> dict[str, Any]:
    """Return what entries say of a subject (`run`, `erasure`, `tenant`: the id of its
    run, erasure, offboarding), of one tenant or of all.
    `backups`: for how many days they are kept, as the operator declares.

    Raises:
        CertificateError: they do not say it.
    """
    if kind not in _BODIES:
        raise CertificateError(f"certificates of a {_shown(str(kind))} are not known here")
    for each in evidence:
        if tenant is not None and each.tenant not in {None, tenant}:
            raise CertificateError(f"entry {each.index} is another tenant's")
        if tenant is not None and each.tenant is None and (each.rows or "plan" in each.values):
            raise CertificateError(f"entry {each.index} shows what is of other tenants")
    try:
        body = _BODIES[kind](subject, tenant, evidence)
        ended = datetime.fromisoformat(body["ended_at"])
        expired = None if backups is None else (ended + timedelta(days=backups)).isoformat()
    except (
        LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError,
    ) as error:  # fmt: skip
        raise CertificateError(f"the entries cannot be read: {error!r}") from error
    stated = None if backups is None else {"kept_days": backups, "expired_by": expired}
    return {
        "kind": kind,
        "subject": subject,
        "tenant": tenant,
        "backups": stated,
        "not_covered": [*_NOT_COVERED, *body.pop("not_covered")],
        **body,
    }


def months_after(instant: datetime, months: int) -> datetime:
    """Return the same day and time so many months later, in UTC; where the month is too short,
    its last day (Regulation 1182/71, Art. 3(2)(c)). Requires an aware instant."""
    begun = instant.astimezone(UTC)
    year, month = divmod(begun.year * 12 + begun.month - 1 + months, 12)
    day = min(begun.day, calendar.monthrange(year, month + 1)[1])
    return begun.replace(year=year, month=month + 1, day=day)


NOT_SHOWN: Final = (
    "Whether more holds, interventions, restorations or verifications were entered than are shown: "
    "whoever issued it has chosen them; an export of the ledger shows all."
)
#: What is done to rows, in words that claim no more than it is.
METHODS: Final = {
    "delete": "logical deletion (SQL DELETE): no query finds the rows any more. It is neither "
    "Clear nor Purge nor Destroy in the sense of NIST SP 800-88, which are done to media",
    "archive": "moved to an archive in the same database, then logical deletion in the table: the "
    "rows still exist in the archive",
    "anonymise": "columns overwritten (SQL UPDATE): the rows stay, without those values",
    "pseudonymise": "columns replaced by pseudonyms (SQL UPDATE): the rows stay, and can be "
    "attributed again with the key",
    "cut": "references taken out (SQL UPDATE): the rows stay",
}
_NOT_COVERED: Final = (
    "Backups and dumps made before: they hold the rows until they expire.",
    "The database's write-ahead log and its archive, and replicas that have not caught up.",
    "The medium: deleted rows stand in the files until VACUUM and reuse write over them.",
    "Logs of applications, proxies and of the database itself.",
    "What had left the system before: exports, reports, e-mails, answers of the API.",
    "Systems of others, other than connectors that this certificate names as having acknowledged.",
    "Rows that came, or came back, after the end stated here.",
    "Hashes of the keys of the deleted rows, which are kept: by them, who knows a key can ask what "
    "became of its row.",
)


_STARTS_KEPT: Final = (
    "When the periods of the rows began that the policies are about, which is kept beside these "
    "hashes, one by one."
)


def _keeps_starts(batch: Shown) -> bool:
    return any("starts_sha256" in counted for counted in batch.record["counts"].values())


def _run_body(run_id: str, tenant: str | None, evidence: Sequence[Shown]) -> dict[str, Any]:
    of = _Evidence(evidence, run_id)
    states = of.take("run", "run-changed", by="id")
    first, last = states[0], states[-1]
    if [each for each in states if each.kind == "run"] != [first]:
        raise CertificateError("a run begins once, with its intent")
    if last.record["finished_at"] is None:
        raise CertificateError("the run had not ended")
    batches = of.take("batch", by="run_id")
    units = [_unit(each, batches) for each in _last_of_each(of.take("unit", by="run_id"), "number")]
    planned = _planned(last, tenant)
    if planned is not None:
        _check_units(planned, units)
    for each in units:
        each["kept"] = None if planned is None else planned[each["number"] - 1]["kept"]
    if sum(each["batches"] for each in units) != len(batches):
        raise CertificateError("there are batches of units that are not shown")
    policies = [_policy(each) for each in of.take("policy-version")]
    for each in units:
        if not any(
            (p["name"], p["version"]) == (each["policy"], each["version"]) for p in policies
        ):
            raise CertificateError(f"the policy {each['policy']} is not shown")
    run = {
        "id": run_id,
        "trace_id": first.record["trace_id"],
        "as_of": first.record["as_of"],
        "state": last.record["state"],
        "detail": last.texts.get("detail"),
        "requested_by": first.texts.get("started_by"),
        "started_at": first.record["started_at"],
        "finished_at": last.record["finished_at"],
        "release": first.record.get("release"),
        "catalog_sha256": first.record["catalog_digest"],
        "plan_sha256": first.record["plan_sha256"],
        "entries": [each.index for each in states],
    }
    body = {
        "run": run,
        "ended_at": last.record["finished_at"],
        "tenants": _tenants(of),
        "policies": policies,
        "units": units,
        "tables": _totals(units),
        "holds": _holds(of),
        "interventions": [
            _picked(each, "action", "taken_at") | {"by": each.texts.get("actor"),
                                                   "reason": each.texts.get("reason")}
            for each in of.take("intervention", by="run_id")
        ],
        "restorations": [
            _picked(each, "id", "tenant_id", "batch_id", "counts", "restored_at")
            for each in of.take("restoration", by="run_id")
        ],
        "verification": _verification(of, last),
        "complete": {"batches": True, "units": planned is not None},
        "not_covered": [_STARTS_KEPT] if any(map(_keeps_starts, batches)) else [],
    }  # fmt: skip
    of.end()
    return body


def _erasure_body(erasure_id: str, tenant: str | None, evidence: Sequence[Shown]) -> dict[str, Any]:
    of = _Evidence(evidence, erasure_id)
    states = of.take("erasure", by="id")
    steps = of.take("erasure-event", by="erasure_id")
    first, last = states[0], states[-1]
    if last.record["state"] != "completed":
        raise CertificateError("the erasure was not completed")
    if tenant is None or last.record["tenant_id"] != tenant:
        raise CertificateError("an erasure is of one tenant, and its certificate for that one")
    received, confirmed = _step(steps, "received"), _step(steps, "confirmed")
    verified, completed = _step(steps, "verified"), _step(steps, "completed")
    if steps[0] is not received or steps[-1] is not completed:
        raise CertificateError("an erasure begins with its request, and ends when it is completed")
    extended = [each for each in steps if each.record["event"] == "extended"]
    if sum(each.record["facts"]["months"] for each in extended) != last.record["extended_months"]:
        raise CertificateError("the extensions are not those by which the answer was put off")
    due = months_after(
        datetime.fromisoformat(last.record["received_at"]), 1 + last.record["extended_months"]
    )
    if datetime.fromisoformat(last.record["due_at"]) != due:
        raise CertificateError("it was due at another time: a month, and the extensions, after it")
    started = [each for each in steps if each.record["event"] == "started"]
    plans = _erasure_plans(of, steps, last)
    done = of.take("erasure-batch", by="erasure_id")
    approved = [each for each in steps if each.record["event"] == "approved"]
    if not approved[0].index < started[0].index < verified.index or any(
        not started[0].index < each.index < verified.index for each in done
    ):
        raise CertificateError("it was not approved, then carried out, and verified in the end")
    if verified.record["facts"]["findings"]:
        raise CertificateError("its verification found rows, and it was not completed")
    batches = [_batch_by_action(each) for each in done]
    tables = _totals(batches)
    body = {
        "erasure": {
            "id": erasure_id,
            "of_kind": last.record["subject"],
            "state": last.record["state"],
            "received_at": last.record["received_at"],
            "due_at": last.record["due_at"],
            "extended_months": last.record["extended_months"],
            "entered_by": first.texts.get("entered_by"),
            "started_at": started[0].record["happened_at"],
            "ended_at": last.record["ended_at"],
            "in_time": datetime.fromisoformat(last.record["ended_at"])
            <= datetime.fromisoformat(last.record["due_at"]),
            "entries": [each.index for each in states],
        },
        "ended_at": last.record["ended_at"],
        "tenants": _tenants(of),
        "confirmation": _taken(confirmed),
        "extensions": [_taken(each, "months", "reason") for each in extended],
        "plans": [
            _picked(each, "number", "digest", "made_at")
            | {"by": each.texts.get("made_by"), "as_of": plan["as_of"], "cut": plan["cut"]}
            for each, plan in plans
        ],
        "approval": _approval(steps, first, last),
        "outcome": _outcome([plan for _, plan in plans], tables, completed.record["facts"]),
        "tables": tables,
        "batches": batches,
        "deferrals": [
            _taken(each, "connectors") | {"waiting": _listed(each.record["facts"]["waiting"])}
            for each in steps if each.record["event"] == "deferred"
        ],
        "connectors": _connectors(of, completed.record["facts"]),
        "verification": _taken(verified, "findings"),
        "steps": [_taken(each) for each in steps],
        "complete": {"batches": True, "steps": False},
        "not_covered": [
            "Rows that do not refer to the person by a key, whatever their text says.",
            "Rows that are kept on a legal basis, which are listed, and evidence of legal holds.",
        ],
    }  # fmt: skip
    of.end()
    return body


def _step(steps: Sequence[Shown], event: str) -> Shown:
    """Return the one step of this kind."""
    found = [each for each in steps if each.record["event"] == event]
    if len(found) != 1:
        raise CertificateError(f"an erasure is {event} once, not {len(found)} times")
    return found[0]


def _taken(step: Shown, *facts: str) -> dict[str, Any]:
    """Return what a step was, when, by whom, and of its facts these."""
    return {
        **_picked(step, "event", "happened_at"),
        "by": step.texts.get("actor"),
        **{name: step.record["facts"][name] for name in facts},
    }


def _listed(by_name: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a value by names as a list: names are others', and no keys of ours."""
    return [{"name": name, "value": value} for name, value in sorted(by_name.items())]


def _erasure_plans(
    of: _Evidence, steps: Sequence[Shown], last: Shown
) -> list[tuple[Shown, dict[str, Any]]]:
    """Return all plans, oldest first; they are numbered."""
    entries = sorted(of.take("erasure-plan", by="erasure_id"), key=lambda e: e.record["number"])
    told = [
        (each.record["facts"]["plan"], each.record["facts"]["digest"])
        for each in steps
        if each.record["event"] == "planned"
    ]
    numbers = list(range(1, last.record["plan"] + 1))
    if not told or told != [(each.record["number"], each.record["digest"]) for each in entries]:
        raise CertificateError("the plans are not those that were made")
    if [number for number, _ in told] != numbers:
        raise CertificateError("the plans are not all there are")
    found = [(each, json.loads(each.values["plan"])) for each in entries]
    if any(plan["erasure"] != last.record["id"] for _, plan in found):
        raise CertificateError("a plan is of another erasure")
    return found


def _approval(steps: Sequence[Shown], first: Shown, last: Shown) -> dict[str, Any]:
    """Return who approved the plan that counts; `alone`: nothing shows that it is another than who
    had entered the request. Two logins are shown to be two, and two names of accounts."""
    approved = [each for each in steps if each.record["event"] == "approved"][-1]
    found = _taken(approved, "plan", "alone")
    entered_by = first.texts.get("entered_by")
    if found["plan"] != last.record["plan"]:
        raise CertificateError("the plan that counts is not the one that was approved")
    by = found["by"]
    if by is not None and entered_by is not None:
        another = by != entered_by and _actor_kind(by) == _actor_kind(entered_by)
        if another is found["alone"]:
            raise CertificateError("who approved it is not who its entry says")
    return found


def _actor_kind(actor: str) -> str:
    kind, colon, _ = actor.partition(":")
    return kind if colon else ""


def approved_by(erasure: dict[str, Any], approval: dict[str, Any]) -> str:
    """Return who that was, in relation to who had entered the request."""
    if not approval["alone"]:
        return "another than who had entered the request (two logins, or accounts of two names)"
    if approval["by"] is not None and approval["by"] == erasure["entered_by"]:
        return "who had entered the request, alone"
    return "somebody of whom nothing shows that it is another than who had entered the request"


def _batch_by_action(batch: Shown) -> dict[str, Any]:
    tables = [
        {"table": table, "action": action, "rows": counted["rows"],
         "keys_sha256": counted["sha256"]}
        for table, of in sorted(batch.record["counts"].items())
        for action, counted in sorted(of.items())
    ]  # fmt: skip
    if sum(each["rows"] for each in tables) != batch.record["rows"]:
        raise CertificateError(f"entry {batch.index} contradicts itself: its rows")
    return {**_picked(batch, "id", "trace_id", "started_at", "recorded_at"), "tables": tables}


def _outcome(
    plans: Sequence[dict[str, Any]], tables: Sequence[dict[str, Any]], ended: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return what was planned for each table and what became of it: the batches must come to what
    the end counts, no more and no less."""
    erased = {(each["table"], each["action"]): each["rows"] for each in tables}
    counted = {(table, action): rows for table, of in ended["erased"].items()
               for action, rows in of.items()}  # fmt: skip
    if erased != counted:
        raise CertificateError("the batches are not all there are: the end counts other rows")
    allowed = {(each["table"], each["action"]) for plan in plans for each in plan["tables"]}
    for table, action in erased:
        if action != "cut" and (table, action) not in allowed:
            raise CertificateError(f"{_shown(table)}: {action} is in no plan")
    planned = {each["table"]: each for each in plans[-1]["tables"]}
    kept = {each["table"]: each for each in ended["kept"]}
    for table, left in kept.items():
        if (planned[table]["action"], planned[table]["basis"]) != ("keep", left["basis"]):
            raise CertificateError(f"{_shown(table)} is kept, and not as was planned")
    return [
        {
            "table": table,
            "action": planned[table]["action"] if table in planned else "cut",
            "basis": planned[table]["basis"] if table in planned else None,
            "planned": {
                "rows": planned[table]["rows"],
                "going": planned[table]["going"],
                "done": planned[table]["done"],
                "waiting": planned[table]["waiting"],
            } if table in planned else None,
            "done": [
                {"action": action, "rows": rows}
                for (of, action), rows in sorted(erased.items()) if of == table
            ],
            "kept": {"rows": kept[table]["rows"], "ends": kept[table]["ends"]}
            if table in kept else None,
        }
        for table in (*planned, *sorted({table for table, _ in erased} - set(planned)))
    ]  # fmt: skip


_ANSWERS: Final = {"acknowledged", "refused"}
#: From then on a connector may have begun to erase.
_REACHED: Final = {"told", "delivered", "counted"}


def _connectors(of: _Evidence, ended: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what others were asked and said, as the end names them: each one's answer, and when,
    where the end says by which request. A request that was withdrawn was not answered by then; an
    answer that came after all is shown with it."""
    events, requests = of.take("connector-event"), ended.get("requests")
    if requests is not None and set(requests) != set(ended["elsewhere"]):
        raise CertificateError("the connectors are not those that were asked")
    found, left = [], list(events)
    for name, state in sorted(ended["elsewhere"].items()):
        said: dict[str, Any] = {
            "connector": name, "state": state, "asked_at": None, "reached": None, "answer": None,
            "withdrawn": None,
        }  # fmt: skip
        if requests is None and state not in _ANSWERS:
            raise CertificateError(f"connector {_shown(name)} has not answered")
        if requests is not None:
            own = [each for each in events if each.record["request_id"] == requests[name]]
            left = [each for each in left if each not in own]
            asked = [each for each in own if each.record["event"] == "requested"]
            ends = [each for each in own if each.record["event"] in _ANSWERS | {"withdrawn"}]
            outcomes = [each.record["event"] for each in ends]
            since = outcomes[1:] if state == "withdrawn" else []
            if (
                (len(asked), outcomes) != (1, [state, *since])
                or len(since) > 1
                or not _ANSWERS.issuperset(since)
            ):
                raise CertificateError(f"connector {_shown(name)} was not asked, or said otherwise")
            if any(each.record["connector"] != name for each in own):
                raise CertificateError(f"another connector than {_shown(name)} has answered")
            said["asked_at"] = asked[0].record["happened_at"]
            said["reached"] = any(each.record["event"] in _REACHED for each in own)
            for each in ends:
                by = {"by": each.texts.get("actor")}
                if each.record["event"] == "withdrawn":
                    said["withdrawn"] = _picked(each, "happened_at") | by
                else:
                    said["answer"] = _picked(each, "event", "happened_at", "digest") | by | {
                        "counts": _listed(each.record["counts"])
                    }  # fmt: skip
            said["steps"] = [_picked(each, "event", "happened_at") for each in own]
        found.append(said)
    if left:
        raise CertificateError(f"entry {left[0].index} is of something else")
    return found


def _tenant_body(
    offboarding_id: str, tenant: str | None, evidence: Sequence[Shown]
) -> dict[str, Any]:
    of = _Evidence(evidence, offboarding_id)
    states = of.take("offboarding", by="id")
    first, last = states[0], states[-1].record
    if last["state"] != "completed":
        raise CertificateError("the offboarding was not completed")
    if tenant is None or any(each.record["tenant_id"] != tenant for each in states):
        raise CertificateError("an offboarding is of one tenant, and its certificate for that one")
    if [each for each in states if each.kind == "offboarding"] != [first]:
        raise CertificateError("an offboarding begins with its request")
    begun = [each for each in states if each.record["started_at"] is not None]
    _unchanged(states, "requested_at", "grace", "deletes_at")
    _unchanged(begun, "started_at", "purge_id", "export_id", "access")
    export = _export(of, last)
    times = (last["deletes_at"], last["started_at"], last["ended_at"])
    in_order = [datetime.fromisoformat(each) for each in times]
    if in_order != sorted(in_order) or datetime.fromisoformat(export["ended_at"]) > in_order[1]:
        raise CertificateError("it began before its grace was over, or before the export was made")
    purges = of.take("purge", by="id", of=last["purge_id"])
    batches = [
        _batch_by_action(each)
        for each in of.take("purge-batch", by="purge_id", of=last["purge_id"])
    ]
    tables = _totals(batches)
    _check_purge(purges, offboarding_id, tables, last)
    verified = _verified_empty(last["counts"])
    looked = datetime.fromisoformat(verified["at"])
    began = [datetime.fromisoformat(each["started_at"]) for each in batches]
    if looked < max([*began, in_order[1]]) or looked > in_order[2]:
        raise CertificateError("it was verified before its last batch, or after its end")
    body = {
        "offboarding": {
            "id": offboarding_id,
            "state": last["state"],
            "requested_at": last["requested_at"],
            "requested_by": first.texts.get("requested_by"),
            "grace": last["grace"],
            "deletes_at": last["deletes_at"],
            "started_at": last["started_at"],
            "started_by": purges[0].texts.get("begun_by"),
            "purge_id": last["purge_id"],
            "trace_id": purges[0].record["trace_id"],
            "ended_at": last["ended_at"],
            "entries": [each.index for each in (*states, *purges)],
        },
        "ended_at": last["ended_at"],
        "tenants": _tenants(of),
        "export": export,
        "access_ended": _listed(last["access"]),
        "tables": tables,
        "batches": batches,
        "deferrals": [
            {"state": a.record["state"], "at": a.at, "until": b.at, "entry": a.index}
            for a, b in itertools.pairwise(states)
            if a.record["state"] in {"deferred", "waiting"}
        ],
        "holds": _holds(of),
        "connectors": _connectors(of, last["counts"]),
        "stays": [
            {"table": name, "rows": each["rows"], "why": each["why"]}
            for name, each in sorted(last["stays"].items())
        ],
        "verification": verified,
        "complete": {"batches": True, "steps": False},
        "not_covered": [
            "Rows in tables that are no tenant's, whatever they say; logins, which are people's.",
            "What stays in the schema tenure, which is listed with its reason.",
            "What had gone before, by retention or erasures: their certificates tell of it.",
        ],
    }
    of.end()
    return body


def _unchanged(entries: Sequence[Shown], *names: str) -> None:
    for name in names:
        if any(each.record[name] != entries[0].record[name] for each in entries):
            raise CertificateError(f"the entries contradict each other: {name}")


def _export(of: _Evidence, ended: dict[str, Any]) -> dict[str, Any]:
    """Return the export that was finished before the deletion began."""
    states = of.take("export", by="id", of=ended["export_id"])
    last = states[-1]
    if (last.record["kind"], last.record["state"]) != ("tenant", "finished"):
        raise CertificateError("the export is not one of the tenant, or was not finished")
    return {
        **_picked(last, "id", "manifest_sha256", "bytes", "as_of", "began_at", "ended_at"),
        "by": last.texts.get("requested_by"),
        "counts": _listed(last.record["counts"]),
        "entries": [each.index for each in states],
    }


def _check_purge(
    purges: Sequence[Shown],
    offboarding_id: str,
    tables: Sequence[dict[str, Any]],
    ended: dict[str, Any],
) -> None:
    """Check that the deletion was this offboarding's, that it ended, and that the batches come to
    what both ends count, no more and no less."""
    done = purges[-1].record
    for entry in purges:
        of = (entry.record["kind"], entry.record["cause"])
        if of != ("offboarding", {"offboarding": offboarding_id}):
            raise CertificateError(f"entry {entry.index} is of something else")
    if (done["state"], done["kept"]) != ("completed", {}):
        raise CertificateError("the deletion was not completed, or kept rows")
    deleted: dict[str, dict[str, int]] = {}
    for each in tables:
        if each["action"] != "delete":
            raise CertificateError(f"rows of {_shown(each['table'])} were not deleted")
        deleted[each["table"]] = {"delete": each["rows"]}
    if not deleted == done["counts"] == ended["counts"]["deleted"]:
        raise CertificateError("the batches are not all there are: the end counts other rows")


def _verified_empty(ended: dict[str, Any]) -> dict[str, Any]:
    """Return who looked at the end, when, and into which tables: none had a row left."""
    verified = ended.get("verified")
    if verified is None:
        raise CertificateError("no verification at its end is on record")
    if any(verified["left"].values()) or not set(ended["deleted"]) <= set(verified["left"]):
        raise CertificateError("rows were left, or a table was not looked into")
    return {
        "at": verified["at"],
        "by": verified["by"],
        "tables": sorted(verified["left"]),
        "findings": sum(verified["left"].values()),
    }


_BODIES: Final[dict[str, Callable[[str, str | None, Sequence[Shown]], dict[str, Any]]]] = {
    "run": _run_body,
    "erasure": _erasure_body,
    "tenant": _tenant_body,
}


class _Evidence:
    """Hands entries out by their kinds; each must belong to the subject, and be asked for."""

    def __init__(self, evidence: Sequence[Shown], subject: str) -> None:
        self._left = list(evidence)
        self._subject = subject

    def take(self, *kinds: str, by: str | None = None, of: str | None = None) -> list[Shown]:
        """Return the entries of these kinds (of one kind, with its changes), oldest first; by
        `by` they are of the subject, or of `of`."""
        wanted = set(kinds) | {f"{kind}-changed" for kind in kinds}
        found = [each for each in self._left if each.kind in wanted]
        self._left = [each for each in self._left if each.kind not in wanted]
        for each in found:
            if by is not None and each.record[by] != (self._subject if of is None else of):
                raise CertificateError(f"entry {each.index} is of something else")
        return found

    def end(self) -> None:
        """Raise CertificateError if anything is left."""
        for each in self._left:
            raise CertificateError(f"entry {each.index} ({_shown(each.kind)}) has no place in it")


def _last_of_each(entries: Sequence[Shown], key: str) -> list[Shown]:
    return list({each.record[key]: each for each in entries}.values())


def _picked(entry: Shown, *names: str) -> dict[str, Any]:
    return {name: entry.record[name] for name in names} | {"entry": entry.index}


def _unit(unit: Shown, batches: Sequence[Shown]) -> dict[str, Any]:
    """Return what became of one policy in one tenant; its batches must be all there are."""
    record = unit.record
    own = [
        each for each in batches
        if (each.record["tenant_id"], each.record["policy"])
        == (record["tenant_id"], record["policy"])
    ]  # fmt: skip
    for each in own:
        terms = (each.record["policy_version"], each.record["cutoff"])
        if terms != (record["policy_version"], own[0].record["cutoff"]):
            raise CertificateError(f"entry {each.index} is of another version, or cutoff")
        counted = sum(of["rows"] for of in each.record["counts"].values())
        if counted != each.record["rows_deleted"]:
            raise CertificateError(f"entry {each.index} contradicts itself: its rows")
    lines = sorted(f'["{each.record["id"]}", {each.record["rows_deleted"]}]' for each in own)
    if not _has_rows(record, "batches", lines):
        raise CertificateError(
            f"entry {unit.index} tells of {record['batches_count']} batches, others than the "
            f"{len(own)} that are shown"
        )
    return {
        "tenant_id": record["tenant_id"],
        "number": record["number"],
        "policy": record["policy"],
        "version": record["policy_version"],
        "state": record["state"],
        "cutoff": own[0].record["cutoff"] if own else None,
        "tables": _tables(own),
        "batches": len(own),
        "began_at": min((each.record["started_at"] for each in own), default=None),
        "ended_at": record["finished_at"],
        "left_due": record["left_due"],
        "exceptions": record["skips"],
        "trouble": unit.texts.get("detail"),
        "entry": unit.index,
        "batch_entries": [each.index for each in own],
    }


def _tables(batches: Sequence[Shown]) -> list[dict[str, Any]]:
    """Return the rows of each table, and a digest over the batches' commitments to their keys:
    SHA-256 over these, in hexadecimal digits, in the entries' order, a line feed after each."""
    rows: dict[tuple[str, str], int] = {}
    digests: dict[tuple[str, str], str] = {}
    for batch in batches:
        for table, counted in sorted(batch.record["counts"].items()):
            key = (table, batch.record["action"])
            rows[key] = rows.get(key, 0) + counted["rows"]
            digests[key] = digests.get(key, "") + f"{counted['sha256']}\n"
    return [
        {
            "table": table,
            "action": action,
            "rows": rows[table, action],
            "keys_sha256": hashlib.sha256(digests[table, action].encode()).hexdigest(),
        }
        for table, action in sorted(rows)
    ]


def _totals(units: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows: dict[tuple[str, str], int] = {}
    for unit in units:
        for each in unit["tables"]:
            key = (each["table"], each["action"])
            rows[key] = rows.get(key, 0) + each["rows"]
    return [
        {"table": table, "action": action, "rows": count, "method": METHODS[action]}
        for (table, action), count in sorted(rows.items())
    ]


def _policy(entry: Shown) -> dict[str, Any]:
    """Return a policy's version. What its definition says is covered by the entry's digest."""
    defined = json.loads(entry.values["definition"])
    return {
        "name": entry.record["policy"],
        "version": entry.record["version"],
        "digest": entry.record["digest"],
        "recorded_at": entry.record["recorded_at"],
        "recorded_by": entry.texts.get("recorded_by"),
        "class": defined["class"],
        "legal_basis": defined["legal_basis"],
        "table": defined["table"],
        "along": defined["with"],
        "starts": defined["starts"],
        "period": defined["period"],
        "minimum": defined.get("minimum"),
        "maximum": defined.get("maximum"),
        "condition": defined.get("condition"),
        "action": defined.get("action", "delete"),
        "archive": defined.get("archive"),
        "entry": entry.index,
    }


def _tenants(of: _Evidence) -> list[dict[str, Any]]:
    return [
        {
            "id": each.record["id"],
            "slug": each.texts.get("slug"),
            "name": each.texts.get("name"),
            "entry": each.index,
        }
        for each in _last_of_each(of.take("tenant"), "id")
    ]


def _holds(of: _Evidence) -> dict[str, Any]:
    """Return the holds that were in force, and SHA-256 over the hashes of their entries, in
    hexadecimal digits, a line feed after each."""
    entries = of.take("hold")
    hashes_of = "".join(f"{leaf_hash(each.leaf).hex()}\n" for each in entries)
    return {
        "in_force": [
            _picked(
                each, "id", "tenant_id", "scope", "table_name", "placed_at", "released_at",
                "effective_at",
            )
            for each in _last_of_each(entries, "id")
        ],
        "sha256": hashlib.sha256(hashes_of.encode()).hexdigest(),
    }  # fmt: skip


_RESULT: Final = ("id", "kind", "subject", "tenant_id", "found", "held", "oldest", "query")


def _verification(of: _Evidence, run: Shown) -> dict[str, Any] | None:
    """Return what a verification found that came after the run; of one tenant, its books alone."""
    looked, books = of.take("verification"), of.take("reconciliation")
    if not looked and not books:
        return None
    ended = datetime.fromisoformat(run.record["finished_at"])
    if any(each.index < run.index for each in (*looked, *books)) or any(
        datetime.fromisoformat(each.record["started_at"]) < ended for each in looked
    ):
        raise CertificateError("the verification had begun before the run ended")
    accounts = {each.record["account"] for each in (*looked, *books)}
    if len(looked) > 1 or len(accounts) > 1:
        raise CertificateError("there is more than one verification")
    entered = (looked or books)[0].at
    found: dict[str, Any] = {
        "account": next(iter(accounts)), "entered_at": entered, "findings": None, "results": None
    }  # fmt: skip
    for each in looked:
        lines = map(json.loads, each.rows["results"])
        results = [dict(zip(_RESULT, line, strict=False)) for line in lines]
        found |= _picked(each, "id", "as_of", "started_at", "finished_at", "findings")
        found["results"] = [
            {name: result[name] for name in _RESULT if name not in {"id", "oldest"}}
            for result in results
        ]
    found["books"] = [
        _picked(
            each, "tenant_id", "policy", "table_name", "deleted", "deleted_along", "held",
            "undeletable", "paused", "still_due", "vanished", "difference",
        )
        for each in books
    ]  # fmt: skip
    return found


def _planned(run: Shown, tenant: str | None) -> list[dict[str, Any]] | None:
    """Return the units that a run was to work on, by its plan; None in a certificate for a tenant,
    who is not shown the plan of all."""
    return None if tenant is not None else json.loads(run.values["plan"])["units"]


def _check_units(planned: Sequence[dict[str, Any]], units: Sequence[dict[str, Any]]) -> None:
    named = [(n, each["tenant_id"], each["policy"]) for n, each in enumerate(planned, 1)]
    shown = [(each["number"], each["tenant_id"], each["policy"]) for each in units]
    if sorted(shown) != named:
        raise CertificateError("the units are not those that the run's plan names")


# --- What is known once a file verifies, and what is not


@dataclass(frozen=True)
class Findings:
    """In plain words: what the file is, what is known now, and what is not."""

    what: str
    known: tuple[str, ...]
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        parts = (self.what, "", "Known now:", *map("  - {}".format, self.known))
        return "\n".join((*parts, "", "Not known:", *map("  - {}".format, self.unknown)))


def check(
    path: Path,
    trust: Trust,
    since: bytes | None = None,
    entry: bytes | None = None,
    *,
    whole: bool = False,
) -> Findings:
    """Check a file: an export, a certificate, a proof, or a checkpoint. `entry` is what a proof is
    about, if the proof does not hold it itself; with `whole` an export must show all entries.

    Raises:
        VerifierError: it does not verify, and why.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        start = stream.read(len(PROOF_HEADER))
        stream.seek(0)
        if start.startswith(_CERTIFICATE_START):
            return _of_certificate(
                verify_certificate(stream.read(MAX_CERTIFICATE + 1), trust, since)
            )
        if start.startswith(b"{"):
            return _of_export(verify_export(stream, trust, since, whole=whole), trust)
        content = stream.read(MAX_NOTE + MAX_LINE * 2)
    if start == PROOF_HEADER.encode():
        return _of_proof(Proof.parse(content), trust, since, entry)
    attested = _alone(content, trust, since)
    return Findings(
        f"This is a checkpoint of the ledger {attested.signed.checkpoint.origin}.",
        _known_of(attested),
        (
            "What the ledger holds: a checkpoint stands for entries, and shows none.",
            *_unknown_of(attested),
        ),
    )


def _of_export(export: Export, trust: Trust) -> Findings:
    last = export.last.signed.checkpoint
    unread = export.unread
    known = [f"The file holds all {last.size} entries of the ledger, in order."]
    if unread.hashed:
        known.append(f"{unread.hashed} of them are shown by their hashes alone: {unread}.")
    if unread.digests:
        known.append(f"{unread.digests} of them show a digest of what they say.")
    known.append(f"{last.size - unread.hashed - unread.digests} of them can be read.")
    known += _known_of(export.last)
    if len(export.checkpoints) > 1:
        known.append(
            f"The ledger grew from each of {len(export.checkpoints) - 1} earlier checkpoints to "
            "the next: nothing was changed, dropped, added or moved within them."
        )
    for each in export.checkpoints[:-1]:
        if each.times:
            known.append(
                f"Its first {each.signed.checkpoint.size} entries were as they are by "
                f"{min(each.times):%Y-%m-%d %H:%M:%S} UTC; others saw them."
            )
            break
    if export.since:
        known.append(
            f"The {export.since.size} entries of the checkpoint that you hold are the first of "
            "this file: not one was changed, dropped, added or moved since it was given out."
        )
    unknown = list(_unread_of(unread))
    if export.astray.count:
        unknown.append(
            f"Whether what {export.astray.count} entries are of was done when they say, more than "
            f"an hour from when they were entered: {export.astray}."
        )
    signers = {key for each in export.checkpoints for key in each.signed.signed_by}
    for key in trust.keys:
        if key not in signers:
            unknown.append(
                f"Why {key.name}+{key.key_id.hex()}, which you gave, has signed nothing here. If "
                "it is the newer one, the file is from before it, or of who has the older one."
            )
    for change in export.exchanges:
        over = [c.signed for c in export.checkpoints if c.signed.checkpoint.size > change.index]
        if change.previous and change.previous not in map(str, over[0].signed_by):
            unknown.append(
                f"Whether the exchange of keys at entry {change.index} was by who had the former "
                "key, which has not signed the checkpoint over it, or was not given."
            )
    return Findings(
        f"This is an export of the ledger {last.origin}.",
        tuple(known),
        (*unknown, *_unknown_of(export.last, export.since)),
    )


def _unread_of(unread: Unread) -> Iterator[str]:
    if unread.hashed:
        yield (
            "What entries say that are shown by their hashes alone, and whose they are: other "
            "tenants', in a tenant's file, or whatever the operator would not show. (--whole "
            "refuses such a file.)"
        )
        yield (
            "Whether a key was exchanged among them. Who has a key that was exchanged can go on "
            "with it, and hide the exchange so. The operator hides none, for such entries name "
            "nobody: ask for the newest key by another way than the file."
        )
    if unread.digests:
        yield "What entries say of which there is a digest alone: they were too long."


def _of_proof(proof: Proof, trust: Trust, since: bytes | None, entry: bytes | None) -> Findings:
    leaf = proof.extra if entry is None else entry
    if leaf is None:
        raise ProofError("the proof does not hold its entry: give it with --entry")
    attested = _alone(proof.checkpoint, trust, since)
    proof.verify(leaf_hash(leaf), trust.keys)
    checkpoint = attested.signed.checkpoint
    return Findings(
        f"This is a proof of one entry of the ledger {checkpoint.origin}.",
        (
            f"Entry {proof.index} of {checkpoint.size} (counted from 0) is, byte for byte: "
            f"{_shown(leaf.decode(errors='backslashreplace'))}",
            *_known_of(attested),
        ),
        ("What the other entries say.", *_unknown_of(attested)),
    )


def _of_certificate(certificate: Certificate) -> Findings:
    stated, attested = certificate.statement, certificate.checkpoint
    issued, complete = stated["issued"], stated["complete"]
    whose = "all tenants" if stated["tenant"] is None else f"the tenant {stated['tenant']} alone"
    unknown = ["Not covered: " + each[0].lower() + each[1:] for each in stated["not_covered"]]
    if stated["kind"] == "erasure":
        unknown.insert(
            0,
            "Whom it was about: nothing in it says so. Whether there were more steps, as "
            "deferrals; an export of the ledger shows it.",
        )
    elif stated["kind"] == "tenant":
        unknown.insert(0, "Whether it waited more often; an export of the ledger shows it.")
    elif not complete["units"]:
        unknown.insert(
            0,
            "Whether the run had other policies to work on"
            + ("" if stated["tenant"] is None else " in this tenant")
            + "; an export of the ledger shows it.",
        )
    if stated["kind"] != "erasure":
        unknown.insert(0, NOT_SHOWN)
    return Findings(
        f"This is certificate {certificate.id}, of {whose}, of the ledger "
        f"{attested.signed.checkpoint.origin}.",
        (
            f"It was issued at {issued['at']} by release {_shown(str(issued['release']))}; the "
            "ledger has the SHA-256 of all that it states.",
            *map(_shown, _said(stated)),
            f"Each of the {len(certificate.evidence)} entries that it rests on is in the ledger, "
            "and they say what it states: a count, a date, a name or a legal basis that was "
            "changed since would not verify.",
            *_known_of(attested),
        ),
        (*map(_shown, unknown), *_unknown_of(attested)),
    )


def _said(stated: dict[str, Any]) -> Iterator[str]:
    """Yield what a certificate states, in short."""
    yield from _SAID[stated["kind"]](stated)
    for method in dict.fromkeys(each["method"] for each in stated["tables"]):
        rows = [
            f"{e['rows']} rows of {e['table']}" for e in stated["tables"] if e["method"] == method
        ]
        yield f"{', '.join(rows)}: {method}."
    if not stated["tables"]:
        yield "No row was touched."
    for each in stated.get("policies", ()):
        yield (
            f"Policy {each['name']}, version {each['version']}: {each['period']} after "
            f"{each['starts']}, on the legal basis {each['legal_basis']}."
        )


def _said_of_run(stated: dict[str, Any]) -> Iterator[str]:
    run = stated["run"]
    yield (
        f"Run {run['id']} (trace {run['trace_id']}), begun {run['started_at']} by "
        f"{run['requested_by'] or 'somebody who is not named here'}, ended {run['finished_at']}: "
        f"{run['state']}."
    )


def _said_of_connector(each: dict[str, Any]) -> str:
    name, answer, withdrawn = each["connector"], each["answer"], each["withdrawn"]
    if withdrawn is None:
        return f"The connector {name} was asked, and has {each['state']}{_entered(name, answer)}."
    reached = "reached" if each["reached"] else "never reached"
    said = (
        f"The connector {name} was {reached}, and had not acknowledged when the request was "
        f"withdrawn, {withdrawn['happened_at']}, by "
        f"{withdrawn['by'] or 'somebody whose name is not shown'}"
    )
    if answer is None:
        return f"{said}: whether it has erased anything is not known."
    return (
        f"{said}; it has {answer['event']} since, {answer['happened_at']}{_entered(name, answer)}."
    )


def _entered(name: str, answer: dict[str, Any] | None) -> str:
    """Say whose word it is that a connector has answered, where that is not the connector's own."""
    if answer is None or answer["by"] == f"connector:{name}":
        return ""
    if answer["by"] is None:
        return ", by whose word is not shown"
    return f", as {answer['by']} entered"


def _said_of_erasure(stated: dict[str, Any]) -> Iterator[str]:
    erasure, approval = stated["erasure"], stated["approval"]
    yield (
        f"Erasure {erasure['id']} of a {erasure['of_kind']}, asked for {erasure['received_at']}, "
        f"due {erasure['due_at']}, completed {erasure['ended_at']}"
        f"{'' if erasure['in_time'] else ': late'}."
    )
    yield (
        f"Its plan {approval['plan']} was approved {approval['happened_at']} by "
        f"{approved_by(erasure, approval)}."
    )
    for each in stated["outcome"]:
        if each["kept"]:
            yield f"{each['kept']['rows']} rows of {each['table']} are kept: {each['basis']}."
    for each in stated["connectors"]:
        yield _said_of_connector(each)
    yield f"The verification at its end had {stated['verification']['findings']} findings."


def _said_of_tenant(stated: dict[str, Any]) -> Iterator[str]:
    one, export, verified = stated["offboarding"], stated["export"], stated["verification"]
    yield (
        f"Offboarding {one['id']}, asked for {one['requested_at']}, with a grace until "
        f"{one['deletes_at']}, begun {one['started_at']}, completed {one['ended_at']}."
    )
    yield (
        f"The tenant's data was exported before, {export['ended_at']}: the manifest has the "
        f"SHA-256 {export['manifest_sha256']}."
    )
    for each in stated["connectors"]:
        yield _said_of_connector(each)
    for each in stated["stays"]:
        rows = "Rows (not counted)" if each["rows"] is None else f"{each['rows']} rows"
        yield f"{rows} of {each['table']} stay: {each['why']}."
    yield (
        f"At its end, {verified['at']}, {verified['by']} found no row of the tenant in "
        f"{len(verified['tables'])} tables."
    )


_SAID: Final = {"run": _said_of_run, "erasure": _said_of_erasure, "tenant": _said_of_tenant}


def _alone(
    note: bytes, trust: Trust, since: bytes | None, timestamps: Sequence[bytes] = ()
) -> Attested:
    """Return a checkpoint that stands alone, without the entries up to another."""
    attested = Attested.verify(note, timestamps, trust)
    attested.require(trust)
    if since is not None:
        held = SignedCheckpoint.verify(since, trust.keys).checkpoint
        if held != attested.signed.checkpoint:
            raise ExportError(
                "it is of another checkpoint than the one that you hold; that the ledger grew "
                "from the one to the other is shown by an export alone"
            )
    return attested


def _known_of(attested: Attested) -> tuple[str, ...]:
    checkpoint = attested.signed.checkpoint
    signers = " and ".join(f"{key.name}+{key.key_id.hex()}" for key in attested.signed.signed_by)
    return (
        f"The ledger's key {signers} signed that it had {checkpoint.size} entries with the root "
        f"{checkpoint.root.hex()}.",
        *(
            f"The witness {key.name} saw it at {time:%Y-%m-%d %H:%M:%S} UTC, and says that it "
            "continues all that it saw before."
            for key, time in attested.cosigned
        ),
        *(
            f"The authority {stamp.authority} saw it at {stamp.time:%Y-%m-%d %H:%M:%S} UTC: "
            "nothing in it is younger."
            for _, stamp in attested.stamped
        ),
    )


def _unknown_of(attested: Attested, since: Checkpoint | None = None) -> tuple[str, ...]:
    unknown = [
        "Whether the entries tell the truth. They are the operator's words, which cannot be "
        "changed any more without a trace.",
        "What was entered after this checkpoint.",
    ]
    if attested.times:
        unknown.append(
            f"Whether the ledger was written anew before {min(attested.times):%Y-%m-%d %H:%M:%S} "
            "UTC, when others first saw this checkpoint"
            + (", beyond the checkpoint that you hold." if since else ".")
        )
    else:
        unknown.append(
            "Whether the ledger was written anew"
            + (" beyond the checkpoint that you hold" if since else "")
            + " and signed again before this file was made: who has the key can do so. An earlier "
            "checkpoint (--since), a timestamp or a witness would show it."
        )
    if attested.timestamps and not attested.stamped:
        unknown.append(
            f"Whether the {attested.timestamps} timestamps on it are right: give the authority's "
            "certificate (--require-timestamp)."
        )
    if attested.stamped:
        unknown.append("Whether an authority's certificate was revoked; the authority can say.")
    if not attested.cosigned:
        unknown.append(
            "Whether somebody else is shown another ledger under the same name. Compare "
            "checkpoints with them, or ask for a witness (--require-witness)."
        )
    return tuple(unknown)


def _shown(text: str) -> str:
    """Return a text that others wrote so that it cannot pass for ours, nor move the cursor."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


# --- The command


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a file; return 0 if it verifies, 1 if it does not, 2 on wrong usage."""
    parser = argparse.ArgumentParser(
        prog="verifier.py",
        description="Check an export, a certificate, a proof or a checkpoint of a Tenure ledger, "
        "offline, and say in plain words what is known then, and what is not.",
        epilog="Exit codes: 0 it verifies, 1 it does not, 2 wrong usage or no such file. The key "
        "must come from the operator by another way than the file.",
    )
    parser.add_argument(
        "--key",
        metavar="VKEY",
        action="append",
        required=True,
        help="the ledger's public key, name+id+base64; again for the key before or after it",
    )
    parser.add_argument(
        "--since",
        metavar="CHECKPOINT",
        type=Path,
        help="a checkpoint (file) that you were given earlier: nothing before it may differ",
    )
    parser.add_argument(
        "--require-timestamp",
        metavar="CERT",
        action="append",
        default=[],
        type=Path,
        help="the certificate (PEM file) of a timestamping authority, which must have seen it",
    )
    parser.add_argument(
        "--require-witness",
        metavar="VKEY",
        action="append",
        default=[],
        help="the public key of a witness, which must have cosigned it",
    )
    parser.add_argument(
        "--entry", metavar="FILE", type=Path, help="the entry of a proof that does not hold it"
    )
    parser.add_argument(
        "--whole", action="store_true", help="refuse an export that does not show every entry"
    )
    parser.add_argument("file", metavar="FILE", type=Path)
    given = parser.parse_args(arguments)
    try:
        trust = Trust(
            tuple(map(VerifierKey.parse, given.key)),
            tuple(map(VerifierKey.parse, given.require_witness)),
            tuple(map(_read_certificate, given.require_timestamp)),
        )
        since = given.since.read_bytes() if given.since else None
        entry = given.entry.read_bytes() if given.entry else None
    except (NoteError, OSError, ValueError) as error:
        parser.error(str(error))
    try:
        findings = check(given.file, trust, since, entry, whole=given.whole)
    except OSError as error:
        parser.error(str(error))
    except VerifierError as error:
        print(f"NOT VERIFIED: {_shown(str(error))}", file=sys.stderr)  # noqa: T201 - it is what this is for
        return 1
    print(f"VERIFIED. {findings}")  # noqa: T201
    return 0


def _read_certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
