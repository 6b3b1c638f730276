"""Where the ledger is: what is in it, what waits, what was signed and given out, what feeds it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retention.errors import LedgerError
from retention.ledger.checkpoint import VerifierKey
from retention.ledger.keys import key_steps
from retention.ledger.nodes import size_of_tree
from retention.ledger.publishing import Outside
from retention.ledger.verifier import SignedCheckpoint, VerifierError
from tenants.connections import Cursor, RoleConnections

_WAITING = "SELECT count(*), min(recorded_at) FROM tenure.ledger_entries WHERE position IS NULL"
_LAST = """
SELECT size, encode(root, 'hex'), signed_at, exported_at,
    (SELECT count(*) FROM tenure.ledger_attestations a WHERE a.size = c.size)
FROM tenure.ledger_checkpoints c ORDER BY size DESC LIMIT 1
"""
_SOURCES = """
SELECT DISTINCT ON (table_name) table_name, events, condition, fed_at
FROM tenure.ledger_sources ORDER BY table_name, number DESC
"""


@dataclass(frozen=True, slots=True)
class LastCheckpoint:
    """The last checkpoint: over how many entries, its root (hexadecimal digits), when; and how
    many timestamps and cosignatures there are of it."""

    size: int
    root: str
    signed_at: datetime
    exported_at: datetime | None
    attestations: int


@dataclass(frozen=True, slots=True)
class Source:
    """A table that feeds the ledger, since when, with what that happens to its rows."""

    table: str
    events: tuple[str, ...]
    condition: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """`size` entries are in order, `waiting` not yet; `exported` is the last checkpoint's size in
    the folder, `shipped` that of the last one taken further. `problem`: why there is none."""

    size: int
    waiting: int
    waiting_since: datetime | None
    last: LastCheckpoint | None
    keys: tuple[VerifierKey, ...]
    origin: str | None
    folder: str | None
    exported: int | None
    shipped: int | None
    problem: str | None
    sources: tuple[Source, ...]

    @property
    def unsigned(self) -> int:
        """How many entries are under no checkpoint yet."""
        return self.size + self.waiting - (self.last.size if self.last else 0)

    def to_json(self) -> dict[str, Any]:
        """Return it for a program."""
        last = self.last
        return {
            "entries": self.size,
            "waiting": self.waiting,
            "waiting_since": self.waiting_since,
            "unsigned": self.unsigned,
            "checkpoint": last and {
                "size": last.size,
                "root": last.root,
                "signed_at": last.signed_at,
                "exported_at": last.exported_at,
                "attestations": last.attestations,
            },
            "origin": self.origin,
            "keys": [str(key) for key in self.keys],
            "folder": self.folder,
            "exported": self.exported,
            "shipped": self.shipped,
            "problem": self.problem,
            "sources": [
                {
                    "table": source.table,
                    "on": list(source.events),
                    "when": source.condition,
                    "since": source.since,
                }
                for source in self.sources
            ],
        }  # fmt: skip


def read_ledger_status(auditor: RoleConnections, outside: Outside | None) -> LedgerStatus:
    """Return where the ledger is, as a role that reads the evidence."""
    with auditor.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
        size = size_of_tree(cursor)
        cursor.execute(_WAITING)
        ((waiting, since),) = cursor.fetchall()
        cursor.execute(_LAST)
        row = cursor.fetchone()
        keys = tuple(step.key for step in key_steps(cursor))
        sources = _sources(cursor)
    exported, shipped, problem = _outside(outside, keys)
    return LedgerStatus(
        size=size,
        waiting=waiting,
        waiting_since=since,
        last=LastCheckpoint(*row) if row else None,
        keys=keys,
        origin=outside.origin if outside else None,
        folder=str(outside.folder.path) if outside else None,
        exported=exported,
        shipped=shipped,
        problem=problem,
        sources=sources,
    )


def _outside(
    outside: Outside | None, keys: tuple[VerifierKey, ...]
) -> tuple[int | None, int | None, str | None]:
    if outside is None:
        return None, None, "no ledger_origin, ledger_key_file and ledger_dir: nothing is signed"
    try:
        note = outside.folder.last()
        size = SignedCheckpoint.verify(note, keys).checkpoint.size if note is not None else None
        return size, outside.folder.shipped() if outside.ship else None, None
    except (LedgerError, VerifierError) as error:
        return None, None, f"{outside.folder.last_path}: {error}"


def _sources(cursor: Cursor) -> tuple[Source, ...]:
    cursor.execute(_SOURCES)
    return tuple(
        Source(table, tuple(events), condition, since)
        for table, events, condition, since in cursor.fetchall()
    )
