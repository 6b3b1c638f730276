"""Columns for values that may be null: scalar subqueries, CASE, COALESCE, NULLIF.

Such a value is a column of its own. What is known of it holds as far as it is not null: then the
subquery has found a row, or the value is one that was chosen.
"""

from __future__ import annotations

from dataclasses import replace

from sqlglot import exp

from lint.prover.block import Block
from lint.prover.facts import IMPOSSIBLE, NOTHING, Const, Facts, Term, equality, guarded, not_null
from lint.prover.operands import CHOICES, families_of_choice, is_null, opened, strict
from lint.prover.predicates import chosen
from lint.prover.relation import Col
from lint.prover.values import alike


def column_of(block: Block, node: exp.Expr) -> tuple[Term, str | None] | None:
    """The term that an expression is, and its type's family; None if it is opaque.

    What it implies that the value is not null is added to the facts of the relation, guarded.
    """
    typed, found = block.typed(node), NOTHING
    choice = opened(node)
    if typed is None and isinstance(choice, CHOICES):
        column = _column(block, choice)
        if column is None or isinstance(column.term, Const):
            return None
        typed, found = (column.term, column.family), _is(block, choice, column.term, column.family)
    elif typed is not None:
        found = block.found(node)
    if typed is not None and isinstance(typed[0], int) and found != NOTHING:
        facts = block.relation.facts.both(guarded([frozenset((typed[0],))], found))
        block.relation = replace(block.relation, facts=facts)
    return typed


def _is(block: Block, node: exp.Expr, column: int, family: str | None) -> Facts:
    """What holds where the value of `node` is that of the column, and is not null."""
    node = opened(node)
    if is_null(node):
        return IMPOSSIBLE
    if isinstance(node, CHOICES):
        return chosen(block, node, lambda value: _is(block, value, column, family))
    facts = strict(block, node).both(not_null([column]))
    one = block.typed(node)
    if one is None or not alike(one, (column, family)):
        return facts
    return facts.both(equality(column, one[0]))


def _column(block: Block, node: exp.Expr) -> Col | None:
    known = block.scalars.get(id(node))
    if known is not None:
        return known
    families = families_of_choice(block, node)
    if len(families) != 1 or None in families:
        return None
    column = Col(None, block.ledger.column(), *families)
    block.scalars[id(node)] = column
    return column
