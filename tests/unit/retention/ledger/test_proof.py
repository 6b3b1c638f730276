"""Proofs in the format of C2SP tlog-proof: as published, and made to deceive."""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.ledger.tree import leaf_hash
from retention.ledger.verifier import Proof, ProofError, VerifierError
from tests.unit.retention.ledger.ledgers import LOG, NEW, TRUST, entry, ledger

WHOLE = ledger(12)
LEAF = leaf_hash(WHOLE.leaves[3])
PROOF = str(WHOLE.proof(3)).encode()

# C2SP tlog-proof, but for the signatures, which are shortened there.
PUBLISHED = """c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6kYXJ3aW4tYXJ
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

example.com/fancylog
109482
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

— example.com/fancylog AAAAAAA=
"""


def accepted(data: bytes, leaf: bytes = LEAF) -> bool:
    with suppress(VerifierError):
        Proof.parse(data).verify(leaf, TRUST.keys)
        return True
    return False


def test_the_published_example_is_read_and_written_again() -> None:
    found = Proof.parse(PUBLISHED.encode())
    assert (found.index, len(found.path)) == (73894, 5)
    assert found.extra is not None
    assert found.extra.startswith(b"age-v1.2.1-darwin-arm64.tar.gz")
    assert found.checkpoint.startswith(b"example.com/fancylog\n109482\n")
    assert str(found) == PUBLISHED


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 40])
def test_every_entry_of_a_ledger_is_proven(size: int) -> None:
    whole = ledger(size)
    for index, leaf in enumerate(whole.leaves):
        proof = whole.proof(index)
        assert Proof.parse(str(proof).encode()) == proof
        found = proof.verify(leaf_hash(leaf), TRUST.keys)
        assert found.checkpoint.size == size
        for other, another in enumerate(whole.leaves):
            if other != index:
                with pytest.raises(ProofError):
                    proof.verify(leaf_hash(another), TRUST.keys)


def test_a_proof_is_of_its_own_ledger_and_key() -> None:
    assert accepted(PROOF)
    assert not accepted(str(replace(WHOLE, signers=(NEW,)).proof(3)).encode())
    assert not accepted(str(ledger(13).proof(3)).encode(), leaf_hash(entry(4)))
    assert LOG.verifier_key in Proof.parse(PROOF).verify(LEAF, TRUST.keys).signed_by


LINES = PROOF.decode().split("\n")
EXTRA, INDEX = LINES[1], LINES[2]
HOSTILE = {
    "another version": PROOF.replace(b"@v1", b"@v2"),
    "no index": PROOF.replace(f"{INDEX}\n".encode(), b""),
    "another index": PROOF.replace(b"index 3", b"index 2"),
    "a leading zero": PROOF.replace(b"index 3", b"index 03"),
    "a negative index": PROOF.replace(b"index 3", b"index -3"),
    "an index beyond": PROOF.replace(b"index 3", b"index 12"),
    "two indices": PROOF.replace(b"index 3\n", b"index 3\nindex 3\n"),
    "extra after the index": PROOF.replace(
        f"{EXTRA}\n{INDEX}\n".encode(), f"{INDEX}\n{EXTRA}\n".encode()
    ),
    "extra twice": PROOF.replace(EXTRA.encode(), f"{EXTRA}\n{EXTRA}".encode()),
    "extra of nothing": PROOF.replace(EXTRA.encode(), b"extra "),
    "extra that is no base64": PROOF.replace(EXTRA.encode(), b"extra !"),
    "a hash too few": PROOF.replace(f"{LINES[3]}\n".encode(), b""),
    "a hash too many": PROOF.replace(LINES[3].encode(), f"{LINES[3]}\n{LINES[3]}".encode()),
    "a short hash": PROOF.replace(LINES[3].encode(), base64.b64encode(bytes(31))),
    "hashes exchanged": PROOF.replace(
        f"{LINES[3]}\n{LINES[4]}".encode(), f"{LINES[4]}\n{LINES[3]}".encode()
    ),
    "sixty-four hashes": PROOF.replace(
        LINES[3].encode(), b"\n".join([base64.b64encode(bytes(32))] * 64)
    ),
    "no checkpoint": PROOF.partition(b"\n\n")[0] + b"\n\n",
    "no empty line": PROOF.replace(b"\n\n", b"\n", 1),
    "carriage returns": PROOF.replace(b"\n", b"\r\n"),
    "bytes that are not UTF-8": PROOF.replace(b"index", b"ind\xffx"),
    "nothing": b"",
    "a header alone": b"c2sp.org/tlog-proof@v1\n\n",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_proof_that_is_none_is_refused(what: str) -> None:
    assert HOSTILE[what] != PROOF
    assert not accepted(HOSTILE[what])


def test_no_bit_of_a_proof_can_be_flipped_but_in_what_it_does_not_vouch_for() -> None:
    """`extra` is not authenticated by the format. Ours holds the entry: no other one is proven."""
    for at in range(len(PROOF)):
        for bit in range(8):
            flipped = PROOF[:at] + bytes([PROOF[at] ^ 1 << bit]) + PROOF[at + 1 :]
            if accepted(flipped):
                extra = Proof.parse(flipped).extra
                assert extra is not None
                assert not accepted(flipped, leaf_hash(extra))


@given(st.lists(st.tuples(st.integers(0, len(PROOF) - 1), st.integers(1, 255)), min_size=1))
def test_no_bytes_of_a_proof_can_be_changed(changes: list[tuple[int, int]]) -> None:
    data = bytearray(PROOF)
    for at, by in dict(changes).items():
        data[at] ^= by
    with suppress(VerifierError):
        proof = Proof.parse(bytes(data))
        assert proof.extra is not None
        with pytest.raises(VerifierError):
            proof.verify(leaf_hash(proof.extra), TRUST.keys)
