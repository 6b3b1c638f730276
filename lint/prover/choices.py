"""Columns for values that may be null: scalar subqueries, CASE, COALESCE, NULLIF.

Such a value is a column of its own. What is known of it holds as far as it is not null: then the
subquery has found a row, or the value is one that was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlglot import exp

from lint.prover.block import Block
from lint.prover.facts import IMPOSSIBLE, NOTHING, Const, Facts, Term, equality, guarded, not_null
from lint.prover.operands import is_null, opened, strict
from lint.prover.predicates import CHOICES, chosen
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
    families = set(_families(block, node))
    if len(families) != 1 or None in families:
        return None
    column = Col(None, block.ledger.column(), families.pop())
    block.scalars[id(node)] = column
    return column


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
