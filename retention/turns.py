"""Turns: the time of a tick, shared out among cases of which each may take long.

None is worked on to its end at the cost of all others, or of what a tick has to plan: who is not
done when its share is over goes on at the next tick. Where time runs out, some do not have a turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: What a case returns that was not done when its share was over.
NEXT_TICK = "told to stop"
_LEAST_S = 1.0


def in_turn(
    cases: Sequence[T], stop: Callable[[], bool], until: float
) -> Iterator[tuple[T, Callable[[], bool]]]:
    """Yield each case with what tells it to stop, until told to stop, or the monotonic clock (s)
    says `until`. A share is what is left, evenly, and a second at least."""
    for number, case in enumerate(cases):
        now = time.monotonic()
        if stop() or now >= until:
            return
        yield case, _stops(stop, now + max(_LEAST_S, (until - now) / (len(cases) - number)))


def _stops(stop: Callable[[], bool], until: float) -> Callable[[], bool]:
    return lambda: stop() or time.monotonic() >= until
