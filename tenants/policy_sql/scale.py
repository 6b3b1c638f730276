"""The scale of what an expression admits, and what is known around one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal[
    "closed", "bound", "keyed", "fixed", "shared", "unknown", "partial", "switch", "open"
]
SCALE: tuple[Kind, ...] = get_args(Kind)
# What a value depends on: the row's tenant, another column of it, a column of a subquery, the
# session, a query that does not ask who calls, or something that is not followed.
Class = Literal["tenant", "column", "inner", "session", "loose", "unknown"]
OWN: frozenset[Class] = frozenset({"tenant", "column", "inner"})


@dataclass(frozen=True, slots=True)
class Routine:
    """A function that policies may call. `body` is read where `language` is `sql`.

    `name` is without its schema; `defaults` are those of the last arguments, as printed.
    """

    language: str
    arguments: tuple[str, ...]
    body: str
    definer: bool = False
    name: str = ""
    defaults: str = ""


@dataclass(frozen=True)
class Knowledge:
    """What is known around an expression. Names are `schema.name`.

    `functions` by name and number of arguments, as a call may have it; `guarded` tables of which
    the caller sees only what is its tenant's; `columns` the columns of tables; `role` who asks.
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
    found = list(judgements)
    widest = max(found, key=lambda j: SCALE.index(j.kind), default=NOTHING)
    if widest.kind == "fixed" and any(j.kind in ("bound", "keyed") for j in found):
        return Judgement("shared", "beside the caller's rows it admits those of one fixed tenant")
    return widest
