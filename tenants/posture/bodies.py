"""What the body of a function names, found in its text.

Good for every language whose queries look like SQL: enough to say what a person must read.
Where a body is nothing but queries, `reads` is more exact.
"""

from __future__ import annotations

import re

# Names of columns whose values are random.
SECRET = re.compile(r"(?:token|secret|hash|digest|nonce)(?:_|\b)")
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKENS = re.compile(r'"(?:[^"]|"")+"|\w+|[^\w\s]')
# Words after which a table may stand; after the first two there may be several.
_BEFORE = ("from", "using", "join", "into", "update", "table", "truncate")
_BETWEEN = ("only", "lateral", "as")
_CALL = re.compile(r'((?:(?:"[^"]+"|\w+)\s*\.\s*)?(?:"[^"]+"|\w+))\s*\(')


def without_comments(body: str) -> str:
    """A body without its comments. What looks like one in a text goes, too."""
    return _COMMENTS.sub(" ", body)


def tables_named(body: str) -> frozenset[str]:
    """Names, as written but unquoted, that stand in a body where a table may stand.

    Texts of dynamic SQL count as well; a name that the body puts together is not seen.
    """
    found: set[str] = set()
    tokens = [_unquoted(token) for token in _TOKENS.findall(without_comments(body))]
    listing = expecting = False
    place = 0
    while place < len(tokens):
        token = tokens[place].lower()
        place += 1
        if token in _BEFORE:
            expecting, listing = True, token in _BEFORE[:2]
        elif expecting and token not in _BETWEEN:
            expecting = False
            if not _is_name(token):
                listing = False
                continue
            name = tokens[place - 1]
            while tokens[place : place + 1] == ["."] and place + 1 < len(tokens):
                name += "." + tokens[place + 1]
                place += 2
            found.add(name)
            # An alias stands between the name and the comma.
            after = place
            while after < len(tokens) and after - place < 2 and _is_name(tokens[after]):
                if tokens[after] in _BEFORE:
                    break
                after += 1
            if listing and tokens[after : after + 1] == [","]:
                expecting, place = True, after + 1
    return frozenset(found)


def calls_named(body: str) -> frozenset[str]:
    """Names, as written but unquoted, that stand before an opening parenthesis."""
    return frozenset(
        ".".join(_unquoted(part) for part in re.split(r"\s*\.\s*", match))
        for match in _CALL.findall(without_comments(body))
    )


def _is_name(token: str) -> bool:
    return token[0].isalnum() or token[0] == "_" or len(token) > 1


def _unquoted(token: str) -> str:
    if token.startswith('"') and len(token) > 2:
        return token[1:-1].replace('""', '"')
    return token.lower()
