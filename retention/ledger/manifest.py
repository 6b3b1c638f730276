"""What feeds and guards the ledger in a database of this release: the yardstick of its audit.

It comes with the release, as `manifest.json` beside this module, so that the audited database is
not asked what it ought to be. It is made of a migrated database, and a test fails when it is stale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

from retention.ledger.fed_tables import FedTable, definitions
from tenants.connections import Cursor

_VERSION = 2
# How a server writes a trigger's definition depends on what it need not qualify.
_SEARCH_PATH = "SET LOCAL search_path = pg_catalog, pg_temp"
_TRIGGERS = """
SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid)
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'tenure'::regnamespace AND NOT t.tgisinternal
ORDER BY c.relname COLLATE "C", t.tgname COLLATE "C"
"""
# What a row says that nobody said: when it was made, above all.
_DEFAULTS = """
SELECT c.relname, a.attname, pg_get_expr(d.adbin, d.adrelid)
FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_class c ON c.oid = d.adrelid
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE c.relnamespace = 'tenure'::regnamespace AND NOT a.attisdropped
ORDER BY c.relname COLLATE "C", a.attname COLLATE "C"
"""
# The context's two are another thing in each mode, and are no part of the ledger.
_FUNCTIONS = """
SELECT f.signature, encode(sha256(convert_to(f.definition, 'UTF8')), 'hex')
FROM (SELECT p.oid::regprocedure::text AS signature,
             CASE WHEN p.prokind = 'a' THEN 'an aggregate'
                  ELSE pg_get_functiondef(p.oid) END AS definition
      FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'tenure'::regnamespace) AS f
WHERE f.signature NOT IN ('tenure.set_tenant(text)', 'tenure.current_tenant()')
ORDER BY f.signature COLLATE "C"
"""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Of the schema tenure: all definitions by which tables feed the ledger, in their order, of
    which a table's last one holds; triggers by table and name, and columns' defaults by table and
    column, as the server writes them; and of functions, by their signatures, the SHA-256 over what
    the server writes."""

    feeds: tuple[FedTable, ...]
    triggers: Mapping[tuple[str, str], str]
    functions: Mapping[str, str]
    defaults: Mapping[tuple[str, str], str]

    @classmethod
    def of(cls, cursor: Cursor) -> Manifest:
        """Return that of a database. Sets the transaction's search_path."""
        cursor.execute(_SEARCH_PATH)
        cursor.execute(_TRIGGERS)
        triggers = {(table, name): definition for table, name, definition in cursor.fetchall()}
        cursor.execute(_FUNCTIONS)
        functions = dict(cursor.fetchall())
        cursor.execute(_DEFAULTS)
        defaults = {(table, column): default for table, column, default in cursor.fetchall()}
        return cls(definitions(cursor), triggers, functions, defaults)

    def to_json(self) -> str:
        """Return the file's content."""
        content = {
            "version": _VERSION,
            "feeds": [asdict(feed) for feed in self.feeds],
            "triggers": _nested(self.triggers),
            "functions": self.functions,
            "defaults": _nested(self.defaults),
        }
        return json.dumps(content, indent=1) + "\n"

    @property
    def tables(self) -> list[FedTable]:
        """The tables that feed the ledger, by name, as their last definitions have it."""
        return [each for _, each in sorted({feed.name: feed for feed in self.feeds}.items())]

    @property
    def redefined(self) -> set[str]:
        """Tables of which older entries may have been made of other columns."""
        names = [feed.name for feed in self.feeds]
        return {name for name in names if names.count(name) > 1}


def _nested(flat: Mapping[tuple[str, str], str]) -> dict[str, dict[str, str]]:
    by_table: dict[str, dict[str, str]] = {}
    for (table, name), definition in flat.items():
        by_table.setdefault(table, {})[name] = definition
    return by_table


def _flat(by_table: Mapping[str, Mapping[str, str]]) -> dict[tuple[str, str], str]:
    return {
        (table, name): definition
        for table, named in by_table.items()
        for name, definition in named.items()
    }


@cache
def shipped() -> Manifest:
    """Return that of this release."""
    file = resources.files("retention.ledger").joinpath("manifest.json")
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return Manifest(
        tuple(FedTable(**feed) for feed in content["feeds"]),
        _flat(content["triggers"]),
        content["functions"],
        _flat(content["defaults"]),
    )
