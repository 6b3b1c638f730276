"""What a comparison admits: of the row with the session, of the row with itself, of neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from tenants.policy_sql.scale import NOTHING, OWN, Class, Judgement, narrower
from tenants.policy_sql.trees import bare, is_null, node_text, sides

if TYPE_CHECKING:
    from tenants.policy_sql.reader import Reader


def equal(reader: Reader, node: exp.Expr) -> Judgement:
    """Judge `left = right`; `condition = true` is the condition."""
    left, right = node.this, node.expression
    for one, other in ((left, right), (right, left)):
        if isinstance(bare(other), exp.Boolean):
            return reader.condition(one) if bare(other).this else reader.not_(one)
    if isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
        pairs = zip(left.expressions, right.expressions, strict=False)
        return narrower(compared(reader, a, b) for a, b in pairs)
    return compared(reader, left, right)


def null_safe(reader: Reader, node: exp.Expr) -> Judgement:
    """Judge `left IS NOT DISTINCT FROM right`."""
    found = compared(reader, node.this, node.expression)
    if found.kind == "bound" and not reader.never_null(node.this, node.expression):
        return Judgement("partial", "without a context it admits the rows that have no tenant")
    return found


def compared(  # noqa: PLR0911 - one return per kind of comparison
    reader: Reader, left: exp.Expr, right: exp.Expr
) -> Judgement:
    """Judge `left = right`, or `= ANY (right)`."""
    for one, other in ((left, right), (right, left)):
        if isinstance(other, exp.Any):
            return reader.among(one, other.this)
    if is_null(left) or is_null(right):
        return NOTHING
    a, b = reader.classes(left), reader.classes(right)
    if bare(left).sql() == bare(right).sql() and "session" not in a | b:
        same = "it compares a value with itself"
        return Judgement("open" if reader.never_null(left) or not a else "partial", same)
    if not (a | b) & {"tenant", "column", "inner", "unknown"}:
        return _of_session(reader, left, right)
    # The row's side first, and of two the one that is a column and nothing else.
    if not a & OWN or (b & OWN and reader.column(left) is None):
        left, right, a, b = right, left, b, a
    column = reader.column(left)
    if b & OWN:
        return _with_itself(right, b)
    if "loose" in b:
        return Judgement("partial", "it compares with a query that does not ask who calls")
    if column is None or "unknown" in a | b:
        return Judgement("unknown", f"{node_text(left, right)} is not followed")
    return _told(reader, column, told="session" in b)


def _told(reader: Reader, column: exp.Column, *, told: bool) -> Judgement:
    """A column compared with the session's value, or else with a constant."""
    place, name = reader.class_of(column), column.name
    if place == "tenant" and not told:
        return Judgement("fixed", "it admits one fixed tenant")
    if not told:
        return Judgement("partial", f"it admits rows by their {name}")
    if place == "tenant":
        return Judgement("bound", "it compares the tenant with the session's")
    return Judgement("keyed", f"it compares {name} with the session's")


def _with_itself(node: exp.Expr, told: frozenset[Class]) -> Judgement:
    """A comparison with something else of the row's, or made of it."""
    if "tenant" in told and node.find(exp.Coalesce, exp.Case, exp.If):
        why = "it compares the tenant with itself where the context is missing"
        return Judgement("open", why)
    if told <= OWN:
        return Judgement("partial", "it compares columns with one another")
    return Judgement("unknown", f"{node_text(node)} is not followed")


def _of_session(reader: Reader, left: exp.Expr, right: exp.Expr) -> Judgement:
    """A comparison in which no row has a part."""
    users = [n for n in (bare(left), bare(right)) if isinstance(n, exp.CurrentUser)]
    texts = [n.this for n in (bare(left), bare(right)) if isinstance(n, exp.Literal)]
    if users and texts and reader.knowledge.role is not None:
        if reader.knowledge.role == texts[0]:
            return Judgement("open", f"it is true for {texts[0]}")
        return NOTHING
    if len(texts) == 2:
        return NOTHING if texts[0] != texts[1] else Judgement("open", "it is always true")
    if texts == [""]:
        return Judgement("open", "without a context it admits every row")
    return Judgement("switch", f"{node_text(left, right)} asks about the session alone")


def different(reader: Reader, node: exp.Expr) -> Judgement:
    """Judge `left <> right`."""
    a, b = reader.classes(node.this), reader.classes(node.expression)
    named = [reader.column(side) for side in sides(node)]
    if any(column is not None and reader.class_of(column) == "tenant" for column in named):
        return Judgement("open", "it admits the rows that are not the tenant's")
    if OWN & (a | b):
        return reader.other(node)
    if any(isinstance(bare(n), exp.Literal) and bare(n).this == "" for n in sides(node)):
        return Judgement("open", "with any context it admits every row")
    return Judgement("switch", f"{node_text(node)} asks about the session alone")
