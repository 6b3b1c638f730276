"""Batches that adapt: as large as is quick, smaller where others are in the way, later under load.

The size follows GitLab's batched migrations: efficiency is a batch's duration over the
interval it may take, smoothed (an exponential moving average of weight 0.4); below 0.9 the
next batch grows, by at most a fifth, above 0.95 it shrinks. What puts a batch off does so here,
between transactions, where no lock is held: the policy's rate, the share of its time that a
worker may spend in batches (it sleeps in proportion to the last one, as pt-archiver does: a
server that answers others meanwhile has its processors for them), and the pressure on the server.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from config.logging import get_logger
from retention.batch import Attempt
from retention.errors import PlanError

_log = get_logger(__name__)

INTERVAL_S = 0.25
LARGEST = 10_000
SMALLEST = 100

_WEIGHT = 0.4
_TOO_QUICK = 0.9
_TARGET = 0.95
_GROWTH = 1.2
_POLL_S = 0.05
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
#: However long pressure lasts, a batch of the smallest size goes this often: a purge that
#: never moves looks like one that has nothing to do.
PATIENCE_S = 60.0

Pressure = Callable[[], Collection[str]]


def next_size(size: int, smoothed: float, bounds: tuple[int, int]) -> int:
    """Return the size of the next batch after one of `size` rows, for a smoothed efficiency.

    Requires `smoothed` > 0 and bounds (fewest, most), 1 <= fewest <= most.
    """
    if _TOO_QUICK <= smoothed <= _TARGET:
        wanted = float(size)
    else:
        wanted = size * min(_GROWTH, _TARGET / smoothed)
    return max(bounds[0], min(bounds[1], round(wanted)))


@dataclass
class AdaptivePacer:
    """Paces the batches of one unit (a `retention.pacing.Pacer`).

    `bounds` are the fewest and most rows of a batch, `rate` rows a second at most, None for
    as many as go; `workers` says how many share it now. `share`, above 0 and at most 1, is how
    much of the time batches may take, `interval_s` how long (s) one should. `pressure` says what
    weighs on the server, nothing where all is well. Both are asked at most every `ask_s` seconds.
    Raises PlanError for bounds, or a share, that are none.
    """

    bounds: tuple[int, int] = (SMALLEST, LARGEST)
    rate: int | None = None
    workers: Callable[[], int] = lambda: 1
    pressure: Pressure = field(default=tuple)
    start: int = 1000
    share: float = 1.0
    interval_s: float = INTERVAL_S
    ask_s: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        fewest, most = self.bounds
        if not 1 <= fewest <= most:
            raise PlanError(f"batches from {fewest} to {most} rows are none")
        if not 0 < self.share <= 1:
            raise PlanError(f"batches cannot take {self.share:g} of the time")
        if self.rate is not None:
            # A batch is never worth more than a second, or the wait for the next is no pause.
            most = max(1, min(most, self.rate))
        self._bounds = (min(fewest, most), most)
        self._size = max(self._bounds[0], min(most, self.start))
        self._smoothed: float | None = None
        self._among = 1
        self._not_before = self.clock()
        self._ask_at = self.clock()

    @property
    def size(self) -> int:
        """How many rows of the policy's table the next batch looks at, at most."""
        return self._size

    def rest(self, stop: Callable[[], bool]) -> None:
        """Wait for rate and share, and while something weighs on the server; `stop` ends it."""
        self._wait(self._not_before - self.clock(), stop)
        if self.clock() < self._ask_at:
            return
        if self.rate is not None:
            self._among = max(1, self.workers())
        began, pause = self.clock(), _FIRST_PAUSE_S
        while not stop():
            reasons = self.pressure()
            if not reasons:
                break
            if self.clock() - began >= PATIENCE_S:
                self._size = self._bounds[0]
                break
            _log.info("batch_put_off", reasons=sorted(reasons), seconds=pause)
            self._wait(pause, stop)
            pause = min(_LONGEST_PAUSE_S, pause * 2)
        self._ask_at = self.clock() + self.ask_s

    def committed(self, attempt: Attempt, seconds: float) -> None:
        """Learn from a batch that was done, and took so long (s)."""
        if self.rate is not None:
            worth = attempt.rows * self._among / self.rate
            self._not_before = max(self.clock(), self._not_before) + worth
        rested = self.clock() + seconds * (1 / self.share - 1)
        self._not_before = max(self._not_before, rested)
        if attempt.candidates < attempt.limit:
            return  # the end of the index: it says nothing about the size
        efficiency = max(seconds, 1e-6) / self.interval_s
        before = efficiency if self._smoothed is None else self._smoothed
        self._smoothed = _WEIGHT * efficiency + (1 - _WEIGHT) * before
        self._size = next_size(self._size, self._smoothed, self._bounds)

    def contended(self, attempt: Attempt) -> bool:
        """Halve the size, below the fewest rows if need be; False where it is one row already."""
        if self._size == 1:
            self._size = self._bounds[0]
            return False
        self._size = max(1, min(self._size, attempt.candidates) // 2)
        return True

    def _wait(self, seconds: float, stop: Callable[[], bool]) -> None:
        until = self.clock() + seconds
        while not stop() and (left := until - self.clock()) > 0:
            self.sleep(min(_POLL_S, left))
