"""The page of figures says what was measured, and where it falls short."""

from __future__ import annotations

import json

from benchmarks.__main__ import RESULTS
from benchmarks.page import PAGE, page


def test_the_page_is_of_the_last_whole_run() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(json.loads(RESULTS.read_text(encoding="utf-8")))


def test_a_figure_past_its_bound_or_short_of_its_aim_says_so() -> None:
    common = {"unit": "ratio", "note": "a note", "ceiling": None, "floor": None, "aim": None}
    figures = [
        common | {"name": "kept", "value": 1.0, "ceiling": 1.5, "aim": 1.2, "passed": True},
        common | {"name": "slow", "value": 1.3, "ceiling": 1.5, "aim": 1.2, "passed": True},
        common | {"name": "past", "value": 1.6, "ceiling": 1.5, "aim": 1.2, "passed": False},
        common | {"name": "fast", "value": 0.5, "floor": 0.4, "aim": 0.6, "passed": True},
    ]
    said = page(
        {"measured_at": "t", "python": "p", "machine": "m", "figures": {"retention": figures}}
    ).splitlines()
    assert said[-4:] == [
        "| kept | 1.00 ratio | ≤ 1.5 | ≤ 1.2 | a note |",
        "| slow | 1.30 ratio | ≤ 1.5 | ≤ 1.2 | **short of the aim**; a note |",
        "| past | 1.60 ratio | ≤ 1.5 | ≤ 1.2 | **missed**; a note |",
        "| fast | 0.50 ratio | ≥ 0.4 | ≥ 0.6 | **short of the aim**; a note |",
    ]
