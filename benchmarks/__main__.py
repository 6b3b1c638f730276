"""`make bench`: run all benchmarks, print their figures; a bound passed fails.

A whole run writes them down, too: for programs, and as `docs/performance.md`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import Figure
from benchmarks.page import PAGE, page
from benchmarks.world import world

BENCHMARKS = ("scoping", "importing", "retention", "linting", "auditing", "ledger")
RESULTS = Path(__file__).parent / "results.json"


def main() -> int:
    """Return 0 when every figure keeps its bounds, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="default: all")
    names = parser.parse_args().names or BENCHMARKS
    figures: dict[str, list[Figure]] = {}
    for name in names:
        figures[name] = []
        print(f"{name}:", flush=True)
        with world() as where:
            for figure in importlib.import_module(f"benchmarks.{name}").run(where):
                figures[name].append(figure)
                _show(figure)
    if set(names) == set(BENCHMARKS):
        _write(figures)
    missed = [f for some in figures.values() for f in some if not f.passed]
    if missed:
        print(f"{len(missed)} of the figures missed their bounds", file=sys.stderr)
    return 1 if missed else 0


def _show(figure: Figure) -> None:
    bound = ""
    if figure.ceiling is not None:
        bound = f"  at most {figure.ceiling:g}"
    elif figure.floor is not None:
        bound = f"  at least {figure.floor:g}"
    if figure.aim is not None:
        bound += f"  aim {figure.aim:g}"
    mark = "" if figure.passed else "  MISSED"
    print(
        f"  {figure.value:10.2f} {figure.unit:10} {figure.name}{bound}{mark}"
        + (f"  ({figure.note})" if figure.note else ""),
        flush=True,
    )


def _write(figures: dict[str, list[Figure]]) -> None:
    results = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "figures": {
            name: [{**asdict(f), "passed": f.passed} for f in some]
            for name, some in figures.items()
        },
    }
    text = json.dumps(results, indent=2, ensure_ascii=False)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    PAGE.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
