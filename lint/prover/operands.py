"""What the operands of conditions are: which columns they need, whether they may be null, ..

No condition is interpreted here; `lint.prover.predicates` does that.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from lint.prover.block import Block
from lint.prover.facts import Const, Facts, Term, equality
from lint.prover.values import comparable, function_name

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_STRICT = (
    *_COMPARISONS,
    exp.Like,
    exp.ILike,
    exp.RegexpLike,
    exp.RegexpILike,
    exp.Add,
    exp.Sub,
    exp.Mul,
)
_NEVER_NULL = (exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Exists)
_CONDITIONS = (
    *_COMPARISONS, *_NEVER_NULL, exp.Boolean, exp.Connector, exp.Not, exp.In, exp.Between, exp.Like,
    exp.ILike,
)  # fmt: skip


def strict_columns(block: Block, node: exp.Expr) -> frozenset[int]:
    """Columns that are not null if the value of `node` is not null."""
    while isinstance(node, exp.Paren | exp.Cast | exp.Neg):
        node = node.this
    if isinstance(node, exp.Column):
        col = block.resolve(node)
        return frozenset() if col is None or isinstance(col.term, Const) else frozenset((col.term,))
    if isinstance(node, _STRICT) and not quantified(node):
        return strict_columns(block, node.this) | strict_columns(block, node.expression)
    return frozenset()


def parts_of_row(node: exp.Expr) -> Sequence[exp.Expr] | None:
    """The fields of a row constructor, or None."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Tuple):
        return node.expressions
    if isinstance(node, exp.Anonymous) and function_name(node) == "row":
        return node.expressions
    return None


def is_condition(node: exp.Expr) -> bool:
    return isinstance(opened(node), _CONDITIONS)


def decided(block: Block, node: exp.Expr) -> bool:
    """Whether an expression is never null: a column, a comparison of such, .."""
    while isinstance(node, exp.Paren | exp.Not):
        node = node.this
    if isinstance(node, _NEVER_NULL):
        return True
    if isinstance(node, (*_COMPARISONS, exp.Connector)) and not quantified(node):
        return decided(block, node.this) and decided(block, node.expression)
    side = block.typed(node)
    return side is not None and block.never_null(side[0])


def one_value(block: Block, node: exp.Expr) -> bool:
    """Whether both sides are one and the same value, whatever it is."""
    if quantified(node):
        return False
    left, right = block.typed(node.this), block.typed(node.expression)
    return left is not None and right is not None and left[0] == right[0]


def alike(one: tuple[int | Const, str | None], other: tuple[int | Const, str | None]) -> bool:
    if one[1] is None or other[1] is None:
        typed = [family for _, family in (one, other) if family is not None]
        untyped = [term for term, family in (one, other) if family is None]
        return bool(typed) and all(isinstance(term, Const) for term in untyped)
    return comparable(one[1], other[1])


def equate(block: Block, left: Term, right: Term) -> Facts:
    block.ledger.said.append((left, right))
    return equality(left, right)


def bind(block: Block, left: exp.Expr, members: Sequence[exp.Expr]) -> None:
    one = block.typed(left)
    values = [block.typed(member) for member in members]
    fixed = all(value is not None and isinstance(value[0], Const) for value in values)
    if fixed and one is not None and isinstance(one[0], int):
        block.statics.ledger.bound.add(one[0])


def quantified(node: exp.Expr) -> bool:
    return isinstance(node.args.get("expression"), exp.Any | exp.All)


def is_null(node: exp.Expr) -> bool:
    while isinstance(node, exp.Paren | exp.Cast):
        node = node.this
    return isinstance(node, exp.Null)


def opened(node: exp.Expr) -> exp.Expr:
    """Without parentheses."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node
