"""Each defence of the scoping layer, taken away, makes a test fail: none is there for nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from scoping_weakened import WEAKENED
from weakening import run_without


@pytest.mark.parametrize("defence", WEAKENED)
def test_a_defence_that_is_gone_is_noticed(
    defence: str, record_property: Callable[[str, object], None]
) -> None:
    assert run_without("scoping", defence, WEAKENED[defence][0]) != 0, "no test failed"
    record_property("scoping: defences taken away, and noticed", 1)


@pytest.mark.parametrize("tests", sorted({tests for tests, _ in WEAKENED.values()}))
def test_with_all_of_them_nothing_fails(tests: str) -> None:
    """Or what is noticed above would be something else."""
    assert run_without("scoping", "", tests) == 0
