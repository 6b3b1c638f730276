"""Periods and cutoffs: calendar arithmetic in UTC, never too early."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention.policies import Period, Policy, cutoff, due_at, never_longer
from retention.windows import Window
from tenants.catalog import TableName

# Naive, as hypothesis wants its bounds; the zone is put on what it draws.
_YEARS = (datetime(2019, 1, 1), datetime(2029, 1, 1))  # noqa: DTZ001


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "months", "rest"),
    [
        ("P10Y", 120, timedelta()),
        ("P1Y6M", 18, timedelta()),
        ("P90D", 0, timedelta(days=90)),
        ("P2W", 0, timedelta(days=14)),
        ("PT36H", 0, timedelta(hours=36)),
        ("P1M1DT1S", 1, timedelta(days=1, seconds=1)),
    ],
)
def test_periods_are_read(text: str, months: int, rest: timedelta) -> None:
    assert Period.parse(text) == Period(months, rest)


@pytest.mark.parametrize(
    "text", ["", "10Y", "P", "PT", "P0D", "PT0S", "-P1Y", "P1.5Y", "P0.5M", "P9999Y", "P1H", "ten"]
)
def test_what_is_no_positive_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=repr(text)):
        Period.parse(text)


@pytest.mark.parametrize(
    ("period", "as_of", "expected"),
    [
        ("P1Y", "2024-02-29T12:00", "2023-02-28T12:00"),
        ("P1Y", "2025-02-28T00:00", "2024-02-28T00:00"),
        ("P4Y", "2024-02-29T00:00", "2020-02-29T00:00"),
        ("P1M", "2026-03-31T00:00", "2026-02-28T00:00"),
        ("P1M", "2026-01-15T00:00", "2025-12-15T00:00"),
        ("P1M1D", "2026-03-01T00:00", "2026-01-28T00:00"),
        ("P30D", "2026-03-01T00:00", "2026-01-30T00:00"),
        ("P10Y", "2026-11-20T11:30", "2016-11-20T11:30"),
    ],
)
def test_leap_days_and_short_months(period: str, as_of: str, expected: str) -> None:
    assert cutoff(Period.parse(period), at(as_of)) == at(expected)


def test_daylight_saving_changes_nothing() -> None:
    # 2026-03-29 02:30 does not exist in Berlin; the instant does, and the result is in UTC.
    berlin = timezone(timedelta(hours=2))
    local = datetime(2026, 3, 29, 3, 30, tzinfo=berlin)
    assert cutoff(Period.parse("P1D"), local) == at("2026-03-28T01:30")
    assert cutoff(Period.parse("P6M"), local) == at("2025-09-29T01:30")
    assert cutoff(Period.parse("P6M"), local).tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no offset"):
        cutoff(Period.parse("P1D"), datetime(2026, 1, 1))  # noqa: DTZ001 - that is the point


def later(start: datetime, months: int, rest: timedelta) -> datetime:
    """Add a period the naive way: months first, the day cut to the month, then the rest."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day) + rest


@given(
    as_of=st.timedeltas(timedelta(), timedelta(days=40_000)).map(lambda d: at("1990-01-01") + d),
    months=st.integers(0, 240),
    rest=st.timedeltas(timedelta(), timedelta(days=400)),
    before=st.timedeltas(timedelta(microseconds=1), timedelta(days=40)),
)
def test_nothing_goes_before_its_period_is_over_nor_stays_a_week_longer(
    as_of: datetime, months: int, rest: timedelta, before: timedelta
) -> None:
    limit = cutoff(Period(months, rest), as_of)
    assert later(limit - before, months, rest) <= as_of
    assert later(limit + timedelta(days=4), months, rest) > as_of


def test_the_digest_follows_the_definition_and_not_the_order_of_with() -> None:
    a, b = TableName("s", "a"), TableName("s", "b")
    one = Policy("p", TableName("s", "t"), "at", "P1Y", (a, b), "basis", "class")
    same = Policy("p", TableName("s", "t"), "at", "P1Y", (b, a), "basis", "class")
    other = Policy("p", TableName("s", "t"), "at", "P2Y", (a, b), "basis", "class")
    assert one.digest == same.digest
    assert one.digest != other.digest
    assert Policy.from_definition(one.definition()) == one


@given(
    st.sampled_from(["P1M", "P1Y", "P2Y3M", "P90D", "P1M3D", "PT36H", "P1Y1M1DT1H"]),
    st.datetimes(*_YEARS, timezones=st.just(UTC)),
)
def test_due_at_is_the_first_instant_whose_cutoff_reaches_the_start(
    text: str, started: datetime
) -> None:
    period, due = Period.parse(text), due_at(Period.parse(text), started)
    assert cutoff(period, due) >= started
    assert cutoff(period, due + timedelta(microseconds=1)) > started
    assert cutoff(period, due - timedelta(microseconds=1)) <= started


@pytest.mark.parametrize(
    ("one", "other", "never"),
    [("P1Y", "P1Y", True), ("P365D", "P1Y", True), ("P366D", "P1Y", False), ("P1M", "P31D", True),
     ("P31D", "P1M", False), ("P28D", "P1M", True), ("P6Y", "P10Y", True)],
)  # fmt: skip
def test_one_period_is_never_longer_than_another_from_any_day(
    one: str, other: str, never: bool
) -> None:
    assert never_longer(Period.parse(one), Period.parse(other)) is never


@pytest.mark.parametrize(
    ("window", "hour", "opens"),
    [("09:00-17:00", 9, 9), ("09:00-17:00", 17, 33), ("09:00-17:00", 3, 9),
     ("22:00-06:00", 23, 23), ("22:00-06:00", 5, 5), ("22:00-06:00", 6, 22)],
)  # fmt: skip
def test_a_window_opens_at_its_hour_in_utc(window: str, hour: int, opens: int) -> None:
    day = datetime(2026, 3, 29, tzinfo=UTC)
    here = (day + timedelta(hours=hour)).astimezone(timezone(timedelta(hours=5)))
    assert Window.parse(window).next_opening(here) == day + timedelta(hours=opens)
    assert Window.parse(window).is_open(here) is (hour == opens)
