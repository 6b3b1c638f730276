"""Which calls in Python hand SQL to a database, and which of their arguments it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lint.text.words import words

# Names of methods and functions -> the position of the SQL.
_ALWAYS = {
    "execute": 0,
    "executemany": 0,
    "execute_sql": 0,
    "exec_driver_sql": 0,
    "copy_expert": 0,
    "mogrify": 0,
    "executescript": 0,
    "execute_values": 1,
    "execute_batch": 1,
    "read_sql": 0,
    "read_sql_query": 0,
    "RunSQL": 0,
}
# Names that mean something else elsewhere: taken where the module imports one of the libraries,
# or where the text begins like SQL.
_MAYBE = {
    "fetch": 0,
    "fetchrow": 0,
    "fetchval": 0,
    "fetchmany": 0,
    "fetch_all": 0,
    "fetch_one": 0,
    "fetch_val": 0,
    "iterate": 0,
    "prepare": 0,
    "cursor": 0,
    "stream": 0,
    "copy": 0,
    "raw": 0,
    "DDL": 0,
}
_LIBRARIES: Mapping[str, frozenset[str]] = {
    "raw": words("peewee playhouse django tortoise"),
    "fetch": words("asyncpg"),
    "fetchrow": words("asyncpg"),
    "fetchval": words("asyncpg"),
    "prepare": words("asyncpg"),
    "fetch_all": words("databases"),
    "fetch_one": words("databases"),
    "fetch_val": words("databases"),
    "stream": words("psycopg"),
}
# A quick look at a whole file, before it is parsed. A search that does not mind case looks at each
# letter; one for words in the text without case is a hundred times as fast.
_SURE = ("execut", "exec_driver", "rawsql", "runsql", "copy_expert", "mogrify", "read_sql")
_CALLS = ("sql(", "text(", "ddl(")
_CALL = re.compile(r"\b(?:sql|text|ddl)\(")
_DOUBTFUL = re.compile(r"\.(?:fetch\w*|iterate|prepare|cursor|stream|copy|raw)\(")
_SPEAKS_SQL = re.compile(
    r"\b(?:asyncpg|databases|psycopg|peewee|playhouse|django|tortoise|select\b|insert\s+into|"
    r"delete\s+from|update\s+\S+\s+set|merge\s+into|truncate|copy\s+\S+\s+(?:to|from)|"
    r"call\s+\S+\()",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Sinks:
    """`configured` maps a name, `run_query` or `reports.run_query`, to the position of its SQL
    argument or to its keyword."""

    configured: Mapping[str, int | str] = field(default_factory=dict)

    def likely(self, text: str) -> bool:
        """Whether a file can hold a sink at all: a quick look before it is parsed."""
        plain = text.casefold()
        if any(name in plain for name in _SURE):
            return True
        if any(call in plain for call in _CALLS) and _CALL.search(plain) is not None:
            return True
        if any(name.rpartition(".")[2] in text for name in self.configured):
            return True
        return _DOUBTFUL.search(text) is not None and _SPEAKS_SQL.search(text) is not None

    def place(self, name: str, full_name: str, modules: frozenset[str]) -> tuple[int | str, bool]:
        """Where a call's SQL stands, -1 for nowhere; and whether it is a sink for certain.

        `modules` are the first parts of the names of imported modules.
        """
        for written, place in self.configured.items():
            dotted = "." in written
            if written == name or (dotted and f".{full_name}".endswith(f".{written}")):
                return place, True
        if name in _ALWAYS:
            return _ALWAYS[name], True
        if name in _MAYBE:
            return _MAYBE[name], bool(_LIBRARIES.get(name, frozenset()) & modules)
        return -1, False
