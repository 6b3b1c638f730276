"""The select list: which columns a query gives."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from lint.prover.block import Block
from lint.prover.choices import column_of
from lint.prover.nodes import name_of
from lint.prover.relation import Col
from lint.prover.shape import check_shape


def project(block: Block, items: Sequence[exp.Expr]) -> tuple[list[Col], bool]:
    """The output columns, and whether there are more than can be told."""
    columns: list[Col] = []
    wide = False
    for item in items:
        if isinstance(item, exp.Star):
            check_shape(item)
            columns += block.relation.visible
            wide = wide or block.relation.open
            continue
        if isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
            check_shape(item.this)
            entry = block.entry(item)
            columns += entry.columns
            wide = wide or entry.open
            continue
        if isinstance(item, exp.Dot) and isinstance(item.expression, exp.Star):
            wide = True
            continue
        columns.append(_output_column(block, item))
    return columns, wide


def _output_column(block: Block, item: exp.Expr) -> Col:
    if isinstance(item, exp.Column):
        return block.resolve(item) or Col(name_of(item.this), block.ledger.column(), None)
    name: str | None = None
    node = item
    if isinstance(item, exp.Alias):
        name, node = name_of(item.args["alias"]), item.this
    else:
        inner = item
        while isinstance(inner, (exp.Cast, exp.Paren)):
            inner = inner.this
        if isinstance(inner, exp.Column):
            name = name_of(inner.this)
    typed = column_of(block, node)
    if typed is None:
        return Col(name, block.ledger.column(), None)
    return Col(name, typed[0], typed[1])
