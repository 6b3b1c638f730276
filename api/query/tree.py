"""A query string as a tree: columns and values are texts, checked by nobody yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tenants.filters import Comparison, Nulls, Truth

Pattern = Literal["like", "ilike"]

COMPARISONS: tuple[Comparison, ...] = get_args(Comparison)
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
TRUTHS: tuple[Truth, ...] = get_args(Truth)
OPERATORS = (*COMPARISONS, *PATTERNS, "in", "is")


@dataclass(frozen=True, slots=True)
class Test:
    """`column.operator.text`, for comparisons."""

    __test__ = False  # not pytest's kind of test

    column: str
    operator: Comparison
    text: str


@dataclass(frozen=True, slots=True)
class Matches:
    """`column.like.text` or `column.ilike.text`."""

    column: str
    operator: Pattern
    text: str


@dataclass(frozen=True, slots=True)
class In:
    """`column.in.(texts)`."""

    column: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IsTruth:
    """`column.is.truth`."""

    column: str
    truth: Truth


@dataclass(frozen=True, slots=True)
class Negated:
    """`not.part`."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Group:
    """`and=(..)` or `or=(..)`, of at least one part."""

    kind: Literal["and", "or"]
    parts: tuple[Condition, ...]


Condition = Test | Matches | In | IsTruth | Negated | Group


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """`column.desc.nullslast`."""

    column: str
    descending: bool
    nulls: Nulls | None


@dataclass(frozen=True, slots=True)
class SelectItem:
    """`label:column`; without a label the column is its own."""

    column: str
    label: str


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """A query string, parsed. `select` None is every column, as `*` is."""

    conditions: tuple[Condition, ...] = ()
    select: tuple[SelectItem, ...] | None = None
    order: tuple[OrderTerm, ...] = ()
    limit: int | None = None
    offset: int | None = None
    columns: tuple[str, ...] | None = None
