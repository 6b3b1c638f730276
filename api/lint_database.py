"""What a database says to the linter: its schema as a catalog, and the statements it counted.

Reads with a connection of its own, read-only, and sets nothing. The driver is imported when a
database is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol

from lint.errors import LintError
from lint.inputs.logs import Ran
from lint.schema.catalog import Catalog, Column, ForeignKey, Key, Name, Table, View

_SYSTEM = "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' AND %s::text[] IS NULL"
_NAMED = "n.nspname = ANY(%s)"
_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       NOT a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> '',
       c.relkind = 'r' AND c.relhassubclass
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE {schemas} AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY n.nspname, c.relname, a.attnum
"""
# Unique indexes over plain columns, whole, valid and checked at once; what they merely include is
# no part of the key.
_KEYS = """
SELECT n.nspname, c.relname, k.relname,
       array_agg(a.attname::text ORDER BY u.position)
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_class k ON k.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY u(attnum, position)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum
WHERE {schemas} AND i.indisunique AND i.indimmediate AND i.indisvalid AND NOT i.indisexclusion
  AND i.indpred IS NULL AND i.indexprs IS NULL AND u.position <= i.indnkeyatts
GROUP BY n.nspname, c.relname, k.relname ORDER BY 1, 2, 3
"""
# Until its transaction ends a deferrable key of several columns may name another's row.
_FOREIGN_KEYS = """
SELECT n.nspname, c.relname, tn.nspname, t.relname,
       array_agg(a.attname::text ORDER BY u.position),
       array_agg(b.attname::text ORDER BY u.position)
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class t ON t.oid = k.confrelid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
CROSS JOIN unnest(k.conkey, k.confkey) WITH ORDINALITY u(own, other, position)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.own
JOIN pg_catalog.pg_attribute b ON b.attrelid = t.oid AND b.attnum = u.other
WHERE {schemas} AND k.contype = 'f' AND k.convalidated
  AND NOT (k.condeferrable AND cardinality(k.conkey) > 1)
GROUP BY n.nspname, c.relname, tn.nspname, t.relname, k.conname ORDER BY 1, 2, k.conname
"""
# Foreign keys that are not known to hold of every row, in every statement.
_UNCHECKED = """
SELECT DISTINCT n.nspname, c.relname, tn.nspname, t.relname
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class t ON t.oid = k.confrelid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE {schemas} AND k.contype = 'f'
  AND (NOT k.convalidated OR k.condeferrable AND cardinality(k.conkey) > 1)
ORDER BY 1, 2, 3, 4
"""
_VIEWS = """
SELECT n.nspname, c.relname, pg_catalog.pg_get_viewdef(c.oid), c.relkind = 'm'
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE {schemas} AND c.relkind IN ('v', 'm')
  AND NOT EXISTS (
      SELECT 1 FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""
_PATH = "SELECT unnest(pg_catalog.current_schemas(false))"
# Statements of this database, whoever ran them; those of several users are one.
_STATEMENTS = """
SELECT s.query, sum(s.calls)::bigint
FROM {view} s
JOIN pg_catalog.pg_database d ON d.oid = s.dbid
WHERE d.datname = pg_catalog.current_database() AND s.query IS NOT NULL
GROUP BY s.query ORDER BY s.query
"""
_EXTENSION = """
SELECT n.nspname FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
"""
# Each text above that asks something: so none is forgotten where they are told from others'.
_QUESTION = re.compile(r"\s*SELECT\b")
_HIDDEN = "<insufficient privilege>"
STATEMENTS_PATH = "pg_stat_statements"


class Cursor(Protocol):
    """What of a driver's cursor is needed here."""

    def execute(self, query: str, vars: Any = None) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class DatabaseError(LintError):
    """A database cannot be reached or read; the message has no password in it."""


def is_url(text: str) -> bool:
    """Whether `--schema` names a database and not a file."""
    return re.match(r"postgres(ql)?://", text) is not None


def shown(url: str) -> str:
    """A URL without user and password."""
    return re.sub(r"//[^/@]*@", "//", url).partition("?")[0]


def schema_of(url: str) -> Catalog:
    """The schema of a live database: all schemas but the system's."""
    with _cursor(url) as cursor:
        return read_catalog(cursor, None)


def statements_of(url: str) -> Iterator[Ran]:
    """What pg_stat_statements counted in a database, one after the other.

    Raises DatabaseError where the extension is missing, or hides what others ran.
    """
    with _cursor(url) as cursor:
        cursor.execute(_EXTENSION)
        found = cursor.fetchall()
        if not found:
            raise DatabaseError(f"{shown(url)}: the extension pg_stat_statements is not there")
        schema = found[0][0].replace('"', '""')
        # tenure: allow TS004 because only the extension's schema is put in, quoted
        cursor.execute(_STATEMENTS.format(view=f'"{schema}".pg_stat_statements'))
        for number, (text, calls) in enumerate(cursor.fetchall(), 1):
            if text == _HIDDEN:
                message = "statements of others are hidden; the role needs pg_read_all_stats"
                raise DatabaseError(f"{shown(url)}: {message}")
            if not _is_ours(text):
                yield Ran(text, STATEMENTS_PATH, number, calls=calls)


def _is_ours(text: str) -> bool:
    """Whether it is one of the questions above, as the extension keeps it: without constants."""
    return any(pattern.fullmatch(text.strip()) for pattern in _ours())


@cache
def _ours() -> tuple[re.Pattern[str], ...]:
    # Whoever begins to count empties the counters.
    found = [re.compile(r'SELECT (?:[\w"]+\.)?pg_stat_statements_reset\([^;]*?\)', re.IGNORECASE)]
    asked = [text for text in globals().values() if isinstance(text, str) and _QUESTION.match(text)]
    for query in asked:
        parts = re.split(r"'[^']*'|\b\d+\b|\bfalse\b|\{\w+\}", query.strip())
        found.append(re.compile(r"[^;]*?".join(map(re.escape, parts)), re.DOTALL))
    return tuple(found)


@contextmanager
def _cursor(url: str) -> Iterator[Cursor]:
    try:
        import psycopg2
    except ImportError as error:
        raise DatabaseError("reading a database needs the package psycopg2-binary") from error
    try:
        connection = psycopg2.connect(url, connect_timeout=10, application_name="tenure lint")
    except psycopg2.Error as error:
        raise DatabaseError(f"{shown(url)}: cannot connect: {_plain(error, url)}") from None
    try:
        connection.set_session(readonly=True)
        with connection.cursor() as cursor:
            yield cursor
    except psycopg2.Error as error:
        raise DatabaseError(f"{shown(url)}: {_plain(error, url)}") from None
    finally:
        connection.close()


def _plain(error: Exception, url: str) -> str:
    """A driver's message in one line, without the URL's password."""
    message = " ".join(str(error).replace(url, shown(url)).split())
    for password in re.findall(r"//[^/@]*?:([^@]*)@", url):
        message = message.replace(password, "***") if password else message
    return message


def read_catalog(cursor: Cursor, schemas: Sequence[str] | None) -> Catalog:
    """The tables and views of some schemas, or of all but the system's.

    Whose rows they hold is left to the configuration.
    """
    wanted = (list(schemas) if schemas is not None else None,)
    where = _NAMED if schemas is not None else _SYSTEM

    def rows(query: str) -> list[Any]:
        # tenure: allow TS004 because the queries read the server's catalogs, and no rows
        cursor.execute(query.format(schemas=where), wanted)
        return cursor.fetchall()

    columns: dict[Name, list[Column]] = {}
    inherited: set[Name] = set()
    for schema, table, name, type_name, nullable, said, generated, has_children in rows(_COLUMNS):
        column = Column(
            name, type_name, nullable, None if generated else said, said if generated else None
        )
        columns.setdefault(Name(schema, table), []).append(column)
        if has_children:
            inherited.add(Name(schema, table))
    keys: dict[Name, list[Key]] = {}
    for schema, table, name, names in rows(_KEYS):
        keys.setdefault(Name(schema, table), []).append(Key(tuple(names), name))
    foreign_keys: dict[Name, list[ForeignKey]] = {}
    for schema, table, target_schema, target, own, other in rows(_FOREIGN_KEYS):
        foreign_keys.setdefault(Name(schema, table), []).append(
            ForeignKey(tuple(own), Name(target_schema, target), tuple(other))
        )
    unchecked: dict[Name, list[Name]] = {}
    for schema, table, target_schema, target in rows(_UNCHECKED):
        unchecked.setdefault(Name(schema, table), []).append(Name(target_schema, target))
    views = [
        View(Name(schema, name), query.rstrip("; "), materialized=materialized)
        for schema, name, query, materialized in rows(_VIEWS)
    ]
    path: tuple[str, ...] = ()
    if schemas is None:
        cursor.execute(_PATH)
        path = tuple(row[0] for row in cursor.fetchall())
    tables = [
        Table(
            name=name,
            columns=tuple(of_table),
            keys=tuple(keys.get(name, ())),
            foreign_keys=tuple(foreign_keys.get(name, ())),
            inherited=name in inherited,
            unchecked=tuple(unchecked.get(name, ())),
        )
        for name, of_table in columns.items()
    ]
    return Catalog(tables, views, search_path=path)
