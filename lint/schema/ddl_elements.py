"""The parts of DDL statements: columns, constraints, indexes, the clauses of policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lint.schema.catalog import Name
from lint.schema.ddl import Cursor, split_parts, type_text
from lint.schema.ddl_script import (
    MadeColumn,
    MadeForeignKey,
    MadeKey,
    MadePolicy,
    MadeTable,
    Place,
)
from lint.text.lexer import Token
from lint.text.prepare import fold
from lint.text.words import words

_COLUMN_WORDS = words(
    "NOT NULL DEFAULT PRIMARY UNIQUE REFERENCES CHECK CONSTRAINT GENERATED COLLATE STORAGE "
    "COMPRESSION DEFERRABLE INITIALLY OPTIONS"
)
_KEY_ENDINGS = {"PRIMARY": "pkey", "UNIQUE": "key"}
TABLE_WORDS = words("PRIMARY UNIQUE FOREIGN CHECK CONSTRAINT EXCLUDE LIKE")
_SERIAL = words("serial bigserial smallserial serial4 serial8 serial2")
_MAKES_VALUES = ("uuid", "ulid", "nextval", "cuid", "nanoid", "random", "token")


@dataclass(frozen=True, slots=True)
class Places:
    """Makes places in one statement of a script."""

    statement: int

    def __call__(self, *tokens: Token) -> Place:
        return Place(self.statement, tokens[0].start, tokens[-1].end)


def table_name(at: Cursor) -> tuple[Name, Token]:
    """A name and its last token; `public` is the schema of names that have none."""
    name = at.name()
    token = at.tokens[at.at - 1]
    return (Name("", name.name) if name.schema == "public" else name), token


def element(table: MadeTable, at: Cursor, places: Places) -> None:
    """Add the column or constraint at `at` to a table."""
    if at.word() in TABLE_WORDS and at.peek(1) is not None:
        constraint(table, at, places)
    else:
        column(table, at, places)


def column(table: MadeTable, at: Cursor, places: Places) -> None:
    """Add a column and its constraints."""
    start = at.peek()
    name = at.identifier()
    if start is None:
        return
    kind: list[str] = []
    depth = 0
    while (token := at.peek()) is not None:
        if depth == 0 and token.word in _COLUMN_WORDS:
            break
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "punct" else 0
        kind.append(fold(token.text) if token.kind == "word" else token.text)
        at.at += 1
    text = type_text(kind)
    rest = at.rest()
    made = MadeColumn(
        name,
        text,
        nullable=text not in _SERIAL and not pair(rest, "NOT", "NULL"),
        generated=text in _SERIAL or generates(rest),
        place=places(start),
    )
    table.columns[name] = made
    label: str | None = None
    for index, token in enumerate(rest):
        word = token.word
        if word == "CONSTRAINT" and index + 1 < len(rest):
            label = rest[index + 1].value
        elif word in ("PRIMARY", "UNIQUE"):
            made.nullable &= word != "PRIMARY"
            own = _own_name(table.name, (name,), _KEY_ENDINGS[word])
            table.keys.append(MadeKey(word.lower(), label or own, (name,), places(start)))
            label = None
        elif word == "REFERENCES":
            target, _ = table_name(Cursor(rest[index + 1 :]))
            place = places(start, token)
            own = _own_name(table.name, (name,), "fkey")
            table.foreign_keys.append(MadeForeignKey(label or own, (name,), target, place))
            label = None


def _own_name(table: Name, columns: Sequence[str | None], ending: str) -> str | None:
    """The name that PostgreSQL gives a key or an index without one.

    None where it shortens it, or an expression gives a part of it.
    """
    named = [column for column in columns if column is not None]
    found = "_".join((table.name, *(() if ending == "pkey" else named), ending))
    return found if len(named) == len(columns) and len(found.encode()) <= 63 else None


def constraint(table: MadeTable, at: Cursor, places: Places) -> None:
    """Add a table's constraint."""
    first = at.peek()
    if first is None:
        return
    name = at.identifier() if at.skip("CONSTRAINT") else None
    if at.skip("PRIMARY", "KEY") or at.skip("UNIQUE"):
        primary = at.tokens[at.at - 1].word == "KEY"
        at.skip("NULLS", "NOT", "DISTINCT")
        at.skip("NULLS", "DISTINCT")
        if at.skip("USING", "INDEX"):
            return
        start = at.at
        columns = at.columns()
        place = places(*at.tokens[start : at.at])
        kind = "PRIMARY" if primary else "UNIQUE"
        name = name or _own_name(table.name, columns, _KEY_ENDINGS[kind])
        table.keys.append(MadeKey(kind.lower(), name, columns, place))
        for one in columns:
            if primary and one in table.columns:
                table.columns[one].nullable = False
    elif at.skip("EXCLUDE"):
        start = at.at
        method = at.identifier() if at.skip("USING") else "gist"
        compared = _excluded(at.group())
        place = places(*at.tokens[start : at.at])
        name = name or _own_name(table.name, compared, "excl")
        table.keys.append(MadeKey("exclude", name, compared, place, method))
    elif at.skip("FOREIGN", "KEY"):
        start = at.at
        own = at.columns()
        if not at.skip("REFERENCES"):
            return
        target, _ = table_name(at)
        place = places(*at.tokens[start : at.at])
        name = name or _own_name(table.name, own, "fkey")
        table.foreign_keys.append(MadeForeignKey(name, own, target, place))


def index(at: Cursor, kind: str, places: Places) -> tuple[Name, Token, MadeKey] | None:
    """The table of CREATE INDEX, the token that names it, and the key; None if it is not whole."""
    at.skip("CONCURRENTLY")
    at.skip("IF", "NOT", "EXISTS")
    name = None if at.word() == "ON" else at.identifier()
    if not at.skip("ON"):
        return None
    at.skip("ONLY")
    on, token = table_name(at)
    method = at.identifier() if at.skip("USING") else "btree"
    start = at.at
    columns = tuple(
        Cursor(part).identifier()
        if part[0].kind in ("word", "quoted") and not (part[1:2] and part[1].text in "(.")
        else None
        for part in split_parts(at.group())
    )
    place = places(*at.tokens[start : at.at])
    name = name or _own_name(on, columns, "idx")
    return on, token, MadeKey(kind, name, columns, place, method)


def policy_clauses(policy: MadePolicy, at: Cursor) -> None:
    """Read TO, USING and WITH CHECK."""
    if at.skip("TO"):
        roles = [at.identifier()]
        while at.symbol(","):
            roles.append(at.identifier())
        policy.roles = tuple(roles)
    if at.skip("USING"):
        policy.using = " ".join(token.text for token in at.group())
    if at.skip("WITH", "CHECK"):
        policy.check = " ".join(token.text for token in at.group())


def pair(tokens: Sequence[Token], first: str, second: str) -> bool:
    """Whether one word follows the other."""
    return any(one.word == first and other.word == second for one, other in pairwise(tokens))


def generates(tokens: Sequence[Token]) -> bool:
    """Whether a column's values are made up: identity, or a default that makes them."""
    if any(token.word == "IDENTITY" for token in tokens):
        return True
    defaults = _after(tokens, "DEFAULT")
    return any(made in token.value.lower() for token in defaults for made in _MAKES_VALUES)


def _after(tokens: Sequence[Token], word: str) -> Sequence[Token]:
    found = next((i for i, token in enumerate(tokens) if token.word == word), len(tokens))
    return tokens[found + 1 :]


def _excluded(tokens: Sequence[Token]) -> tuple[str | None, ...]:
    """The columns of an exclusion constraint that are compared by `=`."""
    found: list[str | None] = []
    for part in split_parts(tokens):
        same = part[-1].text == "=" and part[0].kind in ("word", "quoted")
        found.append(Cursor(part).identifier() if same else None)
    return tuple(found)
