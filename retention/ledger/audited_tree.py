"""Audits entries and tree: each leaf made again from what is stored, the tree from the leaves.

Reads all entries once, in order, some at a time. Nodes are compared with what `tree` makes of the
leaves, roots with what the verifier makes of them: the two share no step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retention.ledger import tree
from retention.ledger.entries import COLUMNS, FROM, MAX_BODY, Entry
from retention.ledger.findings import Findings
from retention.ledger.tree import Node
from retention.ledger.verifier import LATENESS, RootBuilder, Times, VerifierError, instant_of
from tenants.connections import Cursor

BLOCK = 1000  # entries
_ENTRIES = (
    f"SELECT e.position, e.leaf, e.leaf_hash, {COLUMNS} FROM {FROM}"  # noqa: S608 - our own texts
    " WHERE e.position >= %(first)s ORDER BY e.position LIMIT %(most)s"
)
_NODES = """
SELECT n.level, n.position, n.hash
FROM unnest(%s::smallint[], %s::bigint[], %s::bigint[]) AS w(level, first, beyond)
JOIN tenure.ledger_nodes n
    ON n.level = w.level AND n.position >= w.first AND n.position < w.beyond
"""
_NODE_COUNT = "SELECT count(*) FROM tenure.ledger_nodes"


@dataclass(frozen=True, slots=True)
class Claim:
    """That the tree had this root at a size, and where that is said."""

    root: bytes
    where: str


def audit_tree(
    cursor: Cursor,
    claims: Mapping[int, Sequence[Claim]],
    times: Times,
    findings: Findings,
    on_progress: Callable[[int], None],
) -> int:
    """Compare entries and nodes with each other and with the claims, by size, and their times with
    when others saw them; return how many entries are in order. `on_progress` hears how many were
    read."""
    walk = _Walk(cursor, claims, times, findings)
    while walk.block():
        on_progress(walk.size)
    walk.end()
    return walk.size


class _Walk:
    def __init__(
        self,
        cursor: Cursor,
        claims: Mapping[int, Sequence[Claim]],
        times: Times,
        findings: Findings,
    ) -> None:
        self.size = 0
        self._times, self._bounds = times, times.bounds(0)
        self._cursor, self._claims, self._findings = cursor, claims, findings
        self._latest: datetime | None = None
        self._builder = RootBuilder()
        self._peaks: dict[Node, bytes] = {}
        self._whole = True
        self._nodes = 0

    def block(self) -> bool:
        """Read the next entries; tell whether there were any."""
        params = {"first": self.size, "most": BLOCK, "max_body": MAX_BODY}
        self._cursor.execute(_ENTRIES, params)
        rows = self._cursor.fetchall()
        hashes = [self._entry(row) for row in rows]
        if self._whole and hashes:
            self._compare_nodes(hashes)
        return bool(rows)

    def end(self) -> None:
        """Judge what the last entry leaves over."""
        for size in sorted(size for size in self._claims if size > self.size):
            for claim in self._claims[size]:
                self._findings.add(
                    "checkpoint",
                    f"{size} entries",
                    f"{claim.where} is over {size}, and there are {self.size}: the database was "
                    "restored, or entries were removed",
                )
        self._cursor.execute(_NODE_COUNT)
        ((count,),) = self._cursor.fetchall()
        if self._whole and count > self._nodes:
            self._findings.add(
                "node", "tenure.ledger_nodes", f"{count - self._nodes} nodes more than the tree has"
            )

    def _entry(self, row: tuple[Any, ...]) -> bytes:
        position, leaf, hashed, *entry = row
        if position != self.size:
            self._findings.add(
                "order",
                f"entry {self.size}",
                f"is not there; the next one is {position}",
                count=position - self.size,
            )
            # Without it there is no tree that anything could be compared with.
            self._whole, self.size = False, position
        made = Entry.of(entry)
        if made.leaf() != bytes(leaf):
            self._findings.add(
                "entry",
                f"entry {position} ({made.id})",
                "what is stored is not what its leaf says",
            )
        if self.size in self._claims:
            self._bounds = self._times.bounds(self.size)
        self._compare_order(position, made)
        earliest, latest = self._bounds
        if not earliest <= made.at[:19].encode() <= latest:
            self._findings.add(
                "attestation",
                f"entry {position} ({made.id})",
                f"says that it is of {made.at}, and others saw the ledger "
                "with or without it at a time that contradicts this",
            )
        own = tree.leaf_hash(bytes(leaf))
        if own != bytes(hashed):
            self._findings.add(
                "entry", f"entry {position} ({made.id})", "its hash is not that of its leaf"
            )
        self.size += 1
        if self._whole:
            self._builder.add(own)
            self._compare_root()
        return own

    def _compare_order(self, position: int, made: Entry) -> None:
        """An entry has its place after its transaction, and stands behind none that is much
        younger."""
        subject = f"entry {position} ({made.id})"
        try:
            said = instant_of(made.at[:19].encode())
        except VerifierError:
            self._findings.add("entry", subject, f"is of no time: {made.at[:40]}")
            return
        if self._latest and said < self._latest - LATENESS:
            self._findings.add(
                "order",
                subject,
                f"says that it is of {made.at}, and stands behind one of {self._latest}: it was "
                "back-dated",
            )
        self._latest = max(self._latest or said, said)

    def _compare_root(self) -> None:
        if self.size not in self._claims:
            return
        root = self._builder.root()
        for claim in self._claims[self.size]:
            if claim.root != root:
                self._findings.add(
                    "checkpoint",
                    f"{self.size} entries",
                    f"{claim.where} says the root {claim.root.hex()}, and the entries have "
                    f"{root.hex()}: they were changed, or the checkpoint was",
                )

    def _compare_nodes(self, hashes: Sequence[bytes]) -> None:
        first, beyond = self.size - len(hashes), self.size
        made = dict(self._peaks)
        fresh = tree.completed(first, hashes, lambda level, position: made[level, position])
        complete = dict(fresh)
        made |= complete
        levels = range(1, beyond.bit_length())
        self._cursor.execute(
            _NODES,
            (
                list(levels),
                [first >> level for level in levels],
                [beyond >> level for level in levels],
            ),
        )
        found = {(level, at): bytes(hashed) for level, at, hashed in self._cursor.fetchall()}
        for node, hashed in complete.items():
            if not node[0]:
                continue
            self._nodes += 1
            if found.get(node) != hashed:
                self._findings.add(
                    "node",
                    f"node {node[1]} of level {node[0]}",
                    "is not what the entries make" if node in found else "is not there",
                )
        self._peaks = {node: made[node] for node in tree.root_nodes(beyond)}
