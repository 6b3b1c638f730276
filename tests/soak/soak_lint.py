"""The differential fuzz of the prover at length; and whether it would see a rule that is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lint_fuzz import fuzz
from lint_weakened import WEAKENED
from lint_world import open_world

Record = Callable[[str, object], None]


def test_what_is_called_scoped_is(
    cluster: Any, seed: str, part: int, statements: int, record_property: Record
) -> None:
    with open_world(cluster, seed=f"lint {seed} {part}") as world:
        report = fuzz(world, seed=f"lint {seed} {part}", statements=statements)
    record_property("lint: statements", report.statements)
    for name in (
        "scoped", "scoped and answered", "scoped, answered with rows or changes",
        "scoped without a tenant's table", "unscoped", "undecidable", "witnessed",
        "witnessed undecidable", "several answers", "runs",
    ):  # fmt: skip
        label = {
            "witnessed": "not scoped, and seen to leak",
            "witnessed undecidable": "of these, undecidable",
            "several answers": "runs set aside: several answers",
            "runs": "runs of a statement",
        }
        record_property(f"lint: {label.get(name, name)}", report.counts[name])
    record_property("lint: databases", 1)
    record_property("lint: data sets of three tenants", 6)
    record_property("lint: called scoped, and leaking", len(report.finds))
    assert not report.finds, "\n\n".join(map(str, report.finds))
    if report.statements >= 1000:
        # Of all parts together 30%, which the summary sees to; a part may fall short a little.
        assert report.share("scoped") > 0.25, report.counts
        assert report.share("witnessed") > 0.25, report.counts


@pytest.mark.parametrize("rule", WEAKENED)
def test_a_rule_that_is_gone_is_noticed(
    cluster: Any,
    seed: str,
    rule: str,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    WEAKENED[rule](monkeypatch)
    with open_world(cluster, seed=f"weak {seed}") as world:
        report = fuzz(
            world, seed=f"weak {seed} {rule}", statements=20_000, stop_at=1, thorough=False
        )
    assert report.finds, f"not noticed within {report.statements} statements"
    record_property(f"lint: statements until it was noticed: {rule}", report.statements)
