"""Rules of the prover, taken away one at a time: a fuzz that is worth its time sees each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlglot import exp

import lint.from_items
import lint.inserts
import lint.merges
import lint.predicates
import lint.setops
import lint.writes
from lint.query import Reader
from lint.relation import join

Patch = pytest.MonkeyPatch


def _left_join_as_inner(patch: Patch) -> None:
    patch.setattr(lint.from_items, "join", _joined({"LEFT": ""}))


def _full_join_as_left(patch: Patch) -> None:
    patch.setattr(lint.from_items, "join", _joined({"FULL": "LEFT"}))


def _joined(sides: dict[str, str]) -> Callable[..., Any]:
    def other(*args: Any, side: str, **rest: Any) -> Any:
        return join(*args, side=sides.get(side, side), **rest)

    return other


def _or_as_and(patch: Patch) -> None:
    patch.setattr(lint.predicates, "_either", lambda block, left, right: left.both(right))


def _not_false_as_true(patch: Patch) -> None:
    patch.setattr(lint.predicates, "_decided", lambda block, node: True)


def _all_as_any(patch: Patch) -> None:
    rule = lint.predicates._equal

    def equal(block: Any, node: exp.EQ) -> Any:
        if isinstance(node.expression, exp.All):
            return lint.predicates._equal_any(block, node.this, node.expression)
        return rule(block, node)

    patch.setattr(lint.predicates, "_equal", equal)


def _limit_keeps_carriers(patch: Patch) -> None:
    patch.setattr(Reader, "_cut", lambda self, output, node: output)


def _windows_are_not_looked_at(patch: Patch) -> None:
    patch.setattr(Reader, "_windows", lambda self, block, node: None)


def _distinct_on_is_not_looked_at(patch: Patch) -> None:
    patch.setattr(Reader, "_distinct_on", lambda self, block, node: None)


def _grouping_keeps_all(patch: Patch) -> None:
    patch.setattr(Reader, "_group", lambda self, block, node: None)


def _union_as_intersection(patch: Patch) -> None:
    rule = lint.setops.combine
    patch.setattr(
        "lint.query.combine",
        lambda ledger, kind, *rest: rule(ledger, "INTERSECT" if kind == "UNION" else kind, *rest),
    )


def _the_tenant_may_be_assigned(patch: Patch) -> None:
    for module in (lint.writes, lint.inserts, lint.merges):
        patch.setattr(module, "kept_tenant", lambda block, table, written: (None, ""))


def _any_arbiter_will_do(patch: Patch) -> None:
    patch.setattr(lint.inserts, "_arbiter", lambda conflict, table: [table.tenant_column])


def _not_distinct_as_equal(patch: Patch) -> None:
    patch.setattr(lint.predicates, "_never_null", lambda block, term: True)


WEAKENED: dict[str, Callable[[Patch], None]] = {
    rule.__name__.strip("_").replace("_", " "): rule
    for rule in (
        _left_join_as_inner,
        _full_join_as_left,
        _or_as_and,
        _not_false_as_true,
        _all_as_any,
        _limit_keeps_carriers,
        _windows_are_not_looked_at,
        _distinct_on_is_not_looked_at,
        _grouping_keeps_all,
        _union_as_intersection,
        _the_tenant_may_be_assigned,
        _any_arbiter_will_do,
        _not_distinct_as_equal,
    )
}
