"""How batches adapt: sizes, rates, and what puts a batch off. On a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from retention.adaptive import PATIENCE_S, AdaptivePacer, next_size
from retention.batch import Attempt
from retention.errors import PlanError


@dataclass
class Time:
    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


def never() -> bool:
    return False


def attempt(size: int, candidates: int | None = None, rows: int = 0) -> Attempt:
    made = Attempt(size, waiting=False, after=None)
    made.candidates = size if candidates is None else candidates
    made.deleted = {"t": rows}
    return made


@pytest.mark.parametrize(
    ("size", "smoothed", "expected"),
    [(1000, 0.1, 1200), (1000, 0.89, 1067), (1000, 0.9, 1000), (1000, 0.95, 1000),
     (1000, 1.9, 500), (1000, 100.0, 100), (9900, 0.1, 10000), (110, 5.0, 100)],
)  # fmt: skip
def test_the_next_size_by_efficiency(size: int, smoothed: float, expected: int) -> None:
    assert next_size(size, smoothed, (100, 10_000)) == expected


def test_quick_batches_grow_and_slow_ones_shrink_until_they_take_the_interval() -> None:
    time = Time()
    pacer = AdaptivePacer(start=1000, clock=time, sleep=time.sleep)
    for _ in range(60):
        pacer.committed(attempt(pacer.size), pacer.size / 20_000)
    assert 4400 <= pacer.size <= 4800  # 0.9 to 0.95 of a quarter of a second
    for _ in range(60):
        pacer.committed(attempt(pacer.size), pacer.size / 2_000)
    assert 440 <= pacer.size <= 480


def test_the_end_of_the_index_says_nothing_about_the_size() -> None:
    pacer = AdaptivePacer(start=1000)
    pacer.committed(attempt(1000, candidates=3), 0.001)
    assert pacer.size == 1000


def test_contention_halves_down_to_one_row_which_is_then_passed_over() -> None:
    pacer = AdaptivePacer(bounds=(100, 1000), start=800)
    sizes = []
    while pacer.contended(attempt(pacer.size)):
        sizes.append(pacer.size)
    assert sizes == [400, 200, 100, 50, 25, 12, 6, 3, 1]
    assert pacer.size == 100


def test_a_rate_holds_over_time_and_no_batch_is_worth_more_than_a_second() -> None:
    time = Time()
    pacer = AdaptivePacer(rate=50, start=1000, clock=time, sleep=time.sleep)
    assert pacer.size == 50
    for _ in range(20):
        pacer.rest(never)
        time.now += 0.01
        pacer.committed(attempt(50, rows=50), 0.01)
    assert 18.9 <= time.now <= 20


def test_workers_divide_a_rate_among_them() -> None:
    time = Time()
    there = iter([2, 4, 4])
    pacer = AdaptivePacer(
        rate=50, start=1000, workers=lambda: next(there), clock=time, sleep=time.sleep
    )
    pacer.rest(never)
    pacer.committed(attempt(50, rows=50), 0.0)
    pacer.rest(never)  # they are asked again, for more than a second has gone by
    assert time.now == pytest.approx(2.0)
    pacer.committed(attempt(50, rows=50), 0.0)
    pacer.rest(lambda: time.now >= 5.9)
    assert time.now == pytest.approx(5.9, abs=0.06)


def test_batches_take_their_share_of_the_time_and_no_more() -> None:
    time = Time()
    pacer = AdaptivePacer(share=0.2, clock=time, sleep=time.sleep)
    worked = 0.0
    for number in range(1, 21):
        pacer.rest(never)
        took = 0.01 * number
        time.now += took
        worked += took
        pacer.committed(attempt(pacer.size, rows=1), took)
    pacer.rest(never)
    assert worked / time.now == pytest.approx(0.2)


def test_a_share_and_a_rate_both_hold() -> None:
    time = Time()
    pacer = AdaptivePacer(share=0.5, rate=10, start=10, clock=time, sleep=time.sleep)
    pacer.committed(attempt(10, rows=10), 0.1)
    pacer.rest(never)
    assert time.now == pytest.approx(1.0)
    pacer.committed(attempt(10, rows=1), 3.0)
    pacer.rest(never)
    assert time.now == pytest.approx(4.0)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(PlanError, match="of the time"):
        AdaptivePacer(share=share)


def test_pressure_puts_batches_off_until_it_is_gone() -> None:
    time = Time()
    weighs = iter([["lag"], ["lag"], [], []])
    pacer = AdaptivePacer(pressure=lambda: next(weighs), clock=time, sleep=time.sleep)
    pacer.rest(never)
    assert time.now == pytest.approx(0.75)
    pacer.rest(never)  # not asked again within a second
    assert time.now == pytest.approx(0.75)
    assert next(weighs) == []


def test_pressure_that_lasts_lets_a_smallest_batch_through_now_and_then() -> None:
    time = Time()
    pacer = AdaptivePacer(pressure=lambda: ["lag"], clock=time, sleep=time.sleep)
    pacer.rest(never)
    assert PATIENCE_S <= time.now <= PATIENCE_S + 6
    assert pacer.size == 100


def test_being_told_to_stop_ends_the_wait() -> None:
    time = Time()
    pacer = AdaptivePacer(pressure=lambda: ["lag"], clock=time, sleep=time.sleep)
    pacer.rest(lambda: time.now > 1)
    assert time.now < 1.2


@pytest.mark.parametrize("bounds", [(0, 5), (5, 4)])
def test_bounds_that_are_none_are_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(PlanError, match=f"from {bounds[0]} to {bounds[1]}"):
        AdaptivePacer(bounds=bounds)
