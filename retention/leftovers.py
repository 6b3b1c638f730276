"""Sessions and API tokens whose time is over: our own leftovers, deleted in bounded batches.

The role has no grant on these tables. The database's function decides what has ended, by its
own clock, and deletes at most as many rows as it is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from tenants.connections import RoleConnections

AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class Leftovers:
    """How many rows went."""

    sessions: int = 0
    tokens: int = 0


def delete_expired(retention: RoleConnections, *, at_most: int = AT_MOST) -> Leftovers:
    """Delete at most `at_most` sessions that expired, and as many tokens that ended 30 days ago.

    Rows that another transaction uses are left for the next time.
    """
    with retention.transaction(None) as cursor:
        # tenure: allow TS005 because the function ends what has expired in every tenant
        cursor.execute("SELECT sessions, tokens FROM tenure.delete_expired(%s)", (at_most,))
        row = cursor.fetchone()
    return Leftovers(*row) if row else Leftovers()
