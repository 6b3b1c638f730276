"""Each defence of policies, batches, ticks and leftovers, taken away, makes a test fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from retention_weakened import WEAKENED
from weakening import run_without


@pytest.mark.parametrize("defence", WEAKENED)
def test_a_defence_that_is_gone_is_noticed(
    defence: str, record_property: Callable[[str, object], None]
) -> None:
    assert run_without("retention", defence, WEAKENED[defence].tests) != 0, "no test failed"
    record_property("retention: defences taken away, and noticed", 1)


@pytest.mark.parametrize("tests", sorted({one.tests for one in WEAKENED.values()}))
def test_with_all_of_them_nothing_fails(tests: str) -> None:
    """Or what is noticed above would be something else."""
    assert run_without("retention", "", tests) == 0
