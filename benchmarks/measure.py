"""Timing in pairs, and what a benchmark reports.

Machines differ and drift; so the contenders take turns, call by call, and what counts is
the ratio of their medians. Absolute figures are printed for orientation only.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


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
    for number in range(-warmup, rounds):
        for name, call in contenders.items():
            started = time.perf_counter()
            call(number % rounds)
            if number >= 0:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}
