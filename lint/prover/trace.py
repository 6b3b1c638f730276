"""The trace of a proof: by which equalities a column is the tenant, or what it equals instead."""

from __future__ import annotations

from collections import deque

from lint.prover.facts import Const, Term
from lint.prover.ledger import Instance, Ledger

_LONGEST = 6


def trace(ledger: Ledger, instance: Instance, value: Const) -> str:
    """`t.org = s.org = 1`, from the occurrence's tenant to the value; nothing for one step.

    Nothing, too, where the way leads through columns without a name.
    """
    if instance.tenant is None or _is_said(ledger, instance.tenant, value):
        return ""
    for standings, facts in ledger.observed:
        if instance.number in standings and value in facts.values(instance.tenant):
            steps = _way(ledger, facts.group(instance.tenant), instance.tenant, value)
            names = [_name(ledger, term) for term in steps]
            named = [name for name in names if name is not None]
            return " = ".join(named) if 2 < len(named) == len(names) <= _LONGEST else ""
    return ""


def partners(ledger: Ledger, instance: Instance) -> str:
    """The columns an occurrence's tenant is known to equal; none of them is fixed."""
    if instance.tenant is None:
        return ""
    found: frozenset[int] = frozenset()
    for standings, facts in ledger.observed:
        if instance.number in standings and not facts.values(instance.tenant):
            found = facts.columns(instance.tenant) - {instance.tenant}
    names = sorted({name for column in found if (name := _name(ledger, column)) is not None})
    return ", ".join(names[:_LONGEST])


def _is_said(ledger: Ledger, one: Term, other: Term) -> bool:
    """Whether the statement itself equates the two."""
    return (one, other) in ledger.said or (other, one) in ledger.said


def _way(ledger: Ledger, group: frozenset[Term], start: Term, goal: Term) -> list[Term]:
    """A shortest chain of equalities within a class; empty if it is not known how it came about."""
    beside: dict[Term, list[Term]] = {}
    concluded = [pair for rule in ledger.rules for pair in rule.conclusions]
    for left, right in (*ledger.said, *concluded):
        if left in group and right in group:
            beside.setdefault(left, []).append(right)
            beside.setdefault(right, []).append(left)
    came: dict[Term, Term | None] = {start: None}
    waiting = deque([start])
    while waiting:
        term = waiting.popleft()
        if term == goal:
            steps: list[Term] = []
            at: Term | None = term
            while at is not None:
                steps.append(at)
                at = came[at]
            return steps[::-1]
        for other in beside.get(term, ()):
            if other not in came:
                came[other] = term
                waiting.append(other)
    return []


def _name(ledger: Ledger, term: Term) -> str | None:
    if isinstance(term, Const):
        return term.label
    for instance in ledger.instances.values():
        for name, column in instance.columns.items():
            if column == term:
                return f"{instance.alias}.{name}"
        if instance.tenant == term:
            return f"the tenant of {instance.alias}"
    return None
