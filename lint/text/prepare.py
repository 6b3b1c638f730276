"""From a statement's tokens to the parser's, which it reads as PostgreSQL does.

The parser's own lexer sees no text: comments have vanished, a literal is what the server takes
it for, every placeholder is `$n`. What the parser says of an offset leads back to a token.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from operator import attrgetter

from sqlglot.dialects.postgres import Postgres
from sqlglot.tokenizer_core import Token as Parsed
from sqlglot.tokenizer_core import TokenType

from lint.errors import CannotProve
from lint.prover.functions import GRAMMAR, SAFE, SYNTAX
from lint.text.arguments import drops
from lint.text.lexer import Token
from lint.text.rewrite import rewritten
from lint.value import value

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
# Two words that are one to the parser: GROUP BY, ..
_PAIRS = {
    tuple(text.split(" ")): kind
    for text, kind in Postgres.Tokenizer.KEYWORDS.items()
    if " " in text
}
_SECOND_WORDS = frozenset(second for _, second in _PAIRS)
_TOKENIZER = Postgres().tokenizer()
_LOCK = threading.Lock()
_LITERALS = {"string": TokenType.STRING, "quoted": TokenType.IDENTIFIER}
# What a word, a number or a mark alone is to the parser: learned by asking, once for each.
_KNOWN: dict[str, TokenType] = {}
_MOST_KNOWN = 10_000
_FIXED = frozenset(("word", "number", "op", "punct"))
_KIND, _WORD = attrgetter("kind"), attrgetter("word")
# The parser asks whether two tokens touch: those that one token becomes do, others never.
_APART = 8
_NO_TOKEN = Token("punct", "", "", 0, 0)


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


@value
class Parameter:
    """A placeholder: `name` is None for positional ones, `label` is how to show it."""

    number: int
    name: str | None
    label: str


@value
class Prepared:
    """`parsed` are the parser's tokens; what it met at an offset comes from one of `tokens`."""

    tokens: tuple[Token, ...]
    parsed: list[Parsed]
    parameters: dict[int, Parameter]

    def span(self, offset: int) -> tuple[int, int]:
        """The span in the text as written of what the parser met at `offset`."""
        token = self.tokens[offset // _APART]
        return token.start, token.end


def prepare(tokens: Sequence[Token]) -> Prepared:
    """Raises CannotProve where a part is unknown or where server and parser would disagree."""
    _refuse_unreadable(tokens)
    tokens = rewritten(tokens)
    numbers = _Numbers(tokens)
    parsed: list[Parsed] = []
    before = last = _NO_TOKEN
    for at, token in zip(range(0, len(tokens) * _APART, _APART), tokens, strict=True):
        kind, text, value, _, _, word = token
        if text == "(" and last.kind in ("word", "quoted"):
            _refuse_lookalike(last, before)
            if _is_short(last, before, tokens, at // _APART):
                # By its full name the parser takes it for no function that it knows.
                for kind_, said in ((TokenType.VAR, "pg_catalog"), (TokenType.DOT, ".")):
                    place = at - _APART
                    parsed.insert(len(parsed) - 1, Parsed(kind_, said, 1, place, place, place))
        # By its kind first: a placeholder may have a word's name.
        meant = _KNOWN.get(value) if kind in _FIXED else _LITERALS.get(kind)
        if word in _SECOND_WORDS and (last.word, word) in _PAIRS:
            meant = _PAIRS[last.word, word]
            parsed[-1] = Parsed(meant, f"{last.word} {word}", 1, at, at - _APART, at)
        elif meant is not None:
            parsed.append(Parsed(meant, value, 1, at, at, at))
        else:
            spelled = _alone(kind, value) if kind in _FIXED else numbers.spelled(token)
            for place, (meant, said) in enumerate(spelled, at):
                parsed.append(Parsed(meant, said, 1, at, place, place))
        before, last = last, token
    return Prepared(tuple(tokens), parsed, numbers.parameters)


def _alone(kind: str, text: str) -> tuple[tuple[TokenType, str], ...]:
    """What the parser takes a word, a number or a mark for."""
    if kind == "word" and _PLAIN_WORD.fullmatch(text):
        found: tuple[tuple[TokenType, str], ...]
        found = ((Postgres.Tokenizer.KEYWORDS.get(text.upper(), TokenType.VAR), text),)
    elif kind == "word":
        return ((TokenType.IDENTIFIER, fold(text)),)
    else:
        with _LOCK:
            found = tuple((token.token_type, token.text) for token in _TOKENIZER.tokenize(text))
    if len(found) == 1 and len(_KNOWN) < _MOST_KNOWN:
        _KNOWN[text] = found[0][0]
    return found


class _Numbers:
    """Gives each placeholder its number: the same name the same, each `%s` or `?` a new one."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.parameters: dict[int, Parameter] = {}
        self._tokens = tokens
        self._named: dict[str, int] = {}
        self._last = 0

    def spelled(self, token: Token) -> Iterator[tuple[TokenType, str]]:
        """The parser's tokens for a placeholder."""
        if token.kind == "params":
            # As many as the caller likes: never one value.
            for comma in (False, True):
                number = self._take()
                self.parameters[number] = Parameter(number, None, token.text)
                if comma:
                    yield TokenType.COMMA, ","
                yield from _parameter(number)
        else:
            yield from _parameter(self._number(token))

    def _number(self, token: Token) -> int:
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
        return number

    def _take(self) -> int:
        """A number that no placeholder has."""
        if not self._last:
            self._last = max(
                (int(t.value[1:]) for t in self._tokens if t.kind == "param" and t.text[0] == "$"),
                default=0,
            )
        self._last += 1
        return self._last


def _parameter(number: int) -> tuple[tuple[TokenType, str], ...]:
    return (TokenType.PARAMETER, "$"), (TokenType.NUMBER, str(number))


def _refuse_unreadable(tokens: Sequence[Token]) -> None:
    kinds = set(map(_KIND, tokens))
    put_in = "param" in kinds and "VALUES" in map(_WORD, tokens)
    if not (put_in or "hole" in kinds or "bad" in kinds):
        return
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


def _refuse_lookalike(token: Token, before: Token) -> None:
    """A name the parser takes for a function it knows must be PostgreSQL's own function.

    `nvl(a, b)` or `"COUNT"(x)` may be a function of the user's that reads tables; the parser
    would turn both into built-ins. `before` is what stands before the name.
    """
    if before.word not in ("INTO", "AS") and _is_lookalike(token.kind, token.value):
        raise CannotProve(
            f"function {_exact(token.kind, token.value)} is not one of PostgreSQL's own"
        )


def _is_short(token: Token, before: Token, tokens: Sequence[Token], opening: int) -> bool:
    """Whether it calls a function of PostgreSQL's of which the parser would drop an argument."""
    name = _exact(token.kind, token.value)
    known = name in SAFE and name in _PARSER_FUNCTIONS and before.text != "."
    return known and before.word not in ("INTO", "AS") and drops(name, tokens, opening)


def _exact(kind: str, name: str) -> str:
    return fold(name) if kind == "word" else name


@lru_cache(maxsize=8192)
def _is_lookalike(kind: str, name: str) -> bool:
    exact = _exact(kind, name)
    lowered = fold(exact)
    if kind == "word" and (exact in SAFE or exact in SYNTAX):
        return False
    if kind == "quoted" and exact in SAFE and exact not in GRAMMAR:
        return False
    return lowered != exact or lowered in _PARSER_FUNCTIONS or lowered in SAFE | GRAMMAR
