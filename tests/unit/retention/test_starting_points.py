"""What is kept of when rows started, read back: PostgreSQL's bytes, calendars, and their ends."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from retention.starting_points import UNKNOWN, Started

# As `encode(timestamptz_send(..), 'hex')` and `encode(date_send(..), 'hex')` have them.
INSTANTS = {
    "0000000000000000": datetime(2000, 1, 1, tzinfo=UTC),
    "fffcc490d1d502be": datetime(1971, 3, 4, 5, 6, 7, 890110, tzinfo=UTC),
    "0002fe1dcef39d40": datetime(2026, 9, 10, 11, 12, 13, tzinfo=UTC),
}
DAYS = {"00000000": date(2000, 1, 1), "ffffd4d6": date(1969, 9, 30), "000025fa": date(2026, 8, 14)}


@pytest.mark.parametrize(("sent", "value"), [*INSTANTS.items(), *DAYS.items()])
def test_a_rows_own_is_read_as_it_was(sent: str, value: date) -> None:
    kept = bytes.fromhex(sent)
    assert Started.read(kept, len(kept), None) == Started(at=value)


def test_of_a_row_that_went_along_the_first_and_the_last_of_its_batch_are_read() -> None:
    kept = bytes.fromhex("".join(DAYS))
    found = Started.read(kept, 4, "lab.cases")
    assert found == Started(None, "lab.cases", date(1969, 9, 30), date(2026, 8, 14))
    assert found.at is None


@pytest.mark.parametrize(
    ("sent", "width"),
    [
        ("7fffffffffffffff", 8), ("8000000000000000", 8), ("7fffffff", 4), ("80000000", 4),
        ("ff00000000000000", 8),
    ],
)  # fmt: skip
def test_what_no_calendar_here_reaches_is_not_known(sent: str, width: int) -> None:
    found = Started.read(bytes.fromhex(sent), width, None)
    assert found.at is None
    assert (found.due_at("P1Y"), found.is_before(datetime(2026, 1, 1, tzinfo=UTC))) == (None, None)


@pytest.mark.parametrize(("kept", "width"), [(None, None), (b"", 8), (b"\0" * 16, 16)])
def test_where_nothing_is_kept_nothing_is_known(kept: bytes | None, width: int | None) -> None:
    assert Started.read(kept, width, None) == UNKNOWN


def test_what_is_due_is_told_by_the_calendar_and_a_day_counts_from_its_end() -> None:
    instant = Started(datetime(2026, 1, 31, 8, tzinfo=UTC))
    assert instant.due_at("P1M") == datetime(2026, 3, 1, tzinfo=UTC)
    assert Started(date(2024, 2, 29)).due_at("P1D") == datetime(
        2024, 3, 1, 23, 59, 59, 999999, tzinfo=UTC
    )
    along = Started(None, "lab.cases", date(2020, 1, 1), date(2020, 1, 5))
    assert along.due_at("P1Y") == datetime(2021, 1, 5, 23, 59, 59, 999999, tzinfo=UTC)


@pytest.mark.parametrize("period", [None, "", "nonsense", "P9000Y"])
def test_without_a_period_that_ends_in_a_calendar_nothing_is_said_of_due(
    period: str | None,
) -> None:
    assert Started(date(2020, 1, 1)).due_at(period) is None
    assert Started(date(9999, 12, 31)).due_at("P1D") is None


def test_before_the_cutoff_means_what_it_means_to_the_planner() -> None:
    cutoff = datetime(2026, 5, 4, 12, tzinfo=UTC)
    for started, before in (
        (datetime(2026, 5, 4, 11, 59, tzinfo=UTC), True),
        (cutoff, False),
        (date(2026, 5, 3), True),
        (date(2026, 5, 4), False),
    ):
        assert Started(started).is_before(cutoff) is before
    assert UNKNOWN.is_before(cutoff) is None
