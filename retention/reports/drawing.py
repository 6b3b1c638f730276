"""Drawing at random so that anybody can draw the same again: from a seed, by SHA-256.

The population is numbered from 0. The i-th number tried (i from 0) is SHA-256 of the text
`<seed>/<i>`, as an integer with its first byte highest, modulo the population's size; what was
drawn before is passed over.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from uuid import UUID

MAX_DRAWN = 200
_SEED = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TABLE = re.compile(r"[^.\x00]{1,63}\.[^.\x00]{1,63}")


@dataclass(frozen=True, slots=True)
class Draw:
    """So many out of a population.

    Raises ValueError, naming the input, for less than one or more than MAX_DRAWN, and for a seed
    that is no word of up to 64 letters, digits, dots, hyphens and underscores.
    """

    size: int
    seed: str

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_DRAWN:
            raise ValueError(f"{self.size} is not from 1 to {MAX_DRAWN}")
        if not _SEED.fullmatch(self.seed):
            raise ValueError("a seed has 1 to 64 letters, digits, dots, hyphens or underscores")

    def numbers(self, population: int) -> list[int]:
        """Return the numbers drawn, in their order: all different, all below `population`; all
        there are, where there are no more than are asked for."""
        drawn: dict[int, None] = {}
        tried = 0
        while len(drawn) < min(self.size, population):
            digest = hashlib.sha256(f"{self.seed}/{tried}".encode()).digest()
            drawn.setdefault(int.from_bytes(digest) % population)
            tried += 1
        return list(drawn)


@dataclass(frozen=True, slots=True)
class Presented:
    """A row's id that somebody presents, and its table, where they know it.

    Raises ValueError for what is no table's name with its schema.
    """

    key: UUID
    table: str | None = None

    def __post_init__(self) -> None:
        if self.table is not None and not _TABLE.fullmatch(self.table):
            raise ValueError("a table is named with its schema: shop.invoices")


def new_seed() -> str:
    """Return a seed that nobody chose."""
    return secrets.token_hex(8)
