"""Pressure: what weighs on the server, so that deleting should wait. Asked between batches.

What waits for locks, and whether a table is being vacuumed, tenure_retention may always see.
The age of snapshots and the lag of replicas are in views that Tenure closes to its roles where
it may (they show other tenants' statements), and whose content PostgreSQL hides from all but
members of pg_read_all_stats: an operator who wants them measured grants that role, and EXECUTE
on pg_stat_get_activity(integer) and pg_stat_get_wal_senders(). Until then they are not measured,
and `blind` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tenants.catalog import TableName
from tenants.connections import RoleConnections

# ShareUpdateExclusiveLock is what VACUUM and ANALYZE take (and little else); what waits for a
# lock is counted by session, whatever it waits for.
_LOCKS = """
SELECT (SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted),
       EXISTS (SELECT FROM pg_locks l WHERE l.granted AND l.pid <> pg_backend_pid()
               AND l.mode = 'ShareUpdateExclusiveLock'
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND l.relation = to_regclass(%s)),
       pg_has_role('pg_read_all_stats', 'USAGE')
       AND has_function_privilege('pg_stat_get_activity(integer)', 'EXECUTE')
       AND has_function_privilege('pg_stat_get_wal_senders()', 'EXECUTE')
"""
_ACTIVITY = """
SELECT extract(epoch FROM (SELECT max(replay_lag) FROM pg_stat_replication)),
       extract(epoch FROM (SELECT max(clock_timestamp() - xact_start) FROM pg_stat_activity
                           WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()))
"""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on deleting waits: lag and the oldest snapshot's age in seconds, sessions that
    wait for a lock."""

    replication_lag_s: float = 10.0
    snapshot_age_s: float = 3600.0
    blocked_sessions: int = 10


@dataclass(frozen=True, slots=True)
class Reading:
    """What weighs on the server; None where it cannot be seen."""

    replication_lag_s: float | None
    snapshot_age_s: float | None
    blocked_sessions: int
    vacuuming: bool
    blind: bool

    def reasons(self, thresholds: Thresholds) -> tuple[str, ...]:
        """Return what is over its threshold, in words; empty when all is well."""
        lag, age = self.replication_lag_s, self.snapshot_age_s
        found = []
        if lag is not None and lag > thresholds.replication_lag_s:
            found.append(f"a replica is {lag:.0f} s behind")
        if age is not None and age > thresholds.snapshot_age_s:
            found.append(f"a snapshot is {age:.0f} s old")
        if self.blocked_sessions > thresholds.blocked_sessions:
            found.append(f"{self.blocked_sessions} sessions wait for locks")
        if self.vacuuming:
            found.append("the table is being vacuumed")
        return tuple(found)


def read_pressure(retention: RoleConnections, table: TableName) -> Reading:
    """Return what weighs on the server, and on a table."""
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (table.schema, table.name))
    with retention.transaction(None, read_only=True) as cursor:
        cursor.execute(_LOCKS, (quoted,))
        blocked, vacuuming, sees = cursor.fetchone() or (0, False, False)
        lag, age = None, None
        if sees:
            cursor.execute(_ACTIVITY)
            lag, age = cursor.fetchone() or (None, None)
    return Reading(
        None if lag is None else float(lag),
        None if age is None else float(age),
        blocked,
        vacuuming,
        not sees,
    )


def pressure_on(
    retention: RoleConnections, table: TableName, thresholds: Thresholds
) -> Callable[[], tuple[str, ...]]:
    """Return what an `AdaptivePacer` asks."""

    def ask() -> tuple[str, ...]:
        return read_pressure(retention, table).reasons(thresholds)

    return ask
