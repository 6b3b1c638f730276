"""Instants: read strictly, always aware, always UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from config.clock import Clock, FixedClock, SystemClock, parse_instant, utc_now
from config.errors import ConfigError, InstantError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2011-01-31", datetime(2011, 1, 31, tzinfo=UTC)),
        ("2011-01-31T12:30:00Z", datetime(2011, 1, 31, 12, 30, tzinfo=UTC)),
        ("2011-01-31t12:30:00z", datetime(2011, 1, 31, 12, 30, tzinfo=UTC)),
        ("2011-01-31 12:30:00+01:00", datetime(2011, 1, 31, 11, 30, tzinfo=UTC)),
        ("2011-12-31T23:30:00-05:30", datetime(2012, 1, 1, 5, 0, tzinfo=UTC)),
        ("2011-01-31T12:30:00.123456789Z", datetime(2011, 1, 31, 12, 30, 0, 123456, tzinfo=UTC)),
        ("2024-02-29", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_instants_are_read_as_utc(text: str, expected: datetime) -> None:
    got = parse_instant(text)
    assert got == expected
    assert got.utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["2011-01-31T12:30:00", "2011-01-31 12:30:00.5"])
def test_naive_time_is_refused_and_told_why(text: str) -> None:
    with pytest.raises(InstantError, match="no offset from UTC") as caught:
        parse_instant(text)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "now", "2011-13-01", "2023-02-29", "20110131", "2011-W05-1", "2011-01-31T12:30Z",
     "2011-01-31T24:00:01Z", "2011-01-31T12:30:61Z", "2011-01-31T12:30:00+0100",
     "0001-01-01T00:00:00+01:00", "2011-01-31\n", "٢٠١١-01-31", "1296432000"],
)  # fmt: skip
def test_anything_else_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(InstantError) as caught:
        parse_instant(text)
    assert repr(text) in str(caught.value)
    assert isinstance(caught.value, ConfigError)


def test_clocks_tell_aware_utc() -> None:
    summer = timezone(timedelta(hours=2))
    fixed: Clock = FixedClock(datetime(2020, 6, 1, 12, tzinfo=summer))
    assert fixed.now() == datetime(2020, 6, 1, 10, tzinfo=UTC)
    assert fixed.now().utcoffset() == timedelta(0)
    system: Clock = SystemClock()
    before, now, after = utc_now(), system.now(), utc_now()
    assert before <= now <= after


def test_fixed_clock_refuses_a_naive_instant() -> None:
    with pytest.raises(InstantError, match="no offset"):
        FixedClock(datetime(2020, 6, 1))  # noqa: DTZ001 - the naive one is the test
