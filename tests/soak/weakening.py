"""Runs tests without a defence, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
#: Beyond, the tests hang, which is noticed as well.
LIMIT_S = 240


def run_without(layer: str, weakened: str, tests: str) -> int | None:
    """Run tests, by their path below `tests/`, under the plugin `<layer>_weakened`, which takes the
    defence `weakened` away (none for ""); return pytest's exit code, None where they do not end."""
    path = os.pathsep.join((str(TESTS.parent), str(TESTS / "soak")))
    command = [
        *(sys.executable, "-m", "pytest", "-x", "-q", "-p", f"{layer}_weakened"),
        *("-p", "no:cacheprovider", str(TESTS / tests)),
    ]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment |= {f"{layer.upper()}_WEAKENED": weakened, "PYTHONPATH": path}
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
