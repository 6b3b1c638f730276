"""The tables that feed the ledger, as the database says (`tenure.ledger_sources`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenants.connections import Cursor

_SOURCES = """
SELECT DISTINCT ON (table_name) table_name, events, key_columns, plain, committed, digested,
    children, condition, count(*) OVER (PARTITION BY table_name)
FROM tenure.ledger_sources ORDER BY table_name, number DESC
"""
_UNREADABLE = """
SELECT w.tab, w.col FROM unnest(%(tables)s::text[], %(columns)s::text[]) AS w(tab, col)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                  WHERE a.attrelid = to_regclass('tenure.' || quote_ident(w.tab))
                    AND a.attname = w.col AND NOT a.attisdropped
                    AND has_column_privilege(a.attrelid, a.attnum, 'SELECT'))
"""
_TRIGGERS = """
SELECT w.tab, w.name FROM unnest(%(tables)s::text[], %(names)s::text[]) AS w(tab, name)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t
                  WHERE t.tgrelid = to_regclass('tenure.' || quote_ident(w.tab))
                    AND t.tgname = w.name AND t.tgenabled IN ('O', 'A'))
"""
#: What keeps the ledger's own tables as they are.
GUARDS = (
    ("ledger_entries", "append_only"),
    ("ledger_entries", "entered_by_trigger"),
    ("ledger_entries", "position_once"),
    ("ledger_texts", "append_only"),
    ("ledger_texts", "entered_by_trigger"),
    ("ledger_nodes", "append_only"),
    ("ledger_checkpoints", "append_only"),
    ("ledger_checkpoints", "exported_once"),
    ("ledger_attestations", "append_only"),
    ("ledger_key_steps", "append_only"),
    ("ledger_sources", "append_only"),
)


@dataclass(frozen=True, slots=True)
class FedTable:
    """A table of `tenure`, and what of it enters the ledger, see `ledger_statement`. `redefined`:
    older entries may have been made of other columns. `condition`, on NEW: of which rows it enters
    that they are there, as the migration wrote it."""

    name: str
    events: tuple[str, ...]
    keys: tuple[str, ...]
    plain: tuple[str, ...]
    committed: tuple[str, ...]
    digested: tuple[str, ...]
    children: Mapping[str, Any]
    condition: str | None
    redefined: bool

    @property
    def named(self) -> bool:
        """Whether an entry names its row; where the key tells of a person, it does not."""
        return set(self.keys) <= set(self.plain)

    @property
    def triggers(self) -> list[tuple[str, str]]:
        """The triggers that feed, with their table."""
        return [(self.name, f"ledger_{event.lower()}") for event in self.events]

    @property
    def compared(self) -> list[tuple[str, str]]:
        """The columns without which rows and entries cannot be compared, with their tables."""
        own = [(self.name, column) for column in (*self.keys, *self.plain, *self.digested)]
        below = [
            (child["table"], column)
            for child in self.children.values()
            for column in (*child["by"], *child["columns"])
        ]
        return own + below


def fed_tables(cursor: Cursor) -> list[FedTable]:
    """Return the tables that feed the ledger, by name."""
    cursor.execute(_SOURCES)
    return [
        FedTable(
            table, tuple(events), tuple(keys), tuple(plain), tuple(committed), tuple(digested),
            children, condition, definitions > 1,
        )
        for table, events, keys, plain, committed, digested, children, condition, definitions
        in cursor.fetchall()
    ]  # fmt: skip


def unreadable(cursor: Cursor, columns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those of the columns that are not there, or not for this role to read."""
    params = {"tables": [t for t, _ in columns], "columns": [c for _, c in columns]}
    cursor.execute(_UNREADABLE, params)
    return [tuple(row) for row in cursor.fetchall()]


def triggers_off(cursor: Cursor, triggers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those of the triggers that are not there, or do not fire."""
    params = {"tables": [t for t, _ in triggers], "names": [n for _, n in triggers]}
    cursor.execute(_TRIGGERS, params)
    return [tuple(row) for row in cursor.fetchall()]
