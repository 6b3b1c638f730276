"""Statements the prover calls scoped give the same under row-level security and without.

A bounded part of what `make soak` runs at length; grown from a fixed seed.
"""

from __future__ import annotations

from typing import Any

import pytest
from lint_fuzz import fuzz, leak
from lint_support import Case, cases, prover
from lint_weakened import WEAKENED
from lint_world import World, open_world


@pytest.fixture(scope="module")
def world(cluster: Any) -> Any:
    with open_world(cluster, seed="test", datasets=3) as opened:
        yield opened


def test_what_is_called_scoped_is(world: World) -> None:
    report = fuzz(world, seed="test", statements=400)
    assert not report.finds, "\n\n".join(map(str, report.finds))
    assert report.share("scoped and answered") > 0.25, report.counts
    assert report.share("witnessed") > 0.25, report.counts


_SCOPED = [c for c in (*cases("table.sql"), *cases("hostile.sql")) if c.verdict == "scoped"]


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


def test_two_rules_that_are_gone_are_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for rule, seed in (("or as and", "0"), ("left join as inner", "1")):
        with monkeypatch.context() as patch:
            WEAKENED[rule](patch)
            report = fuzz(world, seed=f"{rule} {seed}", statements=1500, stop_at=1, thorough=False)
        assert report.finds, f"{rule}: not noticed within {report.statements} statements"
