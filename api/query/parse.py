"""PostgREST's query dialect as a tree of texts: a pure parser that knows no table.

Columns and values are texts here; `api.query.plan` checks and coerces them. Grammar:
https://docs.postgrest.org/en/stable/references/api/tables_views.html. The supported part is
listed in docs/api.md. Sizes are limited, for whoever sends the text is not trusted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal, cast

from api.errors import Problem, bad_query, bad_range, shorten
from api.query.tree import (
    OPERATORS,
    PATTERNS,
    TRUTHS,
    Condition,
    Group,
    In,
    IsTruth,
    Matches,
    Negated,
    OrderTerm,
    ParsedQuery,
    SelectItem,
    Test,
)
from tenants.filters import Comparison, Nulls, Truth

MAX_DEPTH = 10
MAX_CONDITIONS = 200
MAX_ITEMS = 2000
MAX_TEXT = 65_536
_MAX_NUMBER = 2**53


def parse_query(parameters: Sequence[tuple[str, str]]) -> ParsedQuery:
    """Parse decoded query parameters, in their order.

    Raises Problem: PGRST100 for what is not in the dialect, PGRST200 for embedding,
    PGRST103 for a limit or offset below zero.
    """
    if sum(len(key) + len(value) for key, value in parameters) > MAX_TEXT:
        raise bad_query("the query string", f"it is longer than {MAX_TEXT} characters")
    conditions: list[Condition] = []
    once: dict[str, str] = {}
    budget = _Budget()
    for key, value in parameters:
        if key in _SINGLE:
            if key in once:
                raise bad_query(f"{key} parameter", f"{key} is given more than once")
            once[key] = value
        else:
            conditions.append(_condition(key, value, budget))
    if "on_conflict" in once:
        raise bad_query("on_conflict parameter", "expecting none", "Upsert is not supported.")
    return ParsedQuery(
        conditions=tuple(conditions),
        select=_select(once["select"]) if "select" in once else None,
        order=_order(once["order"]) if "order" in once else (),
        limit=_number("limit", once["limit"]) if "limit" in once else None,
        offset=_number("offset", once["offset"]) if "offset" in once else None,
        columns=_columns(once["columns"]) if "columns" in once else None,
    )


_SINGLE = frozenset({"select", "order", "limit", "offset", "columns", "on_conflict"})
_GROUPS: tuple[Literal["and", "or"], ...] = ("and", "or")
_COLUMN = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\W\d][\w$ -]*)', re.DOTALL)
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE = re.compile(r"[^,)]*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]{1,19}")


class _Budget:
    """Counts what a query may have only so many of."""

    def __init__(self) -> None:
        self._left = MAX_CONDITIONS

    def spend(self) -> None:
        """Raise PGRST100 when the query has too many conditions."""
        self._left -= 1
        if self._left < 0:
            raise bad_query("the query string", f"it has more than {MAX_CONDITIONS} conditions")


class _Reader:
    """A position in one text, for errors that say where."""

    def __init__(self, text: str, what: str, budget: _Budget | None = None) -> None:
        self.text = text
        self.at = 0
        self.what = what
        self.budget = budget or _Budget()

    def fail(self, expecting: str, hint: str | None = None) -> Problem:
        rest = self.text[self.at :]
        found = f"unexpected {shorten(rest, 20)!r}" if rest else "unexpected end"
        return bad_query(
            f"{self.what} ({shorten(self.text)}) at character {self.at + 1}",
            f"{found}, expecting {expecting}",
            hint,
        )

    def skip(self, literal: str) -> bool:
        """Consume `literal` if it comes next."""
        if self.text.startswith(literal, self.at):
            self.at += len(literal)
            return True
        return False

    def need(self, literal: str) -> None:
        if not self.skip(literal):
            raise self.fail(repr(literal))

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return match

    def rest(self) -> str:
        rest = self.text[self.at :]
        self.at = len(self.text)
        return rest

    def end(self) -> None:
        if self.at < len(self.text):
            raise self.fail("the end")

    def column(self) -> str:
        match = self.take(_COLUMN)
        if match is None:
            raise self.fail("a column's name")
        if match[1] is not None:
            return _unescape(match[1])
        return match[2].strip()


def _unescape(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)


# -- conditions ----------------------------------------------------------------------------


def _condition(key: str, value: str, budget: _Budget) -> Condition:
    """Parse one parameter: `and=(..)`, `not.or=(..)`, or `column=operator.value`."""
    negated = key.startswith("not.")
    if key.removeprefix("not.") in _GROUPS:
        reader = _Reader(value, f"logic tree {key}", budget)
        group = _group(reader, "and" if key.endswith("and") else "or", 1)
        reader.end()
        return Negated(group) if negated else group
    name = _Reader(key, "column")
    column = name.column()
    if name.at < len(key):
        raise name.fail(
            "the end of the column's name",
            "JSON paths and conditions on embedded resources are not supported.",
        )
    reader = _Reader(value, f"filter {shorten(column)}", budget)
    condition = _test(reader, column, nested=False)
    reader.end()
    return condition


def _group(reader: _Reader, kind: Literal["and", "or"], depth: int) -> Group:
    if depth > MAX_DEPTH:
        raise reader.fail(f"at most {MAX_DEPTH} levels of nesting")
    reader.need("(")
    parts = [_member(reader, depth)]
    while reader.skip(","):
        parts.append(_member(reader, depth))
    reader.need(")")
    return Group(kind, tuple(parts))


def _member(reader: _Reader, depth: int) -> Condition:
    while reader.skip(" "):
        pass
    start = reader.at
    negated = reader.skip("not.")
    for kind in _GROUPS:
        if reader.text.startswith(f"{kind}(", reader.at):
            reader.at += len(kind)
            group = _group(reader, kind, depth + 1)
            return Negated(group) if negated else group
    reader.at = start
    column = reader.column()
    reader.need(".")
    return _test(reader, column, nested=True)


def _test(reader: _Reader, column: str, *, nested: bool) -> Condition:
    """Parse `[not.]operator.value`; inside a group a value ends at a comma or parenthesis."""
    reader.budget.spend()
    negated = reader.skip("not.")
    operator = next((o for o in OPERATORS if reader.skip(f"{o}.")), None)
    if operator is None:
        raise reader.fail(f"an operator ({', '.join(OPERATORS)}) and a full stop")
    condition: Condition
    if operator == "in":
        condition = In(column, _list(reader))
    elif operator == "is":
        condition = IsTruth(column, _is_truth(reader))
    else:
        text = _nested_value(reader) if nested else reader.rest()
        if operator in PATTERNS:
            condition = Matches(column, operator, text)
        else:
            condition = Test(column, cast(Comparison, operator), text)
    return Negated(condition) if negated else condition


def _is_truth(reader: _Reader) -> Truth:
    start = reader.at
    word = cast(re.Match[str], reader.take(_BARE))[0].lower()
    if word not in TRUTHS:
        reader.at = start
        raise reader.fail(" or ".join(TRUTHS))
    return word


def _nested_value(reader: _Reader) -> str:
    quoted = reader.take(_QUOTED)
    if quoted is not None:
        return _unescape(quoted[1])
    return cast(re.Match[str], reader.take(_BARE))[0]


def _list(reader: _Reader) -> tuple[str, ...]:
    reader.need("(")
    if reader.skip(")"):
        return ()
    items = [_item(reader)]
    while reader.skip(","):
        items.append(_item(reader))
        if len(items) > MAX_ITEMS:
            raise reader.fail(f"at most {MAX_ITEMS} values in a list")
    reader.need(")")
    return tuple(items)


def _item(reader: _Reader) -> str:
    quoted = reader.take(_QUOTED)
    if quoted is not None:
        return _unescape(quoted[1])
    return cast(re.Match[str], reader.take(_BARE))[0]


# -- the other parameters ------------------------------------------------------------------


def _select(text: str) -> tuple[SelectItem, ...] | None:
    """Parse `id,total:amount`; None for every column."""
    reader = _Reader(text, "select parameter")
    items: dict[str, SelectItem] = {}
    shown: dict[str, str] = {}
    star = False
    if text == "":
        return None
    while True:
        if reader.skip("*"):
            star = True
        else:
            item = _select_item(reader)
            if items.setdefault(item.label, item) != item:
                raise reader.fail(f"another label than {item.label!r}, which is taken")
            # Under a thousand labels a long text would be a thousand times as long.
            if shown.setdefault(item.column, item.label) != item.label:
                raise reader.fail("each column once")
        if not reader.skip(","):
            break
    reader.end()
    if star and items:
        raise bad_query("select parameter", "* stands alone: it already is every column")
    return None if star else tuple(items.values())


def _select_item(reader: _Reader) -> SelectItem:
    first = reader.column()
    label = first
    if reader.skip(":"):
        if reader.skip(":"):
            raise reader.fail("no cast", "Casts in select are not supported.")
        label, first = first, reader.column()
        if not _LABEL.fullmatch(label):
            raise reader.fail("a label of letters, digits and underscores before the colon")
    rest = reader.text[reader.at :]
    if rest.startswith(("(", "!")):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "PGRST200",
            f"Could not find a relationship to {shorten(first)!r}",
            "Resource embedding is not supported.",
            "Ask for each resource by itself, and filter by its foreign key.",
        )
    if rest.startswith((".", "::", "->")):
        raise reader.fail(
            "a comma or the end", "Casts, aggregates and JSON paths in select are not supported."
        )
    return SelectItem(first, label)


def _order(text: str) -> tuple[OrderTerm, ...]:
    reader = _Reader(text, "order parameter")
    terms = [_order_term(reader)]
    while reader.skip(","):
        terms.append(_order_term(reader))
    reader.end()
    return tuple(terms)


def _order_term(reader: _Reader) -> OrderTerm:
    column = reader.column()
    descending = reader.skip(".desc")
    if not descending:
        reader.skip(".asc")
    nulls: Nulls | None = None
    if reader.skip(".nullsfirst"):
        nulls = "first"
    elif reader.skip(".nullslast"):
        nulls = "last"
    if reader.at < len(reader.text) and reader.text[reader.at] != ",":
        raise reader.fail(".asc, .desc, .nullsfirst, .nullslast, a comma or the end")
    return OrderTerm(column, descending, nulls)


def _columns(text: str) -> tuple[str, ...]:
    reader = _Reader(text, "columns parameter")
    names = [reader.column()]
    while reader.skip(","):
        names.append(reader.column())
    reader.end()
    return tuple(dict.fromkeys(names))


def _number(key: str, text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > _MAX_NUMBER:
        raise bad_query(f"{key} parameter ({shorten(text, 30)})", "expecting a whole number")
    if int(text) < 0:
        raise bad_range(f"{key.capitalize()} must be greater than or equal to zero.")
    return int(text)
