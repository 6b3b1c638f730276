"""Values in words: periods, spans of time, and whatever stands in a cell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from retention.policies import Period
from retention.reports.pdf_charts import amount


def period_in_words(text: str) -> str:
    """Return an ISO 8601 duration in words ("1 year and 6 months"); what is none, as it is."""
    try:
        period = Period.parse(text)
    except ValueError:
        return text
    years, months = divmod(period.months, 12)
    hours, seconds = divmod(period.rest.seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    parts = [
        f"{count} {unit}{'' if count == 1 else 's'}"
        for count, unit in (
            (years, "year"),
            (months, "month"),
            (period.rest.days, "day"),
            (hours, "hour"),
            (minutes, "minute"),
            (seconds, "second"),
        )
        if count
    ]
    if not parts:
        return text
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def span_in_words(span: timedelta) -> str:
    """Return a span rounded down to its two largest units: "3 d 4 h", "12 min 5 s", "140 ms"."""
    seconds = span.total_seconds()
    if seconds < 0:
        return f"-{span_in_words(-span)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds)} s"
    whole = int(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, left = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h" if hours and days < 100 else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min {left} s" if left else f"{minutes} min"


_DONE = {
    "delete": "deleted",
    "archive": "archived",
    "anonymise": "made anonymous",
    "pseudonymise": "made pseudonymous",
}


def action_in_words(action: str) -> str:
    """Return what was done to rows ("archived"); what is no action, as it is."""
    return ", ".join(_DONE.get(each, each) for each in action.split(", "))


def actions_in_words(actions: Mapping[str, int]) -> str:
    """Return what was done to how many rows ("3 deleted, 2 archived"); "" for none."""
    return ", ".join(f"{rows:,} {_DONE.get(name, name)}" for name, rows in sorted(actions.items()))


def seconds_between(start: datetime, end: datetime | None) -> float | None:
    """Return the seconds from start to end, None while there is no end."""
    return None if end is None else round((end - start).total_seconds(), 3)


def text_of(value: Any, kind: str = "text") -> str:
    """Return a value as a cell's text: instants in UTC to the second, days, spans in words, nothing
    as a dash, what is made of parts with a comma between them."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        is_span = kind == "span"
        return span_in_words(timedelta(seconds=value)) if is_span else amount(value)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return str(value) if isinstance(value, (str, UUID, date)) else _parts(value)


def _parts(value: Any) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        shown = [getattr(value, f.name) for f in fields(value)]
        return " ".join(text_of(part) for part in shown if part not in (None, ""))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {text_of(part)}" for key, part in value.items()) or "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(text_of(part) for part in value) or "–"
    return json.dumps(value, ensure_ascii=False, default=str)
