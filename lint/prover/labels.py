"""The names of output columns, given or not: what PostgreSQL's FigureColname makes of them."""

from __future__ import annotations

from sqlglot import exp

from lint.prover.functions import GRAMMAR, SAFE
from lint.prover.nodes import name_of
from lint.prover.values import function_name
from lint.text.words import words

# Of built-in types and of syntax. A built-in function may stand in the tree under another name
# than it was written with.
_BUILT_IN = (
    SAFE
    | GRAMMAR
    | words(
        "?column? case array exists overlaps is_normalized xmlexists xmlpi xmlroot "
        "pg_collation_for json_exists json_query json_value merge_action bool int2 int4 int8 "
        "float4 float8 numeric text varchar bpchar char name bytea date time timetz timestamp "
        "timestamptz interval bit varbit json jsonb "
        "jsonpath uuid xml money inet cidr macaddr macaddr8 oid xid tid point box circle path "
        "polygon line lseg int4range int8range numrange tsrange tstzrange daterange tsvector "
        "tsquery regclass regtype regproc regnamespace regrole"
    )
)
_UNNAMED = frozenset(("?column?",))


def may_be(item: exp.Expr, name: str) -> bool:
    """Whether a select list's item is, or may be, a column of that name."""
    names = _figured(item)[0]
    return names is None or name in names


def _figured(node: exp.Expr) -> tuple[frozenset[str] | None, bool]:  # noqa: PLR0911 - one return per form
    """The names it may have (None: any), and whether a cast or CASE around it keeps them."""
    if isinstance(node, exp.Alias):
        return frozenset((name_of(node.args["alias"]),)), True
    if isinstance(node, exp.Paren | exp.Bracket | exp.Collate):
        return _figured(node.this)
    if isinstance(node, exp.Column):
        return (None if node.is_star else frozenset((name_of(node.this),))), True
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
        return frozenset((name_of(node.expression),)), True
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Anonymous):
        return frozenset((function_name(node.expression),)), True
    if isinstance(node, exp.Anonymous):
        return frozenset((function_name(node),)), True
    if isinstance(node, exp.Cast):
        return _or(_figured(node.this), _type(node.to))
    if isinstance(node, exp.Case):
        default = node.args.get("default")
        return _or((_UNNAMED, False) if default is None else _figured(default), {"case"})
    if isinstance(node, exp.Query):
        return _of_query(node), True
    if isinstance(node, exp.Literal | exp.Null | exp.Parameter):
        return _UNNAMED, False
    return _BUILT_IN, False


def _or(
    inner: tuple[frozenset[str] | None, bool], names: set[str] | frozenset[str]
) -> tuple[frozenset[str] | None, bool]:
    known, kept = inner
    return inner if kept or known is None else (known | names, False)


def _type(node: exp.DataType) -> frozenset[str]:
    kind = node.args.get("kind")
    if isinstance(kind, exp.Dot):
        kind = kind.expression
    return frozenset((name_of(kind),)) if isinstance(kind, exp.Identifier) else _BUILT_IN


def _of_query(node: exp.Expr) -> frozenset[str] | None:
    """Of a scalar subquery: its column's, which is that of the first arm."""
    while isinstance(node, exp.Subquery | exp.SetOperation):
        node = node.this
    if isinstance(node, exp.Values):
        return frozenset(("column1",))
    items = node.expressions if isinstance(node, exp.Select) else []
    return _figured(items[0])[0] if len(items) == 1 else None
