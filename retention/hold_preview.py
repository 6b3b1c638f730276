"""What a hold keeps from going now: the plan without it, less the plan with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from retention.hold_records import Hold
from retention.plan import Plan
from retention.planner import plan
from retention.policies import Policy
from tenants.catalog import Catalog
from tenants.connections import RoleConnections


@dataclass(frozen=True, slots=True)
class Freed:
    """Rows of a table that would go under a policy if the hold were not in force."""

    policy: str
    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What the end of a hold would free as of an instant. What other holds keep is not in it."""

    hold: Hold
    as_of: datetime
    freed: tuple[Freed, ...]

    @property
    def rows(self) -> int:
        """How many rows would go, all policies together."""
        return sum(freed.rows for freed in self.freed)

    def to_json(self) -> dict[str, Any]:
        """Return the preview as JSON's values; ids and instants remain what they are."""
        return {
            "hold": self.hold.to_json(),
            "as_of": self.as_of,
            "rows": self.rows,
            "freed": [{"policy": f.policy, "table": f.table, "rows": f.rows} for f in self.freed],
        }


def preview_release(
    verifier: RoleConnections,
    catalog: Catalog,
    policies: Collection[Policy],
    hold: Hold,
    *,
    now: datetime,
) -> Preview:
    """Return what would go at the next run if `hold` were not in force; changes nothing."""

    def planned(*without: Hold) -> Counter[tuple[str, str]]:
        made = plan(
            verifier,
            catalog,
            policies,
            now=now,
            tenants=[hold.tenant_id],
            without=[one.id for one in without],
        )
        return _going(made)

    freed = planned(hold) - planned()
    lines = tuple(Freed(policy, table, rows) for (policy, table), rows in sorted(freed.items()))
    return Preview(hold, now, lines)


def _going(made: Plan) -> Counter[tuple[str, str]]:
    going: Counter[tuple[str, str]] = Counter()
    for unit in made.units:
        for table, rows in unit.goes:
            going[unit.policy, table] += rows
    return going
