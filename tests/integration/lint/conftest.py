"""Makes the fuzz, which the soak runs at length, importable under pytest's importlib mode."""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(_TESTS / "soak"), str(_TESTS / "unit" / "lint")]
