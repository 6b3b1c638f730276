"""Aggregates: a query with one, and no GROUP BY, has a row whatever its WHERE says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlglot import exp

from tenants.policy_sql.scale import Knowledge
from tenants.policy_sql.trees import bare, called

# What the parser does not know for one; pg_aggregate of PostgreSQL 14 to 18.
_NAMES = frozenset(
    re.findall(
        r"\w+",
        """any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop
    covar_samp cume_dist dense_rank every json_agg json_agg_strict json_arrayagg json_object_agg
    json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict json_objectagg
    jsonb_agg jsonb_agg_strict jsonb_object_agg jsonb_object_agg_strict jsonb_object_agg_unique
    jsonb_object_agg_unique_strict max min mode percent_rank percentile_cont percentile_disc
    range_agg range_intersect_agg rank regr_avgx regr_avgy regr_count regr_intercept regr_r2
    regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp string_agg sum var_pop
    var_samp variance xmlagg""",
    )
)
_OF_OURS = "aggregate_dummy"  # the body of every aggregate that somebody made
_ONE_OF_THEM = (exp.Min, exp.Max, exp.AnyValue)
# Among whose sets of columns may be the empty one; `()` is a tuple.
_SETS = (exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple)


def _aggregates(tree: exp.Expr, known: Knowledge, *, doubt: bool = True) -> Iterator[exp.Expr]:
    """The aggregates in an expression, or what may be one; subqueries' own included."""
    for node in tree.walk():
        if isinstance(node.parent, exp.Window) and node.arg_key == "this":
            continue
        if isinstance(node, exp.AggFunc) or (
            isinstance(node, exp.Anonymous) and _may_aggregate(node, known, doubt)
        ):
            yield node


def _may_aggregate(node: exp.Anonymous, known: Knowledge, doubt: bool) -> bool:
    outer = node.parent
    qualified = isinstance(outer, exp.Dot) and outer.expression is node
    name, arguments = called(outer if qualified and outer is not None else node)
    routine = known.functions.get((name, len(arguments)))
    if routine is not None:
        return routine.body.strip() == _OF_OURS
    schema, _, last = name.rpartition(".")
    return last.lower() in _NAMES or (doubt and schema not in ("", "pg_catalog", "auth"))


def collapses(query: exp.Select, known: Knowledge) -> bool:
    """Whether a query has a row where its WHERE admits none: an aggregate over all rows."""
    group = query.args.get("group")
    if group is not None:
        return not group.expressions or any(isinstance(e, _SETS) for e in group.expressions)
    if query.args.get("having") is not None:
        return True
    asked = [*query.expressions, *((query.args["order"],) if query.args.get("order") else ())]
    return any(_has(part, known, doubt=bool(query.args.get("from_"))) for part in asked)


def _has(tree: exp.Expr, known: Knowledge, *, doubt: bool = True) -> bool:
    return next(_aggregates(tree, known, doubt=doubt), None) is not None


def presupposed(value: exp.Expr, known: Knowledge) -> list[exp.Expr] | None:
    """What a row has to meet for a condition on aggregates to be true; None if it may be true
    of no rows at all.

    `count(*) > 0` asks for a row, `bool_or(c)` for one that meets c.
    """
    node = value.unnest() if isinstance(value, exp.Paren) else value
    if isinstance(node, exp.Cast):
        return presupposed(node.this, known)
    if isinstance(node, exp.And):
        return next(
            (found for p in node.flatten() if (found := presupposed(p, known)) is not None), None
        )
    if isinstance(node, exp.Coalesce):
        rest = [bare(other) for other in node.expressions]
        if all(isinstance(other, exp.Boolean) and not other.this for other in rest):
            return presupposed(node.this, known)
        return None
    counted = _counted(node)
    inner, met = _filtered(node if counted is None else counted)
    if isinstance(inner, exp.Count) and counted is not None:
        return met
    of = _of_each(inner) if counted is None else None
    return None if of is None or _has(of, known) else [*met, of]


def _of_each(node: exp.Expr) -> exp.Expr | None:
    """`c` of `bool_or(c)` and `bool_and(c)`, which are NULL of no rows."""
    if isinstance(node, exp.LogicalOr | exp.LogicalAnd):
        asked: exp.Expr = node.this
        return asked
    if isinstance(node, exp.Anonymous) and node.name.lower() == "every":
        return next(iter(node.expressions), None)
    return None


def _counted(node: exp.Expr) -> exp.Expr | None:
    """`n` of `n > 0`, `n >= 1`, `n <> 0` and the same turned around."""
    forms: tuple[tuple[type[exp.Expr], int, str], ...] = (
        (exp.GT, 0, "this"), (exp.GTE, 1, "this"), (exp.NEQ, 0, ""), (exp.EQ, 1, ""),
        (exp.LT, 0, "expression"), (exp.LTE, 1, "expression"),
    )  # fmt: skip
    for kind, least, side in forms:
        if not isinstance(node, kind):
            continue
        for name, other in (("this", "expression"), ("expression", "this")):
            number = bare(node.args[other])
            if side not in ("", name) or not (isinstance(number, exp.Literal) and number.is_int):
                continue
            exact = kind is exp.NEQ
            if int(number.this) == least if exact else int(number.this) >= least:
                found: exp.Expr = bare(node.args[name])
                return found
    return None


def _filtered(node: exp.Expr) -> tuple[exp.Expr, list[exp.Expr]]:
    """An aggregate without its FILTER, and what that asks of the rows."""
    if isinstance(node, exp.Filter):
        return node.this, [node.expression.this]
    return node, []


def chosen(query: exp.Select, known: Knowledge) -> exp.Expr | None:
    """The expression of whose values a query's one value is: itself, or `x` of `max(x)`."""
    plain = query.expressions[0].unalias()
    node, _ = _filtered(bare(plain))
    if isinstance(node, _ONE_OF_THEM) and not _has(node.this, known):
        one: exp.Expr = node.this
        return one
    return None if _has(plain, known, doubt=bool(query.args.get("from_"))) else plain
