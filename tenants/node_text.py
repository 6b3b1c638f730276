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
# Of PostgreSQL's functions those that run SQL given as text, change a setting, read files,
# large objects or the server's own state, or tell what all tenants together have done: a query
# tree does not show what they reach.
_FAR_REACHING = re.compile(
    r"pg_\w+|lo(_\w+|read|write)|dblink\w*|crosstab\w*|connectby|xpath_table|\w+_to_xml\w*"
    r"|set_config|ts_stat|ts_rewrite|nextval|currval|lastval|setval|currtid2?"
    r"|txid_\w+|brin_\w+|gin_\w+|binary_upgrade_\w+",
    re.IGNORECASE,
)
# Words that PostgreSQL takes for the beginning of a clause, a list of sources or a query where
# a parenthesis follows: `ONLY(t)`, `FROM(a JOIN b)`. (Those that read as functions are missing.)
_CLAUSES = frozenset(
    re.findall(
        r"\w+",
        "analyse analyze and as asc asymmetric both case check collate column concurrently "
        "constraint create cross default deferrable delete desc do else end except fetch for "
        "foreign freeze from full grant group having ilike in initially inner insert "
        "intersect into is isnull join lateral leading like limit merge natural notnull null "
        "offset on only or order outer overlaps placing primary references returning rows "
        "select similar symmetric table tablesample then to trailing truncate union unique "
        "update using values variadic verbose when where window with",
    )
)
_TYPE = re.compile(r"[\w ]+(\(\d+(, ?-?\d+)?\))?[\w ]*(\[\d*\])*")
_SYMBOLS = re.compile(r"(?!.*(--|/\*))[-+*/<>=~!@#%^&|?]+")
_WORDS = frozenset(OP.values()) | {"IS DISTINCT FROM", "IS NOT DISTINCT FROM", "SIMILAR TO"}
_GLUE = frozenset({" ", ", ", ",", ".", "=", ""})
_DIRECTION = re.compile(r"(ASC|DESC)?", re.IGNORECASE)
_COLLATION = re.compile(r'[A-Za-z_]\w*|"[\w.@-]+"')
_LOCK = re.compile(r"FOR (UPDATE|NO KEY UPDATE|SHARE|KEY SHARE)", re.IGNORECASE)
_SETS = re.compile(r"(UNION|INTERSECT|EXCEPT)( ALL)?")
_JOINS = frozenset(peewee.JOIN.values())
# The fragments peewee itself puts into a tree. Any other SQL() is the caller's text. (FROM, of
# EXTRACT, is not among them: with an Entity behind it, it would read a table.)
_FRAGMENTS = frozenset(
    {
        *("*", "1", "=", "AND", "ESCAPE", "DISTINCT", "NULL", "OVER", "ORDER BY", "PARTITION BY"),
        *("CURRENT ROW", "GROUP", "TIES", "NO OTHERS", "EXCLUDE", "WHERE", "interval"),
        *("UNBOUNDED FOLLOWING", "UNBOUNDED PRECEDING", "CASE", "WHEN", "THEN", "ELSE", "END"),
        *("INSERT", "ON CONFLICT", "ON CONFLICT ON CONSTRAINT", "EXCLUDED", "DO UPDATE SET"),
        *(
            "ROWS",
            "RANGE",
            "GROUPS",
            "DO NOTHING",
            "ROWS BETWEEN",
            "RANGE BETWEEN",
            "GROUPS BETWEEN",
        ),
        *("ROWS UNBOUNDED PRECEDING", "RANGE UNBOUNDED PRECEDING", "GROUPS UNBOUNDED PRECEDING"),
    }
)
_FRAME = re.compile(r"\d+ (FOLLOWING|PRECEDING)")


def fragment_text(fragment: Any) -> str | None:
    """Return the text of an SQL() unless peewee itself wrote it."""
    text: str = fragment.sql
    # Values without a place in the text would take the place of others.
    if fragment.params or (text not in _FRAGMENTS and not _FRAME.fullmatch(text)):
        return text
    return None


def join_text(join_type: str) -> str | None:
    """Return the type of a join unless it is one of peewee's."""
    return None if join_type in _JOINS else join_type


@lru_cache(maxsize=1024)
def _function(name: str) -> str | None:
    known = _NAME.fullmatch(name) and name.lower() not in _CLAUSES
    return None if known and not _FAR_REACHING.fullmatch(name) else name


def _operator(node: Any) -> str | None:
    op: str = node.op
    return None if op in _WORDS or _SYMBOLS.fullmatch(op) else op


def _ordering(node: Any) -> str | None:
    if not _DIRECTION.fullmatch(node.direction):
        return str(node.direction)
    if node.collation and not _COLLATION.fullmatch(node.collation):
        return str(node.collation)
    if node.nulls and node.nulls.lower() not in ("first", "last"):
        return str(node.nulls)
    return None


def _namespace(node: Any) -> str | None:
    name = str(node._namespace._name)
    return None if _NAME.fullmatch(name) else name


#: Per kind of node: its text where that is raw SQL, else None.
TEXTS: tuple[tuple[type, Callable[[Any], str | None]], ...] = (
    (Function, lambda node: _function(node.name)),
    (Expression, _operator),
    (NodeList, lambda node: None if node.glue in _GLUE else node.glue),
    (Cast, lambda node: None if _TYPE.fullmatch(node._cast) else node._cast),
    (Ordering, _ordering),
    (peewee.ForUpdate, lambda node: None if _LOCK.fullmatch(node._expr) else node._expr),
    (peewee.NamespaceAttribute, _namespace),
    (peewee.BitwiseNegated, lambda node: None if node.op == OP.BITWISE_NEGATION else node.op),
    # Values in the text: peewee quotes strings, and whatever else a value is, it writes out.
    (peewee.ValueLiterals, lambda _node: "values in the text"),
    (CompoundSelectQuery, lambda node: None if _SETS.fullmatch(node.op) else node.op),
)
