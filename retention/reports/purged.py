"""What purges deleted or changed, as their keys say: replays and offboardings alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class PurgedLine:
    """Rows of a table that went or were changed by a purge; `action` "cut" took a reference to
    rows that went away. `of_id` is the replay's, or the offboarding's."""

    of_id: UUID
    table: str
    action: str
    rows: int


# Both columns lead an index; a purge's id alone would not.
_PURGED = """
SELECT k.purge_id::text, k.table_name, k.action, (sum(octet_length(k.hashes)) / 16)::bigint
FROM tenure.purged_keys k
WHERE k.tenant_id = ANY(%(tenants)s::uuid[]) AND k.purge_id = ANY(%(purges)s::uuid[])
GROUP BY k.purge_id, k.table_name, k.action ORDER BY k.purge_id, k.table_name, k.action
"""


def purged_lines(
    cursor: Cursor, purges: Mapping[UUID, UUID], tenants: Sequence[UUID]
) -> tuple[PurgedLine, ...]:
    """Return what went by purges, which are given with what they are shown under; one query."""
    cursor.execute(
        _PURGED,
        {"tenants": [str(tenant) for tenant in tenants], "purges": [str(p) for p in purges]},
    )
    return tuple(
        PurgedLine(purges[UUID(purge)], table, action, rows)
        for purge, table, action, rows in cursor.fetchall()
    )
