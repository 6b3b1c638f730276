"""Which columns carry where a level's rows are combined or leave it, and what is null is left out.

A carrier speaks of rows in which it is T, and a subquery of what its tables give to a row: where
the columns it goes by are null, neither depends on a table's other rows. So what holds of columns
as far as they are not null may be used for them.
"""

from __future__ import annotations

from dataclasses import replace

from lint.prover.block import Block
from lint.prover.facts import Facts, not_null
from lint.prover.relation import Standings, carry, settle


def narrow(block: Block, kept: frozenset[int], why: str) -> Standings:
    """How tables stand where of this level's columns only `kept` are left.

    A column that carries as far as it is not null comes in only where no other is left.
    """
    if block.relation.facts.guarded:
        block.relation = replace(block.relation, standings=_carried(block, kept))
    return block.ledger.narrow(block.relation.standings, lambda c: c < block.low or c in kept, why)


def _carried(block: Block, kept: frozenset[int]) -> Standings:
    correlate(block)
    standings, facts = dict(block.relation.standings), block.relation.facts
    for number, standing in standings.items():
        if standing.values or any(c < block.low or c in kept for c in standing.carriers):
            continue
        for column in kept:
            if column >= block.low and column not in facts.not_null:
                surely = _surely(block, number, column)
                standings |= carry({number: standings[number]}, column, surely)
    return standings


def correlate(block: Block) -> None:
    """Use that the columns with which a subquery correlates are not null.

    In the rows where one is, the subquery does not depend on the occurrence, whatever tenant that
    is restricted to. So of the occurrence may be believed what holds in the others.
    """
    relation = block.relation
    settled = {}
    for number in block.correlated if relation.facts.guarded else ():
        standing = relation.standings.get(number)
        if standing is not None and not standing.values:
            settled[number] = settle({number: standing}, _surely(block, number))[number]
    if settled:
        block.relation = replace(relation, standings={**relation.standings, **settled})


def _surely(block: Block, number: int, *columns: int) -> Facts:
    """What holds of rows to which an occurrence gives something, the columns not being null."""
    filled = block.correlated.get(number, frozenset()).union(columns)
    return block.ledger.close(block.relation.facts.both(not_null(filled)))
