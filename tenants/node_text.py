"""Text that peewee's nodes carry into the SQL as it is: names of functions, types, glue.

What is of a form that can be nothing else passes; any other is the caller's raw SQL, and goes
the way of raw SQL (see `tenants.scoping`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import peewee
from peewee import OP, Cast, CompoundSelectQuery, Expression, Function, NodeList, Ordering

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Of PostgreSQL's functions those that run SQL given as text, change a setting, or read files,
# large objects or the server's own state: a query tree does not show what they reach.
_FAR_REACHING = re.compile(
    r"pg_\w+|lo(_\w+|read|write)|dblink\w*|crosstab\w*|connectby|xpath_table|\w+_to_xml\w*"
    r"|set_config|ts_stat|ts_rewrite",
    re.IGNORECASE,
)
_TYPE = re.compile(r"[\w ]+(\(\d+(, ?-?\d+)?\))?[\w ]*(\[\d*\])*")
_SYMBOLS = re.compile(r"(?!.*(--|/\*))[-+*/<>=~!@#%^&|?]+")
_WORDS = frozenset(OP.values()) | {"IS DISTINCT FROM", "IS NOT DISTINCT FROM", "SIMILAR TO"}
_GLUE = frozenset({" ", ", ", ",", ".", "=", ""})
_DIRECTION = re.compile(r"(ASC|DESC)?", re.IGNORECASE)
_COLLATION = re.compile(r'[\w.@-]+|"[\w.@-]+"')
_LOCK = re.compile(r"FOR (UPDATE|NO KEY UPDATE|SHARE|KEY SHARE)", re.IGNORECASE)
_SETS = re.compile(r"(UNION|INTERSECT|EXCEPT)( ALL)?")
_JOINS = frozenset(peewee.JOIN.values())


def join_text(join_type: str) -> str | None:
    """Return the type of a join unless it is one of peewee's."""
    return None if join_type in _JOINS else join_type


@lru_cache(maxsize=1024)
def _function(name: str) -> str | None:
    return name if not _NAME.fullmatch(name) or _FAR_REACHING.fullmatch(name) else None


def _operator(node: Any) -> str | None:
    op: str = node.op
    return None if op in _WORDS or _SYMBOLS.fullmatch(op) else op


def _ordering(node: Any) -> str | None:
    if not _DIRECTION.fullmatch(node.direction):
        return str(node.direction)
    if node.collation and not _COLLATION.fullmatch(node.collation):
        return str(node.collation)
    return None


#: Per kind of node: its text where that is raw SQL, else None.
TEXTS: tuple[tuple[type, Callable[[Any], str | None]], ...] = (
    (Function, lambda node: _function(node.name)),
    (Expression, _operator),
    (NodeList, lambda node: None if node.glue in _GLUE else node.glue),
    (Cast, lambda node: None if _TYPE.fullmatch(node._cast) else node._cast),
    (Ordering, _ordering),
    (peewee.ForUpdate, lambda node: None if _LOCK.fullmatch(node._expr) else node._expr),
    (CompoundSelectQuery, lambda node: None if _SETS.fullmatch(node.op) else node.op),
)
