"""UNION, INTERSECT and EXCEPT: columns meet by position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lint.errors import CannotProve
from lint.prover.facts import NOTHING, Const, Facts, translate
from lint.prover.ledger import Ledger
from lint.prover.relation import Col, Output, Standing, settle
from lint.prover.values import ANY


def by_position(output: Output, targets: Sequence[int | None], low: int) -> Facts:
    """The facts of a result over `targets`, one per position (None: left out)."""
    copies: dict[int, list[int]] = {}
    fixed: list[frozenset[int | Const]] = []
    for col, target in zip(output.columns, targets, strict=True):
        if target is None:
            continue
        if isinstance(col.term, int):
            copies.setdefault(col.term, []).append(target)
        else:
            fixed.append(frozenset((target, col.term)))
    outer = {
        term
        for group in output.facts.classes
        for term in group
        if isinstance(term, int) and term < low
    } | {column for column in output.facts.not_null if column < low}
    outer |= {term for term in copies if term < low}
    moved = translate(output.facts, copies, outer)
    return moved.both(Facts(tuple(fixed))) if fixed else moved


def carried(output: Output, targets: Sequence[int | None], low: int) -> dict[int, Standing]:
    """How tables stand when the result's columns are `targets`."""
    places: dict[int, set[int]] = {}
    for col, target in zip(output.columns, targets, strict=True):
        if isinstance(col.term, int) and target is not None:
            places.setdefault(col.term, set()).add(target)
    return {
        number: Standing(
            standing.values,
            frozenset(
                new
                for carrier in standing.carriers
                for new in (*places.get(carrier, ()), *((carrier,) if carrier < low else ()))
            ),
        )
        for number, standing in output.standings.items()
    }


def position_family(left: Col, right: Col) -> str | None:
    """The family of a column made of two, None if they are not compared alike.

    A value whose type nothing decides takes the other's; two of them what they are alone.
    """
    families = {left.family, right.family}
    values = [c.term for c in (left, right) if isinstance(c.term, Const) and c.family is None]
    if len(values) == 2:
        families = {value.alone for value in values}
    elif values:
        families.discard(None)
    if len(families) == 2:
        families.discard(ANY)
    return families.pop() if len(families) == 1 else None


def combine(ledger: Ledger, kind: str, left: Output, right: Output, low: int) -> Output:
    """kind is UNION, INTERSECT or EXCEPT, with or without ALL."""
    if left.wide or right.wide:
        standings = {
            number: replace(s, carriers=frozenset(c for c in s.carriers if c < low))
            for number, s in {**left.standings, **right.standings}.items()
        }
        return Output(left.columns, NOTHING, standings, low, wide=True)
    if len(left.columns) != len(right.columns):
        raise CannotProve(f"the sides of {kind} have different numbers of columns")
    columns: list[Col] = []
    targets: list[int | None] = []
    for one, other in zip(left.columns, right.columns, strict=True):
        family = position_family(one, other)
        column = ledger.column()
        both_fixed = isinstance(one.term, Const) and one.term == other.term
        columns.append(Col(one.name, one.term if both_fixed else column, family))
        known = family is not None or both_fixed
        targets.append(column if known else None)
    of_left, of_right = by_position(left, targets, low), by_position(right, targets, low)
    if kind == "UNION":
        facts = of_left.either(of_right)
    elif kind == "INTERSECT":
        facts = of_left.both(of_right)
    else:
        facts = of_left
    standings = {**carried(left, targets, low), **carried(right, targets, low)}
    facts = ledger.close(facts)
    return Output(tuple(columns), facts, settle(standings, facts), low)
