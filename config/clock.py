"""The clock, and instants as people write them. Every instant here is aware and in UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from config.errors import InstantError

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)


class Clock(Protocol):
    """Whatever tells the time."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return utc_now()


@dataclass(frozen=True, slots=True)
class FixedClock:
    """A clock that stands still at `instant`; raises InstantError if that is naive."""

    instant: datetime

    def __post_init__(self) -> None:
        if self.instant.utcoffset() is None:
            raise InstantError(f"{self.instant.isoformat()} has no offset from UTC")

    def now(self) -> datetime:
        return self.instant.astimezone(UTC)


def utc_now() -> datetime:
    """The present instant, aware, in UTC."""
    return datetime.now(UTC)


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 time with its offset, or a date, which means its midnight in UTC.

    The result is in UTC; digits beyond the microsecond are cut off. Raises
    InstantError, naming the text, for anything else: a time without an offset
    above all, for it names a different instant on every machine.
    """
    if _DATE.fullmatch(text):
        return _read(text, f"{text}T00:00:00+00:00")
    match = _TIME.fullmatch(text)
    if match is None:
        raise InstantError(f"{text!r} is no instant: write 2026-01-31 or 2026-01-31T13:45:00+01:00")
    date, time, offset = match.groups()
    if offset is None:
        raise InstantError(f"{text!r} has no offset from UTC: add Z, or one like +01:00")
    return _read(text, f"{date}T{time}{'+00:00' if offset in 'Zz' else offset}")


def _read(text: str, iso: str) -> datetime:
    try:
        return datetime.fromisoformat(iso).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InstantError(f"{text!r} is no instant: {error}") from error
