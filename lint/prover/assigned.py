"""What a statement's SET and ON CONFLICT clauses name, read from its tokens.

For rules, which also look at statements that the parser does not know. Not a proof: the prover
reads the tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lint.errors import CatalogError
from lint.schema.catalog import Catalog, Table
from lint.schema.ddl import Cursor, split_parts
from lint.text.lexer import Token

# UPDATE after one of these is a lock, a trigger's event or a key's action.
_NOT_A_WRITE = frozenset(("FOR", "KEY", "ON", "OR", "BEFORE", "AFTER", "OF"))
_TELLING = frozenset(("INTO", "UPDATE", "SET", "CONFLICT"))
_AFTER_SET = frozenset(("WHERE", "FROM", "RETURNING", "WHEN"))


@dataclass(frozen=True, slots=True)
class Assigned:
    """A column that SET writes in `table`; `at` is its name's token."""

    table: Table
    column: str
    at: Token


@dataclass(frozen=True, slots=True)
class Arbiter:
    """What ON CONFLICT of an INSERT into `table` decides by; None: every unique key.

    `at` are the tokens that say it, `target` the name of the table.
    """

    table: Table
    columns: tuple[str, ...] | None
    at: tuple[Token, ...]
    target: Token


def assigned(tokens: Sequence[Token], catalog: Catalog) -> Iterator[Assigned]:
    """The columns written by UPDATE, ON CONFLICT DO UPDATE and MERGE, at any depth."""
    for where, table, _ in _targets(tokens, catalog):
        if tokens[where].word == "SET":
            yield from _set(tokens, where + 1, table)


def arbiters(tokens: Sequence[Token], catalog: Catalog) -> Iterator[Arbiter]:
    """The arbiters of ON CONFLICT, at any depth."""
    for where, table, target in _targets(tokens, catalog):
        if tokens[where].word != "CONFLICT":
            continue
        at = Cursor(tokens[where + 1 :])
        if at.opens():
            inner = at.group()
            columns = tuple(part[0].value.lower() for part in split_parts(inner))
            yield Arbiter(table, columns, tuple(inner) or (tokens[where],), target)
        elif at.skip("ON", "CONSTRAINT"):
            named = at.peek()
            name = at.identifier()
            found = next((key.columns for key in table.keys if key.name == name), None)
            if found is not None and named is not None:
                yield Arbiter(table, found, (named,), target)
        else:
            yield Arbiter(table, None, (tokens[where],), target)


def _targets(tokens: Sequence[Token], catalog: Catalog) -> Iterator[tuple[int, Table, Token]]:
    """Where SET or CONFLICT stands, with the table it is about and the token that names it."""
    depth = 0
    into: dict[int, tuple[Table, Token] | None] = {}
    for index, token in enumerate(tokens):
        word = token.word
        if word not in _TELLING:
            if token.kind == "punct":
                depth += {"(": 1, ")": -1}.get(token.text, 0)
            continue
        before = tokens[index - 1].word if index else ""
        if word == "INTO" and before in ("INSERT", "MERGE"):
            into[depth] = _table(tokens, index + 1, catalog)
        elif word == "UPDATE" and before not in _NOT_A_WRITE:
            following = tokens[index + 1].word if index + 1 < len(tokens) else ""
            if following != "SET":  # DO UPDATE SET and THEN UPDATE SET name no table
                into[depth] = _table(tokens, index + 1, catalog)
        elif (word == "SET" and index) or (word == "CONFLICT" and before == "ON"):
            found = into.get(depth)
            if found is not None:
                yield index, *found


def _table(tokens: Sequence[Token], index: int, catalog: Catalog) -> tuple[Table, Token] | None:
    at = Cursor(tokens[index:])
    at.skip("ONLY")
    try:
        name = at.name()
        found = catalog.find(name.schema or None, name.name)
    except CatalogError:
        return None  # not one known table; the prover says so
    return (found, tokens[index + at.at - 1]) if isinstance(found, Table) else None


def _set(tokens: Sequence[Token], start: int, table: Table) -> Iterator[Assigned]:
    end, depth = start, 0
    while end < len(tokens):
        token = tokens[end]
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "punct" else 0
        if depth < 0 or (depth == 0 and token.word in _AFTER_SET):
            break
        end += 1
    for part in split_parts(tokens[start:end]):
        names = [part[0]]
        if part[0].text == "(":
            names = [one[0] for one in split_parts(Cursor(part).group())]
        for name in names:
            if name.kind in ("word", "quoted"):
                yield Assigned(table, Cursor((name,)).identifier(), name)
