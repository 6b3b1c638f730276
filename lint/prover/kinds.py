"""What expressions are read as: which classes of nodes the prover walks, which it refuses."""

from __future__ import annotations

from functools import cache

from sqlglot import exp

from lint.prover.nodes import QUERIES

# Scalar syntax without a meaning of its own here: its parts are walked, its value is opaque.
_PLAIN_NODES = (
    exp.Func,
    exp.Binary,
    exp.Unary,
    exp.Tuple,
    exp.Between,
    exp.In,
    exp.Interval,
    exp.AtTimeZone,
    exp.Order,
    exp.Ordered,
    exp.Where,
    exp.WindowSpec,
    exp.Distinct,
    exp.Slice,
    exp.Bracket,
    exp.Filter,
    exp.WithinGroup,
    exp.Window,
    exp.Any,
    exp.All,
    exp.Exists,
    exp.IntervalSpan,
    exp.Kwarg,
    exp.Variadic,
    exp.IgnoreNulls,
    exp.RespectNulls,
    exp.If,
    exp.Alias,
    exp.JSONKeyValue,
    exp.FormatJson,
    exp.OnCondition,
    exp.Escape,
    exp.HavingMax,
)
_LEAVES = (
    exp.Literal,
    exp.Boolean,
    exp.Null,
    exp.Var,
    exp.DataType,
    exp.DataTypeParam,
    exp.Star,
    exp.JSONPath,
    exp.Parameter,
)
_REFUSED = (exp.Operator, exp.PropertyEQ, exp.Lambda, exp.MatchAgainst, exp.Table)


# The first that a class belongs to is what it is read as.
_KINDS: tuple[tuple[type[exp.Expr], tuple[type[exp.Expr], ...]], ...] = (
    (exp.Column, (exp.Column,)),
    (exp.Query, QUERIES),
    (exp.Dot, (exp.Dot,)),
    (exp.Collate, (exp.Collate,)),
    (exp.Table, _REFUSED),
    (exp.Literal, _LEAVES),
    (exp.Func, _PLAIN_NODES),
)


@cache
def kind_of(node: type[exp.Expr]) -> type[exp.Expr] | None:
    """What the nodes of a class are read as: one class stands for each of `_KINDS`."""
    return next((kind for kind, classes in _KINDS if issubclass(node, classes)), None)
