"""How the pages write numbers, instants, spans and states."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from markupsafe import Markup

from retention.reports.words import span_in_words

Tone = Literal["good", "warn", "bad", "quiet", "busy"]

# (tone, words): the tone chooses colour and sign, the words say it.
_STATES: dict[str, tuple[Tone, str]] = {
    "running": ("busy", "running"),
    "succeeded": ("good", "succeeded"),
    "succeeded_with_skips": ("warn", "succeeded with skips"),
    "stalled": ("bad", "stalled"),
    "failed": ("bad", "failed"),
    "cancelled": ("warn", "cancelled"),
    "active": ("good", "active"),
    "paused": ("warn", "paused"),
    "withdrawn": ("warn", "withdrawn"),
    "as planned": ("good", "as planned"),
    "kept": ("quiet", "nothing to go"),
    "fewer": ("warn", "fewer than planned"),
    "more": ("quiet", "more than planned, not more than due"),
    "beyond due": ("bad", "more than was due"),
    "not planned": ("bad", "not in the plan"),
    "overdue": ("bad", "overdue"),
    "in time": ("good", "in time"),
    "answered in time": ("good", "answered in time"),
    "answered late": ("warn", "answered late"),
    "never answered": ("bad", "never answered"),
    "completed": ("good", "completed"),
    "acknowledged": ("good", "acknowledged"),
    "deferred": ("warn", "deferred"),
    "approved": ("busy", "approved"),
    "in its grace": ("quiet", "in its grace"),
    "under way": ("busy", "under way"),
    "made good": ("good", "made good"),
    "incomplete": ("bad", "incomplete"),
    "other terms": ("bad", "another version or cutoff"),
    "proven": ("good", "proven"),
    "under no checkpoint yet": ("warn", "under no checkpoint yet"),
}
# How a proof that fails begins; what follows says in what.
_FAILURES = ("not in the ledger", "in the ledger ", "does not verify", "its ")


def tone_of(state: str) -> Tone:
    """Return the tone of a state; of one that is not known, quiet."""
    return _STATES.get(state, ("bad" if state.startswith(_FAILURES) else "quiet", state))[0]


def words_of(state: str) -> str:
    """Return a state in words; one that is not known, as it is."""
    return _STATES.get(state, ("quiet", state))[1]


def number(value: int) -> Markup:
    """Return a number with its thousands apart, its value readable by machines."""
    return Markup('<data value="{}">{}</data>').format(value, f"{value:,}")


def instant(value: date | None) -> Markup:
    """Return an instant in UTC to the second, a day as it is, or a dash."""
    if value is None:
        return Markup('<span class="none">–</span>')
    if not isinstance(value, datetime):
        return Markup('<time datetime="{0}">{0}</time>').format(value)
    utc = value.astimezone(UTC)
    exact = utc.isoformat().replace("+00:00", "Z")
    return Markup('<time datetime="{}">{}</time>').format(exact, utc.strftime("%Y-%m-%d %H:%M:%S"))


def span(seconds: float | None) -> Markup:
    """Return a span of seconds in words, or a dash."""
    if seconds is None:
        return Markup('<span class="none">–</span>')
    words = span_in_words(timedelta(seconds=seconds))
    return Markup('<data value="{}">{}</data>').format(seconds, words)


def ago(value: datetime, now: datetime) -> str:
    """Return how long before `now` an instant was."""
    seconds = int((now - value).total_seconds())
    if seconds < 1:
        return "just now"
    return (
        f"{seconds} s ago" if seconds < 60 else f"{span_in_words(timedelta(seconds=seconds))} ago"
    )


def plain(value: Any) -> str:
    """Return a field of a definition for people: texts as they are, all else as JSON."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
