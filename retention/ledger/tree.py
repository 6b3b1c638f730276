"""Building proofs: RFC 6962, section 2.1, over the complete nodes that are kept.

A node is named by level and position: `(0, i)` is the hash of entry i, `(l, p)` that of entries
`p << l` up to `(p + 1) << l`. Complete nodes never change, so that they are computed once; what is
incomplete, at the right edge, is folded from at most one complete node a level.
Checking is in `verifier`, which shares no step with this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from retention.ledger.verifier import (
    EMPTY_ROOT,
    ProofError,
    RootBuilder,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

__all__ = [
    "EMPTY_ROOT",
    "Node",
    "ProofError",
    "ReadNode",
    "completed",
    "consistency_nodes",
    "consistency_path",
    "inclusion_nodes",
    "inclusion_path",
    "leaf_hash",
    "node_hash",
    "root",
    "root_nodes",
    "root_of",
    "verify_consistency",
    "verify_inclusion",
]

Node = tuple[int, int]  # level, position
ReadNode = Callable[[int, int], bytes]  # the hash of a complete node, by level and position
Range = tuple[int, int]  # the entries from the first up to, but without, the second


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root of a tree whose entries have these hashes."""
    builder = RootBuilder()
    for each in leaf_hashes:
        builder.add(each)
    return builder.root()


def completed(
    size: int, leaf_hashes: Iterable[bytes], node: ReadNode
) -> Iterator[tuple[Node, bytes]]:
    """Yield the nodes that become complete as entries are appended to a tree of `size`, the
    entries' own among them, children before parents. Of the tree before, at most one node a level
    is read; the new ones are not read back."""
    peaks = [node(*each) for each in _complete_in((0, size))]
    for index, hashed in enumerate(leaf_hashes, size):
        level, position, top = 0, index, hashed
        yield (level, position), top
        while position & 1:
            top = node_hash(peaks.pop(), top)
            level, position = level + 1, position >> 1
            yield (level, position), top
        peaks.append(top)


def root_nodes(size: int) -> list[Node]:
    """Return the complete nodes that `root` reads."""
    return list(_complete_in((0, size)))


def root(size: int, node: ReadNode) -> bytes:
    """Return the root that the tree has, or had, at `size` entries."""
    return _folded((0, size), node) if size else EMPTY_ROOT


def inclusion_nodes(size: int, index: int) -> list[Node]:
    """Return the complete nodes that `inclusion_path` reads, so that they can be read at once."""
    return [each for part in _inclusion(size, index) for each in _complete_in(part)]


def inclusion_path(size: int, index: int, node: ReadNode) -> list[bytes]:
    """Return the proof that entry `index` is in the tree of `size` entries, from the leaf's
    sibling upwards. Reads at most two nodes a level. Requires 0 <= index < size.

    Raises:
        ProofError: there is no such entry.
    """
    return [_folded(part, node) for part in _inclusion(size, index)]


def consistency_nodes(old: int, new: int) -> list[Node]:
    """Return the complete nodes that `consistency_path` reads."""
    return [each for part in _consistency(old, new) for each in _complete_in(part)]


def consistency_path(old: int, new: int, node: ReadNode) -> list[bytes]:
    """Return the proof that the tree of `new` entries begins with the tree of `old`; empty where
    there is nothing to show: from the empty tree, and to the same. Requires 0 <= old <= new.

    Raises:
        ProofError: a tree does not shrink.
    """
    return [_folded(part, node) for part in _consistency(old, new)]


def _inclusion(size: int, index: int) -> list[Range]:
    """PATH(index, D[size]) of RFC 6962, 2.1.1, as what each hash is over."""
    if not 0 <= index < size:
        raise ProofError(f"no entry {index} in a tree of {size}")
    parts, start, end = [], 0, size
    while end - start > 1:
        split = _split(start, end)
        if index < split:
            parts.append((split, end))
            end = split
        else:
            parts.append((start, split))
            start = split
    return parts[::-1]


def _consistency(old: int, new: int) -> list[Range]:
    """PROOF(old, D[new]) of RFC 6962, 2.1.2, as what each hash is over."""
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} entries cannot continue one of {old}")
    if old == 0:
        return []
    parts, start, end = [], 0, new
    while old != end:
        split = _split(start, end)
        if old <= split:
            parts.append((split, end))
            end = split
        else:
            parts.append((start, split))
            start = split
    if start:
        parts.append((start, end))
    return parts[::-1]


def _split(start: int, end: int) -> int:
    """Where a tree over a range divides: after the largest power of two less than its entries."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _complete_in(part: Range) -> Iterator[Node]:
    """Yield the complete nodes that a subtree's entries fall into, the largest first."""
    start, end = part
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _folded(part: Range, node: ReadNode) -> bytes:
    hashes = [node(*each) for each in _complete_in(part)]
    right = hashes.pop()
    while hashes:
        right = node_hash(hashes.pop(), right)
    return right
