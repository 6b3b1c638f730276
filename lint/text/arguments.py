"""Which calls the parser reads without some of their arguments.

It knows functions of many dialects, and by how many arguments: of `date_bin(a, b, c)` it keeps
two. What is dropped is in no tree, so nobody would ask what it reads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import SqlglotError

from lint.text.lexer import Token

# The functions of which the parser may drop one have fewer arguments.
_MOST = 8
_STEP = {"(": 1, "[": 1, ")": -1, "]": -1}
_LOCK = threading.Lock()


def drops(name: str, tokens: Sequence[Token], opening: int) -> bool:
    """Whether of this call's arguments the parser keeps fewer than there are.

    `opening` is the index of its parenthesis, `name` the function's in lower case.
    """
    return _may_drop(name) and _drops(name, _number(tokens, opening))


@cache
def _may_drop(name: str) -> bool:
    return any(_drops(name, number) for number in range(1, _MOST))


@cache
def _drops(name: str, number: int) -> bool:
    arguments = [f"argument_{index}" for index in range(number)]
    with _LOCK:
        try:
            (tree,) = Postgres().parse(f"SELECT {name}({', '.join(arguments)})")
        except SqlglotError:
            return False  # nor does it read the statement
    if tree is None:
        return False
    kept = {column.name.lower() for column in tree.find_all(exp.Column)}
    return not kept.issuperset(arguments)


def _number(tokens: Sequence[Token], opening: int) -> int:
    depth, number, anything = 0, 1, False
    for token in tokens[opening:]:
        if token.kind == "punct":
            depth += _STEP.get(token.text, 0)
            if depth == 0:
                break
            number += depth == 1 and token.text == ","
        anything = anything or depth > 1 or token.text != "("
    return number if anything else 0
