"""What takes longer than `make test` may: `make soak`. Seeded and bounded.

The files are called soak_*.py, so that pytest collects them only where it is told to. The
figures of every test travel as its properties to the process that prints the summary and
writes the log.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent), str(ROOT / "tests" / "unit" / "lint")]

from lint_faults import FAULTS  # noqa: E402 - after the path

from retention.batch import STEPS  # noqa: E402 - after the path
from retention.ledger.publishing import STEPS as PUBLISHING_STEPS  # noqa: E402 - after the path
from tests.integration.retention.conftest import acme, globex, lab  # noqa: E402 - after the path

__all__ = ["acme", "globex", "lab"]

_TITLES = {
    "kills": "Kills",
    "ledger": "Ledger",
    "oracle": "Oracle",
    "api": "API",
    "lint": "Lint",
    "scoping": "Scoping",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("soak")
    group.addoption("--seed", default="1", help="of everything random")
    group.addoption("--kills", type=int, default=3_000, help="workers killed")
    group.addoption("--ledger-kills", type=int, default=600, help="publishers killed")
    group.addoption("--oracle-seeds", type=int, default=200, help="random retention runs")
    group.addoption("--intruders", type=int, default=10, help="walks through the API")
    group.addoption("--statements", type=int, default=20_000, help="statements of the lint fuzz")
    group.addoption("--queries", type=int, default=3_000, help="random queries, scoped and alone")
    group.addoption("--faults", type=int, default=0, help="of the prover's faults; 0 for all")
    group.addoption("--soak-log", help="write the summary to this file")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Cut the work into parts, which workers share."""
    config = metafunc.config
    if "kills" in metafunc.fixturenames:
        metafunc.parametrize(("part", "kills"), _parts(config.getoption("kills"), 25))
    if "ledger_kills" in metafunc.fixturenames:
        parts = _parts(config.getoption("ledger_kills"), 50)
        metafunc.parametrize(("part", "ledger_kills"), parts)
    if "statements" in metafunc.fixturenames:
        metafunc.parametrize(("part", "statements"), _statements(config))
    if "faults" in metafunc.fixturenames:
        metafunc.parametrize("faults", _faults(config), ids=str)
    if "queries" in metafunc.fixturenames:
        metafunc.parametrize(("part", "queries"), _parts(config.getoption("queries"), 250))
    if "intruder_part" in metafunc.fixturenames:
        metafunc.parametrize("intruder_part", range(config.getoption("intruders")))
    if "oracle_part" in metafunc.fixturenames:
        metafunc.parametrize("oracle_part", range(config.getoption("oracle_seeds")))


def _parts(total: int, size: int) -> list[tuple[int, int]]:
    return [(at // size, min(size, total - at)) for at in range(0, total, size)]


def _statements(config: pytest.Config) -> list[tuple[int, int]]:
    total = config.getoption("statements")
    return _parts(total, max(1000, total // 100))


def _faults(config: pytest.Config) -> list[range]:
    """The numbers of the faults to try, in parts."""
    total = config.getoption("faults") or len(FAULTS)
    return [range(at, min(at + 25, total)) for at in range(0, total, 25)]


@pytest.fixture
def witness(pytestconfig: pytest.Config) -> float:
    """Of a great many statements a part will do, to see that enough of them leak."""
    return min(1.0, 20_000 / max(1, pytestconfig.getoption("statements")))


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> str:
    return str(pytestconfig.getoption("seed"))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_BEGAN] = time.monotonic()


_BEGAN = pytest.StashKey[float]()


def _figures(terminalreporter: Any) -> tuple[dict[str, Counter[str]], list[Any]]:
    """What the tests counted, summed, and the reports of those that failed."""
    figures: dict[str, Counter[str]] = {}
    failed = []
    for kind in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(kind, ()):
            if kind != "passed":
                failed.append(report)
            for name, value in getattr(report, "user_properties", ()):
                part, _, what = name.partition(": ")
                if part in _TITLES:
                    figures.setdefault(part, Counter())[what] += value
    return figures, failed


def _short_of_quota(figures: dict[str, Counter[str]]) -> str:
    """The fuzz is worth little if it grows statements of one kind only, and so are kills that
    never meet a step of a batch."""
    kills = figures.get("kills", Counter())
    if kills["workers killed"] >= 3000:
        for step in STEPS:
            for workers in (1, 2, 4):
                if kills[f"at {step}, of {workers}"] < 20:
                    return f"fewer than 20 kills at {step}, of {workers} workers"
    publishers = figures.get("ledger", Counter())
    if publishers["publishers killed"] >= 600:
        for step in PUBLISHING_STEPS:
            if publishers[f"at {step}"] < 5:
                return f"fewer than 5 publishers killed at {step}"
    counts = figures.get("lint", Counter())
    statements, asked = counts["statements"], counts["not scoped, and run to see whether they leak"]
    if statements < 5000:
        return ""
    if counts["scoped"] < 0.3 * statements:
        return "fewer than 30% of the statements are scoped"
    leaking = (statements - counts["scoped"]) * counts["of these, seen to"] / max(1, asked)
    return "fewer than 30% of the statements are seen to leak" if leaking < 0.3 * statements else ""


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A quota that is missed fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and session.exitstatus == 0 and _short_of_quota(_figures(reporter)[0]):
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """Print what was done, and write it to the log."""
    figures, failed = _figures(terminalreporter)
    path = config.getoption("soak_log", None)
    if not figures and not path:
        return  # other tests: pytest only came past this file
    seconds = time.monotonic() - config.stash[_BEGAN]
    lines = [
        "make soak SEED={} ARGS='--kills {} --ledger-kills {} --oracle-seeds {} --intruders {}"
        " --queries {} --statements {} --faults {}'".format(
            *(
                config.getoption(name)
                for name in (
                    *("seed", "kills", "ledger_kills", "oracle_seeds", "intruders", "queries"),
                    *("statements", "faults"),
                )
            )
        ),
        f"took {seconds:.0f} s; {'FAILED' if exitstatus or _short_of_quota(figures) else 'passed'}",
    ]
    for part, title in _TITLES.items():
        if part in figures:
            lines += ["", title]
            lines += [f"  {value:>9,.0f}  {what}" for what, value in figures[part].items()]
    if short := _short_of_quota(figures):
        lines += ["", f"FAILED {short}"]
    for report in failed:
        lines += ["", f"FAILED {report.nodeid}"]
    terminalreporter.section("soak")
    for line in lines:
        terminalreporter.write_line(line)
    if path:
        Path(path).write_text("\n".join(lines) + "\n")
