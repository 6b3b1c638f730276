"""Schedules in UTC, over changes of the clock; and the gaps between watches."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest

from retention.errors import ScheduleError
from retention.schedule import Gap, checked_schedule, gaps_of, next_time, times_between


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("0 2 * * *", "2026-11-30T01:59:59", "2026-11-30T02:00"),
        ("0 2 * * *", "2026-11-30T02:00", "2026-12-01T02:00"),
        ("30 1 * * *", "2026-03-29T00:00", "2026-03-29T01:30"),  # skipped in London
        ("30 1 * * *", "2026-10-25T00:30", "2026-10-25T01:30"),  # twice in London
        ("0 0 29 2 *", "2026-03-01T00:00", "2028-02-29T00:00"),
        ("*/15 * * * *", "2026-11-30T10:07", "2026-11-30T10:15"),
        # 2026-11-30 is a Monday. 0 and 7 are Sunday, as in cron(8).
        ("0 2 * * 0", "2026-11-30T00:00", "2026-12-06T02:00"),
        ("0 2 * * 7", "2026-11-30T00:00", "2026-12-06T02:00"),
        ("0 2 * * sun", "2026-11-30T00:00", "2026-12-06T02:00"),
        ("0 2 * * 1", "2026-11-30T00:00", "2026-11-30T02:00"),
        ("0 2 * * 5-7", "2026-11-30T00:00", "2026-12-04T02:00"),
        ("0 2 * * fri-sun", "2026-12-05T03:00", "2026-12-06T02:00"),
        ("0 2 * * 1-5/2", "2026-11-30T03:00", "2026-12-02T02:00"),
        ("0 2 * * */2", "2026-11-30T00:00", "2026-12-01T02:00"),
        ("0 2 * * sun-sun", "2026-11-30T00:00", "2026-12-06T02:00"),
        ("0 2 * * 0-sun", "2026-11-30T00:00", "2026-12-06T02:00"),
        ("0 2 * * mon-sun", "2026-11-30T03:00", "2026-12-01T02:00"),
        ("0 2 * * 6,0", "2026-11-30T00:00", "2026-12-05T02:00"),
    ],
)
def test_the_next_time_is_in_utc(schedule: str, after: str, expected: str) -> None:
    assert next_time(schedule, at(after)) == at(expected)
    elsewhere = at(after).astimezone(timezone(timedelta(hours=-7)))
    assert next_time(schedule, elsewhere) == at(expected)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("0 2 1 * 1", "not both"),
        ("0 2 * * 8", "'8' is no day of the week"),
        ("0 2 * * 5-2", "'5-2' ends before it begins"),
        ("0 2 * * *-3", "no day of the week"),
        ("0 2 * * 1/0", "goes on by nothing"),
        ("0 2 * *", "there are 4 fields"),
        ("0 25 * * *", "no schedule of five fields"),
        ("0 3 30 2 *", "never comes"),
        ("0 0 31 4 *", "never comes"),
        ("0 0 31 2,4,6,9,11 *", "never comes"),
    ],
)
def test_what_would_mean_something_else_is_refused(schedule: str, said: str) -> None:
    with pytest.raises(ScheduleError, match=re.escape(said)):
        checked_schedule(schedule)


def test_what_never_comes_has_no_next_time() -> None:
    assert next_time("0 3 30 2 *", at("2026-01-01")) is None
    assert times_between("0 3 30 2 *", at("2026-01-01"), at("2036-01-01")) == []
    assert checked_schedule("0 3 29 2 *") == "0 3 29 2 *"


def test_no_day_of_the_year_has_a_time_twice_or_not_at_all() -> None:
    times = times_between("30 1 * * *", at("2026-01-01"), at("2027-01-01"))
    assert len(times) == 365
    assert {b - a for a, b in pairwise(times)} == {timedelta(days=1)}


def test_what_passed_is_counted_up_to_a_bound() -> None:
    assert times_between("0 * * * *", at("2026-01-01"), at("2026-01-01T03:30")) == [
        at("2026-01-01T01:00"), at("2026-01-01T02:00"), at("2026-01-01T03:00"),
    ]  # fmt: skip
    assert times_between("0 * * * *", at("2026-01-01"), at("2026-01-01")) == []
    assert len(times_between("* * * * *", at("2025-01-01"), at("2026-01-01"))) == 1001


MINUTE = timedelta(minutes=1)


def test_gaps_lie_between_watches_and_after_the_last() -> None:
    watches = [(at("2026-01-01T00:00"), at("2026-01-01T05:00")),
               (at("2026-01-01T07:00"), at("2026-01-01T08:00"))]  # fmt: skip
    night = Gap(at("2026-01-01T05:00"), at("2026-01-01T07:00"))
    assert list(gaps_of(watches, at("2026-01-01T08:02"), MINUTE)) == [night]
    lasting = Gap(at("2026-01-01T08:00"), None)
    assert list(gaps_of(watches, at("2026-01-01T08:04"), MINUTE)) == [night, lasting]
    assert list(gaps_of([], at("2026-01-01"), MINUTE)) == []
