"""Policies: what is kept how long, and when it is over. (Files: `retention.policy_file`.)

Calendar arithmetic is in UTC: a row is due as of an instant when its starting point lies
before `cutoff(period, instant)`. Where a month is too short, the cutoff is the month's last
day, so that a row may stay a few days longer, and never goes before its period is over. A
date column is due when the whole day, in UTC, is over.
"""

from __future__ import annotations

import calendar
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, get_args

import isodate  # type: ignore[import-untyped]  # it ships no types

from retention.graph import Family, family_of
from tenants.catalog import Catalog, TableName

State = Literal["active", "paused"]
STATES: tuple[State, ...] = get_args(State)

_LONGEST_YEARS = 1000


@dataclass(frozen=True, slots=True)
class Period:
    """An ISO 8601 duration: whole months, and an exact rest."""

    months: int
    rest: timedelta

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read a duration; raises ValueError unless it is positive and its months are whole."""
        try:
            parsed = isodate.parse_duration(text)
        except (isodate.ISO8601Error, ValueError, OverflowError) as error:
            raise ValueError(f"{text!r} is no ISO 8601 duration (P10Y, P6M, P90D)") from error
        if isinstance(parsed, timedelta):
            months, rest = 0, parsed
        else:
            exact = parsed.years * 12 + parsed.months
            if exact != int(exact) or parsed.years != int(parsed.years):
                raise ValueError(f"{text!r} has a fraction of a year or month")
            months, rest = int(exact), parsed.tdelta
        if months < 0 or rest < timedelta() or not (months or rest):
            raise ValueError(f"{text!r} is not longer than nothing")
        if months > _LONGEST_YEARS * 12 or rest.days > _LONGEST_YEARS * 365:
            raise ValueError(f"{text!r} is longer than {_LONGEST_YEARS} years")
        return cls(months, rest)


def cutoff(period: Period, as_of: datetime) -> datetime:
    """Return `as_of` - `period` in UTC: what started before it is due.

    Requires an aware `as_of`; raises ValueError on a naive one.
    """
    if as_of.utcoffset() is None:
        raise ValueError(f"{as_of.isoformat()} has no offset from UTC")
    moved = as_of.astimezone(UTC) - period.rest
    year, month = divmod(moved.year * 12 + moved.month - 1 - period.months, 12)
    day = min(moved.day, calendar.monthrange(year, month + 1)[1])
    return moved.replace(year=year, month=month + 1, day=day)


@dataclass(frozen=True, slots=True)
class Policy:
    """A checked policy. `period` is as written; `along` are the tables of `with`."""

    name: str
    table: TableName
    starts: str
    period: str
    along: tuple[TableName, ...]
    legal_basis: str
    deletion_class: str
    state: State = "active"

    def definition(self) -> dict[str, Any]:
        """Return the policy as the file's keys and values, canonical."""
        return {
            "name": self.name,
            "table": str(self.table),
            "starts": self.starts,
            "period": self.period,
            "with": sorted(map(str, self.along)),
            "legal_basis": self.legal_basis,
            "class": self.deletion_class,
            "state": self.state,
        }

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical definition, as hex."""
        return digest_of(self.definition())

    def cutoff(self, as_of: datetime) -> datetime:
        """Return the instant before which rows must have started to be due."""
        return cutoff(Period.parse(self.period), as_of)

    def family(self, catalog: Catalog) -> Family:
        """Return the tables this policy empties."""
        return family_of(catalog, self.table, self.along)

    @classmethod
    def from_definition(cls, definition: Mapping[str, Any]) -> Policy:
        """Read what `definition` wrote; it is not checked against a catalog."""
        return cls(
            name=definition["name"],
            table=TableName.parse(definition["table"]),
            starts=definition["starts"],
            period=definition["period"],
            along=tuple(map(TableName.parse, definition["with"])),
            legal_basis=definition["legal_basis"],
            deletion_class=definition["class"],
            state=definition["state"],
        )


def digest_of(value: Any) -> str:
    """Return SHA-256 over a value as canonical JSON (sorted keys, no spaces), as hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def cutoff_value(policy: Policy, catalog: Catalog, instant: datetime) -> datetime | date:
    """Return the cutoff as a value of the starting point's column, for `starts < value`."""
    column = catalog.table(policy.table).column(policy.starts)
    return instant.date() if column.type == "date" else instant
