"""Starting points of rows that went, as they are kept beside the hashes of their keys.

A batch keeps those of the rows of its policy's own table, in the order of the hashes, end to end:
of an instant 8 bytes, of a day 4, as PostgreSQL's binary format has them (a whole number, its
highest byte first, of microseconds or days since the beginning of 2000, in UTC).

What goes along goes because of a row of that table, and has none of its own: to look up whose it
was, of each, took a batch of three tables 30 % more time. It is one of the same batch, which takes
rows in the order in which they started: where retention runs every day, they started on one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from psycopg2 import sql

from retention.policies import Period, due_if_ever

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_DAY_BYTES, _INSTANT_BYTES = 4, 8


def sent(column_type: str, value: sql.Composable) -> sql.Composable:
    """Return how a starting point of a type, `value`, is kept, in SQL."""
    function = {"date": "date_send({})", "timestamp with time zone": "timestamptz_send({})"}
    return sql.SQL(function[column_type]).format(value)


def readable(value: sql.Composable) -> sql.Composable:
    """Return a starting point as one that Python has: beyond its calendar, the calendar's end.

    PostgreSQL's reaches from 4713 BC to the year 294276, and a tenant's row may hold any of it.
    """
    return sql.SQL(
        "(CASE WHEN {0} > '9999-12-31' THEN '9999-12-31' WHEN {0} < '0001-01-02' THEN '0001-01-02'"
        " ELSE {0} END)"
    ).format(value)


@dataclass(frozen=True, slots=True)
class Started:
    """From when the period of a row ran: `at`; of one that went along with a row of the table
    `along`, from when those of that table's rows in its batch: `along_from` to `along_until`. Days
    are dates, else instants. All None where that was not kept."""

    at: date | None = None
    along: str | None = None
    along_from: date | None = None
    along_until: date | None = None

    def is_before(self, cutoff: datetime) -> bool | None:
        """Tell whether it began before the cutoff, of a row that went along, whether all that it
        can have gone along with did; None where that is not known."""
        last = self.at or self.along_until
        if last is None:
            return None
        return last < (cutoff if isinstance(last, datetime) else cutoff.astimezone(UTC).date())

    def due_at(self, period: str | None) -> datetime | None:
        """Return the instant after which the row was due, of one that went along at the latest;
        None where that is not known, or no calendar reaches there."""
        last = self.at or self.along_until
        if last is None or period is None:
            return None
        try:
            lasts = Period.parse(period)
        except ValueError:
            return None
        return due_if_ever(lasts, last)

    @classmethod
    def read(cls, kept: bytes | None, width: int | None, along: str | None) -> Started:
        """Return what is kept of a row, `width` bytes each: its own, or those of the table `along`.
        What is no date here (before the year 1, infinite) is None."""
        if not kept or width not in (_DAY_BYTES, _INSTANT_BYTES):
            return UNKNOWN
        values = [
            int.from_bytes(kept[at : at + width], signed=True) for at in range(0, len(kept), width)
        ]
        first, last = _date(min(values), width), _date(max(values), width)
        return cls(first) if along is None else cls(None, along, first, last)


UNKNOWN = Started()


def _date(value: int, width: int) -> date | None:
    try:
        if width == _DAY_BYTES:
            return _EPOCH.date() + timedelta(days=value)
        return _EPOCH + timedelta(microseconds=value)
    except OverflowError:
        return None
