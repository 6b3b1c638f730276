"""Which part of a statement reads or writes rows: the query inside PREPARE, EXPLAIN, COPY, .."""

from __future__ import annotations

from collections.abc import Sequence

from lint.prover.functions import SAFE, SYNTAX
from lint.text.lexer import Token
from lint.text.prepare import fold
from lint.text.routines import Routine, recursive_view, routine
from lint.text.words import words
from lint.value import value

# They touch no rows of tables, or none that a tenant could see through them.
_UTILITY = words(
    "SET RESET SHOW BEGIN START COMMIT END ROLLBACK ABORT SAVEPOINT RELEASE LISTEN UNLISTEN NOTIFY "
    "DISCARD CHECKPOINT VACUUM ANALYZE ANALYSE CLUSTER REINDEX COMMENT GRANT REVOKE LOCK ALTER "
    "DROP DEALLOCATE CLOSE FETCH MOVE SECURITY REASSIGN IMPORT REFRESH"
)
_OPAQUE = {
    "DO": "the body of a DO block is not read",
    "CALL": "what a procedure does is not known",
    "EXECUTE": "the prepared statement is judged where it is prepared",
    "LOAD": "what a library does is not known",
}
_QUERY = words("SELECT WITH VALUES TABLE INSERT UPDATE DELETE MERGE")


@value
class Payload:
    """kind: `query` (tokens to prove), `none`, `opaque`, `whole` (tables taken whole: TRUNCATE,
    COPY TO), `loaded` (COPY FROM), `routine` (its `body` is to prove) or `unparsed`. `tokens` are
    the query or the tables' names.
    """

    kind: str
    tokens: tuple[Token, ...] = ()
    reason: str = ""
    body: Routine | None = None


def payload(tokens: Sequence[Token]) -> Payload:
    """Classify one statement."""
    found = _payload(tuple(tokens))
    if found.kind == "none" and any(map(_is_template, tokens)):
        return Payload("opaque", reason="part of the text is not known before it runs")
    return found


def _is_template(token: Token) -> bool:
    """Whether anything may be put in: psql's `:"name"` is a name and no more."""
    return token.kind == "hole" and token.text[:1] != ":"


def _payload(tokens: tuple[Token, ...]) -> Payload:  # noqa: PLR0911, PLR0912 - by first words
    if not tokens:
        return Payload("none")
    word = tokens[0].word
    if word == "SELECT" and _only_settings(tokens):
        return Payload("none")
    if word in _QUERY or tokens[0].text == "(":
        return Payload("query", tokens)
    if word == "PREPARE":
        if _word(tokens, 1) == "TRANSACTION":
            return Payload("none")
        return _after(tokens, "AS", "PREPARE")
    if word == "EXPLAIN":
        return _explained(tokens)
    if word == "DECLARE":
        return _after(tokens, "FOR", "DECLARE")
    if word == "COPY":
        return _copy(tokens)
    if word == "TRUNCATE":
        return Payload("whole", tokens[1:], "TRUNCATE empties the table for all tenants")
    if word == "CREATE":
        return _create(tokens)
    if word in _OPAQUE:
        return Payload("opaque", reason=_OPAQUE[word])
    if word in _UTILITY:
        return Payload("none")
    if tokens[0].kind == "hole":
        return Payload("opaque", reason="the text is not known before it runs")
    return Payload("unparsed", reason=f"{tokens[0].text[:30]} begins no statement that is known")


def _only_settings(tokens: Sequence[Token]) -> bool:
    """Whether it is `SELECT set_config(..)`, which sets the context and reads no table."""
    if not any(token.word == "SET_CONFIG" and fold(token.text) == "set_config" for token in tokens):
        return False
    for index, token in enumerate(tokens):
        following = tokens[index + 1].text if index + 1 < len(tokens) else ""
        if token.word in ("FROM", "TABLE", "WITH", "INTO") or (token.word == "SELECT" and index):
            return False
        name = fold(token.text) if token.kind == "word" else ""
        called = following == "(" and token.kind in ("word", "quoted")
        if called and name != "set_config" and name not in SAFE and name not in SYNTAX:
            return False
        if token.kind in ("hole", "bad"):
            return False
    return True


def _word(tokens: Sequence[Token], index: int) -> str:
    return tokens[index].word if index < len(tokens) else ""


def _outside(tokens: Sequence[Token], word: str, start: int = 0) -> int:
    """The index of `word` outside parentheses, or -1."""
    depth = 0
    for index in range(start, len(tokens)):
        token = tokens[index]
        if token.kind == "punct":
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        elif depth == 0 and token.word == word:
            return index
    return -1


def _after(tokens: tuple[Token, ...], word: str, what: str) -> Payload:
    index = _outside(tokens, word)
    if index < 0 or index + 1 == len(tokens):
        return Payload("unparsed", reason=f"{what} without a query")
    return payload(tokens[index + 1 :])


def _explained(tokens: tuple[Token, ...]) -> Payload:
    index = 1
    if index < len(tokens) and tokens[index].text == "(" and _word(tokens, 2) not in _QUERY:
        depth = 0
        while index < len(tokens):
            depth += {"(": 1, ")": -1}.get(tokens[index].text, 0)
            index += 1
            if depth == 0:
                break
    while _word(tokens, index) in ("ANALYZE", "ANALYSE", "VERBOSE"):
        index += 1
    if index >= len(tokens):
        return Payload("unparsed", reason="EXPLAIN without a statement")
    return payload(tokens[index:])


def _copy(tokens: tuple[Token, ...]) -> Payload:
    if len(tokens) > 1 and tokens[1].text == "(":
        depth = 0
        for index in range(1, len(tokens)):
            depth += {"(": 1, ")": -1}.get(tokens[index].text, 0)
            if depth == 0:
                return payload(tokens[2:index])
        return Payload("unparsed", reason="COPY of a query that does not end")
    to, source = _outside(tokens, "TO"), _outside(tokens, "FROM")
    if to < 0 and source < 0:
        return Payload("unparsed", reason="COPY without TO or FROM")
    names = tokens[1 : max(to, source) if min(to, source) < 0 else min(to, source)]
    opening = next((i for i, token in enumerate(names) if token.text == "("), len(names))
    names = names[:opening]
    if source >= 0 and (to < 0 or source < to):
        return Payload("loaded", names, "the rows that COPY loads are not in the statement")
    return Payload("whole", names, "COPY takes out the rows of all tenants")


def _create(tokens: tuple[Token, ...]) -> Payload:  # noqa: PLR0911 - one return per kind
    index = 1
    noise = ("OR", "REPLACE", "GLOBAL", "LOCAL", "TEMPORARY", "TEMP", "UNLOGGED", "MATERIALIZED")
    while _word(tokens, index) in noise:
        index += 1
    word = _word(tokens, index)
    if word == "RECURSIVE":
        query = recursive_view(_without_tail(tokens), index + 2)
        if query is None:
            return Payload("unparsed", reason="CREATE RECURSIVE VIEW without columns")
        return payload(query)
    if word == "VIEW":
        return _after(_without_tail(tokens), "AS", "CREATE VIEW")
    if word == "TABLE":
        at = _outside(tokens, "AS", index)
        return Payload("none") if at < 0 else payload(_without_tail(tokens)[at + 1 :])
    if word in ("FUNCTION", "PROCEDURE"):
        found = routine(tokens, index)
        if found is None:
            return Payload("opaque", reason="the body of a function is not read")
        return Payload("routine", body=found)
    if word == "RULE":
        return Payload("opaque", reason="a rule rewrites other statements")
    return Payload("none")


def _without_tail(tokens: tuple[Token, ...]) -> tuple[Token, ...]:
    words = [token.word for token in tokens[-4:]]
    for tail in (
        ["WITH", "NO", "DATA"],
        ["WITH", "DATA"],
        ["WITH", "CHECK", "OPTION"],
        ["WITH", "LOCAL", "CHECK", "OPTION"],
        ["WITH", "CASCADED", "CHECK", "OPTION"],
    ):
        if words[-len(tail) :] == tail:
            return tokens[: -len(tail)]
    return tokens


def cascades(tokens: Sequence[Token]) -> bool:
    """Whether CASCADE stands behind the names, and is none of them."""
    names = split_names(tokens)
    return tokens[-1].word == "CASCADE" and bool(names) and names[-1][-1] is not tokens[-1]


def split_names(tokens: Sequence[Token]) -> list[list[Token]]:
    """The names in `[TABLE] [ONLY] a [*], b .. [RESTART IDENTITY] [CASCADE]`."""
    names: list[list[Token]] = [[]]
    for token in tokens:
        if token.text == ",":
            names.append([])
        elif token.word in ("TABLE", "ONLY") and not names[-1]:
            continue
        elif token.word in ("RESTART", "CONTINUE", "CASCADE", "RESTRICT") and names[-1]:
            break
        elif token.text != "*":
            names[-1].append(token)
    return [name for name in names if name]
