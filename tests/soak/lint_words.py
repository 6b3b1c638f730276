"""What the grammar's parts share: the schema, what a query offers to others, and choices."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

# Integer columns; `org` (`id` of orgs) is the tenant. items is its parent's, of which it tells.
TABLES: dict[str, tuple[str, ...]] = {
    "t": ("org", "id", "sid", "pid", "x"),
    "s": ("org", "id", "x"),
    "g": ("id", "org", "x"),
    "gt": ("org", "id", "gid"),
    "n": ("org", "id", "x"),
    "items": ("id", "gid"),
    "orgs": ("id",),
    "c": ("org", "id", "x"),
    "k": ("org", "id", "gid"),
    "e": ("id", "x", "sid", "org", "y"),
    "p": ("org", "id"),
}
# View -> its integer columns and the one that is the tenant.
VIEWS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "v_all": (("org", "id", "x"), "org"),
    "v_top": (("org", "id", "x"), "org"),
    "v_join": (("tenant", "tid", "sx"), "tenant"),
    "v_ids": (("id", "x"), None),
    "v_deep": (("org", "id", "n"), "org"),
    "m_all": (("org", "total"), "org"),
    "m_mine": (("id", "x"), None),
    "m_g": (("id", "org", "x"), "org"),
}
WEIGHTS = {"t": 6, "s": 5, "g": 3, "gt": 3, "n": 4, "items": 2, "orgs": 1, "c": 1, "k": 2,
           "e": 1, "p": 1}  # fmt: skip
KEYS = {"t": ("org, id",), "s": ("org, id",), "g": ("id", "org, id"), "gt": ("org, id",),
         "c": ("org, id",)}  # fmt: skip
SOURCE = "tenure.current_tenant()"


@dataclass(frozen=True)
class Source:
    """An item of FROM: its name, its integer columns, the one that is the tenant."""

    alias: str
    columns: tuple[str, ...]
    tenant: str | None
    table: str | None = None
    bound: bool = False

    @property
    def org(self) -> str | None:
        if not self.tenant:
            return None
        return f"{self.alias}.{self.tenant}" if self.alias else self.tenant


@dataclass(frozen=True)
class Query:
    sql: str
    columns: tuple[str, ...]
    tenant: str | None
    bound: bool


class Choices:
    """The state of one statement's growth, and what chance decides."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sloppy = rng.choice((0.0, 0.15, 0.4, 0.6, 0.8))
        # A part of the statements has one slip: nothing else hides what it does.
        self.single = rng.choice((0, 0, 0, 0, 1, 2, 3))
        self.value = rng.choice(("1", "1", "1", SOURCE))
        self.numbers = itertools.count(1)
        self.tables: list[Source] = []  # WITH queries that may be read

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def slips(self) -> bool:
        if self.single > 0:
            self.single -= 1
            if self.single == 0:
                self.sloppy = 0.0
                return True
            return False
        return self.rng.random() < self.sloppy

    def name(self) -> str:
        return f"a{next(self.numbers)}"

    def column(self, sources: Sequence[Source]) -> str:
        source = self.rng.choice(sources)
        name = self.rng.choice(source.columns)
        if self.chance(0.06) and sum(name in other.columns for other in sources) == 1:
            return name  # the innermost of that name, whosever it is
        return f"{source.alias}.{name}"

    def literal(self) -> str:
        return str(self.rng.choice((1, 1, 2, 2, 3, 4)))
