"""Pages of a list: bounded, and without counting what is not shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

DEFAULT_SIZE = 50
MAX_SIZE = 1000
MAX_NUMBER = 100_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of a list is wanted. Numbers start at 1.

    Raises ValueError, naming the input, beyond MAX_NUMBER and MAX_SIZE.
    """

    number: int = 1
    size: int = DEFAULT_SIZE

    def __post_init__(self) -> None:
        if not 1 <= self.number <= MAX_NUMBER:
            raise ValueError(f"page {self.number} is not from 1 to {MAX_NUMBER}")
        if not 1 <= self.size <= MAX_SIZE:
            raise ValueError(f"size {self.size} is not from 1 to {MAX_SIZE}")

    @property
    def window(self) -> dict[str, int]:
        """Parameters for `LIMIT %(limit)s OFFSET %(offset)s`: one row more than the page."""
        return {"limit": self.size + 1, "offset": (self.number - 1) * self.size}

    def cut(self, rows: Sequence[T]) -> tuple[tuple[T, ...], Page]:
        """Return the page's rows and what page it is; requires rows read through `window`."""
        following = self.number + 1 if len(rows) > self.size else None
        return tuple(rows[: self.size]), Page(self.number, self.size, following)


@dataclass(frozen=True, slots=True)
class Page:
    """The page that is shown; `next` is the number of the following one, None at the end."""

    number: int
    size: int
    next: int | None
