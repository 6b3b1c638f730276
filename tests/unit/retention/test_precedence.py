"""Which policy decides over a row: the truth table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from retention.policies import Period
from retention.precedence import Decision, Standing, decide

NOW = datetime(2026, 11, 30, tzinfo=UTC)
OLD = datetime(2010, 1, 1, tzinfo=UTC)
NEW = datetime(2026, 1, 1, tzinfo=UTC)


LAST = datetime.max.replace(tzinfo=UTC)
FIRST = datetime.min.replace(tzinfo=UTC)


def year(number: int) -> datetime:
    return datetime(number, 1, 1, tzinfo=UTC)


def standing(policy: str, years: int, **more: object) -> Standing:
    plain = Standing(policy, matches=True, explicit=False, started=OLD, period=Period(12 * years))
    return replace(plain, **more)  # type: ignore[arg-type]  # the tests' own shorthand


A = standing("a", 5)
B = standing("b", 10)
NO = {"matches": False}
EXPLICIT = {"explicit": True}
KEEPS_8 = {"minimum": Period(8 * 12)}
BY_B = "the minimum of b"
KEEPS_20 = {"minimum": Period(20 * 12)}


@pytest.mark.parametrize(
    ("standings", "held_by", "expected"),
    [
        # nothing speaks
        ([], [], Decision("no rule")),
        ([replace(A, **NO)], [], Decision("no rule")),
        ([replace(A, removes=False)], [], Decision("no rule")),
        ([], ["matter"], Decision("no rule")),
        # one speaks
        ([A], [], Decision("due", "a", year(2015))),
        ([replace(A, started=NEW)], [], Decision("waiting", "a", year(2031))),
        ([replace(A, started=None)], [], Decision("undated", "a")),
        ([replace(A, paused=True)], [], Decision("paused", "a", year(2015))),
        ([replace(A, done=True)], [], Decision("done", "a")),
        # nobody can say when a period ends that no calendar has; one that has an end comes first
        ([replace(A, started=LAST)], [], Decision("waiting", "a")),
        ([replace(A, started=LAST, **KEEPS_8)], [], Decision("waiting", "a")),
        ([replace(A, started=NEW), replace(B, started=LAST)], [],
         Decision("waiting", "a", year(2031))),
        ([A, replace(B, started=LAST, **KEEPS_8)], [], Decision("kept", "a", None, BY_B)),
        ([replace(A, started=FIRST)], [], Decision("due", "a", year(6))),
        # a hold beats all, but a row that is not due is not deferred by it
        ([A], ["m2", "m1"], Decision("held", "a", None, "m1, m2")),
        ([replace(A, paused=True)], ["m"], Decision("held", "a", None, "m")),
        ([replace(A, started=NEW)], ["m"], Decision("waiting", "a", year(2031))),
        ([replace(A, **KEEPS_20)], ["m"], Decision("held", "a", None, "m")),
        # keeping beats deleting; the longest keep wins
        ([replace(A, **KEEPS_8)], [], Decision("due", "a", year(2018))),
        ([A, replace(B, **KEEPS_20)], [], Decision("kept", "a", year(2030), BY_B)),
        ([replace(A, **KEEPS_8), replace(B, **KEEPS_20)], [],
         Decision("kept", "a", year(2030), BY_B)),
        ([A, replace(B, **KEEPS_20, **NO)], [], Decision("due", "a", year(2015))),
        ([A, replace(B, **KEEPS_20, removes=False)], [], Decision("kept", "a", year(2030), BY_B)),
        ([A, replace(B, **KEEPS_20, paused=True)], [], Decision("kept", "a", year(2030), BY_B)),
        ([A, replace(B, **KEEPS_20, **EXPLICIT)], [], Decision("kept", "b", year(2030), BY_B)),
        ([A, replace(B, minimum=Period(12), started=None)], [], Decision("kept", "a", None, BY_B)),
        ([replace(A, started=NEW), replace(B, **KEEPS_20, started=NEW)], [],
         Decision("waiting", "a", year(2046), "b")),
        # what was restored stays as long as was said
        ([replace(A, restored_until=year(2027))], [],
         Decision("kept", "a", year(2027), "its restoration")),
        ([replace(A, restored_until=year(2026))], [], Decision("due", "a", year(2015))),
        # explicit beats implicit, even where it is longer, paused, or waits
        ([A, replace(B, **EXPLICIT)], [], Decision("due", "b", year(2020))),
        ([A, replace(B, **EXPLICIT, **NO)], [], Decision("due", "a", year(2015))),
        ([A, replace(B, **EXPLICIT, started=NEW)], [], Decision("waiting", "b", year(2036))),
        ([A, replace(B, **EXPLICIT, started=None)], [], Decision("undated", "b")),
        ([A, replace(B, **EXPLICIT, paused=True)], [], Decision("paused", "b", year(2020))),
        ([A, replace(B, **EXPLICIT, removes=False)], [], Decision("due", "a", year(2015))),
        # the shortest delete wins
        ([B, A], [], Decision("due", "a", year(2015))),
        ([replace(A, **EXPLICIT), replace(B, **EXPLICIT)], [], Decision("due", "a", year(2015))),
        ([replace(A, paused=True), B], [], Decision("due", "b", year(2020))),
        ([replace(A, started=NEW), B], [], Decision("due", "b", year(2020))),
        ([replace(A, started=None), B], [], Decision("due", "b", year(2020))),
    ],
)  # fmt: skip
def test_truth_table(standings: list[Standing], held_by: list[str], expected: Decision) -> None:
    assert decide(standings, removes=True, held_by=held_by, now=NOW) == expected
    backwards = list(reversed(standings))
    assert decide(backwards, removes=True, held_by=held_by, now=NOW) == expected


def test_what_changes_a_row_is_decided_apart_from_what_removes_it() -> None:
    changes = replace(A, removes=False)
    assert decide([changes, B], removes=False, held_by=[], now=NOW).policy == "a"
    assert decide([changes, B], removes=True, held_by=[], now=NOW).policy == "b"


def test_a_row_is_due_as_soon_as_its_cutoff_passes_it_and_not_before() -> None:
    clamped = replace(A, period=Period(1), started=datetime(2026, 1, 31, 12, tzinfo=UTC))
    last = datetime(2026, 2, 28, 23, 59, tzinfo=UTC)
    assert decide([clamped], removes=True, held_by=[], now=last).outcome == "waiting"
    first = datetime(2026, 3, 1, tzinfo=UTC)
    assert decide([clamped], removes=True, held_by=[], now=first).outcome == "due"
