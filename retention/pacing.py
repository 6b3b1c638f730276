"""How large the next batch is, and how long to wait before it.

The unit's work asks its pacer between batches, outside of any transaction: what throttles
does so there, and holds no lock meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from retention.batch import Attempt
from retention.errors import PlanError


class Pacer(Protocol):
    """Paces the batches of one unit, for as long as one worker has it."""

    @property
    def size(self) -> int:
        """How many rows of the policy's table the next batch looks at, at most."""
        ...

    def rest(self, stop: Callable[[], bool]) -> None:
        """Wait for as long as the next batch should be put off; `stop` ends the wait."""
        ...

    def committed(self, attempt: Attempt, seconds: float) -> None:
        """Learn from a batch that was done, and took so long."""
        ...

    def contended(self, attempt: Attempt) -> bool:
        """Learn from a batch that others were in the way of.

        False when a smaller one is of no use any more: the row is then passed over.
        """
        ...


class SteadyPacer:
    """Batches of one size, without a pause; smaller ones for a while where others are in the way.

    Raises PlanError for a size below 1.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            raise PlanError(f"batch size must be at least 1, got {most}")
        self._most = most
        self._size = most

    @property
    def size(self) -> int:
        """See `Pacer`."""
        return self._size

    def rest(self, stop: Callable[[], bool]) -> None:
        """Wait for nothing."""

    def committed(self, attempt: Attempt, seconds: float) -> None:
        """Grow back."""
        self._size = min(self._most, self._size * 2)

    def contended(self, attempt: Attempt) -> bool:
        """Halve the size, down to one row."""
        if self._size == 1:
            self._size = self._most
            return False
        self._size = max(1, min(self._size, attempt.candidates) // 2)
        return True
