"""What became of a run, as values: per unit and in all, and the state it ended in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from tenants.context import TenantId

RunState = Literal["succeeded", "succeeded_with_skips", "stalled", "failed", "cancelled"]


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

    @property
    def rows(self) -> int:
        """Rows deleted, all tables together."""
        return sum(rows for _, rows in self.deleted)


@dataclass(frozen=True, slots=True)
class RunReport:
    """What became of a run."""

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
                }
                for u in self.units
            ],
        }


def verdict(reports: Sequence[UnitReport], *, cancelled: bool) -> tuple[RunState, str]:
    """Return the state of a run and a line that says why it is not plain success."""
    parts = []
    for unit in reports:
        label = f"{unit.policy} of {unit.tenant}"
        parts += [f"{label}: {text}" for text in (unit.error, unit.stalled) if text]
        parts += [
            f"{label}: {s.reason}" + ("" if s.rows is None else f" ({s.rows} rows)")
            for s in unit.skips
        ]
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
