"""What the lint gate costs: per statement against a bare parse, and per project.

- *statements*: judging them, against sqlglot parsing the same text and doing nothing with it;
- *project*: the command over 2,000 files, cold, warm, and after a handful of them changed;
- the same files by sqlfluff (one rule) and squawk, where these are installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import sqlglot

from benchmarks import lint_corpus
from benchmarks.measure import Figure, interleaved
from benchmarks.world import World
from lint.gate import Gate
from lint.inputs.sources import sql_source
from lint.prover.prover import Prover
from lint.schema.catalog import Tenancy
from lint.schema.script import load_schema

FILES = 2000
STATEMENTS = 400
# What holds today on a busy machine of two cores. The aim is 1.5.
RATIO = 6.0


def run(_: World) -> Iterator[Figure]:
    """Yield the figures; no database is needed."""
    yield from _statements()
    with tempfile.TemporaryDirectory() as folder:
        yield from _project(Path(folder))


def _statements() -> Iterator[Figure]:
    catalog = load_schema(lint_corpus.schema()).with_tenancy(Tenancy())
    gate = Gate(Prover(catalog))
    texts = lint_corpus.queries(STATEMENTS)
    # A space behind each parameter: else sqlglot takes `$1,` for a quote.
    bare = [text.replace("$", " $").replace(",", " ,") for text in texts]
    medians = interleaved(
        {
            "gate": lambda _: [gate.judge(sql_source("a.sql", text)) for text in texts],
            "parse": lambda _: [sqlglot.parse(text, read="postgres") for text in bare],
        },
        rounds=9,
        warmup=2,
    )
    rate = STATEMENTS / medians["gate"]
    yield Figure("statements judged", rate, "/s")
    yield Figure("against a bare parse", medians["gate"] / medians["parse"], "x", RATIO, aim=1.5)


def _project(folder: Path) -> Iterator[Figure]:
    lint_corpus.write(folder, FILES)
    start = min(_timed([sys.executable, "-c", "pass"], folder) for _ in range(5))
    command = [str(Path(sys.executable).with_name("tenure")), "lint", "--cache-dir", "cache", "src"]
    cold = _timed(command, folder)
    yield Figure(f"{FILES:,} files, cold", cold, "s", 10.0, None, f"{_cores()} cores")
    warm = min(_timed(command, folder) for _ in range(3))
    yield Figure(f"{FILES:,} files, warm, beyond the interpreter's start", warm - start, "s", 0.5)
    for file in sorted(folder.glob("src/part1*/*.sql"))[:5]:
        file.write_text(file.read_text() + "SELECT 1;\n")
    yield Figure("after 5 files changed", _timed(command, folder), "s", 1.5)
    yield Figure("memory of its largest process, cold", _memory(command, folder), "MB", 300.0)
    yield from _others(folder)


def _others(folder: Path) -> Iterator[Figure]:
    """Other linters over the project's SQL files, in their default number of processes."""
    scripts = sorted(str(file.relative_to(folder)) for file in folder.glob("src/*/*.sql"))
    ours = [str(Path(sys.executable).with_name("tenure")), "lint", "--no-cache", *scripts]
    yield Figure(f"{len(scripts)} SQL files: tenure", _timed(ours, folder), "s")
    contenders = {
        "sqlfluff (one rule)": [
            "sqlfluff",
            "lint",
            "--dialect",
            "postgres",
            "--rules",
            "LT01",
            "-p",
            "0",
        ],
        "squawk": ["squawk"],
    }
    for name, command in contenders.items():
        if shutil.which(command[0]):
            took = _timed([*command, *scripts], folder)
            yield Figure(f"{len(scripts)} SQL files: {name}", took, "s")


def _timed(command: list[str], folder: Path) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    took = time.perf_counter() - started
    if done.returncode > 1 and command[0].endswith("tenure"):
        raise RuntimeError(done.stderr.decode())
    return took


# In an interpreter of its own: the children of this one were PostgreSQL servers, too.
_WEIGH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def _memory(command: list[str], folder: Path) -> float:
    weighed = subprocess.run(
        [sys.executable, "-c", _WEIGH, *command, "--no-cache"],
        cwd=folder,
        capture_output=True,
        check=True,
        text=True,
    )
    return int(weighed.stdout) / 1024


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
