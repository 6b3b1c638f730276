"""Where a query stands: the CTEs it may name, the levels around it, the views it came through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lint.relation import Output

if TYPE_CHECKING:
    from lint.block import Block


@dataclass(eq=False)
class CommonTable:
    """A WITH query. `read` reads it anew; `used` tells whether anything refers to it."""

    name: str
    read: Callable[[], Output]
    used: bool = False


@dataclass(frozen=True, slots=True)
class Env:
    tables: Mapping[str, CommonTable] = field(default_factory=dict)
    outers: tuple[Block, ...] = ()
    path: tuple[int, ...] = ()
    depth: int = 0
    top: bool = False

    def inside(self, block: Block) -> Env:
        """For a subquery that sees the names of `block`."""
        return replace(self, outers=(*self.outers, block), depth=self.depth + 1, top=False)

    def nested(self) -> Env:
        return replace(self, depth=self.depth + 1, top=False)

    def with_table(self, table: CommonTable) -> Env:
        return replace(self, tables={**self.tables, table.name: table})
