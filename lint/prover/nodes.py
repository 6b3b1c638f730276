"""Questions about a tree that need nothing but the tree."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.functions import AGGREGATES
from lint.prover.values import function_name
from lint.text.prepare import clip, fold

QUERIES = (exp.Select, exp.SetOperation, exp.Values, exp.Subquery)


def name_of(identifier: exp.Expr | str | None) -> str:
    """An identifier as the server folds and clips it."""
    if isinstance(identifier, exp.Identifier):
        text = str(identifier.this)
        return clip(text if identifier.args.get("quoted") else fold(text))
    if isinstance(identifier, str):
        return clip(fold(identifier))
    raise CannotProve("a name is expected where something else stands")


def is_query(node: exp.Expr) -> bool:
    return isinstance(node, QUERIES)


def is_aggregate(node: exp.Expr) -> bool:
    if isinstance(node, exp.AggFunc | exp.WithinGroup | exp.Filter):
        return True
    if isinstance(node, exp.Anonymous):
        return function_name(node) in AGGREGATES
    if isinstance(node, exp.Func):
        return any(name.lower() in AGGREGATES for name in node.sql_names())
    return False


def local_nodes(node: exp.Expr) -> Iterator[exp.Expr]:
    """Every node that belongs to this query level: subqueries are not entered."""
    for found in node.walk(prune=lambda n: isinstance(n, QUERIES)):
        if not isinstance(found, QUERIES):
            yield found


def has_aggregate(node: exp.Expr) -> bool:
    """Whether an aggregate of this level is called, other than as a window function."""
    if isinstance(node, QUERIES):
        return False
    if isinstance(node, exp.Window):
        called = node.this
        while isinstance(called, exp.Filter | exp.IgnoreNulls | exp.RespectNulls | exp.WithinGroup):
            called = called.this
        parts = [*called.iter_expressions()]
        parts += [part for key, part in _parts(node) if key != "this"]
        return any(has_aggregate(part) for part in parts)
    if is_aggregate(node):
        return True
    return any(has_aggregate(child) for child in node.iter_expressions())


def _parts(node: exp.Expr) -> Iterator[tuple[str, exp.Expr]]:
    for key, value in node.args.items():
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, exp.Expr):
                yield key, child
