"""Reports as JSON and CSV. The keys are the names of the values' fields."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

# Grows when a key goes or changes its meaning; keys may be added.
FORMAT = 2

#: A cell that begins so is a formula to spreadsheet programs (the full-width forms, too).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def jsonable(value: Any) -> Any:
    """Return a report's value in JSON's types: instants in RFC 3339 with Z, days as there, UUIDs
    as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, (UUID, date)):
        return str(value)
    if is_dataclass(value):
        return {f.name: jsonable(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return value


def to_json(name: str, report: Any, generated_at: datetime) -> str:
    """Return a report as JSON text: its name, the format, when it was read, then its fields."""
    document = {
        "report": name,
        "format": FORMAT,
        "generated_at": jsonable(generated_at),
        **jsonable(report),
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def to_csv(row_type: type, rows: Sequence[Any]) -> str:
    """Return rows of one dataclass as CSV (RFC 4180): a header, then a line each.

    A value within a value becomes columns joined by an underscore; what cannot be a column
    is compact JSON. Texts that a spreadsheet would run as a formula get a ' in front.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(f.name for f in fields(row_type))
    for row in rows:
        writer.writerow(_cells(row))
    return out.getvalue()


def _cells(row: Any) -> Iterator[str]:
    for field in fields(row):
        yield _cell(jsonable(getattr(row, field.name)))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = "; ".join(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(FORMULA) else text
