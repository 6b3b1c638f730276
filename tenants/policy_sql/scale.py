"""The scale of what an expression admits, and what is known around one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["closed", "bound", "keyed", "unknown", "partial", "switch", "open"]
SCALE: tuple[Kind, ...] = ("closed", "bound", "keyed", "unknown", "partial", "switch", "open")


@dataclass(frozen=True, slots=True)
class Routine:
    """A function that policies may call. `body` is read where `language` is `sql`."""

    language: str
    arguments: tuple[str, ...]
    body: str
    definer: bool = False


@dataclass(frozen=True)
class Knowledge:
    """What is known around an expression. Names are `schema.name`.

    `functions` by name and number of arguments; `guarded` tables of which the caller sees
    only what is its tenant's; `columns` the columns of tables; `role` who asks.
    """

    functions: Mapping[tuple[str, int], Routine] = field(default_factory=dict)
    guarded: frozenset[str] = frozenset()
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """The row that is asked about: its tenant columns, and the columns that are never null."""

    tenant_columns: frozenset[str]
    not_null: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Judgement:
    """`reason` says in a few words why it is no narrower."""

    kind: Kind
    reason: str

    def at_most(self, kind: Kind) -> bool:
        """Whether it admits no more than `kind` does."""
        return SCALE.index(self.kind) <= SCALE.index(kind)


NOTHING = Judgement("closed", "it admits no row")


def narrower(judgements: Iterable[Judgement]) -> Judgement:
    """AND: the narrowest of them; every row if there are none."""
    default = Judgement("open", "there is no condition")
    return min(judgements, key=lambda j: SCALE.index(j.kind), default=default)


def wider(judgements: Iterable[Judgement]) -> Judgement:
    """OR: the widest of them; no row if there are none."""
    return max(judgements, key=lambda j: SCALE.index(j.kind), default=NOTHING)
