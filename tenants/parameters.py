"""What the driver makes of a statement's text and its values: psycopg2 puts the values in.

It writes a value where `%s` stands, and does not ask where that is. Inside quotes its own
quotes would end the literal (or the name) and set the value free as SQL; so would a value that
brings its own text. Both are refused before anything is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

from psycopg2 import ProgrammingError, extensions, extras
from psycopg2._range import RangeAdapter
from psycopg2.extras import NumericRange

from tenants.errors import UnprovenSqlError, UnscopableError

_PLAIN = frozenset(
    (str, int, float, bool, NoneType, bytes, UUID, Decimal, datetime, date, time, timedelta)
)
# Of what can write itself, those that quote.
_QUOTING = (extras.Json, extensions.Binary, extensions.QuotedString)
_NUMBERS = frozenset((int, float, Decimal, NoneType))
# Literals, quoted names, comments and dollar quotes, to their end or to the end of the text.
_QUOTES = re.compile(
    r"(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)|'(?:[^']|'')*(?:'|\Z)|\"(?:[^\"]|\"\")*(?:\"|\Z)"
    r"|--[^\n]*|/\*.*?(?:\*/|\Z)|\$(\w*)\$.*?(?:\$\1\$|\Z)",
    re.DOTALL,
)


def refuse_verbatim(params: Any) -> None:
    """Raise UnprovenSqlError for a value that the driver would write as it is, unquoted."""
    for value in params.values() if isinstance(params, Mapping) else params or ():
        if value.__class__ not in _PLAIN:
            _refuse(value)


def _refuse(value: Any) -> None:
    if isinstance(value, list | tuple):
        refuse_verbatim(value)
    elif writes_itself(value):
        raise UnprovenSqlError(f"raw SQL is refused: it came as a value, {value!r}")


def writes_itself(value: Any) -> bool:
    """Return whether the driver would ask the value for its SQL, and might get anything."""
    for kind in _QUOTING:
        if isinstance(value, kind):
            return type(value).getquoted is not kind.getquoted
    if hasattr(value, "getquoted") or hasattr(value, "__conform__"):
        return True
    try:
        adapter = extensions.adapt(value)
    except ProgrammingError:
        return False  # the driver refuses it, too
    if isinstance(value, NumericRange):
        # Its bounds are taken for numbers, and not quoted again.
        bounds = (value.lower, value.upper)
        return any(bound.__class__ not in _NUMBERS for bound in bounds)
    return adapter.__class__ not in _ADAPTERS and not isinstance(adapter, RangeAdapter)


def _adapter_of(value: Any) -> type:
    adapter: Any = extensions.adapt(value)
    return type(adapter)


def require_place(sql: str, params: Sequence[Any]) -> None:
    """Raise UnscopableError unless every `%` of a compiled text is the place of a value.

    A compiled tree has values for all that is not a name; so one more `%s` stands in a name.
    """
    if sql.count("%") != len(params) and sql.replace("%%", "").count("%") != len(params):
        raise UnscopableError("a name in the query holds a %, which the driver would read")


def refuse_quoted_places(sql: str) -> None:
    """Raise UnprovenSqlError where a raw text has `%s` inside of quotes or a comment."""
    for quoted in _QUOTES.finditer(sql):
        text = quoted.group()
        # Comments nest: where one holds the beginning of another, its end is not seen here.
        nested = text.startswith("/*") and "/*" in text[2:]
        if nested or "%" in text.replace("%%", ""):
            raise UnprovenSqlError(
                f"raw SQL is refused: a value's place stands, or may, inside of {text[:40]!r}"
            )


# What the driver makes of values that quotes nothing of its own: an adapter that somebody has
# registered for a class of theirs is not among them.
_ADAPTERS = frozenset(
    (
        *(extensions.QuotedString, extensions.Binary, extensions.Int, extensions.Float),
        *(extensions.Boolean, extras.Json, extras.HstoreAdapter, extras.UUID_adapter),
        *(_adapter_of(value) for value in (None, Decimal(1), date(2000, 1, 1), time())),
    )
)
