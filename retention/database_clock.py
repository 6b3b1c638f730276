"""The database's clock: one for all who work on it, whatever their own machines say.

What is due is what is older than a period; a machine that wakes up in another decade would find
everything due. Leases, holds and windows go by the same clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from tenants.connections import RoleConnections


@dataclass(frozen=True)
class DatabaseClock:
    """Asks the server; a round trip each time."""

    connections: RoleConnections

    def now(self) -> datetime:
        with self.connections.transaction(None, read_only=True) as cursor:
            cursor.execute("SELECT pg_catalog.clock_timestamp()")
            ((now,),) = cursor.fetchall()
        found: datetime = now
        return found.astimezone(UTC)
