"""The form of a statement that ran: its text without comments and literals.

Many texts are of one form, and few forms are judged. What is said of one text holds for another
only where no literal has a say in it. That is not guessed from the text: the statement is judged
a second time with unknown values in the places of its literals, and where that comes to the same,
no value can change it. What cannot be an unknown value (`GROUP BY 1`, `numeric(10, 2)`, what the
configuration declares) is kept, and texts that differ in it are judged each for itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lint.text.lexer import Token
from lint.text.setting import settings
from lint.text.words import FALSE, TRUE, words

_LITERAL = (
    r"(?<![\w$\x01])\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|'(?:[^']|'')*'|/\*.*?\*/|--[^\n]*"
    r'|"[^"]*"|(?<![\w$])\$((?:[^\W\d]\w*)?)\$.*?\$\1\$'
)
_VARIABLE = re.compile(_LITERAL, re.DOTALL)
# A string with escapes ends by other rules; to look for one costs, and few texts have any.
_ESCAPED = re.compile(r"(?<![\w$])[eE]'(?:[^'\\]|''|\\.)*'|" + _LITERAL, re.DOTALL)
_LIST = re.compile(r"\bIN\s*\(\s*(\x01\d+(?:\s*,\s*\x01\d+)+)\s*\)", re.IGNORECASE)
_NUMBER = re.compile(r"\x01\d+")

# `DATE '2020-01-01'` is `'2020-01-01'::date`.
_TYPED = words("INTERVAL DATE TIMESTAMP TIME TIMESTAMPTZ TIMETZ")
_FIELDS = words("YEAR MONTH DAY HOUR MINUTE SECOND TO")
# Behind another word a literal belongs to it: `uuid '..'`, `ZONE '..'`.
_BEFORE_LITERAL = words(
    "SELECT WHERE AND OR NOT ON HAVING IN VALUES LIMIT OFFSET WHEN THEN ELSE LIKE ILIKE BETWEEN "
    "RETURNING IS CASE BY FROM TO FIRST NEXT DISTINCT ALL"
)
_WITH_SIZE = words(
    "VARCHAR CHAR CHARACTER VARYING BPCHAR NUMERIC DECIMAL DEC BIT TIME TIMESTAMP TIMESTAMPTZ "
    "TIMETZ FLOAT INTERVAL VECTOR HALFVEC"
)
_LISTS = words("GROUP ORDER PARTITION")
_AFTER_LIST = words(
    "HAVING LIMIT OFFSET FETCH FOR WINDOW UNION INTERSECT EXCEPT RETURNING RANGE ROWS GROUPS WHERE "
    "SELECT FROM"
)
# Placeholders that no text has: a server binds at most 65,535.
_UNKNOWN = 100_000


def form_of(text: str) -> str:
    """A text without comments and literals; equal literals keep one number."""
    return formed(text)[0]


def formed(text: str) -> tuple[str, tuple[str, ...]]:
    """The form of a text, and its literals by their numbers."""
    numbers: dict[str, str] = {}
    nested = False

    def put(match: re.Match[str]) -> str:
        nonlocal nested
        found = match.group()
        known = numbers.get(found)
        if known is not None:
            return known
        first = found[0]
        if first in "/-":
            nested = nested or "/*" in found[2:]
            return " "
        if first == '"':
            return found
        known = numbers[found] = f"\x01{len(numbers)}"
        return known

    pattern = _ESCAPED if "E'" in text or "e'" in text else _VARIABLE
    form = pattern.sub(put, text)
    if nested:
        return text, ()  # where a comment ends inside another, only the lexer knows
    if "," in form:
        form = _LIST.sub(_several, form)
    return form, tuple(numbers)


def _several(match: re.Match[str]) -> str:
    """Two values or twenty are all the same; one that is written twice is one."""
    alike = len(set(_NUMBER.findall(match[1]))) == 1
    return match.group() if alike else "IN (\x01, \x01)"


@dataclass(frozen=True, slots=True)
class Loose:
    """A statement with unknown values for literals. `kept` are the numbers of those that stand,
    None where none could be replaced."""

    tokens: tuple[Token, ...]
    kept: frozenset[int] | None


def loosened(
    tokens: Sequence[Token], literals: Mapping[str, int], declared: frozenset[str]
) -> Loose:
    """Put unknown values in the places of a statement's literals, known by text to their numbers.

    `declared` are the values that the declared sources are written with.
    """
    first = tokens[0].word if tokens else ""
    found = list(settings(tokens))
    if first in ("CREATE", "DO") or any(not _harmless(setting.name) for setting in found):
        return Loose(tuple(tokens), None)
    named = {setting.name for setting in found}
    made: list[Token] = []
    kept: set[int] = set()
    lists = _Lists()
    for at, token in enumerate(tokens):
        before = tokens[at - 1] if at else None
        lists.take(token, before, tokens[at - 2] if at > 1 else None)
        if token.kind not in ("string", "number"):
            made.append(token)
            continue
        number = literals.get(token.text)
        stands = token.value in declared or token.value.lower() in named
        # Whether it is for the transaction or for the session, a string may say, too.
        stands |= bool(named) and token.value.lower() in TRUE | FALSE
        stands |= lists.ordinal(token, before) or lists.sized or _belongs(token, before, tokens, at)
        if number is None and token.value not in declared:
            return Loose(tuple(tokens), None)
        if stands or number is None:
            made.append(token)
            kept |= set() if number is None else {number}
            continue
        label = f"${_UNKNOWN + number}"
        unknown = token.other("param", label, label)
        if token.kind == "string" and before is not None and before.word in _TYPED:
            made[-1:] = [unknown, token.other("punct", "::", "::"), before]
        else:
            made.append(unknown)
    return Loose(tuple(made), frozenset(kept))


def _harmless(name: str) -> bool:
    """Whether it is all the same what a setting is set to: one of the application's own."""
    return "." in name


def _belongs(token: Token, before: Token | None, tokens: Sequence[Token], at: int) -> bool:
    """Whether a string is part of what the word before it says."""
    if token.kind != "string" or before is None or before.kind not in ("word", "quoted"):
        return False
    if before.word in _TYPED:
        return at + 1 < len(tokens) and tokens[at + 1].word in _FIELDS
    return before.word not in _BEFORE_LITERAL


class _Lists:
    """Where a number is the place of a column (`ORDER BY 1`) or the size of a type."""

    def __init__(self) -> None:
        # For each open parenthesis, whether it is such a list or such a type.
        self._open: list[tuple[bool, bool]] = [(False, False)]

    @property
    def sized(self) -> bool:
        return self._open[-1][1]

    def take(self, token: Token, before: Token | None, first: Token | None) -> None:
        listed, sized = self._open[-1]
        word = token.word
        if word == "BY" and before is not None and before.word in _LISTS:
            self._open[-1] = True, sized
        elif word in _AFTER_LIST:
            self._open[-1] = False, sized
        elif token.kind == "punct" and token.text == "(":
            said = before.word if before is not None else ""
            inner = listed and (said in ("BY", "ROLLUP", "CUBE", "SETS") or _opens(before))
            inner |= said == "ON" and first is not None and first.word == "DISTINCT"
            self._open.append((inner, said in _WITH_SIZE))
        elif token.kind == "punct" and token.text == ")" and len(self._open) > 1:
            self._open.pop()

    def ordinal(self, token: Token, before: Token | None) -> bool:
        if not self._open[-1][0] or before is None:
            return False
        return token.kind == "number" and (before.word == "BY" or _opens(before))


def _opens(token: Token | None) -> bool:
    return token is not None and token.kind == "punct" and token.text in (",", "(")
