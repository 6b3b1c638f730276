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
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, get_args

import isodate  # type: ignore[import-untyped]  # it ships no types

from retention.graph import Family, family_of
from retention.treatments import Treatment
from retention.windows import Window
from tenants.catalog import Catalog, Column, TableName
from tenants.errors import CatalogError

State = Literal["active", "paused"]
STATES: tuple[State, ...] = get_args(State)
Action = Literal["delete", "archive", "anonymise", "pseudonymise"]
ACTIONS: tuple[Action, ...] = get_args(Action)

_LONGEST_YEARS = 1000


@dataclass(frozen=True, slots=True)
class Period:
    """An ISO 8601 duration: whole months, and an exact rest."""

    months: int
    rest: timedelta = timedelta()

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


def due_at(period: Period, started: datetime) -> datetime:
    """Return the instant, in UTC, after which a row that started then is due.

    The inverse of `cutoff`: no instant before it has a cutoff beyond `started`. A month that
    is too short is passed: what started on January 31 is a month old on March 1.
    Requires an aware `started`; raises ValueError or OverflowError beyond the year 9999.
    """
    begun = started.astimezone(UTC)
    year, month = divmod(begun.year * 12 + begun.month - 1 + period.months, 12)
    if begun.day <= calendar.monthrange(year, month + 1)[1]:
        moved = begun.replace(year=year, month=month + 1)
    else:
        year, month = divmod(year * 12 + month + 1, 12)
        moved = datetime(year, month + 1, 1, tzinfo=UTC)
    return moved + period.rest


def due_if_ever(period: Period, started: date) -> datetime | None:
    """Return as `due_at` after which instant a row that started then, or on that day, is due; None
    where no calendar reaches. A tenant's row may say anything: this raises for none."""
    try:
        return due_at(period, instant_of(started))
    except (ValueError, OverflowError):
        return None


def instant_of(started: date) -> datetime:
    """Return a starting point as an instant: a day counts from its end, in UTC."""
    if isinstance(started, datetime):
        return started
    return datetime.combine(started, time.max, UTC)


def never_longer(one: Period, other: Period) -> bool:
    """Tell whether `one` is at most as long as `other`, from whatever day it is counted."""
    first = datetime(2023, 1, 1, tzinfo=UTC)
    days = (first + timedelta(days=n) for n in range(4 * 365 + 1))
    return all(cutoff(one, day) >= cutoff(other, day) for day in days)


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """The column a period runs from: of the row itself, or, `via` a foreign key of the row,
    of the row it refers to (the end of a process or a relationship)."""

    table: TableName
    column: Column
    via: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """A checked policy. `period` is as written; `along` are the tables of `with`.

    `starts` is a column, or `key.column` where the period runs from a column of the row that
    the foreign key `key` refers to. `condition` is SQL over the row `r`. `minimum` and
    `maximum` are periods: no rule takes a row away before `minimum`, and a tenant's own
    period lies between the two. `archive` is the schema to archive to. `rate` is in rows a
    second, `batch` the fewest and most rows of one, `schedule` five fields of cron, in UTC.
    """

    name: str
    table: TableName
    starts: str
    period: str
    along: tuple[TableName, ...]
    legal_basis: str
    deletion_class: str
    state: State = "active"
    action: Action = "delete"
    treatments: tuple[Treatment, ...] = ()
    archive: str | None = None
    condition: str | None = None
    minimum: str | None = None
    maximum: str | None = None
    window: Window | None = None
    rate: int | None = None
    batch: tuple[int, int] | None = None
    schedule: str | None = None

    def definition(self) -> dict[str, Any]:
        """Return the policy as the file's keys and values, canonical; what is not set is left
        out, so that a release which knows more keys gives the same digest."""
        optional = {
            "action": None if self.action == "delete" else self.action,
            "columns": {t.column: t.definition() for t in self.treatments},
            "archive": self.archive,
            "condition": self.condition,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "window": None if self.window is None else str(self.window),
            "rate": self.rate,
            "batch": None if self.batch is None else list(self.batch),
            "schedule": self.schedule,
        }
        return {
            "name": self.name,
            "table": str(self.table),
            "starts": self.starts,
            "period": self.period,
            "with": sorted(map(str, self.along)),
            "legal_basis": self.legal_basis,
            "class": self.deletion_class,
            "state": self.state,
            **{key: value for key, value in optional.items() if value},
        }

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical definition, as hex."""
        return digest_of(self.definition())

    @property
    def removes(self) -> bool:
        """True for a policy that takes rows away, False for one that changes them."""
        return self.action in ("delete", "archive")

    def cutoff(self, as_of: datetime, period: str | None = None) -> datetime:
        """Return the instant before which rows must have started to be due.

        `period` is a tenant's own; None stands for the policy's.
        """
        return cutoff(Period.parse(period or self.period), as_of)

    def family(self, catalog: Catalog) -> Family:
        """Return the tables this policy empties."""
        return family_of(catalog, self.table, self.along)

    @classmethod
    def from_definition(cls, definition: Mapping[str, Any]) -> Policy:
        """Read what `definition` wrote; it is not checked against a catalog."""
        window, batch = definition.get("window"), definition.get("batch")
        return cls(
            name=definition["name"],
            table=TableName.parse(definition["table"]),
            starts=definition["starts"],
            period=definition["period"],
            along=tuple(map(TableName.parse, definition["with"])),
            legal_basis=definition["legal_basis"],
            deletion_class=definition["class"],
            state=definition["state"],
            action=definition.get("action", "delete"),
            treatments=tuple(
                Treatment.read(column, written)
                for column, written in sorted(definition.get("columns", {}).items())
            ),
            archive=definition.get("archive"),
            condition=definition.get("condition"),
            minimum=definition.get("minimum"),
            maximum=definition.get("maximum"),
            window=None if window is None else Window.parse(window),
            rate=definition.get("rate"),
            batch=None if batch is None else (batch[0], batch[1]),
            schedule=definition.get("schedule"),
        )


def starting_point(catalog: Catalog, table: TableName, starts: str) -> StartingPoint:
    """Return what `starts` names; raises CatalogError when there is no such column or key."""
    via, dot, column = starts.rpartition(".")
    if not dot:
        return StartingPoint(table, catalog.table(table).column(starts))
    for key in catalog.table(table).foreign_keys:
        if key.column == via:
            return StartingPoint(key.target, catalog.table(key.target).column(column), via)
    raise CatalogError(
        f"{starts!r}: {table} has no foreign key {via!r}; it has "
        + (", ".join(key.column for key in catalog.table(table).foreign_keys) or "none")
    )


def digest_of(value: Any) -> str:
    """Return SHA-256 over a value as canonical JSON (sorted keys, no spaces), as hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def cutoff_value(policy: Policy, catalog: Catalog, instant: datetime) -> datetime | date:
    """Return the cutoff as a value of the starting point's column, for `starts < value`."""
    column = starting_point(catalog, policy.table, policy.starts).column
    return instant.date() if column.type == "date" else instant
