"""Filters and orders over one table as values, and their compilation to peewee.

Whoever makes these values has checked columns and coerced values; nothing here parses.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import peewee

from tenants.errors import CatalogError

Comparison = Literal["eq", "neq", "gt", "gte", "lt", "lte"]
Truth = Literal["null", "not_null", "true", "false"]
Nulls = Literal["first", "last"]

#: Fields of a model by column name.
Fields = Mapping[str, peewee.Field]


@dataclass(frozen=True, slots=True)
class Compare:
    """`column <operator> value`; never true where the column is null."""

    column: str
    operator: Comparison
    value: object


@dataclass(frozen=True, slots=True)
class OneOf:
    """`column IN (values)`; with no values nothing matches."""

    column: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """`column LIKE pattern`: % any text, _ one character, backslash escapes."""

    column: str
    pattern: str
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Is:
    """`column IS truth`: true or false on every row, null or not."""

    column: str
    truth: Truth


@dataclass(frozen=True, slots=True)
class Not:
    """The negation, in SQL's three-valued logic."""

    part: Filter


@dataclass(frozen=True, slots=True)
class AllOf:
    """A conjunction of at least one part."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A disjunction of at least one part."""

    parts: tuple[Filter, ...]


Filter = Compare | OneOf | Like | Is | Not | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Order:
    """One key of an order. Without `nulls`, as PostgreSQL does: last when ascending."""

    column: str
    descending: bool = False
    nulls: Nulls | None = None


_COMPARISONS: Mapping[Comparison, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def all_of(parts: Iterable[Filter | None]) -> Filter | None:
    """Return the conjunction of what is not None; None when nothing is left."""
    present = tuple(part for part in parts if part is not None)
    return present[0] if len(present) == 1 else AllOf(present) if present else None


def expression_of(condition: Filter, fields: Fields) -> Any:  # noqa: PLR0911 - one per kind
    """Return the peewee expression; raises CatalogError for a column not in `fields`."""
    match condition:
        case Compare(column, comparison, value):
            return _COMPARISONS[comparison](_field(fields, column), value)
        case OneOf(column, values):
            return _field(fields, column).in_(values)
        case Like(column, pattern, ignore_case):
            op = peewee.OP.ILIKE if ignore_case else peewee.OP.LIKE
            return peewee.Expression(_field(fields, column), op, peewee.Value(pattern, False))
        case Is(column, truth):
            return _truth(_field(fields, column), truth)
        case Not(part):
            return ~expression_of(part, fields)
        case AllOf(parts):
            return _balanced(peewee.OP.AND, [expression_of(p, fields) for p in parts])
        case AnyOf(parts):
            return _balanced(peewee.OP.OR, [expression_of(p, fields) for p in parts])


def ordering_of(orders: Iterable[Order], fields: Fields) -> list[Any]:
    """Return peewee's ORDER BY terms."""
    return [
        peewee.Ordering(
            _field(fields, order.column), "DESC" if order.descending else "ASC", nulls=order.nulls
        )
        for order in orders
    ]


def _field(fields: Fields, column: str) -> Any:
    try:
        return fields[column]
    except KeyError:
        raise CatalogError(
            f"there is no column {column!r}; there are {', '.join(fields)}"
        ) from None


def _truth(field: Any, truth: Truth) -> Any:
    if truth in ("null", "not_null"):
        return field.is_null(truth == "null")
    return peewee.Expression(field, peewee.OP.IS, truth == "true")


def _balanced(op: str, parts: Sequence[Any]) -> Any:
    """Join as a balanced tree: peewee compiles recursively, and a chain of hundreds is deep."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return peewee.Expression(_balanced(op, parts[:middle]), op, _balanced(op, parts[middle:]))
