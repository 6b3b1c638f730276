"""Gives entries their order, and the tree its nodes.

Invariant: positions have no gaps, and what has one never changes: each transaction appends to what
those before it committed, under a lock that ends with it. If two could append at once, two entries
would have one position, and checkpoints signed over either would contradict each other. A process
that dies leaves nothing behind but entries that still wait.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import psycopg2

from retention.errors import LedgerError
from retention.ledger import tree
from retention.ledger.entries import COLUMNS, FROM, MAX_BODY, Entry
from retention.ledger.nodes import read_nodes, size_of_tree
from tenants.connections import Cursor, RoleConnections

#: Entries that one transaction places.
BATCH = 1000

#: In order; `sequenced` alone comes after the commit.
STEPS = ("locked", "positioned", "placed", "sequenced")

_LOCK = int.from_bytes(b"ledgerSQ")
_PENDING = (
    f"SELECT {COLUMNS} FROM {FROM} WHERE e.position IS NULL"  # noqa: S608 - our own texts
    " ORDER BY e.recorded_at, e.id LIMIT %(most)s"
)
_PLACE = """
UPDATE tenure.ledger_entries e SET position = p.position, leaf = p.leaf, leaf_hash = p.hash
FROM unnest(%(ids)s::uuid[], %(positions)s::bigint[], %(leaves)s::bytea[], %(hashes)s::bytea[])
     AS p(id, position, leaf, hash)
WHERE e.id = p.id AND e.position IS NULL
"""
_KEEP = """
INSERT INTO tenure.ledger_nodes (level, position, hash)
SELECT * FROM unnest(%(levels)s::smallint[], %(positions)s::bigint[], %(hashes)s::bytea[])
"""


def ignore_step(_step: str) -> None:
    """Hear of a step, and do nothing."""


def sequence(
    retention: RoleConnections,
    *,
    wait: bool = False,
    stop: Callable[[], bool] = lambda: False,
    on_step: Callable[[str], None] = ignore_step,
) -> int:
    """Place the entries that wait, until none does; return how many this process placed.

    Any number of processes may. Where another is at it, nothing is done here; with `wait` its
    transaction is waited for, as long as the lock timeout says. `stop` is asked between
    transactions, `on_step` hears of each of STEPS.

    Raises:
        LedgerError: the tree is damaged, or others kept the lock for too long.
    """
    placed = 0
    while not stop():
        with retention.transaction(None) as cursor:
            if not take_lock(cursor, _LOCK, wait=wait):
                return placed
            on_step("locked")
            count = _append(cursor, on_step)
            on_step("placed")
        on_step("sequenced")
        placed += count
        if count < BATCH:
            return placed
    return placed


def take_lock(cursor: Cursor, lock: int, *, wait: bool) -> bool:
    """Take a lock to the end of the transaction; tell whether it was to be had.

    Raises:
        LedgerError: with `wait`, after the lock timeout.
    """
    if wait:
        try:
            cursor.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s)", (lock,))
        except psycopg2.errors.LockNotAvailable as error:
            raise LedgerError("another process is at the ledger, and goes on for long") from error
        return True
    cursor.execute("SELECT pg_catalog.pg_try_advisory_xact_lock(%s)", (lock,))
    row = cursor.fetchone()
    return bool(row and row[0])


def _append(cursor: Cursor, on_step: Callable[[str], None]) -> int:
    cursor.execute(_PENDING, {"max_body": MAX_BODY, "most": BATCH})
    entries = [Entry.of(row) for row in cursor.fetchall()]
    if not entries:
        return 0
    size = size_of_tree(cursor)
    leaves = [entry.leaf() for entry in entries]
    hashes = [tree.leaf_hash(leaf) for leaf in leaves]
    node = read_nodes(cursor, tree.root_nodes(size))
    above = [each for each in tree.completed(size, hashes, node) if each[0][0]]
    cursor.execute(
        _PLACE,
        {
            "ids": [entry.id for entry in entries],
            "positions": list(itertools.islice(itertools.count(size), len(entries))),
            "leaves": [psycopg2.Binary(leaf) for leaf in leaves],
            "hashes": [psycopg2.Binary(hashed) for hashed in hashes],
        },
    )
    if cursor.rowcount != len(entries):
        raise LedgerError(f"{len(entries)} entries were to be placed, and {cursor.rowcount} were")
    on_step("positioned")
    if above:
        cursor.execute(
            _KEEP,
            {
                "levels": [level for (level, _), _ in above],
                "positions": [position for (_, position), _ in above],
                "hashes": [psycopg2.Binary(hashed) for _, hashed in above],
            },
        )
    return len(entries)
