"""Our own leftovers: what the product writes of its own work, deleted when its time is over.

Which table keeps its rows for how long, or for good and why, is declared in `leftovers.toml`.
Invariant: retention has no grant to delete any of it. The database's functions do, in bounded
batches, never below floors of their own, and what went is recorded by trigger in the statement
that deletes it (migration 0021). Sessions and tokens are decided on by the database's clock
alone, and not recorded: they are credentials, and no evidence.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import resources

from retention.errors import PolicyError
from retention.policies import Period, cutoff
from tenants.connections import Cursor, RoleConnections

AT_MOST = 1000
_BY_FUNCTION = "tenure.delete_expired"
_KEYS = ({"kept"}, {"ended", "period", "basis"}, {"ended", "period", "basis", "by"})


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long a table of ours keeps its rows: `period` after `ended`, on the `basis`; or, with
    neither, for good, and `basis` says why. `by` is a function that decides by itself."""

    table: str
    basis: str
    ended: str | None = None
    period: str | None = None
    by: str | None = None

    @property
    def goes_by_age(self) -> bool:
        """True where rows go by the declared period."""
        return self.period is not None and self.by is None


@dataclass(frozen=True, slots=True)
class Leftovers:
    """How many rows went: of sessions, of tokens, and by table of the others."""

    sessions: int = 0
    tokens: int = 0
    others: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gone:
    """What went of a table so far, and when for the last time."""

    rows: int
    last_at: datetime


@cache
def keepings() -> tuple[Keeping, ...]:
    """Return what is declared, in order; raises PolicyError naming the entry that is wrong."""
    return parse(resources.files("retention").joinpath("leftovers.toml").read_text())


def parse(text: str) -> tuple[Keeping, ...]:
    """Read declarations; raises PolicyError."""
    found = []
    for table, entry in tomllib.loads(text).items():
        if set(entry) not in _KEYS:
            raise PolicyError(f"leftovers: {table}: `kept` alone, or `ended`, `period` and `basis`")
        by = entry.get("by")
        if by not in (None, _BY_FUNCTION):
            raise PolicyError(f"leftovers: {table}: {by!r} deletes nothing of ours")
        if "period" in entry and by is None:
            try:
                Period.parse(entry["period"])
            except ValueError as error:
                raise PolicyError(f"leftovers: {table}: {error}") from error
        found.append(
            Keeping(
                table,
                entry.get("basis") or entry["kept"],
                entry.get("ended"),
                entry.get("period"),
                by,
            )
        )
    return tuple(found)


_TABLES = """
SELECT c.relname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'tenure' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname !~ '^migration_'
"""


def problems(cursor: Cursor) -> list[str]:
    """Return what of the declarations does not fit the database, each with its mend."""
    cursor.execute(_TABLES)
    there = {name for (name,) in cursor.fetchall()}
    declared = {keeping.table for keeping in keepings()}
    return [
        *(f"tenure.{t}: add it to retention/leftovers.toml" for t in sorted(there - declared)),
        *(f"tenure.{t}: there is no such table; migrate" for t in sorted(declared - there)),
    ]


def delete_leftovers(
    retention: RoleConnections, now: datetime, *, at_most: int = AT_MOST
) -> Leftovers:
    """Delete at most `at_most` rows of each table whose time is over, as of `now` or of the
    database's floors, whichever is earlier.

    Rows that another transaction uses are left for the next time. Nothing goes while all retention
    is stopped.
    """
    with retention.transaction(None) as cursor:
        # tenure: allow TS005 because the function ends what has expired in every tenant
        cursor.execute("SELECT sessions, tokens FROM tenure.delete_expired(%s)", (at_most,))
        sessions, tokens = cursor.fetchone() or (0, 0)
    others = {}
    for keeping in keepings():
        if keeping.goes_by_age and keeping.period is not None:
            before = cutoff(Period.parse(keeping.period), now)
            with retention.transaction(None) as cursor:
                # tenure: allow TS005 because the function deletes rows of no tenant, or by age
                cursor.execute(
                    "SELECT tenure.delete_leftovers(%s, %s, %s)", (keeping.table, before, at_most)
                )
                (rows,) = cursor.fetchone() or (0,)
            if rows:
                others[keeping.table] = rows
    return Leftovers(sessions, tokens, others)


def deleted(retention: RoleConnections) -> dict[str, Gone]:
    """Return what went so far, by table."""
    with retention.transaction(None, read_only=True) as cursor:
        cursor.execute(
            "SELECT table_name, sum(rows_deleted)::bigint, max(deleted_at)"
            " FROM tenure.leftover_deletions GROUP BY table_name"
        )
        return {table: Gone(rows, last) for table, rows, last in cursor.fetchall()}
