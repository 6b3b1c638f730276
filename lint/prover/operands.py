"""What the operands of conditions are: which columns they need, whether they may be null, ..

No condition is interpreted here; `lint.prover.predicates` does that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot import exp

from lint.prover.block import Block
from lint.prover.facts import Const, Facts, Term, equality, not_null

COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_STRICT = (
    *COMPARISONS,
    exp.Like,
    exp.ILike,
    exp.RegexpLike,
    exp.RegexpILike,
    exp.Add,
    exp.Sub,
    exp.Mul,
)
# Null where their first operand is: NULLIF leaves it, or null.
_OF_ITS_FIRST = (exp.Paren, exp.Cast, exp.Neg, exp.Nullif)
_NEVER_NULL = (exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Exists, exp.Boolean)
_CONDITIONS = (
    *COMPARISONS, *_NEVER_NULL, exp.Connector, exp.Not, exp.In, exp.Between, exp.Like,
    exp.ILike,
)  # fmt: skip
_STABLE = (
    *COMPARISONS, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ, exp.Connector, exp.Not, exp.In,
    exp.Between, exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren,
    exp.Tuple, exp.Coalesce,
)  # fmt: skip


# Expressions whose value is one of their parts', or null.
CHOICES = (exp.Case, exp.Coalesce, exp.Nullif)


def strict(block: Block, *nodes: exp.Expr) -> Facts:
    """What holds if none of the values is null: columns that are not, and what scalar subqueries
    have found."""
    columns: list[int] = []
    found: list[Facts] = []
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.Column):
            col = block.resolve(node)
            if col is not None and isinstance(col.term, int):
                columns.append(col.term)
        elif isinstance(node, _OF_ITS_FIRST):
            waiting.append(node.this)
        elif isinstance(node, _STRICT) and not quantified(node):
            waiting += (node.this, node.expression)
        elif block.outputs:
            found.append(block.found(node))
    return not_null(columns).both(*found) if found else not_null(columns)


def is_condition(node: exp.Expr) -> bool:
    return isinstance(opened(node), _CONDITIONS)


def of_conditions(node: exp.Expr) -> bool:
    """Whether a comparison is one of truth values."""
    return not quantified(node) and (is_condition(node.this) or is_condition(node.expression))


def decided(block: Block, node: exp.Expr) -> bool:
    """Whether an expression is never null: a column, a comparison of such, .."""
    while isinstance(node, exp.Paren | exp.Not):
        node = node.this
    if isinstance(node, _NEVER_NULL):
        return True
    if isinstance(node, (*COMPARISONS, exp.Connector)) and not quantified(node):
        return decided(block, node.this) and decided(block, node.expression)
    side = block.typed(node)
    return side is not None and block.never_null(side[0])


def one_value(block: Block, node: exp.Expr) -> bool:
    """Whether both sides are one and the same value, whatever it is."""
    if quantified(node):
        return False
    left, right = block.typed(node.this), block.typed(node.expression)
    return left is not None and right is not None and left[0] == right[0]


def either(block: Block, left: Facts, right: Facts) -> Facts:
    """What holds where one of the two does, of rows of the relation."""
    block.doubted = True
    ledger, known = block.statics.ledger, block.relation.facts
    return ledger.close(known.both(left)).either(ledger.close(known.both(right)))


def equate(block: Block, left: Term, right: Term) -> Facts:
    block.ledger.said.append((left, right))
    return equality(left, right)


def bind(block: Block, left: exp.Expr, members: Sequence[exp.Expr]) -> None:
    one = block.typed(left)
    values = [block.typed(member) for member in members]
    fixed = all(value is not None and isinstance(value[0], Const) for value in values)
    if fixed and one is not None and isinstance(one[0], int):
        block.statics.ledger.bound.add(one[0])


def is_stable(node: exp.Expr) -> bool:
    """Whether a condition is the same whenever it is asked of a row: it calls no function."""
    return all(isinstance(part, _STABLE) for part in node.walk())


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


def families_of_choice(block: Block, node: exp.Expr) -> frozenset[str | None]:
    """The families of the values that it may choose; of those without a type of their own none."""
    return frozenset(_families(block, node))


def _families(block: Block, node: exp.Expr) -> Iterator[str | None]:
    """The types of which the server makes the one of a choice. None: one that is not known."""
    node = opened(node)
    if isinstance(node, exp.Case):
        parts = [branch.args["true"] for branch in node.args["ifs"]]
        parts += [node.args["default"]] if node.args.get("default") is not None else []
    elif isinstance(node, exp.Coalesce):
        parts = [node.this, *node.expressions]
    elif isinstance(node, exp.Nullif):
        # The comparison may make another type of the first.
        parts = [node.this, node.expression]
    else:
        parts = []
    for part in parts:
        if isinstance(opened(part), CHOICES):
            yield from _families(block, part)
        elif not is_null(part):
            one = block.typed(part)
            if one is None:
                yield None
            elif not isinstance(one[0], Const):
                yield one[1]
            elif one[0].key.startswith("number:") or one[1] is not None:
                yield one[1] or one[0].alone
