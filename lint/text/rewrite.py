"""Around what the parser does not know: the same statement in words that it does.

Tokens are left out or put in; those put in stand where what they replace stood, so that places
lead back to the text as written. Nothing is rewritten that changes which rows are meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from lint.errors import CannotProve
from lint.text.lexer import Token
from lint.text.words import words

_TOUCHED = words("OVERRIDING ONLY USING AT CURRENT SOME RETURNING MERGE")
_WORD, _TEXT = attrgetter("word"), attrgetter("text")


def rewritten(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """Raises CannotProve where the meaning is known and cannot be said to the parser."""
    tokens = tuple(tokens)
    if _TOUCHED.isdisjoint(map(_WORD, tokens)) and "[" not in map(_TEXT, tokens):
        return tokens
    tokens = _with_closed_source(tokens)
    found: list[Token] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if token.word not in _TOUCHED and token.text != ":":
            found.append(token)
            at += 1
            continue
        following = _words(tokens, at + 1, 2)
        if token.word == "OVERRIDING" and following in (("SYSTEM", "VALUE"), ("USER", "VALUE")):
            at += 3
        elif token.word == "ONLY" and _text(tokens, at + 1) == "(":
            close = _closing(tokens, at + 1)
            found += [token, *tokens[at + 2 : close]]
            at = close + 1
        elif token.word == "USING" and _is_join_alias(tokens, at):
            close = _closing(tokens, at + 1)
            _refuse_used(tokens, tokens[close + 2])
            found += tokens[at : close + 1]
            at = close + 3
        elif token.word == "AT" and following[:1] == ("LOCAL",):
            local = tokens[at + 1]
            found += [token, local.other_word("TIME"), local.other_word("ZONE")]
            found.append(local.other("string", "'local'", "local"))
            at += 2
        elif token.word == "CURRENT" and following[:1] == ("OF",):
            raise CannotProve("which row WHERE CURRENT OF means, the cursor's query decides")
        elif token.word == "RETURNING" and following[:1] == ("WITH",):
            raise CannotProve("RETURNING WITH gives other names to the old and new row")
        elif token.word == "SOME" and _text(tokens, at + 1) == "(":
            found.append(token.other_word("ANY"))
            at += 1
        elif token.text == ":" and _text(tokens, at - 1) == "[" and token.kind == "punct":
            # A slice from the beginning: the parser would see a placeholder.
            found += [token.other("number", "1", "1"), token]
            at += 1
        else:
            found.append(token)
            at += 1
    return tuple(found)


def _with_closed_source(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    """`MERGE .. USING a JOIN b ON .. ON ..` with the join in parentheses."""
    depth = 0
    merge = using = last = -1
    joined = False
    for at, token in enumerate(tokens):
        if token.kind == "punct":
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        elif depth or (merge < 0 and token.word != "MERGE"):
            continue
        elif token.word == "MERGE":
            merge = at
        elif token.word == "USING" and using < 0:
            using = at
        elif token.word == "WHEN":
            break
        elif token.word == "JOIN":
            joined = True
        elif token.word == "ON":
            last = at
    if not joined or using < 0 or last < using:
        return tokens
    opening, closing = (
        tokens[at].other("punct", mark, mark) for at, mark in ((using, "("), (last, ")"))
    )
    return (*tokens[: using + 1], opening, *tokens[using + 1 : last], closing, *tokens[last:])


def _text(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].text if at < len(tokens) else ""


def _words(tokens: Sequence[Token], at: int, count: int) -> tuple[str, ...]:
    return tuple(token.word for token in tokens[at : at + count])


def _closing(tokens: Sequence[Token], at: int) -> int:
    """The index of the parenthesis that closes the one at `at`, or of the last token."""
    depth = 0
    for index in range(at, len(tokens)):
        if tokens[index].kind == "punct":
            depth += {"(": 1, ")": -1}.get(tokens[index].text, 0)
        if depth == 0:
            return index
    return len(tokens) - 1


def _is_join_alias(tokens: Sequence[Token], at: int) -> bool:
    """`USING (a, b) AS j`: a name for the merged columns."""
    if _text(tokens, at + 1) != "(":
        return False
    close = _closing(tokens, at + 1)
    names = tokens[at + 2 : close]
    plain = all(t.kind in ("word", "quoted") or t.text == "," for t in names) and not any(
        t.word in ("SELECT", "VALUES", "TABLE", "WITH") for t in names
    )
    named = close + 2 < len(tokens) and tokens[close + 2].kind in ("word", "quoted")
    return plain and named and _words(tokens, close + 1, 1) == ("AS",)


def _refuse_used(tokens: Sequence[Token], alias: Token) -> None:
    """Left out is a name that nobody uses: else what says it would be another's of that name."""
    if sum(token.value.lower() == alias.value.lower() for token in tokens) > 1:
        raise CannotProve(f"{alias.text} names the merged columns of a join")
