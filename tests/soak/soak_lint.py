"""The differential fuzz of the prover at length; whether it would see a rule that is gone; and
how much of what cannot be refuted the prover believes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lint_constructs import NAMES
from lint_faults import FAULTS
from lint_fuzz import Corpus, fuzz, noticed, precision
from lint_world import World, open_world

Record = Callable[[str, object], None]
_LABELS = {
    "asked": "not scoped, and run to see whether they leak",
    "witnessed": "of these, seen to",
    "witnessed undecidable": "of these, undecidable",
    "several answers": "runs set aside: several answers",
    "runs": "runs of a statement",
}


def test_what_is_called_scoped_is(
    cluster: Any, seed: str, part: int, statements: int, witness: float, record_property: Record
) -> None:
    # Of a great many, each part has data of its own: four sets of it will do.
    datasets = 6 if witness == 1 else 4
    with open_world(cluster, seed=f"lint {seed} {part}", datasets=datasets) as world:
        report = fuzz(world, seed=f"lint {seed} {part}", statements=statements, witness=witness)
    record_property("lint: statements", report.statements)
    for name in (
        "scoped", "scoped and answered", "scoped, answered with rows or changes", "unscoped",
        "undecidable", "asked", "witnessed", "witnessed undecidable", "several answers", "runs",
    ):  # fmt: skip
        record_property(f"lint: {_LABELS.get(name, name)}", report.counts[name])
    record_property("lint: databases", 1)
    record_property("lint: data sets of three tenants", datasets)
    record_property("lint: called scoped, and leaking", len(report.finds))
    assert not report.finds, "\n\n".join(map(str, report.finds))
    if report.statements >= 1000:
        # Of all parts together 30%, which the summary sees to; a part may fall short a little.
        assert report.share("scoped") > 0.25, report.counts
        assert report.witnessed > 0.25, report.counts
    if report.statements >= 5000:
        assert not [name for name in NAMES if report.constructs[name] < 5], report.constructs


@pytest.fixture(scope="module")
def corpus(pytestconfig: pytest.Config) -> Corpus:
    return Corpus(f"weak {pytestconfig.getoption('seed')}")


@pytest.fixture(scope="module")
def weak_world(cluster: Any, pytestconfig: pytest.Config) -> Iterator[World]:
    with open_world(cluster, seed=f"weak {pytestconfig.getoption('seed')}") as world:
        yield world


def test_seeded_faults_are_noticed(
    weak_world: World, corpus: Corpus, seed: str, faults: range, record_property: Record
) -> None:
    """Each rule of the prover, taken away or weakened, is found within 20,000 statements."""
    order = random.Random(f"faults {seed}").sample(sorted(FAULTS), len(FAULTS))
    missed = []
    for fault in (order[number] for number in faults):
        grown, find = noticed(weak_world, corpus, fault, within=20_000)
        if find is None:
            missed.append(fault)
            record_property(f"lint: statements and not noticed: {fault}", grown)
        else:
            record_property(f"lint: statements until it was noticed: {fault}", grown)
    record_property("lint: seeded faults tried", len(faults))
    record_property("lint: of these noticed", len(faults) - len(missed))
    assert not missed


def test_what_no_data_set_refutes_is_called_scoped(
    cluster: Any, seed: str, record_property: Record
) -> None:
    with open_world(cluster, seed=f"precision {seed}") as world:
        found = precision(world, seed=f"precision {seed}", statements=1000)
    record_property("lint: statements held against 150 data sets", found.statements)
    record_property("lint: of these refuted", found.refuted)
    record_property("lint: of these without a row or a change in any", found.empty)
    record_property("lint: of these with several answers", found.unsettled)
    record_property("lint: of the others called scoped", found.scoped)
    record_property("lint: of the others not called scoped", len(found.shy))
    told = "\n".join(f"{verdict.reason}: {sql}" for sql, verdict in found.shy)
    assert found.share > 0.85, told
