"""The queries inside CREATE FUNCTION and CREATE PROCEDURE in SQL, and RECURSIVE views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lint.schema.ddl import split_parts
from lint.text.lexer import Token, statements
from lint.text.prepare import clip, fold

_SAID = ("WITH", "RECURSIVE", "AS", "SELECT", "FROM")
_MODES = ("IN", "OUT", "INOUT", "VARIADIC")


@dataclass(frozen=True, slots=True)
class Routine:
    """The statements of a body in SQL, and the names of the arguments `$1`, `$2`, ..

    A name is empty where the argument has none.
    """

    statements: tuple[tuple[Token, ...], ...]
    arguments: tuple[str, ...] = ()


def routine(tokens: Sequence[Token], at: int) -> Routine | None:
    """The body of a routine whose FUNCTION or PROCEDURE stands at `at`; None if it is not SQL."""
    opening = next((i for i in range(at, len(tokens)) if tokens[i].text == "("), len(tokens))
    close = _closing(tokens, opening)
    arguments = _arguments(tokens[opening + 1 : close])
    rest = tokens[close + 1 :]
    language = next((i for i, token in enumerate(rest) if token.word == "LANGUAGE"), None)
    if language is not None and fold(_value(rest, language + 1)) != "sql":
        return None
    body = _body(rest, stated=language is not None)
    return None if body is None else Routine(body, arguments)


def recursive_view(tokens: Sequence[Token], at: int) -> tuple[Token, ...] | None:
    """`CREATE RECURSIVE VIEW v (a) AS q` as `WITH RECURSIVE v (a) AS (q) SELECT * FROM v`.

    `at` is where the name begins. None where the statement is not of this form.
    """
    opening = next((i for i in range(at, len(tokens)) if tokens[i].text == "("), None)
    if opening is None or opening == at:
        return None
    close = _closing(tokens, opening)
    if close + 2 >= len(tokens) or tokens[close + 1].word != "AS":
        return None
    name = tokens[opening - 1]
    said = {word: tokens[0].other_word(word) for word in _SAID} | {
        mark: tokens[0].other("op" if mark == "*" else "punct", mark, mark) for mark in "()*"
    }
    return (
        said["WITH"], said["RECURSIVE"], name, *tokens[opening : close + 1], said["AS"], said["("],
        *tokens[close + 2 :], said[")"], said["SELECT"], said["*"], said["FROM"], name,
    )  # fmt: skip


def _value(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].value if at < len(tokens) else ""


def _closing(tokens: Sequence[Token], at: int) -> int:
    depth = 0
    for index in range(at, len(tokens)):
        if tokens[index].kind == "punct":
            depth += {"(": 1, ")": -1}.get(tokens[index].text, 0)
        if depth == 0:
            return index
    return len(tokens)


def _arguments(tokens: Sequence[Token]) -> tuple[str, ...]:
    names = []
    for part in split_parts(tokens):
        modes = [token.word for token in part[:1] if token.word in _MODES]
        named = part[len(modes) :]
        if modes == ["OUT"]:
            continue
        has_name = len(named) > 1 and named[0].kind in ("word", "quoted")
        token = named[0] if has_name else None
        text = "" if token is None else token.value
        names.append(clip(fold(text) if token is not None and token.kind == "word" else text))
    return tuple(names)


def _body(tokens: Sequence[Token], *, stated: bool) -> tuple[tuple[Token, ...], ...] | None:
    depth = 0
    for index, token in enumerate(tokens):
        if token.kind == "punct":
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        if depth or following is None:
            continue
        if token.word == "AS" and following.kind == "string" and stated:
            return _inside(following)
        if token.word == "RETURN":
            return ((token.other_word("SELECT"), *tokens[index + 1 :]),)
        if token.word == "BEGIN" and following.word == "ATOMIC":
            return _atomic(tokens[index + 2 :])
    return None


def _inside(literal: Token) -> tuple[tuple[Token, ...], ...]:
    """The statements of a body that is written as a string."""
    shift = literal.start + literal.text.find(literal.value)
    exact = literal.value in literal.text
    found = []
    for raw in statements(literal.value, psql=False):
        if raw.tokens:
            found.append(
                tuple(
                    t.moved(t.start + shift, t.end + shift)
                    if exact
                    else t.moved(literal.start, literal.end)
                    for t in raw.tokens
                )
            )
    return tuple(found)


def _atomic(tokens: Sequence[Token]) -> tuple[tuple[Token, ...], ...]:
    found: list[list[Token]] = [[]]
    cases = 0
    for token in tokens:
        cases += {"CASE": 1, "END": -1}.get(token.word, 0)
        if cases < 0:
            break
        if token.text == ";":
            found.append([])
        else:
            found[-1].append(token)
    return tuple(
        (part[0].other_word("SELECT"), *part[1:]) if part[0].word == "RETURN" else tuple(part)
        for part in found
        if part
    )
