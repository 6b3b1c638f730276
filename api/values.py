"""What a column's values are in JSON and in a query string, by PostgreSQL's type.

Every value is checked here before any SQL is made of it: range, length, digits, and the
characters that PostgreSQL's text cannot hold.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, Strict
from pydantic_core import PydanticCustomError

from api.errors import ResourceError
from config.clock import parse_instant


@dataclass(frozen=True)
class Form:
    """The outer form of one column type.

    `annotation` validates a value in a body; `from_text` one in a filter, raising ValueError
    with what was expected; `schema` is its JSON Schema. Only `comparable` ones are filtered by
    value and ordered by, only `textual` ones are matched with patterns.
    """

    annotation: Any
    from_text: Callable[[str], object]
    schema: Mapping[str, object]
    comparable: bool = True
    textual: bool = False


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_DECIMAL = re.compile(
    r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,3})?"
)
_VARYING = re.compile(r"character varying\((\d+)\)")
_NUMERIC = re.compile(r"numeric\((\d+),(\d+)\)")
_MAX_EXPONENT = 400
_MAX_DEPTH = 100


def form_of(type_name: str) -> Form:
    """Return the form of a type as the catalog names it; raises ResourceError without one."""
    if type_name in _FORMS:
        return _FORMS[type_name]
    varying = _VARYING.fullmatch(type_name)
    if varying:
        return _text(int(varying[1]))
    numeric = _NUMERIC.fullmatch(type_name)
    if numeric:
        return _numeric(int(numeric[1]), int(numeric[2]))
    raise ResourceError(f"columns of type {type_name} have no form in JSON here; hide the column")


def number_of(text: str) -> Decimal:
    """Read a JSON number with a fraction or exponent, exactly; raises ValueError if absurd."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError("the exponent is too large") from None
    if abs(number.adjusted()) > _MAX_EXPONENT:
        raise ValueError("the exponent is too large")
    return number


def uuid_of(text: str) -> uuid.UUID:
    """Read a UUID in its canonical form; raises ValueError."""
    if not _UUID.fullmatch(text):
        raise ValueError("expecting a UUID like 018f3c1e-7b5a-7c3d-9e2f-0123456789ab")
    return uuid.UUID(text)


def _check_text(text: str) -> str:
    """Return the text; raises ValueError where PostgreSQL could not store it."""
    if "\0" in text:
        raise ValueError("must not contain the character NUL")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain half of a surrogate pair") from None
    return text


def _date(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise ValueError("expecting a date like 2026-01-31")
    return date.fromisoformat(text)


def _instant(text: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError:
        raise ValueError(
            "expecting an instant with its offset, like 2026-01-31T13:45:00Z or "
            "2026-01-31T13:45:00+01:00 (in a URL, + is written %2B)"
        ) from None


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("expecting true or false")
    return text == "true"


def _float(text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise ValueError("expecting a number")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("expecting a finite number")
    return value


def _decimal(text: str) -> Decimal:
    if not _DECIMAL.fullmatch(text):
        raise ValueError("expecting a number")
    return number_of(text)


def _from_string(read: Callable[[str], object], code: str) -> BeforeValidator:
    """Take a JSON string only, and read it as a filter's value is read."""

    def validate(value: object) -> object:
        if not isinstance(value, str):
            raise PydanticCustomError("string_type", "must be a string")
        try:
            return read(_check_text(value))
        except ValueError as error:
            raise PydanticCustomError(code, "{reason}", {"reason": str(error)}) from None

    return BeforeValidator(validate)


def _as_number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        raise PydanticCustomError("number_type", "must be a number")
    return value


def _as_decimal(value: object) -> object:
    """Take a number, or one in a string, which keeps digits that JavaScript would lose."""
    if isinstance(value, str):
        try:
            return _decimal(value)
        except ValueError as error:
            raise PydanticCustomError("decimal_type", "{reason}", {"reason": str(error)}) from None
    return _as_number(value)


def _json(value: object) -> object:
    """Return JSON with numbers that the driver can write, and texts that jsonb can hold."""
    if value is None:
        raise PydanticCustomError("null", "must not be null")
    try:
        return _plain_json(value, 0)
    except ValueError as error:
        raise PydanticCustomError("json", "{reason}", {"reason": str(error)}) from None


def _plain_json(value: object, depth: int) -> object:
    if depth > _MAX_DEPTH:
        raise ValueError(f"must not be nested deeper than {_MAX_DEPTH} levels")
    match value:
        case Decimal():
            return float(value)
        case str():
            return _check_text(value)
        case list():
            return [_plain_json(item, depth + 1) for item in value]
        case dict():
            return {_check_text(key): _plain_json(item, depth + 1) for key, item in value.items()}
    return value


def _text(max_length: int | None = None) -> Form:
    limits: dict[str, Any] = {} if max_length is None else {"max_length": max_length}
    schema = {"type": "string"} | ({} if max_length is None else {"maxLength": max_length})
    return Form(
        annotation=Annotated[str, _from_string(str, "text"), Field(**limits)],
        from_text=str,
        schema=schema,
        textual=True,
    )


def _integer(bits: int) -> Form:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def from_text(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError(f"expecting a whole number from {low} to {high}")
        return int(text)

    return Form(
        annotation=Annotated[int, Strict(), Field(ge=low, le=high)],
        from_text=from_text,
        schema={"type": "integer", "minimum": low, "maximum": high},
    )


def _numeric(digits: int, places: int) -> Form:
    return Form(
        annotation=Annotated[
            Decimal, BeforeValidator(_as_decimal), Field(max_digits=digits, decimal_places=places)
        ],
        from_text=_decimal,
        schema={
            "type": "number",
            "description": f"at most {digits} digits, {places} of them after the point",
        },
    )


def _string(read: Callable[[str], object], code: str, json_format: str) -> Form:
    return Form(
        annotation=Annotated[Any, _from_string(read, code)],
        from_text=read,
        schema={"type": "string", "format": json_format},
    )


def _no_text(_text: str) -> object:
    raise ValueError("columns of JSON can only be tested with is.null and is.not_null")


_FORMS: Mapping[str, Form] = {
    "uuid": _string(uuid_of, "uuid", "uuid"),
    "text": _text(),
    "boolean": Form(Annotated[bool, Strict()], _boolean, {"type": "boolean"}),
    "smallint": _integer(16),
    "integer": _integer(32),
    "bigint": _integer(64),
    "double precision": Form(
        Annotated[float, BeforeValidator(_as_number), Field(allow_inf_nan=False)],
        _float,
        {"type": "number"},
    ),
    "date": _string(_date, "date", "date"),
    "timestamp with time zone": _string(_instant, "instant", "date-time"),
    "jsonb": Form(Annotated[Any, BeforeValidator(_json)], _no_text, {}, comparable=False),
}


def filter_value(form: Form, text: str) -> object:
    """Return the value a filter's text stands for; raises ValueError with what was expected."""
    return form.from_text(_check_text(text))
