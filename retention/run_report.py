"""What became of a run, as values: per unit and in all, and the state it ended in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from tenants.context import TenantId

# An open unit waits, or is worked on; an open run is running or paused.
UnitState = Literal["open", "succeeded", "succeeded_with_skips", "stalled", "failed", "cancelled"]
RunState = Literal[
    "running", "paused", "succeeded", "succeeded_with_skips", "stalled", "failed", "cancelled"
]
OPEN_STATES = ("running", "paused")

# A run of ten thousand units must not have a line of ten thousand reasons.
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Skip:
    """Rows of a unit that the plan meant and the run left, and why. `rows` is None for all."""

    reason: str
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class UnitReport:
    """What became of one unit. `left` due rows remain, None where that was not counted."""

    policy: str
    tenant_id: TenantId
    tenant: str
    deleted: tuple[tuple[str, int], ...] = ()
    batches: int = 0
    left: int | None = None
    skips: tuple[Skip, ...] = ()
    stalled: str = ""
    error: str = ""
    state: UnitState = "succeeded"

    @property
    def rows(self) -> int:
        """Rows deleted, all tables together."""
        return sum(rows for _, rows in self.deleted)

    def judged(self) -> UnitReport:
        """Return the report of a unit that is done, with the state that the rest of it says."""
        state: UnitState = "succeeded"
        if self.error:
            state = "failed"
        elif self.stalled:
            state = "stalled"
        elif self.skips:
            state = "succeeded_with_skips"
        return replace(self, state=state)


@dataclass(frozen=True, slots=True)
class RunReport:
    """What became of a run. `round_trips` and `seconds` are of the worker that reports."""

    run_id: UUID
    trace_id: str
    as_of: datetime
    state: RunState
    detail: str
    units: tuple[UnitReport, ...]
    round_trips: int
    seconds: float

    @property
    def rows(self) -> int:
        """Rows deleted, all units together."""
        return sum(unit.rows for unit in self.units)

    def deleted(self) -> dict[str, int]:
        """Return the rows deleted per table."""
        total: Counter[str] = Counter()
        for unit in self.units:
            total.update(dict(unit.deleted))
        return dict(total)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON's values."""
        return {
            "run_id": str(self.run_id),
            "trace_id": self.trace_id,
            "as_of": self.as_of.isoformat(),
            "state": self.state,
            "detail": self.detail,
            "rows": self.rows,
            "deleted": self.deleted(),
            "round_trips": self.round_trips,
            "seconds": round(self.seconds, 3),
            "units": [
                {
                    "policy": u.policy,
                    "tenant_id": str(u.tenant_id),
                    "tenant": u.tenant,
                    "deleted": dict(u.deleted),
                    "batches": u.batches,
                    "left": u.left,
                    "skips": [{"reason": s.reason, "rows": s.rows} for s in u.skips],
                    "stalled": u.stalled,
                    "error": u.error,
                    "state": u.state,
                }
                for u in self.units
            ],
        }


def verdict(reports: Sequence[UnitReport], *, cancelled: bool) -> tuple[RunState, str]:
    """Return the state of a run and a line that says why it is not plain success."""
    labelled = [(f"{unit.policy} of {unit.tenant}", unit) for unit in reports]
    parts = [f"{label}: {u.error}" for label, u in labelled if u.error]
    parts += [f"{label}: {u.stalled}" for label, u in labelled if u.stalled]
    parts += [
        f"{label}: {s.reason}" + ("" if s.rows is None else f" ({s.rows} rows)")
        for label, u in labelled
        for s in u.skips
    ]
    if len(parts) > _NAMED:
        parts[_NAMED:] = [f"and {len(parts) - _NAMED} more"]
    state: RunState = "succeeded"
    if any(unit.error for unit in reports):
        state = "failed"
    elif cancelled:
        state = "cancelled"
    elif any(unit.stalled for unit in reports):
        state = "stalled"
    elif any(unit.skips for unit in reports):
        state = "succeeded_with_skips"
    return state, "; ".join(parts)
