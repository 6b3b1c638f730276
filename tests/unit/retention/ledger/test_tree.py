"""Trees and proofs, against the published vectors and a naive transcription of RFC 6962."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.ledger import tree
from retention.ledger.verifier import (
    ProofError,
    RootBuilder,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

# Certificate Transparency's own test: eight entries, and the nodes over them by level.
VECTOR_LEAVES = [
    bytes.fromhex(each)
    for each in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
VECTOR_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
VECTOR_INCLUSION = {
    (8, 0): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (8, 5): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (3, 2): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (5, 1): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
VECTOR_CONSISTENCY = {
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
LIMIT = 200


# RFC 6962, 2.1: written down as it stands there, over the entries themselves.


def mth(d: Sequence[bytes]) -> bytes:
    if not d:
        return hashlib.sha256(b"").digest()
    if len(d) == 1:
        return hashlib.sha256(b"\x00" + d[0]).digest()
    k = largest_power_below(len(d))
    return hashlib.sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: Sequence[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = largest_power_below(len(d))
    if m < k:
        return [*path(m, d[:k]), mth(d[k:])]
    return [*path(m - k, d[k:]), mth(d[:k])]


def proof(m: int, d: Sequence[bytes]) -> list[bytes]:
    return subproof(m, d, True)


def subproof(m: int, d: Sequence[bytes], known: bool) -> list[bytes]:
    if m == len(d):
        return [] if known else [mth(d)]
    k = largest_power_below(len(d))
    if m <= k:
        return [*subproof(m, d[:k], known), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


def largest_power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def entries(count: int) -> list[bytes]:
    return [b"entry %d" % each for each in range(count)]


class Kept:
    """The complete nodes of a tree, as the ledger keeps them; counts what is read."""

    def __init__(self, data: Sequence[bytes]) -> None:
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.read: list[tuple[int, int]] = []
        self.append(0, data)

    def append(self, size: int, data: Sequence[bytes]) -> None:
        hashes = [tree.leaf_hash(each) for each in data]
        for node, hashed in tree.completed(size, hashes, self):
            assert node not in self.nodes, "a complete node never changes"
            self.nodes[node] = hashed

    def __call__(self, level: int, position: int) -> bytes:
        self.read.append((level, position))
        return self.nodes[level, position]


@pytest.fixture(scope="module")
def kept() -> Kept:
    return Kept(entries(LIMIT))


@pytest.fixture(scope="module")
def roots() -> list[bytes]:
    return [mth(entries(size)) for size in range(LIMIT + 1)]


def test_published_roots_and_proofs() -> None:
    kept = Kept(VECTOR_LEAVES)
    for size, expected in enumerate(VECTOR_ROOTS):
        assert mth(VECTOR_LEAVES[:size]).hex() == expected
        assert tree.root(size, kept).hex() == expected
        hashes = [tree.leaf_hash(each) for each in VECTOR_LEAVES[:size]]
        assert tree.root_of(hashes).hex() == expected
    for (size, index), expected_path in VECTOR_INCLUSION.items():
        found = tree.inclusion_path(size, index, kept)
        assert [each.hex() for each in found] == expected_path
        leaf = tree.leaf_hash(VECTOR_LEAVES[index])
        verify_inclusion(leaf, index, size, found, bytes.fromhex(VECTOR_ROOTS[size]))
    for (old, new), expected_path in VECTOR_CONSISTENCY.items():
        found = tree.consistency_path(old, new, kept)
        assert [each.hex() for each in found] == expected_path
        old_root, new_root = (bytes.fromhex(VECTOR_ROOTS[size]) for size in (old, new))
        verify_consistency(old, old_root, new, new_root, found)


def test_every_root_and_inclusion_is_as_the_rfc_says(kept: Kept, roots: list[bytes]) -> None:
    data = entries(LIMIT)
    for size in range(1, LIMIT + 1):
        assert tree.root(size, kept) == roots[size]
        for index in range(size):
            found = tree.inclusion_path(size, index, kept)
            verify_inclusion(tree.leaf_hash(data[index]), index, size, found, roots[size])
            if size % 16 in {0, 1, 7, 15}:  # the transcription hashes the whole tree each time
                assert found == path(index, data[:size])


def test_every_consistency_proof_is_as_the_rfc_says(kept: Kept, roots: list[bytes]) -> None:
    data = entries(LIMIT)
    for new in range(LIMIT + 1):
        for old in range(new + 1):
            found = tree.consistency_path(old, new, kept)
            verify_consistency(old, roots[old], new, roots[new], found)
            if old > 0 and new % 16 in {0, 1, 7, 15}:
                assert found == proof(old, data[:new])


def variants(found: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Paths that are not this one: a bit flipped in each hash, one less, one more, one moved."""
    for at, each in enumerate(found):
        flipped = bytes([each[0] ^ 1, *each[1:]])
        yield [*found[:at], flipped, *found[at + 1 :]]
        yield [*found[:at], *found[at + 1 :]]
        yield [*found[:at], each, *found[at:]]
        yield [*found[:at], each[:-1], *found[at + 1 :]]
        if at:
            yield [*found[: at - 1], each, found[at - 1], *found[at + 1 :]]
    yield [*found, bytes(32)]
    yield [bytes(32), *found]


def refused(check: Callable[..., None], *arguments: Any) -> bool:
    with suppress(ProofError):
        check(*arguments)
        return False
    return True


def test_no_other_path_index_size_leaf_or_root_is_accepted(kept: Kept, roots: list[bytes]) -> None:
    data = entries(LIMIT)
    hashes = [tree.leaf_hash(each) for each in data]
    for size in [*range(1, 35), 63, 64, 65, 100, 127, 128, 129, LIMIT]:
        for index in range(size):
            leaf, root = hashes[index], roots[size]
            found = tree.inclusion_path(size, index, kept)
            for other in variants(found):
                assert refused(verify_inclusion, leaf, index, size, other, root)
            for wrong in {*range(-1, size + 2)} - {index}:
                assert refused(verify_inclusion, leaf, wrong, size, found, root)
            assert refused(verify_inclusion, leaf, index, size, found, roots[size - 1])
            assert refused(verify_inclusion, hashes[index - 1], index, size, found, root) or (
                size == 1
            )
            assert refused(verify_inclusion, leaf, index, -size, found, root)
            assert refused(verify_inclusion, leaf, index, size + 2**63, found, root)


def test_a_size_that_changes_the_way_is_refused(kept: Kept, roots: list[bytes]) -> None:
    """A root alone does not say its size: it is the checkpoint, signed, that does. With another
    size a path may only be accepted where the way from the leaf to the root is the same."""
    data = entries(70)
    for size in range(1, 65):
        for index in range(size):
            found = tree.inclusion_path(size, index, kept)
            way = turns(index, size)
            for other in {*range(70)} - {size}:
                accepted = not refused(
                    verify_inclusion, tree.leaf_hash(data[index]), index, other, found, roots[size]
                )
                assert accepted == (index < other and turns(index, other) == way)


def turns(index: int, size: int) -> list[str]:
    """The way from a leaf to the root: on which side each hash of its path is."""
    if size == 1:
        return []
    k = largest_power_below(size)
    if index < k:
        return [*turns(index, k), "right"]
    return [*turns(index - k, size - k), "left"]


def test_no_other_consistency_path_or_root_is_accepted(kept: Kept, roots: list[bytes]) -> None:
    for new in [*range(35), 64, 65, 127, 128, 129, LIMIT]:
        for old in range(new + 1):
            found = tree.consistency_path(old, new, kept)
            for other in variants(found):
                assert refused(verify_consistency, old, roots[old], new, roots[new], other)
            bad = bytes([roots[old][0] ^ 1, *roots[old][1:]])
            assert refused(verify_consistency, old, bad, new, roots[new], found)
            bad = bytes([roots[new][0] ^ 1, *roots[new][1:]])
            # The empty tree is the beginning of every tree.
            assert refused(verify_consistency, old, roots[old], new, bad, found) or 0 == old < new
            assert refused(verify_consistency, new + 1, roots[old], new, roots[new], found)
            assert refused(verify_consistency, -old - 1, roots[old], new, roots[new], found)


def test_a_tree_that_was_rewritten_has_no_proof(kept: Kept, roots: list[bytes]) -> None:
    """With one early entry changed, not even the honest procedure yields a proof."""
    for changed in (0, 7, 30):
        data = entries(64)
        data[changed] = b"another"
        rewritten = Kept(data)
        for old in range(changed + 1, 64):
            found = tree.consistency_path(old, 64, rewritten)
            assert refused(verify_consistency, old, roots[old], 64, mth(data), found)


def test_proofs_read_two_nodes_a_level_at_most_and_say_which(kept: Kept) -> None:
    for new in range(1, LIMIT + 1):
        for old in range(new):
            kept.read.clear()
            tree.inclusion_path(new, old, kept)
            assert kept.read == tree.inclusion_nodes(new, old)
            assert len(kept.read) <= 2 * new.bit_length()
            kept.read.clear()
            tree.consistency_path(old, new, kept)
            assert kept.read == tree.consistency_nodes(old, new)
            assert len(kept.read) <= 2 * new.bit_length()
        kept.read.clear()
        tree.root(new, kept)
        assert kept.read == tree.root_nodes(new)


@given(st.lists(st.integers(0, 40), max_size=8))
def test_appending_in_parts_keeps_the_same_nodes_as_at_once(parts: list[int]) -> None:
    size, grown = 0, Kept([])
    for part in parts:
        grown.append(size, entries(size + part)[size:])
        size += part
    assert grown.nodes == Kept(entries(size)).nodes
    assert len(grown.read) <= len(parts) * max(1, size.bit_length())


def test_what_is_not_there_has_no_proof(kept: Kept) -> None:
    for size, index in ((0, 0), (5, 5), (5, -1)):
        with pytest.raises(ProofError, match="no entry"):
            tree.inclusion_path(size, index, kept)
    with pytest.raises(ProofError, match="cannot continue"):
        tree.consistency_path(6, 5, kept)


def test_hashes_whose_border_was_moved_are_refused(kept: Kept, roots: list[bytes]) -> None:
    """`left || right` is the same bytes with one byte given from the one to the other."""
    leaf, sibling = tree.leaf_hash(entries(2)[1]), tree.leaf_hash(entries(2)[0])
    verify_inclusion(leaf, 1, 2, [sibling], roots[2])
    assert refused(verify_inclusion, sibling[-1:] + leaf, 1, 2, [sibling[:-1]], roots[2])
    first, second = tree.consistency_path(3, 4, kept)[:2]
    moved = [first[:-1], first[-1:] + second, *tree.consistency_path(3, 4, kept)[2:]]
    assert refused(verify_consistency, 3, roots[3], 4, roots[4], moved)
    (right,) = tree.consistency_path(1, 2, kept)
    whole = roots[1] + right
    assert refused(verify_consistency, 1, whole[:31], 2, roots[2], [whole[31:]])


def test_a_path_does_not_go_on_above_the_root(kept: Kept, roots: list[bytes]) -> None:
    """An entry of the tree of two, shown as the only entry of a tree with that root."""
    leaf = tree.leaf_hash(entries(2)[1])
    above = tree.inclusion_path(2, 1, kept)
    assert refused(verify_inclusion, leaf, 0, 1, above, roots[2])


@given(st.lists(st.integers(0, 600), max_size=6))
def test_many_hashes_at_once_come_to_the_same_root(portions: list[int]) -> None:
    together, single = RootBuilder(), RootBuilder()
    for portion in portions:
        hashes = [leaf_hash(bytes([n % 256, portion % 256])) for n in range(portion)]
        together.extend(hashes)
        for each in hashes:
            single.add(each)
        assert (together.size, together.root()) == (single.size, single.root())
