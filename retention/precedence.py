"""Precedence: which of the policies on a table decides over a row, and when the row goes.

One pure function, in this order (as Microsoft Purview has it, and the law behind it):

1. keeping beats deleting: a legal hold, then a policy's minimum that is not over yet;
2. the longest keep wins: every minimum must be over;
3. explicit beats implicit: a policy whose condition the row meets decides alone, those
   without a condition are silent;
4. the shortest delete wins, among those that speak.

What takes a row away and what changes it are decided apart: a customer may be anonymised
after one year and deleted after ten. `retention.statements` says the same in SQL, and a
test holds the two together.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from retention.policies import Period, cutoff, due_if_ever

Outcome = Literal["no rule", "held", "done", "undated", "waiting", "kept", "paused", "due"]

# Later than all that ends: when a period does that no calendar has.
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Standing:
    """How one policy stands to one row.

    `matches`: its condition is true of the row, or it has none (`explicit` False). `started`
    is the row's starting point, None where it is empty. `period` is the tenant's own where it
    has one. `done`: a change that was made already. `restored_until`: it came back from the
    archive, and stays till then.
    """

    policy: str
    matches: bool
    explicit: bool
    started: datetime | None
    period: Period
    minimum: Period | None = None
    paused: bool = False
    removes: bool = True
    done: bool = False
    restored_until: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        """Tell whether the period is over."""
        return self.started is not None and self.started < cutoff(self.period, now)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a row. `policy` decides; `at` is when the row goes (or may go at the
    earliest), None where nobody can say. `because` names the hold or the policy that keeps it."""

    outcome: Outcome
    policy: str | None = None
    at: datetime | None = None
    because: str = ""


def decide(
    standings: Collection[Standing], *, removes: bool, held_by: Collection[str], now: datetime
) -> Decision:
    """Decide over a row: whether and when it is removed (`removes`), or changed.

    `standings` are of all policies on its table, `held_by` names the holds in force on it.
    """
    matching = [s for s in standings if s.matches]
    speaking = _speaking(matching, removes=removes)
    if not speaking:
        return Decision("no rule")
    dated = [
        (due_if_ever(s.period, s.started) or _NEVER, s.policy, s)
        for s in speaking
        if s.started and not s.done
    ]
    if not dated:
        open_ones = [s.policy for s in speaking if not s.done]
        return Decision(
            "undated" if open_ones else "done", min(open_ones or (s.policy for s in speaking))
        )
    first, policy, standing = min(
        [entry for entry in dated if not entry[2].paused] or dated, key=lambda entry: entry[:2]
    )
    kept, keeper = _kept(matching)
    last = max(first, kept)
    at = None if last == _NEVER else last
    if not standing.is_due(now):
        return Decision("waiting", policy, at, keeper if kept > first else "")
    if held_by:
        return Decision("held", policy, None, ", ".join(sorted(held_by)))
    back = standing.restored_until
    if any(_keeps(s, now) for s in matching):
        outcome: Outcome = "kept"
        because = f"the minimum of {keeper}"
    elif back is not None and back > now:
        outcome, at, because = "kept", back, "its restoration"
    else:
        outcome, because = "paused" if standing.paused else "due", ""
    return Decision(outcome, policy, at, because)


def _speaking(matching: Collection[Standing], *, removes: bool) -> list[Standing]:
    those = [s for s in matching if s.removes == removes]
    explicit = [s for s in those if s.explicit]
    return explicit or those


def _keeps(standing: Standing, now: datetime) -> bool:
    # Where the starting point is empty, what the minimum waits for has not begun.
    return standing.minimum is not None and (
        standing.started is None or standing.started >= cutoff(standing.minimum, now)
    )


def _kept(matching: Collection[Standing]) -> tuple[datetime, str]:
    """Return until when the minimums keep the row, _NEVER where nobody can say, and whose is the
    longest (nobody's: "", and the beginning of time)."""
    ends = [
        ((s.started and due_if_ever(s.minimum, s.started)) or _NEVER, s.policy)
        for s in matching
        if s.minimum is not None
    ]
    return max(ends, default=(datetime.min.replace(tzinfo=UTC), ""))
