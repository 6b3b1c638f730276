"""What a condition implies that looks for a value among others: IN, ANY, BETWEEN.

`equal` says what it implies that two expressions are equal; `lint.prover.predicates` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from lint.prover.block import Block
from lint.prover.facts import IMPOSSIBLE, NOTHING, Facts
from lint.prover.nodes import is_query, parts_of_row
from lint.prover.operands import bind, either, equate, strict
from lint.prover.relation import Output
from lint.prover.values import alike

Equal = Callable[[Block, exp.Expr, exp.Expr], Facts]
# Members of a list that are looked at; what more of them have in common is chance.
_LONG_LIST = 8


def equal_any(block: Block, left: exp.Expr, right: exp.Any, equal: Equal) -> Facts:
    """`left = ANY (..)` is TRUE."""
    inner: exp.Expr = right.this
    while isinstance(inner, exp.Paren):
        inner = inner.this
    facts = strict(block, left)
    if is_query(inner):
        query = right.this if id(right.this) in block.outputs else inner
        return facts.both(_of_rows(block, left, query, equal))
    if isinstance(inner, exp.Array):
        if any(isinstance(part, exp.Query) for part in inner.expressions):
            return facts
        return facts.both(_one_of(block, left, inner.expressions, equal))
    one = block.typed(left)
    if one is not None and isinstance(one[0], int):
        ledger = block.statics.ledger
        ledger.hints[one[0]] = "compared with an array whose members are not known to be one tenant"
        ledger.bound.add(one[0])
    return facts


def _of_rows(block: Block, left: exp.Expr, query: exp.Expr, equal: Equal) -> Facts:
    """`left` is among the rows of a query, perhaps of one that is a value: `(SELECT $1)`."""
    output = block.outputs.get(id(query))
    if output is not None:
        return _member(block, left, output).both(_listed(block, left, query, equal))
    return NOTHING if block.fixed(query) is None else equal(block, left, query)


def _member(block: Block, left: exp.Expr, output: Output) -> Facts:
    """`left` equals a row of the subquery; that row has the subquery's facts."""
    parts = parts_of_row(left)
    fields = [left] if parts is None else list(parts)
    facts = output.facts
    if output.wide or len(fields) != len(output.columns):
        return facts
    for part, column in zip(fields, output.columns, strict=True):
        one = block.typed(part)
        if one is not None and alike(one, (column.term, column.family)):
            facts = facts.both(equate(block, one[0], column.term))
    return facts


def _listed(block: Block, left: exp.Expr, query: exp.Expr, equal: Equal) -> Facts:
    """`left` is among the rows of VALUES, which are a list."""
    while isinstance(query, exp.Subquery | exp.Paren):
        query = query.this
    if not isinstance(query, exp.Values) or query.args.get("alias"):
        return NOTHING
    rows = [row if isinstance(row, exp.Tuple) else exp.Tuple() for row in query.expressions]
    if parts_of_row(left) is not None:
        return _one_of(block, left, rows, equal)
    if any(len(row.expressions) != 1 for row in rows):
        return NOTHING
    return _one_of(block, left, [row.expressions[0] for row in rows], equal)


def is_list(node: exp.In) -> bool:
    """Whether it is IN of values: one of them at least."""
    others = node.args.get("query"), node.args.get("unnest"), node.args.get("field")
    return bool(node.expressions) and not any(others) and not is_query(node.expressions[0])


def within(block: Block, node: exp.In, equal: Equal) -> Facts:
    """`left IN (..)` is TRUE."""
    fields = parts_of_row(node.this)
    facts = strict(block, *(fields or [node.this]))
    query = node.args.get("query")
    if query is None and len(node.expressions) == 1 and is_query(node.expressions[0]):
        query = node.expressions[0]
    if query is not None:
        return facts.both(_of_rows(block, node.this, query, equal))
    if node.args.get("unnest") or node.args.get("field") is not None:
        return facts
    return facts.both(_one_of(block, node.this, node.expressions, equal))


def _one_of(block: Block, left: exp.Expr, members: Sequence[exp.Expr], equal: Equal) -> Facts:
    """`left` equals one of the members: what holds whichever it is."""
    if len(members) > 1:
        bind(block, left, members)
    if len(members) > _LONG_LIST:
        return NOTHING
    facts = IMPOSSIBLE
    for member in members:
        facts = either(block, facts, equal(block, left, member))
    return facts


def between(block: Block, node: exp.Between, equal: Equal) -> Facts:
    """`left BETWEEN low AND high` is TRUE."""
    low, high = block.typed(node.args["low"]), block.typed(node.args["high"])
    facts = strict(block, node.this)
    if low is None or high is None or low[0] != high[0]:
        return facts
    return facts.both(equal(block, node.this, node.args["low"]))
