"""From a statement's tokens to text that the parser reads as PostgreSQL does.

Comments vanish, literals are spelled one way, every placeholder becomes `$n`, and an offset
table leads back to the text as written.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlglot.dialects.postgres import Postgres

from lint.errors import CannotProve
from lint.prover.functions import GRAMMAR, SAFE, SYNTAX
from lint.text.lexer import Token
from lint.text.rewrite import rewritten

_PLAIN_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
# Everything the parser would take for a function of its own, whatever the server makes of it.
_PARSER_FUNCTIONS = frozenset(
    name.lower()
    for name in (
        *Postgres.Parser.FUNCTIONS,
        *Postgres.Parser.FUNCTION_PARSERS,
        *Postgres.Parser.NO_PAREN_FUNCTION_PARSERS,
    )
)


@lru_cache(maxsize=8192)  # a project has few names, and says each of them often
def fold(name: str) -> str:
    """An unquoted identifier as the server folds it: ASCII letters only."""
    return name.translate(_LOWER)


def clip(name: str) -> str:
    """An identifier cut to the server's 63 bytes."""
    if len(name) <= 63 and name.isascii():
        return name
    raw = name.encode()
    return name if len(raw) <= 63 else raw[:63].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A placeholder: `name` is None for positional ones, `label` is how to show it."""

    number: int
    name: str | None
    label: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """Text for the parser. `starts[i]` is where token i begins in it."""

    sql: str
    tokens: tuple[Token, ...]
    starts: tuple[int, ...]
    parameters: dict[int, Parameter]

    def span(self, offset: int) -> tuple[int, int]:
        """The span in the text as written of the token at `offset` of `sql`."""
        index = max(bisect_right(self.starts, offset) - 1, 0)
        token = self.tokens[index]
        return token.start, token.end


def prepare(tokens: Sequence[Token]) -> Prepared:
    """Raises CannotProve where a part is unknown or where server and parser would disagree."""
    _refuse_unreadable(tokens)
    tokens = rewritten(tokens)
    _refuse_lookalikes(tokens)
    numbers = _Numbers(tokens)
    pieces: list[str] = []
    starts: list[int] = []
    at = 0
    for token in tokens:
        piece = numbers.piece(token) if token.kind in ("param", "params") else _spell(token)
        starts.append(at)
        pieces.append(piece)
        at += len(piece) + 1
    return Prepared(" ".join(pieces), tuple(tokens), tuple(starts), numbers.parameters)


def _spell(token: Token) -> str:
    if token.kind == "word":
        folded = fold(token.text)
        return token.text if _PLAIN_WORD.fullmatch(token.text) else f'"{folded}"'
    if token.kind == "string":
        # The parser is not asked what a backslash means.
        return "'" + token.value.replace("'", "''").replace("\\", "⧵") + "'"
    return token.value if token.kind == "op" else token.text


class _Numbers:
    """Gives each placeholder its number: the same name the same, each `%s` or `?` a new one."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.parameters: dict[int, Parameter] = {}
        self._named: dict[str, int] = {}
        self._next = 1 + max(
            (int(t.value[1:]) for t in tokens if t.kind == "param" and t.text[0] == "$"), default=0
        )

    def piece(self, token: Token) -> str:
        if token.kind == "params":
            # As many as the caller likes: never one value.
            pair = self._take(), self._take()
            for number in pair:
                self.parameters[number] = Parameter(number, None, token.text)
            return f"${pair[0]}, ${pair[1]}"
        if token.text[0] == "$":
            number = int(token.value[1:])
            self.parameters[number] = Parameter(number, None, token.text)
        elif token.value in ("%s", "?"):
            number = self._take()
            self.parameters[number] = Parameter(number, None, f"{token.value} (no. {number})")
        else:
            known = self._named.get(token.value)
            number = self._take() if known is None else known
            self._named[token.value] = number
            self.parameters[number] = Parameter(number, token.value, token.text)
        return f"${number}"

    def _take(self) -> int:
        self._next += 1
        return self._next - 1


def _refuse_unreadable(tokens: Sequence[Token]) -> None:
    before = ""
    for token in tokens:
        if token.kind == "hole":
            raise CannotProve("part of the text is not known before it runs", kind="opaque")
        if token.kind == "param" and before == "VALUES":
            # psycopg2's execute_values, and others that put the rows in.
            raise CannotProve("the rows that are put in are not in the statement", kind="opaque")
        before = token.word
        if token.kind == "bad":
            raise CannotProve(f"cannot read {token.text[:20]!r} as PostgreSQL does")


def _refuse_lookalikes(tokens: Sequence[Token]) -> None:
    """A name the parser takes for a function it knows must be PostgreSQL's own function.

    `nvl(a, b)` or `"COUNT"(x)` may be a function of the user's that reads tables; the parser
    would turn both into built-ins.
    """
    for index in range(len(tokens) - 1):
        token, following = tokens[index], tokens[index + 1]
        if following.text != "(" or token.kind not in ("word", "quoted"):
            continue
        exact = fold(token.text) if token.kind == "word" else token.value
        lowered = fold(exact)
        if token.kind == "word" and (exact in SAFE or exact in SYNTAX):
            continue
        if token.kind == "quoted" and exact in SAFE and exact not in GRAMMAR:
            continue
        if lowered == exact and lowered not in _PARSER_FUNCTIONS and lowered not in SAFE | GRAMMAR:
            continue
        before = tokens[index - 1] if index else None
        if before is not None and before.word in ("INTO", "AS"):
            continue
        raise CannotProve(f"function {exact} is not one of PostgreSQL's own")
