"""What a condition implies about columns when it is TRUE, and when it is FALSE.

`when_true` and `when_false` may forget, never invent: a form that is not listed implies nothing.
Subqueries must have been read by the block before.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from lint.prover.block import Block
from lint.prover.facts import IMPOSSIBLE, NOTHING, Const, Facts, Term, equality, not_null
from lint.prover.nodes import is_query
from lint.prover.relation import Output
from lint.prover.values import function_name

_COMPARISONS = exp.EQ | exp.NEQ | exp.LT | exp.LTE | exp.GT | exp.GTE
_STRICT = (
    exp.EQ,
    exp.NEQ,
    exp.LT,
    exp.LTE,
    exp.GT,
    exp.GTE,
    exp.Like,
    exp.ILike,
    exp.RegexpLike,
    exp.RegexpILike,
    exp.Add,
    exp.Sub,
    exp.Mul,
)


def restrict(block: Block, where: exp.Where | None) -> None:
    """WHERE: what it implies holds of every row that is left."""
    facts = NOTHING
    if where is not None:
        block.visit(where.this)
        facts = when_true(block, where.this)
    block.attach()
    known = block.relation.facts.not_null
    block.assume(facts)
    if where is not None and block.doubted and known != block.relation.facts.not_null:
        # What one part of the condition says of nulls helps another.
        block.assume(when_true(block, where.this))


def when_true(  # noqa: PLR0911, PLR0912 - one case per form
    block: Block, node: exp.Expr
) -> Facts:
    """Facts of every row for which the condition is TRUE."""
    match node:
        case exp.Paren():
            return when_true(block, node.this)
        case exp.And():
            return when_true(block, node.this).both(when_true(block, node.expression))
        case exp.Or():
            return _either(block, when_true(block, node.this), when_true(block, node.expression))
        case exp.Not():
            return when_false(block, node.this)
        case exp.Boolean():
            return NOTHING if node.this else IMPOSSIBLE
        case exp.Null():
            return IMPOSSIBLE
        case exp.Is():
            return _is(block, node, holds=True)
        case exp.EQ():
            return _equal(block, node)
        case exp.NEQ():
            return _unequal(block, node)
        case exp.NullSafeEQ():
            return _not_distinct(block, node.this, node.expression)
        case exp.In():
            return _in(block, node)
        case exp.Between():
            return _between(block, node)
        case exp.Exists():
            output = block.outputs.get(id(node.this))
            return NOTHING if output is None else output.facts
        case exp.Case():
            return _case(block, node, truth=True)
        case exp.Coalesce():
            facts = IMPOSSIBLE
            for part in (node.this, *node.expressions):
                facts = _either(block, facts, when_true(block, part))
            return facts
        case _:
            return not_null(strict_columns(block, node))


def when_false(  # noqa: PLR0911 - one case per form
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
        case exp.Null():
            return IMPOSSIBLE
        case exp.NEQ() if not _quantified(node):
            return _compare(block, node.this, node.expression)
        case exp.NullSafeNEQ():
            return _not_distinct(block, node.this, node.expression)
        case exp.Is():
            return _is(block, node, holds=False)
        case exp.EQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
            return not_null(strict_columns(block, node))
        case exp.Case():
            return _case(block, node, truth=False)
        case _:
            return NOTHING


def strict_columns(block: Block, node: exp.Expr) -> frozenset[int]:
    """Columns that are not null if the value of `node` is not null."""
    while isinstance(node, exp.Paren | exp.Cast | exp.Neg):
        node = node.this
    if isinstance(node, exp.Column):
        col = block.resolve(node)
        return frozenset() if col is None or isinstance(col.term, Const) else frozenset((col.term,))
    if isinstance(node, _STRICT) and not _quantified(node):
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


def _either(block: Block, left: Facts, right: Facts) -> Facts:
    ledger = block.statics.ledger
    return ledger.close(left).either(ledger.close(right))


def _quantified(node: exp.Expr) -> bool:
    return isinstance(node.args.get("expression"), exp.Any | exp.All)


def _compare(block: Block, left: exp.Expr, right: exp.Expr) -> Facts:
    """`left = right` is TRUE; row constructors field by field."""
    left_parts, right_parts = parts_of_row(left), parts_of_row(right)
    if left_parts is not None and right_parts is not None:
        facts = NOTHING
        if len(left_parts) == len(right_parts):
            for mine, theirs in zip(left_parts, right_parts, strict=True):
                facts = facts.both(_compare(block, mine, theirs))
        return facts
    known = [not_null(strict_columns(block, left) | strict_columns(block, right))]
    known += [_of_scalar(block, left), _of_scalar(block, right)]
    one, other = block.typed(left), block.typed(right)
    if one is not None and other is not None and _same(one, other):
        known.append(_equate(block, one[0], other[0]))
    return NOTHING.both(*known)


def _equate(block: Block, left: Term, right: Term) -> Facts:
    block.ledger.said.append((left, right))
    return equality(left, right)


def _of_scalar(block: Block, node: exp.Expr) -> Facts:
    """A scalar subquery whose value is not null has found a row."""
    while isinstance(node, exp.Paren):
        node = node.this
    output = block.outputs.get(id(node)) if isinstance(node, exp.Subquery) else None
    return NOTHING if output is None else output.facts


def _same(one: tuple[int | Const, str | None], other: tuple[int | Const, str | None]) -> bool:
    if one[1] is None or other[1] is None:
        typed = [family for _, family in (one, other) if family is not None]
        untyped = [term for term, family in (one, other) if family is None]
        return bool(typed) and all(isinstance(term, Const) for term in untyped)
    return one[1] == other[1]


def _equal(block: Block, node: exp.EQ) -> Facts:
    left, right = node.this, node.expression
    if isinstance(right, exp.All):
        return NOTHING
    if isinstance(right, exp.Any):
        return _equal_any(block, left, right)
    for condition, value in ((left, right), (right, left)):
        if isinstance(value, exp.Boolean):
            return when_true(block, condition) if value.this else when_false(block, condition)
    return _compare(block, left, right)


def _unequal(block: Block, node: exp.NEQ) -> Facts:
    left, right = node.this, node.expression
    if _quantified(node):
        return NOTHING
    for condition, value in ((left, right), (right, left)):
        if isinstance(value, exp.Boolean):
            return when_false(block, condition) if value.this else when_true(block, condition)
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
        if len(inner.expressions) == 1:
            return facts.both(_compare(block, left, inner.expressions[0]))
        _bind(block, left, inner.expressions)
        return facts
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
        if one is not None and _same(one, (column.term, column.family)):
            facts = facts.both(_equate(block, one[0], column.term))
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
    if len(node.expressions) == 1:
        return facts.both(_compare(block, node.this, node.expressions[0]))
    _bind(block, node.this, node.expressions)
    return facts


def _bind(block: Block, left: exp.Expr, members: Sequence[exp.Expr]) -> None:
    one = block.typed(left)
    values = [block.typed(member) for member in members]
    fixed = all(value is not None and isinstance(value[0], Const) for value in values)
    if fixed and one is not None and isinstance(one[0], int):
        block.statics.ledger.bound.add(one[0])


def _between(block: Block, node: exp.Between) -> Facts:
    low, high = block.typed(node.args["low"]), block.typed(node.args["high"])
    facts = not_null(strict_columns(block, node.this))
    if low is None or high is None or low[0] != high[0]:
        return facts
    return facts.both(_compare(block, node.this, node.args["low"]))


def _not_distinct(block: Block, left: exp.Expr, right: exp.Expr) -> Facts:
    """`IS NOT DISTINCT FROM` equates two nulls as well, so one side must be known not to be."""
    one, other = block.typed(left), block.typed(right)
    if one is None or other is None or not _same(one, other):
        return NOTHING
    if _never_null(block, one[0]) or _never_null(block, other[0]):
        return _equate(block, one[0], other[0])
    return NOTHING


def _never_null(block: Block, term: int | Const) -> bool:
    if isinstance(term, Const):
        return term.not_null
    levels = (block, *block.env.outers)
    if any(term in level.relation.facts.not_null for level in levels):
        return True
    block.doubted = True
    return False


def _is(block: Block, node: exp.Is, *, holds: bool) -> Facts:
    """What `operand IS tested` (or IS NOT), which is never null, implies when it holds or not."""
    tested = node.expression
    if bool(node.args.get("negate")) == holds:
        if isinstance(tested, exp.Null):
            return not_null(strict_columns(block, node.this))
        if isinstance(tested, exp.Boolean) and _decided(block, node.this):
            return when_false(block, node.this) if tested.this else when_true(block, node.this)
        return NOTHING
    if isinstance(tested, exp.Boolean):
        return when_true(block, node.this) if tested.this else when_false(block, node.this)
    return IMPOSSIBLE if isinstance(tested, exp.Null) and _decided(block, node.this) else NOTHING


def _decided(block: Block, node: exp.Expr) -> bool:
    """Whether an expression is never null: a column, a comparison of such, .."""
    while isinstance(node, exp.Paren | exp.Not):
        node = node.this
    if isinstance(node, exp.Is | exp.NullSafeEQ | exp.NullSafeNEQ | exp.Exists):
        return True
    if isinstance(node, _COMPARISONS | exp.Connector) and not _quantified(node):
        return _decided(block, node.this) and _decided(block, node.expression)
    side = block.typed(node)
    return side is not None and _never_null(block, side[0])


def _case(block: Block, node: exp.Case, *, truth: bool) -> Facts:
    """The meet over the branches that can give the result."""
    result = when_true if truth else when_false
    facts = IMPOSSIBLE
    for branch in node.args["ifs"]:
        if node.this is None:
            guard = when_true(block, branch.this)
        else:
            guard = _compare(block, node.this, branch.this)
        taken = guard.both(result(block, branch.args["true"]))
        facts = _either(block, facts, taken)
    default = node.args.get("default")
    if default is not None:
        facts = _either(block, facts, result(block, default))
    return facts
