"""Questions about a tree that need nothing but the tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

from sqlglot import exp

from lint.errors import CannotProve
from lint.prover.functions import AGGREGATES, SAFE, SET_RETURNING
from lint.prover.values import function_name
from lint.text.prepare import clip, fold

QUERIES = (exp.Select, exp.SetOperation, exp.Values, exp.Subquery)
# In these no aggregate of the level is called that they stand in.
_WITHOUT_CALLS = (exp.Column, *QUERIES)


def name_of(identifier: exp.Expr | str | None) -> str:
    """An identifier as the server folds and clips it."""
    if isinstance(identifier, exp.Identifier):
        args = identifier.args
        return _name(args["this"], bool(args.get("quoted")))
    if isinstance(identifier, str):
        return _name(identifier, False)
    raise CannotProve("a name is expected where something else stands")


@lru_cache(maxsize=8192)
def _name(text: str, quoted: bool) -> str:
    return clip(text if quoted else fold(text))


def bare(node: exp.Expr) -> exp.Expr:
    """Without parentheses."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def called(node: exp.Expr) -> str:
    """The name of the function that an expression calls, if it is one without a class."""
    return function_name(node) if isinstance(node, exp.Anonymous) else ""


def is_query(node: exp.Expr) -> bool:
    return isinstance(node, QUERIES)


def conjuncts(node: exp.Expr) -> list[exp.Expr]:
    """What AND joins, from left to right."""
    parts = []
    while isinstance(node, exp.And):
        parts.append(node.expression)
        node = node.this
    return [node, *reversed(parts)]


def parts_of_row(node: exp.Expr) -> Sequence[exp.Expr] | None:
    """The fields of a row constructor, or None."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Tuple):
        return node.expressions
    if isinstance(node, exp.Anonymous) and function_name(node) == "row":
        return node.expressions
    return None


def is_aggregate(node: exp.Expr) -> bool:
    if isinstance(node, exp.Anonymous):
        return function_name(node) in AGGREGATES
    return _is_aggregate(type(node))  # type: ignore[arg-type]  # a class has a hash


@cache
def _is_aggregate(kind: type[exp.Expr]) -> bool:
    if issubclass(kind, exp.AggFunc | exp.WithinGroup | exp.Filter):
        return True
    return issubclass(kind, exp.Func) and any(n.lower() in AGGREGATES for n in kind.sql_names())


def local_nodes(node: exp.Expr) -> Iterator[exp.Expr]:
    """Every node that belongs to this query level: subqueries are not entered."""
    for found in node.walk(prune=lambda n: isinstance(n, QUERIES)):
        if not isinstance(found, QUERIES):
            yield found


def has_aggregate(node: exp.Expr) -> bool:
    """Whether an aggregate of this level is called, other than as a window function."""
    if isinstance(node, _WITHOUT_CALLS):
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


def may_give_rows(node: exp.Expr) -> bool:
    """Whether a set-returning function may be called at this level: of one row it makes several,
    or none."""
    return any(
        isinstance(found, exp.UDTF | exp.Explode | exp.GenerateSeries)
        or (
            isinstance(found, exp.Anonymous)
            and ((name := function_name(found)) in SET_RETURNING or name not in SAFE)
        )
        for found in local_nodes(node)
    )


def has_empty_set(item: exp.Expr) -> bool:
    """Whether a GROUP BY item has a set without keys, which is a group even of no row."""
    if isinstance(item, exp.GroupingSets):
        return any(has_empty_set(part) for part in item.expressions)
    return isinstance(item, exp.Rollup | exp.Cube) or (
        isinstance(item, exp.Tuple) and not item.expressions
    )


def _parts(node: exp.Expr) -> Iterator[tuple[str, exp.Expr]]:
    for key, value in node.args.items():
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, exp.Expr):
                yield key, child
