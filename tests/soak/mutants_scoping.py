"""Each defence of the scoping layer, taken away, makes a test fail: none is there for nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scoping_weakened import WEAKENED

TESTS = Path(__file__).parents[1]
#: Beyond, the tests hang, which is noticed as well.
LIMIT_S = 240


def _run(tests: str, weakened: str) -> int | None:
    """Run the tests without a defence; None where they do not end."""
    path = os.pathsep.join((str(TESTS.parent), str(TESTS / "soak")))
    command = [
        *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "scoping_weakened"),
        *("-p", "no:cacheprovider", str(TESTS / tests)),
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment |= {"SCOPING_WEAKENED": weakened, "PYTHONPATH": path}
    try:
        done = subprocess.run(
            command,
            cwd=TESTS.parent,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode


@pytest.mark.parametrize("defence", WEAKENED)
def test_a_defence_that_is_gone_is_noticed(
    defence: str, record_property: Callable[[str, object], None]
) -> None:
    assert _run(WEAKENED[defence][0], defence) != 0, "no test failed"
    record_property("scoping: defences taken away, and noticed", 1)


@pytest.mark.parametrize("tests", sorted({tests for tests, _ in WEAKENED.values()}))
def test_with_all_of_them_nothing_fails(tests: str) -> None:
    """Or what is noticed above would be something else."""
    assert _run(tests, "") == 0
