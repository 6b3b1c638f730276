"""A value stands where a value belongs, and does not write itself."""

from __future__ import annotations

import enum
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from psycopg2 import Binary, extensions, extras

from tenants.errors import UnprovenSqlError, UnscopableError
from tenants.parameters import refuse_quoted_places, refuse_verbatim, require_place


class Itself:
    def getquoted(self) -> bytes:
        return b"(SELECT 1)"


class Conforming:
    def __conform__(self, _protocol: Any) -> Any:
        return Itself()


class JsonOfOnesOwn(extras.Json):
    def getquoted(self) -> bytes:
        return b"(SELECT 1)"


class Registered:
    """Of a class for which somebody has registered an adapter that writes it as it is."""


extensions.register_adapter(Registered, lambda _value: extensions.AsIs("(SELECT 1)"))


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


class Shortened(extras.Json):
    def dumps(self, obj: Any) -> str:
        return super().dumps(obj)[:10]


PLAIN = (
    *(Number.ONE, Text("x"), Shortened({"a": 1}), memoryview(b"x"), time(1)),
    *(extras.NumericRange(Decimal(1), None), extras.NumericRange(empty=True)),
    *(extras.DateRange(date(2026, 1, 1), None), extras.DateTimeTZRange(None, None)),
    *("x", b"x", 1, 1.5, True, None, Decimal("1.5"), uuid.uuid4(), date(2026, 1, 1)),
    *(datetime.now(UTC), timedelta(1), [1, "x"], (uuid.uuid4(),), {"a": 1}, {"a", "b"}),
    *(extras.Json({"a": 1}), Binary(b"x"), extras.NumericRange(1, 2)),
    extensions.QuotedString("x"),
)


def test_values_pass() -> None:
    refuse_verbatim(PLAIN)
    refuse_verbatim({"name": "x"})
    refuse_verbatim(None)


@pytest.mark.parametrize(
    "value",
    [
        *(extensions.AsIs("x"), extensions.Int(1), extensions.Float(1.0), Itself(), Conforming()),
        *(JsonOfOnesOwn({}), Registered(), [Registered()]),
        # psycopg2 takes the bounds for numbers: '[' || (SELECT ..) || ',)'
        *(extras.NumericRange(" || (SELECT 1) || ", None), extras.NumericRange(1, Text("x"))),
        *([extensions.AsIs("x")], ("x", [Itself()]), {"name": "x"} and [(Itself(),)]),
    ],
)
def test_what_writes_itself_does_not(value: Any) -> None:
    for params in ([value], ("x", value), {"name": value}):
        with pytest.raises(UnprovenSqlError):
            refuse_verbatim(params)


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ("SELECT 1", 0),
        ("SELECT %s", 1),
        ("SELECT %s, %s", 2),
        ("SELECT '50%%', %s", 1),
        ("SELECT '%%'", 0),
        ('SELECT 1 AS "%%s"', 0),
    ],
)
def test_places_are_counted(sql: str, count: int) -> None:
    require_place(sql, ["x"] * count)


@pytest.mark.parametrize(
    ("sql", "count"),
    [
        ('SELECT %s AS "%s"', 1),
        ('SELECT 1 AS "%s"', 0),
        ('SELECT 1 AS "%%%s"', 0),
        ("SELECT 5 % 3", 0),
        ("SELECT %s", 2),
    ],
)
def test_a_place_too_many_or_too_few_is_refused(sql: str, count: int) -> None:
    with pytest.raises(UnscopableError):
        require_place(sql, ["x"] * count)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t WHERE b = %s AND c = 'it''s'",
        "SELECT 'x' || %s || 'y'",
        "SELECT 'a' 'b', %s, \"c\"",
        "SELECT '50%%' -- all of it",
        "SELECT $a$ x $a$, %s",
        "SELECT a -- comment\n, %s /* another */",
        r"SELECT E'it\'s', %s",
        r"SELECT '\', %s, 'x'",
    ],
)
def test_a_place_outside_of_quotes_passes(sql: str) -> None:
    refuse_quoted_places(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT '%s'",
        "SELECT 'a''%s'",
        'SELECT 1 AS "%s"',
        'SELECT 1 AS "a""%s"',
        "SELECT 1 -- %s",
        "SELECT 1 /* %s */",
        "SELECT 1 /* %s",
        "SELECT 1 /* /* */ %s */",
        "SELECT $$%s$$",
        "SELECT $a$ $$ %s $a$",
        "SELECT '%%%s'",
        "SELECT '%(name)s'",
        r"SELECT E'\'%s'",
        r"SELECT '\', %s, '%s'",
        "SELECT '%s",
    ],
)
def test_a_place_inside_of_quotes_is_refused(sql: str) -> None:
    with pytest.raises(UnprovenSqlError):
        refuse_quoted_places(sql)
