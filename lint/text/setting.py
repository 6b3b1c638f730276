"""SET and set_config, read from tokens: what is set, how long for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lint.schema.ddl import split_parts
from lint.text.lexer import Token
from lint.text.prepare import fold


@dataclass(frozen=True, slots=True)
class Setting:
    """`name` in lower case, `local` if it ends with the transaction, `start` and `end` its place.

    `value` is the literal or word it is set to, None where that is not known.
    """

    name: str
    local: bool
    value: str | None
    start: int
    end: int


def settings(tokens: Sequence[Token]) -> Iterator[Setting]:
    """What a statement sets, by SET, RESET or calls of set_config with a literal name."""
    first = tokens[0].word if tokens else ""
    if first in ("SET", "RESET") and len(tokens) > 1:
        yield from _set(tokens)
    for index, token in enumerate(tokens):
        if token.word != "SET_CONFIG" or fold(token.text) != "set_config":
            continue
        if index + 1 < len(tokens) and tokens[index + 1].text == "(":
            yield from _call(tokens, index)


def _set(tokens: Sequence[Token]) -> Iterator[Setting]:
    index = 1
    local = tokens[index].word == "LOCAL"
    if tokens[index].word in ("LOCAL", "SESSION") and tokens[2:3] and tokens[2].word != "TO":
        index += 1
    name = fold(tokens[index].value)
    if name == "session" or (name == "authorization" and tokens[index - 1].word == "SESSION"):
        name = "session authorization"
    while index + 2 < len(tokens) and tokens[index + 1].text == ".":
        name += "." + fold(tokens[index + 2].value)
        index += 2
    value = tokens[-1].value if tokens[-1].kind in ("word", "quoted", "string", "number") else None
    if tokens[0].word == "RESET":
        value = None
    yield Setting(name, local, value, tokens[0].start, tokens[-1].end)


def _call(tokens: Sequence[Token], index: int) -> Iterator[Setting]:
    depth, end = 0, index + 1
    while end < len(tokens):
        depth += {"(": 1, ")": -1}.get(tokens[end].text, 0) if tokens[end].kind == "punct" else 0
        if depth == 0:
            break
        end += 1
    parts = split_parts(tokens[index + 2 : end])
    if len(parts) != 3 or parts[0][0].kind != "string":
        return
    last = parts[2][0]
    local = fold(last.value) in ("true", "t", "on", "1", "yes")
    value = parts[1][0].value if len(parts[1]) == 1 and parts[1][0].kind == "string" else None
    place = tokens[min(end, len(tokens) - 1)].end
    yield Setting(parts[0][0].value.lower(), local, value, tokens[index].start, place)
