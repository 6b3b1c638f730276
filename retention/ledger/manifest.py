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

_VERSION = 1
# How a server writes a trigger's definition depends on what it need not qualify.
_SEARCH_PATH = "SET LOCAL search_path = pg_catalog, pg_temp"
_TRIGGERS = """
SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid)
FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'tenure'::regnamespace AND NOT t.tgisinternal
ORDER BY c.relname COLLATE "C", t.tgname COLLATE "C"
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
    which a table's last one holds; triggers by table and name, as the server writes them; and of
    functions, by their signatures, the SHA-256 over what the server writes."""

    feeds: tuple[FedTable, ...]
    triggers: Mapping[tuple[str, str], str]
    functions: Mapping[str, str]

    @classmethod
    def of(cls, cursor: Cursor) -> Manifest:
        """Return that of a database. Sets the transaction's search_path."""
        cursor.execute(_SEARCH_PATH)
        cursor.execute(_TRIGGERS)
        triggers = {(table, name): definition for table, name, definition in cursor.fetchall()}
        cursor.execute(_FUNCTIONS)
        functions = dict(cursor.fetchall())
        return cls(definitions(cursor), triggers, functions)

    def to_json(self) -> str:
        """Return the file's content."""
        triggers: dict[str, dict[str, str]] = {}
        for (table, name), definition in self.triggers.items():
            triggers.setdefault(table, {})[name] = definition
        content = {
            "version": _VERSION,
            "feeds": [asdict(feed) for feed in self.feeds],
            "triggers": triggers,
            "functions": self.functions,
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


@cache
def shipped() -> Manifest:
    """Return that of this release."""
    file = resources.files("retention.ledger").joinpath("manifest.json")
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return Manifest(
        tuple(FedTable(**feed) for feed in content["feeds"]),
        {
            (table, name): definition
            for table, named in content["triggers"].items()
            for name, definition in named.items()
        },
        content["functions"],
    )
