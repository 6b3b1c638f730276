"""Reading the catalogs: one read-only transaction, a fixed number of queries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, cast

from tenants.posture import queries
from tenants.posture.errors import ConnectError
from tenants.posture.facts import Facts
from tenants.posture.records import (
    Column,
    Constraint,
    ConstraintKind,
    Extension,
    Function,
    Grant,
    Index,
    Membership,
    Policy,
    Publication,
    Relation,
    RelationKind,
    Role,
    Schema,
    Server,
    Trigger,
    Use,
)

OLDEST = 140000
_KINDS: dict[str, RelationKind] = {
    "r": "table", "p": "partitioned", "v": "view", "m": "matview", "f": "foreign", "S": "sequence",
}  # fmt: skip
_CONSTRAINTS: dict[str, ConstraintKind] = {
    "p": "primary", "u": "unique", "f": "foreign", "x": "exclusion", "c": "check",
}  # fmt: skip


class Cursor(Protocol):
    """What of a psycopg2 cursor is needed."""

    def execute(self, statement: str) -> object: ...
    def fetchall(self) -> list[Any]: ...


def read_database(url: str) -> Facts:
    """Return the facts of the database at `url`, in one REPEATABLE READ READ ONLY transaction.

    Raises ConnectError, without the password, where it cannot be reached or read.
    """
    with transaction(url) as cursor:
        return read_facts(cursor)


@contextmanager
def transaction(url: str) -> Iterator[Cursor]:
    """Open the one transaction of an audit: it reads, and can do nothing else.

    Raises ConnectError, without the password, for whatever the driver raises.
    """
    import psycopg2

    try:
        connection = psycopg2.connect(url, connect_timeout=10, application_name="tenure posture")
    except psycopg2.Error as error:
        raise ConnectError(f"cannot connect: {_safe(str(error), url)}") from None
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '60s'")
            yield cast(Cursor, cursor)
    except psycopg2.Error as error:
        raise ConnectError(f"cannot read the catalogs: {_safe(str(error), url)}") from None
    finally:
        connection.close()


def _safe(message: str, url: str) -> str:
    """A driver's message in one line, without what may hold a password."""
    line = " ".join(message.split())
    line = line.replace(url, "(the URL)")
    for secret in _secrets(url):
        line = line.replace(secret, "***")
    return line


def _secrets(url: str) -> Iterator[str]:
    from urllib.parse import unquote

    found = re.findall(r"//[^/@]*?:([^@]*)@", url)
    found += re.findall(r"password\s*=\s*'?([^'&\s]+)", url)
    for secret in found:
        # One that is not escaped is taken apart, and its parts are what a message shows.
        for form in (secret, unquote(secret), *re.split(r"[/?#:]", secret)):
            if form:
                yield form


def read_facts(cursor: Cursor) -> Facts:
    """Return the facts that a cursor sees, in whatever transaction it stands.

    Leaves `search_path` at pg_catalog until that transaction ends. Raises ConnectError for a
    server older than PostgreSQL 14.
    """
    cursor.execute("SET LOCAL search_path = pg_catalog")
    server = _server(_rows(cursor, queries.SERVER))
    if server.version_num < OLDEST:
        raise ConnectError(f"PostgreSQL {server.version} is too old: 14 or later is needed")
    memberships = queries.MEMBERSHIPS_16 if server.version_num >= 160000 else queries.MEMBERSHIPS
    published = (
        queries.PUBLISHED_SCHEMAS_15 if server.version_num >= 150000 else queries.PUBLISHED_SCHEMAS
    )
    grants = _rows(cursor, queries.GRANTS)
    if server.version_num >= 150000:
        grants += _rows(cursor, queries.PARAMETERS_15)
    columns = _columns(_rows(cursor, queries.COLUMNS))
    return Facts(
        server=server,
        roles={r[0]: Role(*_with(r, {8: _options})) for r in _rows(cursor, queries.ROLES)},
        memberships=tuple(Membership(*row) for row in _rows(cursor, memberships)),
        schemas={row[0]: Schema(*row) for row in _rows(cursor, queries.SCHEMAS)},
        relations={r.oid: r for r in _relations(_rows(cursor, queries.RELATIONS), columns)},
        policies=tuple(Policy(*_with(r, {5: tuple})) for r in _rows(cursor, queries.POLICIES)),
        constraints=tuple(
            Constraint(*_with(row, {3: _CONSTRAINTS.__getitem__, 4: tuple, 6: tuple}))
            for row in _rows(cursor, queries.CONSTRAINTS)
        ),
        indexes=tuple(Index(*_with(row, {6: tuple})) for row in _rows(cursor, queries.INDEXES)),
        functions={f.oid: f for f in _functions(_rows(cursor, queries.FUNCTIONS))},
        uses=tuple(Use(*row) for row in _rows(cursor, queries.USES)),
        triggers=tuple(Trigger(*row) for row in _rows(cursor, queries.TRIGGERS)),
        grants=tuple(Grant(*_with(row, {4: frozenset})) for row in grants),
        publications=tuple(
            Publication(*_with(row, {3: tuple, 4: tuple}))
            for row in _rows(cursor, queries.PUBLICATIONS.replace("<schemas>", published))
        ),
        extensions=tuple(Extension(*row) for row in _rows(cursor, queries.EXTENSIONS)),
    )


def _rows(cursor: Cursor, query: str) -> list[Any]:
    # tenure: allow TS004 because it is one of tenants.posture.queries, which read catalogs alone
    cursor.execute(query)
    return cursor.fetchall()


def _with(row: Any, converters: Mapping[int, Callable[[Any], Any]]) -> list[Any]:
    """A row whose columns at some places are converted."""
    values = list(row)
    for place, convert in converters.items():
        values[place] = convert(values[place])
    return values


def _server(rows: list[Any]) -> Server:
    version, database, owner, user, settings = rows[0]
    return Server(version, database, owner, user, dict(settings))


def _options(texts: Iterable[str]) -> Mapping[str, str]:
    """`["a=1", "b=2"]` as a mapping; the later wins."""
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _columns(rows: list[Any]) -> dict[int, list[Column]]:
    found: dict[int, list[Column]] = {}
    for relation, *rest in rows:
        found.setdefault(relation, []).append(Column(*rest))
    return found


def _relations(rows: list[Any], columns: Mapping[int, list[Column]]) -> Iterator[Relation]:
    for row in rows:
        oid, schema, name, kind, owner, on, forced, part, options, parents, text, owned_by = row
        yield Relation(
            oid, schema, name, _KINDS[kind], owner, on, forced, part, _options(options),
            tuple(parents), text, owned_by, tuple(columns.get(oid, ())),
        )  # fmt: skip


_INPUT = ("i", "b", "v")


def _functions(rows: list[Any]) -> Iterator[Function]:
    for row in rows:
        count, names, modes, settings, body, optional, defaults = row[10:]
        if modes:
            names = [n for n, mode in zip(names, modes, strict=False) if mode in _INPUT]
        names = [*names, *[""] * count][:count]
        shown = [*row[:10], tuple(names), _options(settings), body, optional, defaults]
        yield Function(*shown)
