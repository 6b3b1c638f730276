"""Values of each column type, from filters."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pydantic import TypeAdapter, ValidationError

from api.errors import ResourceError
from api.values import filter_value, form_of

MIDNIGHT = datetime(2026, 1, 31, tzinfo=UTC)
UUID = "018f3c1e-7b5a-7c3d-9e2f-0123456789AB"


@pytest.mark.parametrize(
    ("type_name", "text", "value"),
    [
        ("uuid", UUID, uuid.UUID(UUID)),
        ("text", "", ""),
        ("character varying(3)", "longer than that", "longer than that"),
        ("boolean", "true", True),
        ("smallint", "-32768", -32768),
        ("integer", "+5", 5),
        ("bigint", str(2**63 - 1), 2**63 - 1),
        ("double precision", "1e-3", 0.001),
        ("numeric(12,2)", f"0.{'1' * 90}", Decimal(f"0.{'1' * 90}")),
        ("numeric(12,2)", "-.5", Decimal("-0.5")),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("timestamp with time zone", "2026-01-31T01:00:00+01:00", MIDNIGHT),
        ("timestamp with time zone", "2026-01-31", MIDNIGHT),
    ],
)  # fmt: skip
def test_texts_of_filters_become_values(type_name, text, value) -> None:
    found = filter_value(form_of(type_name), text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("type_name", "text"),
    [
        ("uuid", "{" + UUID + "}"),
        ("uuid", UUID.replace("-", "")),
        ("uuid", UUID + "\n"),
        ("text", "a\0b"),
        ("text", "\ud800"),
        ("boolean", "TRUE"),
        ("boolean", "1"),
        ("smallint", "32768"),
        ("integer", "1.0"),
        ("integer", "1_000"),
        ("integer", "٣"),
        ("integer", "9" * 5000),
        ("double precision", "nan"),
        ("double precision", "1e999"),
        ("double precision", "inf"),
        ("numeric(12,2)", "NaN"),
        ("numeric(12,2)", "1e999"),
        ("numeric(12,2)", "1_0"),
        ("date", "2025-02-29"),
        ("date", "20250228"),
        ("timestamp with time zone", "2026-01-31T01:00:00"),
        ("timestamp with time zone", "0001-01-01T00:00:00+14:00"),
        ("timestamp with time zone", "now"),
        ("jsonb", "{}"),
    ],
)
def test_texts_that_are_no_value_are_refused(type_name, text) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        filter_value(form_of(type_name), text)


def test_json_keeps_its_shape_but_not_what_postgresql_cannot_hold() -> None:
    form = TypeAdapter(form_of("jsonb").annotation)
    assert form.validate_python({"a": [1, Decimal("1.5"), None, True, {"b": "é"}]}) == {
        "a": [1, 1.5, None, True, {"b": "é"}]
    }
    deep: object = 1
    for _ in range(200):
        deep = [deep]
    for wrong in (None, "a\0", {"a\0": 1}, {"a": ["\udfff"]}, deep):
        with pytest.raises(ValidationError):
            form.validate_python(wrong)


def test_lengths_and_digits_are_those_of_the_column() -> None:
    short = TypeAdapter(form_of("character varying(3)").annotation)
    assert short.validate_python("abc") == "abc"
    number = TypeAdapter(form_of("numeric(4,2)").annotation)
    assert number.validate_python("99.99") == Decimal("99.99")
    assert number.validate_python(7) == Decimal(7)
    for form, wrong in ((short, "abcd"), (number, "100"), (number, "1.234"), (number, "1e5")):
        with pytest.raises(ValidationError):
            form.validate_python(wrong)


def test_a_type_without_a_form_is_refused_at_start() -> None:
    with pytest.raises(ResourceError, match="tsvector"):
        form_of("tsvector")
