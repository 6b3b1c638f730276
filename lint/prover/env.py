"""Where a query stands: the CTEs it may name, the levels around it, the views it came through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from sqlglot import exp

from lint.prover.relation import Col, Output, Relation
from lint.schema.catalog import Name
from lint.value import value


class Level(Protocol):
    """A query level as those inside it see it."""

    @property
    def relation(self) -> Relation: ...

    def local(self, name: str, column: exp.Column) -> tuple[bool, Col | None]: ...


@dataclass(eq=False)
class CommonTable:
    """A WITH query. `read` reads it anew; `used` tells whether anything refers to it."""

    name: str
    read: Callable[[], Output]
    used: bool = False


@value
class Env:
    tables: Mapping[str, CommonTable] = field(default_factory=dict)
    outers: tuple[Level, ...] = ()
    path: tuple[int, ...] = ()
    depth: int = 0
    top: bool = False
    # The materialized views around: their rows are those of a refresh.
    snapshot: tuple[Name, ...] = ()

    def inside(self, block: Level) -> Env:
        """For a subquery that sees the names of `block`."""
        outers = (*self.outers, block)
        return Env(self.tables, outers, self.path, self.depth + 1, snapshot=self.snapshot)

    def nested(self) -> Env:
        return Env(self.tables, self.outers, self.path, self.depth + 1, snapshot=self.snapshot)

    def with_table(self, table: CommonTable) -> Env:
        return replace(self, tables={**self.tables, table.name: table})
