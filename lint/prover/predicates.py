"""What a condition implies about columns when it is TRUE, and when it is FALSE.

`when_true` and `when_false` may forget, never invent: a form that is not listed implies nothing.
Subqueries must have been read by the block before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sqlglot import exp

from lint.prover.block import Block
from lint.prover.facts import IMPOSSIBLE, NOTHING, Facts, not_null
from lint.prover.nodes import conjuncts, is_query
from lint.prover.operands import (
    alike,
    bind,
    decided,
    equate,
    is_condition,
    is_null,
    one_value,
    opened,
    parts_of_row,
    quantified,
    strict_columns,
)
from lint.prover.relation import Output

# Members of a list that are looked at; what more of them have in common is chance.
_LONG_LIST = 8
# Expressions whose value is one of their parts', or null.
_CHOICES = (exp.Case, exp.Coalesce, exp.Nullif)


def restrict(block: Block, where: exp.Where | None) -> None:
    """WHERE: what it implies holds of every row that is left."""
    facts = NOTHING
    if where is not None:
        block.visit(where.this)
        facts = when_true(block, where.this)
    block.attach()
    known = block.relation.facts
    block.assume(facts)
    open_ = any(not standing.values for standing in block.relation.standings.values())
    if where is not None and block.doubted and open_ and known != block.relation.facts:
        # What one part of the condition says helps another.
        block.assume(when_true(block, where.this))


def when_true(  # noqa: PLR0911, PLR0912 - one case per form
    block: Block, node: exp.Expr
) -> Facts:
    """Facts of every row for which the condition is TRUE."""
    match node:
        case exp.Paren():
            return when_true(block, node.this)
        case exp.And():
            return NOTHING.both(*[when_true(block, part) for part in conjuncts(node)])
        case exp.Or():
            return _either(block, when_true(block, node.this), when_true(block, node.expression))
        case exp.Not():
            return when_false(block, node.this)
        case exp.Boolean():
            return NOTHING if node.this else IMPOSSIBLE
        case exp.Null() | exp.Cast() if is_null(node):
            return IMPOSSIBLE
        case exp.Is():
            return _is(block, node, holds=True)
        case exp.EQ():
            return _equal(block, node)
        case exp.NEQ():
            return _unequal(block, node)
        case exp.LT() | exp.GT() if one_value(block, node):
            return IMPOSSIBLE
        case exp.NullSafeEQ():
            return _not_distinct(block, node, holds=True)
        case exp.NullSafeNEQ():
            return _not_distinct(block, node, holds=False)
        case exp.In():
            return _in(block, node)
        case exp.Between():
            return _between(block, node)
        case exp.Exists():
            output = block.outputs.get(id(node.this))
            return NOTHING if output is None else output.facts
        case exp.Case() | exp.Coalesce() | exp.Nullif():
            return _chosen(block, node, lambda value: when_true(block, value))
        case _:
            return not_null(strict_columns(block, node))


def when_false(  # noqa: PLR0911, PLR0912 - one case per form
    block: Block, node: exp.Expr
) -> Facts:
    """Facts of every row for which the condition is FALSE."""
    match node:
        case exp.Paren():
            return when_false(block, node.this)
        case exp.Or():
            return when_false(block, node.this).both(when_false(block, node.expression))
        case exp.And():
            return _either(block, when_false(block, node.this), when_false(block, node.expression))
        case exp.Not():
            return when_true(block, node.this)
        case exp.Boolean():
            return IMPOSSIBLE if node.this else NOTHING
        case exp.Null() | exp.Cast() if is_null(node):
            return IMPOSSIBLE
        case exp.NEQ() if not quantified(node):
            return _same_value(block, node.this, node.expression)
        case exp.NullSafeEQ():
            return _not_distinct(block, node, holds=False)
        case exp.NullSafeNEQ():
            return _not_distinct(block, node, holds=True)
        case exp.Is():
            return _is(block, node, holds=False)
        case exp.EQ() if not quantified(node):
            return _other_value(block, node)
        case exp.LTE() | exp.GTE() if one_value(block, node):
            return IMPOSSIBLE
        case exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
            return not_null(strict_columns(block, node))
        case exp.Case() | exp.Coalesce() | exp.Nullif():
            return _chosen(block, node, lambda value: when_false(block, value))
        case _:
            return NOTHING


def _either(block: Block, left: Facts, right: Facts) -> Facts:
    """What holds where one of the two does, of rows of the relation."""
    block.doubted = True
    ledger, known = block.statics.ledger, block.relation.facts
    return ledger.close(known.both(left)).either(ledger.close(known.both(right)))


def _compare(block: Block, left: exp.Expr, right: exp.Expr) -> Facts:
    """`left = right` is TRUE; row constructors field by field."""
    left_parts, right_parts = parts_of_row(left), parts_of_row(right)
    if left_parts is not None and right_parts is not None:
        facts = NOTHING
        if len(left_parts) == len(right_parts):
            for mine, theirs in zip(left_parts, right_parts, strict=True):
                facts = facts.both(_compare(block, mine, theirs))
        return facts
    for side, other in ((left, right), (right, left)):
        if is_null(side):
            return IMPOSSIBLE
        if isinstance(opened(side), _CHOICES):
            return _chosen(block, opened(side), lambda value: _compare(block, value, other))  # noqa: B023 - used at once
    facts = not_null(strict_columns(block, left) | strict_columns(block, right))
    for side in (left, right):
        facts = facts.both(block.found(side))
    one, other_side = block.typed(left), block.typed(right)
    if one is None or other_side is None or not alike(one, other_side):
        return facts
    return facts.both(equate(block, one[0], other_side[0]))


def _equal(block: Block, node: exp.EQ) -> Facts:
    left, right = node.this, node.expression
    if isinstance(right, exp.All):
        return NOTHING
    if isinstance(right, exp.Any):
        return _equal_any(block, left, right)
    return _same_value(block, left, right)


def _unequal(block: Block, node: exp.NEQ) -> Facts:
    return NOTHING if quantified(node) else _other_value(block, node)


def _same_value(block: Block, left: exp.Expr, right: exp.Expr) -> Facts:
    """`left = right` is TRUE. Two conditions are TRUE both, or FALSE both."""
    if not (is_condition(left) or is_condition(right)):
        return _compare(block, left, right)
    return _either(
        block,
        when_true(block, left).both(when_true(block, right)),
        when_false(block, left).both(when_false(block, right)),
    )


def _other_value(block: Block, node: exp.Binary) -> Facts:
    """`left <> right` is TRUE: of two conditions one is TRUE, and the other FALSE."""
    left, right = node.this, node.expression
    if is_condition(left) or is_condition(right):
        return _either(
            block,
            when_true(block, left).both(when_false(block, right)),
            when_false(block, left).both(when_true(block, right)),
        )
    if one_value(block, node):
        return IMPOSSIBLE
    return not_null(strict_columns(block, left) | strict_columns(block, right))


def _equal_any(block: Block, left: exp.Expr, right: exp.Any) -> Facts:
    inner: exp.Expr = right.this
    while isinstance(inner, exp.Paren):
        inner = inner.this
    facts = not_null(strict_columns(block, left))
    if is_query(inner):
        query = right.this if id(right.this) in block.outputs else inner
        return facts.both(_of_rows(block, left, query))
    if isinstance(inner, exp.Array):
        if any(isinstance(part, exp.Query) for part in inner.expressions):
            return facts
        return facts.both(_one_of(block, left, inner.expressions))
    one = block.typed(left)
    if one is not None and isinstance(one[0], int):
        ledger = block.statics.ledger
        ledger.hints[one[0]] = "compared with an array whose members are not known to be one tenant"
        ledger.bound.add(one[0])
    return facts


def _of_rows(block: Block, left: exp.Expr, query: exp.Expr) -> Facts:
    """`left` is among the rows of a query, perhaps of one that is a value: `(SELECT $1)`."""
    output = block.outputs.get(id(query))
    if output is not None:
        return _member(block, left, output)
    value = block.statics.values.read(query, block.statics.parameters)
    return NOTHING if value is None else _compare(block, left, query)


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


def _in(block: Block, node: exp.In) -> Facts:
    fields = parts_of_row(node.this)
    columns = [strict_columns(block, part) for part in (fields or [node.this])]
    facts = not_null(frozenset().union(*columns))
    query = node.args.get("query")
    if query is None and len(node.expressions) == 1 and is_query(node.expressions[0]):
        query = node.expressions[0]
    if query is not None:
        return facts.both(_of_rows(block, node.this, query))
    if node.args.get("unnest") or node.args.get("field") is not None:
        return facts
    return facts.both(_one_of(block, node.this, node.expressions))


def _one_of(block: Block, left: exp.Expr, members: Sequence[exp.Expr]) -> Facts:
    """`left` equals one of the members: what holds whichever it is."""
    if len(members) > 1:
        bind(block, left, members)
    if len(members) > _LONG_LIST:
        return NOTHING
    facts = IMPOSSIBLE
    for member in members:
        facts = _either(block, facts, _compare(block, left, member))
    return facts


def _between(block: Block, node: exp.Between) -> Facts:
    low, high = block.typed(node.args["low"]), block.typed(node.args["high"])
    facts = not_null(strict_columns(block, node.this))
    if low is None or high is None or low[0] != high[0]:
        return facts
    return facts.both(_compare(block, node.this, node.args["low"]))


def _not_distinct(block: Block, node: exp.Binary, *, holds: bool) -> Facts:
    """`IS NOT DISTINCT FROM`, which is never null, holds or does not.

    It equates two nulls as well, so one side must be known not to be.
    """
    left, right = node.this, node.expression
    for side, tested in ((left, right), (right, left)):
        if isinstance(tested, exp.Boolean | exp.Null):
            return _tested(block, side, tested, holds=holds)
    if is_condition(left) or is_condition(right):
        if not (decided(block, left) and decided(block, right)):
            return NOTHING
        return _same_value(block, left, right) if holds else _other_value(block, node)
    if not holds:
        return IMPOSSIBLE if one_value(block, node) else NOTHING
    one, other = block.typed(left), block.typed(right)
    if one is None or other is None or not alike(one, other):
        return NOTHING
    known = block.never_null(one[0]) or block.never_null(other[0])
    return _compare(block, left, right) if known else NOTHING


def _is(block: Block, node: exp.Is, *, holds: bool) -> Facts:
    """What `operand IS tested` (or IS NOT), which is never null, implies when it holds or not."""
    return _tested(block, node.this, node.expression, holds=bool(node.args.get("negate")) != holds)


def _tested(block: Block, operand: exp.Expr, tested: exp.Expr, *, holds: bool) -> Facts:
    """What it implies that `operand` is TRUE, FALSE or NULL, as `tested` says, or is not."""
    if not holds:
        if isinstance(tested, exp.Null):
            return not_null(strict_columns(block, operand))
        if isinstance(tested, exp.Boolean) and decided(block, operand):
            return when_false(block, operand) if tested.this else when_true(block, operand)
        return NOTHING
    if isinstance(tested, exp.Boolean):
        return when_true(block, operand) if tested.this else when_false(block, operand)
    return IMPOSSIBLE if isinstance(tested, exp.Null) and decided(block, operand) else NOTHING


def _chosen(block: Block, node: exp.Expr, result: Callable[[exp.Expr], Facts]) -> Facts:
    """The meet of `result` over the values that an expression may choose, if it is not null."""
    facts = IMPOSSIBLE
    for guard, value in _choices(block, node):
        facts = _either(block, facts, guard.both(result(value)))
    return facts


def _choices(block: Block, node: exp.Expr) -> Iterator[tuple[Facts, exp.Expr]]:
    """The values of a CASE, COALESCE or NULLIF other than null, with what holds where it is it."""
    if isinstance(node, exp.Nullif):
        if not one_value(block, node):
            yield NOTHING, node.this
        return
    if isinstance(node, exp.Coalesce):
        for part in (node.this, *node.expressions):
            yield NOTHING, part
            if decided(block, part):
                return
        return
    passed = NOTHING
    for branch in node.args["ifs"]:
        condition = branch.this
        if node.this is None:
            guard = when_true(block, condition)
        else:
            guard = _compare(block, node.this, condition)
        yield passed.both(guard), branch.args["true"]
        if node.this is None and decided(block, condition):
            passed = passed.both(when_false(block, condition))
    if node.args.get("default") is not None:
        yield passed, node.args["default"]
