"""The tree as the database keeps it: its size, and its complete nodes, read many at once."""

from __future__ import annotations

from collections.abc import Collection

from retention.errors import LedgerError
from retention.ledger.tree import Node, ReadNode
from tenants.connections import Cursor

_SIZE = "SELECT coalesce(max(position) + 1, 0) FROM tenure.ledger_entries"
_LEAVES = (
    "SELECT 0, position, leaf_hash FROM tenure.ledger_entries WHERE position = ANY(%(leaves)s)"
)
# In a tenant's context others' entries are not to be seen; their hashes are.
_LEAVES_FOR_TENANT = "SELECT 0, leaf_position, leaf_hash FROM tenure.leaf_hashes(%(leaves)s)"
_ABOVE = """
UNION ALL
SELECT n.level, n.position, n.hash
FROM unnest(%(levels)s::smallint[], %(positions)s::bigint[]) AS w(level, position)
JOIN tenure.ledger_nodes n USING (level, position)
"""


def size_of_tree(cursor: Cursor) -> int:
    """Return how many entries have a position; positions have no gaps."""
    cursor.execute(_SIZE)
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def read_nodes(cursor: Cursor, nodes: Collection[Node], *, for_tenant: bool = False) -> ReadNode:
    """Read these nodes with one statement; return what knows them. `for_tenant`: as tenure_app, in
    a tenant's context.

    Raises:
        LedgerError: one is not there (now, or when it is asked for).
    """
    found: dict[Node, bytes] = {}
    if nodes:
        above = [node for node in nodes if node[0]]
        cursor.execute(
            (_LEAVES_FOR_TENANT if for_tenant else _LEAVES) + _ABOVE,
            {
                "leaves": [position for level, position in nodes if level == 0],
                "levels": [level for level, _ in above],
                "positions": [position for _, position in above],
            },
        )
        found = {(level, position): bytes(hashed) for level, position, hashed in cursor.fetchall()}

    def node(level: int, position: int) -> bytes:
        try:
            return found[level, position]
        except KeyError:
            raise LedgerError(
                f"node {position} of level {level} is missing from the ledger's tree: "
                "`tenure ledger verify` tells what else is wrong"
            ) from None

    return node
