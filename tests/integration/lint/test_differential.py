"""Statements the prover calls scoped give the same under row-level security and without.

A bounded part of what `make soak` runs at length; grown from a fixed seed.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from lint_constructs import NAMES, constructs
from lint_faults import FAULTS
from lint_fuzz import Corpus, fuzz, leak, noticed
from lint_grammar import grow
from lint_support import SOURCES, Case, cases, catalog, prover
from lint_weakened import edits, watch, weaken
from lint_world import World, any_order, open_world

from lint.prover.prover import Prover


@pytest.fixture(scope="module")
def world(cluster: Any) -> Any:
    with open_world(cluster, seed="test", datasets=3) as opened:
        yield opened


def test_what_is_called_scoped_is(world: World) -> None:
    report = fuzz(world, seed="test", statements=192)
    assert not report.finds, "\n\n".join(map(str, report.finds))
    assert report.share("scoped and answered") > 0.25, report.counts
    assert report.witnessed > 0.25, report.counts


def test_every_construct_is_grown() -> None:
    rng = random.Random("constructs")
    counted = Counter(name for _ in range(4000) for name in constructs(grow(rng)))
    assert not [name for name in NAMES if counted[name] < 3]


_SCOPED = [
    c
    for c in (*cases("table.sql"), *cases("hostile.sql"), *cases("near_misses.sql"))
    if c.verdict == "scoped"
]


def test_the_cases_that_are_scoped_are(world: World) -> None:
    told = [(c, leak(world, c.sql, prover().prove_text(c.sql))) for c in _SCOPED if _runs(c)]
    assert len(told) > 60
    for case, difference in told:
        assert difference is None, f"{case.title}\n{case.sql}\n{difference}"


def _runs(case: Case) -> bool:
    """Whether a case is about the fuzz's tables, and needs no parameter or choice of rows."""
    return not any(
        word in case.sql for word in ("$", "%", ":t", "LIMIT", "FOR UPDATE", "PREPARE", "CREATE")
    )


@pytest.mark.parametrize(
    ("over", "any_will_do"),
    [
        ("OVER (PARTITION BY org)", True),
        ("OVER (PARTITION BY org ORDER BY x)", False),
        ("OVER w", False),
        ("OVER v", True),
        ("OVER (v ORDER BY x)", False),
    ],
)
def test_a_window_without_an_order_has_several_answers(over: str, any_will_do: bool) -> None:
    windows = "WINDOW v AS (PARTITION BY org), w AS (v ORDER BY x)"
    assert any_order(f"SELECT first_value(id) {over} FROM t {windows}") == any_will_do
    assert not any_order(f"SELECT sum(id) {over} FROM t {windows}")


@pytest.mark.parametrize("fault", ["OR as AND", "NOT is not looked at", "UNION as INTERSECT"])
def test_a_seeded_fault_is_noticed(world: World, corpus: Corpus, fault: str) -> None:
    grown, find = noticed(world, corpus, fault, within=2000)
    assert find is not None, f"not noticed within {grown} statements"


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus("test")


@pytest.fixture(scope="module")
def open_cases() -> list[tuple[Case, frozenset[str]]]:
    """The cases that are not scoped, with the functions that their proofs come past."""
    found = []
    called: set[str] = set()
    with pytest.MonkeyPatch.context() as patch:
        watch(patch, called)
        for name in ("table.sql", "hostile.sql", "near_misses.sql"):
            for case in cases(name):
                called.clear()
                if not prover().prove_text(case.sql).scoped:
                    found.append((case, frozenset(called)))
    return found


@pytest.mark.parametrize("fault", FAULTS)
def test_a_case_tells_each_seeded_fault(
    open_cases: list[tuple[Case, frozenset[str]]], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {edit.place for edit in edits(fault)}
    weaken(monkeypatch, fault)
    judge = Prover(catalog(), SOURCES)
    assert any(judge.prove_text(case.sql).scoped for case, past in open_cases if past & places)
