"""Timing in turns, and what a benchmark reports.

Machines differ and drift; so the contenders take turns, call by call, and what counts is
the ratio of their medians. The order of the turns changes, for who comes after a like one finds
the processor's caches warm. A connection can be lucky all its life (where its backend lies in
memory); so all is done several times over, with fresh ones, and of the ratios the median counts.
Absolute figures are printed for orientation only.
"""

from __future__ import annotations

import random
import re
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured figure. `ceiling` (or `floor`) is the bound that fails the run.

    `aim` is where it should be: said beside it, reached or not.
    """

    name: str
    value: float
    unit: str
    ceiling: float | None = None
    floor: float | None = None
    note: str = ""
    aim: float | None = None

    @property
    def passed(self) -> bool:
        """True when the figure keeps its bounds, or has none."""
        return (self.ceiling is None or self.value <= self.ceiling) and (
            self.floor is None or self.value >= self.floor
        )


def interleaved(
    contenders: Mapping[str, Callable[[int], object]], *, rounds: int, warmup: int = 50
) -> dict[str, float]:
    """Call the contenders in turn, `rounds` times each; return each one's median in seconds.

    Every callable gets the number of its round, so that all ask for the same things.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    turns = list(contenders.items())
    order = random.Random(rounds)
    for number in range(-warmup, rounds):
        order.shuffle(turns)
        for name, call in turns:
            started = time.perf_counter()
            call(number % rounds)
            if number >= 0:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_memory() -> int:
    """Return the most memory this process has had, in KiB.

    What getrusage says on Linux, a child takes over from the process that began it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Medians:
    """What `interleaved` returned, each time it was done."""

    def __init__(self) -> None:
        self._times: list[dict[str, float]] = []

    def add(self, medians: dict[str, float]) -> None:
        """Add those of one time more."""
        self._times.append(medians)

    def __contains__(self, name: str) -> bool:
        return all(name in medians for medians in self._times)

    def seconds(self, name: str) -> float:
        """Return a contender's median of its medians."""
        return statistics.median(medians[name] for medians in self._times)

    def ratios(self, ours: str, theirs: str) -> list[float]:
        """Return the ratio of two, one for each time, in order of size."""
        return sorted(medians[ours] / medians[theirs] for medians in self._times)
