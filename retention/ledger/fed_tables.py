"""The tables that feed the ledger: what of their rows enters it, and as what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenants.connections import Cursor

_SUFFIXES = {"INSERT": "", "UPDATE": "-changed", "DELETE": "-deleted"}
_DEFINITIONS = """
SELECT table_name, kind, events, key_columns, plain, committed, digested, children, condition
FROM tenure.ledger_sources ORDER BY number
"""
_UNREADABLE = """
SELECT w.tab, w.col FROM unnest(%(tables)s::text[], %(columns)s::text[]) AS w(tab, col)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                  WHERE a.attrelid = to_regclass('tenure.' || quote_ident(w.tab))
                    AND a.attname = w.col AND NOT a.attisdropped
                    AND has_column_privilege(a.attrelid, a.attnum, 'SELECT'))
"""
_BESIDE = """
SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
WHERE a.attrelid = to_regclass('tenure.' || quote_ident(%s)) AND a.attnum > 0
  AND NOT a.attisdropped AND a.attname <> ALL (%s::text[])
"""


@dataclass(frozen=True, slots=True)
class FedTable:
    """A table of `tenure`, and what of it enters the ledger, see `ledger_statement`. `condition`,
    on NEW: of which rows it enters that they are there, as the migration wrote it."""

    name: str
    kind: str
    events: list[str]
    keys: list[str]
    plain: list[str]
    committed: list[str]
    digested: list[str]
    children: Mapping[str, Any]
    condition: str | None

    @property
    def named(self) -> bool:
        """Whether an entry names its row; where the key tells of a person, it does not."""
        return set(self.keys) <= set(self.plain)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its entries: one of each event that enters, and no other is ever made."""
        return tuple(self.kind + _SUFFIXES[event] for event in self.events)

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


def definitions(cursor: Cursor) -> tuple[FedTable, ...]:
    """Return by what tables have fed the ledger so far, as the database says, in its order."""
    cursor.execute(_DEFINITIONS)
    return tuple(FedTable(*row) for row in cursor.fetchall())


def unreadable(cursor: Cursor, columns: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those of the columns that are not there, or not for this role to read."""
    params = {"tables": [t for t, _ in columns], "columns": [c for _, c in columns]}
    cursor.execute(_UNREADABLE, params)
    return [tuple(row) for row in cursor.fetchall()]


def columns_beside(cursor: Cursor, table: FedTable) -> tuple[str, ...]:
    """Return the columns of a table that enter the ledger in no way, in their order."""
    entered = [*table.plain, *table.committed, *table.digested]
    cursor.execute(_BESIDE, (table.name, entered))
    ((columns,),) = cursor.fetchall()
    return tuple(columns or ())
