"""What a condition implies about columns when it is TRUE, and when it is FALSE.

`when_true` and `when_false` may forget, never invent: a form that is not listed implies nothing.
Subqueries must have been read by the block before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlglot import exp

from lint.prover.block import Block
from lint.prover.facts import IMPOSSIBLE, NOTHING, Const, Facts, guarded, null
from lint.prover.members import between, equal_any, is_list, within
from lint.prover.nodes import conjuncts, parts_of_row
from lint.prover.operands import (
    CHOICES,
    COMPARISONS,
    decided,
    either,
    equate,
    families_of_choice,
    is_condition,
    is_null,
    is_stable,
    of_conditions,
    one_value,
    opened,
    quantified,
    strict,
)
from lint.prover.values import alike, is_scalar


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
            return either(block, when_true(block, node.this), when_true(block, node.expression))
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
        case exp.LT() | exp.GT() | exp.LTE() | exp.GTE() if of_conditions(node):
            return _ordered(block, node, holds=True)
        case exp.NullSafeEQ():
            return _not_distinct(block, node, holds=True)
        case exp.NullSafeNEQ():
            return _not_distinct(block, node, holds=False)
        case exp.LT() | exp.GT() | exp.LTE() | exp.GTE() if isinstance(node.expression, exp.Any):
            return strict(block, node.this)
        case exp.In():
            return within(block, node, _compare)
        case exp.Between():
            return between(block, node, _compare)
        case exp.Exists():
            output = block.outputs.get(id(node.this))
            return NOTHING if output is None else output.facts
        case exp.Case() | exp.Coalesce() | exp.Nullif():
            return chosen(block, node, lambda value: when_true(block, value), truth=True)
        case _:
            return strict(block, node)


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
            return either(block, when_false(block, node.this), when_false(block, node.expression))
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
        case exp.In() if is_list(node) and parts_of_row(node.this) is None:
            return strict(block, node.this)
        case exp.LT() | exp.LTE() | exp.GT() | exp.GTE() if of_conditions(node):
            return _ordered(block, node, holds=False)
        case exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
            return strict(block, node)
        case exp.Case() | exp.Coalesce() | exp.Nullif():
            return chosen(block, node, lambda value: when_false(block, value))
        case _:
            return NOTHING


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
        if isinstance(opened(side), CHOICES) and block.fixed(side) is None:
            return chosen(block, opened(side), _found_equal(block, opened(side), other))
    facts = strict(block, left, right)
    one, other_side = block.typed(left), block.typed(right)
    if one is None or other_side is None or not alike(one, other_side):
        return facts
    return facts.both(equate(block, one[0], other_side[0]))


def _found_equal(block: Block, choice: exp.Expr, other: exp.Expr) -> Callable[[exp.Expr], Facts]:
    """What it implies that a choice equals `other`, by the value that it chose.

    Of values of several types it makes one type's, perhaps a float, in which whole numbers that
    differ are the same: then it equates nothing.
    """
    families = families_of_choice(block, choice)
    if len(families) < 2 and None not in families:
        return lambda value: _compare(block, value, other)
    return lambda value: IMPOSSIBLE if is_null(value) else strict(block, value, other)


def _equal(block: Block, node: exp.EQ) -> Facts:
    left, right = node.this, node.expression
    if isinstance(right, exp.All):
        return NOTHING
    if isinstance(right, exp.Any):
        return equal_any(block, left, right, _compare)
    return _same_value(block, left, right)


def _unequal(block: Block, node: exp.NEQ) -> Facts:
    if isinstance(node.expression, exp.Any):
        return strict(block, node.this)
    return NOTHING if quantified(node) else _other_value(block, node)


def _same_value(block: Block, left: exp.Expr, right: exp.Expr) -> Facts:
    """`left = right` is TRUE. Two conditions are TRUE both, or FALSE both."""
    if not (is_condition(left) or is_condition(right)):
        return _compare(block, left, right)
    return either(
        block,
        when_true(block, left).both(when_true(block, right)),
        when_false(block, left).both(when_false(block, right)),
    )


def _other_value(block: Block, node: exp.Binary) -> Facts:
    """`left <> right` is TRUE: of two conditions one is TRUE, and the other FALSE."""
    left, right = node.this, node.expression
    if is_condition(left) or is_condition(right):
        return either(
            block,
            when_true(block, left).both(when_false(block, right)),
            when_false(block, left).both(when_true(block, right)),
        )
    if one_value(block, node):
        return IMPOSSIBLE
    return strict(block, left, right)


def _ordered(block: Block, node: exp.Binary, *, holds: bool) -> Facts:
    """An order of two conditions, FALSE being less than TRUE, is TRUE, or FALSE.

    `p > q`: p is TRUE and q FALSE. `p >= q`, which is `NOT (q > p)`: p is TRUE or q FALSE.
    """
    more, less = node.this, node.expression
    if isinstance(node, exp.LT | exp.LTE):
        more, less = less, more
    if isinstance(node, exp.GT | exp.LT) == holds:
        if not holds:
            more, less = less, more
        return when_true(block, more).both(when_false(block, less))
    if not holds:
        more, less = less, more
    return either(block, when_true(block, more), when_false(block, less))


def _not_distinct(block: Block, node: exp.Binary, *, holds: bool) -> Facts:
    """`IS NOT DISTINCT FROM`, which is never null, holds or does not.

    It holds of two nulls as well: it equates only where they cannot be null both.
    """
    left, right = node.this, node.expression
    for side, tested in ((left, right), (right, left)):
        if isinstance(tested, exp.Boolean | exp.Null):
            return _tested(block, side, tested, holds=holds)
    conditions = is_condition(left) or is_condition(right)
    if not holds:
        if conditions:
            sure = decided(block, left) and decided(block, right)
            return _other_value(block, node) if sure else NOTHING
        return IMPOSSIBLE if one_value(block, node) else NOTHING
    unknown = _unknown(block, left).both(_unknown(block, right))
    if block.ledger.close(block.relation.facts.both(unknown)).impossible:
        return _same_value(block, left, right)
    block.doubted = True
    return _as_far_as(block, left, right)


def _as_far_as(block: Block, left: exp.Expr, right: exp.Expr) -> Facts:
    """`left IS NOT DISTINCT FROM right`: they are equal as far as one of them is not null."""
    one, other = block.typed(left), block.typed(right)
    facts = NOTHING
    if one is None or other is None or not alike(one, other):
        return facts
    for term, _ in (one, other):
        if isinstance(term, int):
            equal = equate(block, one[0], other[0])
            facts = facts.both(guarded([frozenset((term,))], equal))
    return facts


def _unknown(block: Block, node: exp.Expr) -> Facts:
    """What holds where the value is null: of a comparison, that one of its sides is."""
    node = opened(node)
    if isinstance(node, exp.Not):
        return _unknown(block, node.this)
    if decided(block, node):
        return IMPOSSIBLE
    if not is_condition(node):
        one = block.typed(node)
        return null(one[0]) if one is not None and isinstance(one[0], int) else NOTHING
    if isinstance(node, COMPARISONS) and not quantified(node) and parts_of_row(node.this) is None:
        return either(block, _unknown(block, node.this), _unknown(block, node.expression))
    return _other_than(block, node, True).both(_other_than(block, node, False))


def _other_than(block: Block, node: exp.Expr, value: bool) -> Facts:
    """What holds where a condition is not TRUE, or not FALSE: it is the other, or null.

    A conjunction is not FALSE where none of its parts is, and not TRUE where one of them is not.
    """
    node = opened(node)
    if isinstance(node, exp.Not):
        return _other_than(block, node.this, not value)
    if isinstance(node, exp.And | exp.Or):
        left = _other_than(block, node.this, value)
        right = _other_than(block, node.expression, value)
        return (
            either(block, left, right) if isinstance(node, exp.And) == value else left.both(right)
        )
    if not decided(block, node):
        return NOTHING
    return when_false(block, node) if value else when_true(block, node)


def _is(block: Block, node: exp.Is, *, holds: bool) -> Facts:
    """What `operand IS tested` (or IS NOT), which is never null, implies when it holds or not."""
    return _tested(block, node.this, node.expression, holds=bool(node.args.get("negate")) != holds)


def _tested(block: Block, operand: exp.Expr, tested: exp.Expr, *, holds: bool) -> Facts:
    """What it implies that `operand` is TRUE, FALSE or NULL, as `tested` says, or is not."""
    if isinstance(tested, exp.Null):
        if not holds:
            return strict(block, operand)
        return _unknown(block, operand) if _is_scalar(block, operand) else NOTHING
    if not isinstance(tested, exp.Boolean):
        return NOTHING
    if not holds:
        return _other_than(block, operand, bool(tested.this))
    return when_true(block, operand) if tested.this else when_false(block, operand)


def _is_scalar(block: Block, node: exp.Expr) -> bool:
    """Whether it IS NULL only if it is null: a row of nulls is so, too, and is a value."""
    if is_condition(node):
        return True
    typed = block.typed(node)
    return typed is None or isinstance(typed[0], Const) or is_scalar(typed[1])


def chosen(
    block: Block, node: exp.Expr, result: Callable[[exp.Expr], Facts], *, truth: bool = False
) -> Facts:
    """The meet of `result` over the values that an expression may choose, if it is not null.

    A guard that was passed is not TRUE: where it is said again it lets nothing pass, and is no
    value that is TRUE, if `result` is about such (`truth`).
    """
    facts = IMPOSSIBLE
    passed: list[exp.Expr] = []
    for guard, value, condition in _choices(block, node):
        again = condition is not None and opened(condition) in passed
        if not again and not (truth and opened(value) in passed):
            facts = either(block, facts, guard.both(result(value)))
        if condition is not None and is_stable(condition):
            passed.append(opened(condition))
    return facts


def _choices(block: Block, node: exp.Expr) -> Iterator[tuple[Facts, exp.Expr, exp.Expr | None]]:
    """The values of a CASE, COALESCE or NULLIF other than null, with what holds where it is it,
    and the condition that is not TRUE of those that follow."""
    if isinstance(node, exp.Nullif):
        if not one_value(block, node):
            yield NOTHING, node.this, None
        return
    passed = NOTHING
    if isinstance(node, exp.Coalesce):
        for part in (node.this, *node.expressions):
            yield passed, part, None
            passed = passed.both(_unknown(block, part))
            if passed.impossible:
                return
        return
    for branch in node.args["ifs"]:
        condition = branch.this
        if node.this is not None:
            yield _compare(block, node.this, condition), branch.args["true"], None
            continue
        yield passed.both(when_true(block, condition)), branch.args["true"], condition
        passed = passed.both(_other_than(block, condition, True))
    if node.args.get("default") is not None:
        yield passed, node.args["default"], None
