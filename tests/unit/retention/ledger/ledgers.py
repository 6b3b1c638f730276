"""Ledgers small enough to be told apart bit by bit, made by the pure half alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.ledger.checkpoint import COSIGNATURE, LOG_SIGNATURE, Checkpoint, Signer, sign
from retention.ledger.tree import consistency_path, inclusion_path, leaf_hash, node_hash, root_of
from retention.ledger.verifier import (
    Export,
    Proof,
    Trust,
    VerifierError,
    VerifierKey,
    export_header,
    hashed_line,
    verify_export,
)

ORIGIN = "tenure.example/ledger"


def signer(seed: int, name: str = ORIGIN, kind: int = LOG_SIGNATURE) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32), kind)


LOG = signer(1)
NEW = signer(2)
WITNESS = signer(3, "witness.example", COSIGNATURE)
TRUST = Trust((LOG.verifier_key,))


_FIRST = datetime(2024, 3, 1, tzinfo=UTC)


def entry(number: int, at: str | None = None, **record: object) -> bytes:
    """Bytes of an entry as the sequencer writes them, a minute after the one before."""
    return rfc8785.dumps(
        {
            "v": 1,
            "id": f"00000000-0000-4000-8000-{number:012x}",
            "kind": "batch",
            "tenant": f"{number % 2:08x}-0000-4000-8000-000000000000",
            "at": at or f"{_FIRST + timedelta(minutes=number):%Y-%m-%dT%H:%M:%S}.000000Z",
            "record": {"rows": number, **record},
            "commitments": {},
        }
    )


def node_of(leaves: Sequence[bytes]) -> Callable[[int, int], bytes]:
    """Every complete node, by hashing all below it."""

    def node(level: int, position: int) -> bytes:
        if level == 0:
            return leaf_hash(leaves[position])
        return node_hash(node(level - 1, 2 * position), node(level - 1, 2 * position + 1))

    return node


def checkpoint_of(leaves: Sequence[bytes], size: int | None = None) -> Checkpoint:
    first = leaves[:size]
    return Checkpoint(ORIGIN, len(first), root_of(map(leaf_hash, first)))


@dataclass(frozen=True)
class Ledger:
    """Entries, the sizes at which it was signed, and timestamps by size."""

    leaves: tuple[bytes, ...]
    sizes: tuple[int, ...]
    signers: tuple[Signer, ...] = (LOG,)
    timestamps: dict[int, list[bytes]] = field(default_factory=dict)
    cosigned: dict[int, int] = field(default_factory=dict)  # when (seconds), by size
    hidden: frozenset[int] = frozenset()

    def note(self, size: int) -> bytes:
        """The signed checkpoint of the first entries, cosigned if it was."""
        checkpoint = checkpoint_of(self.leaves, size)
        note = sign(checkpoint, *self.signers)
        if size in self.cosigned:
            note += str(WITNESS.cosignature(checkpoint.text, self.cosigned[size])).encode()
        return note

    def export(self) -> bytes:
        header = export_header((self.note(n), self.timestamps.get(n, [])) for n in self.sizes)
        return header + b"".join(
            hashed_line(leaf_hash(leaf)) if i in self.hidden else leaf + b"\n"
            for i, leaf in enumerate(self.leaves)
        )

    def signed(self, *sizes: int) -> bytes:
        """Its export, signed at other sizes."""
        return replace(self, sizes=sizes).export()

    def proof(self, index: int) -> Proof:
        size = self.sizes[-1]
        path = inclusion_path(size, index, node_of(self.leaves))
        return Proof(index, tuple(path), self.note(size), self.leaves[index])

    def consistency(self, old: int, new: int) -> list[bytes]:
        return consistency_path(old, new, node_of(self.leaves))

    def with_leaves(self, leaves: Sequence[bytes]) -> Ledger:
        """The same, of other entries: signed anew by the same key."""
        return replace(self, leaves=tuple(leaves))


def ledger(size: int, *sizes: int) -> Ledger:
    return Ledger(tuple(entry(i) for i in range(size)), (*sizes, size))


def verified(data: bytes, trust: Trust = TRUST, since: bytes | None = None) -> Export:
    return verify_export(io.BytesIO(data), trust, since)


def refusal(data: bytes, trust: Trust = TRUST, since: bytes | None = None) -> str | None:
    """Why an export is refused; None if it is not."""
    try:
        verified(data, trust, since)
    except VerifierError as error:
        return str(error)
    return None


def keys(*signers: Signer) -> tuple[VerifierKey, ...]:
    return tuple(each.verifier_key for each in signers)
