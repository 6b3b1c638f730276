"""The overview: what is kept how long, whether it was deleted on time, and who looked."""

from __future__ import annotations

from dataclasses import dataclass

from retention.reports.paging import PageRequest
from retention.reports.policies import PolicyLine, policy_lines
from retention.reports.registers import HoldLine, ReadLine, holds_report, reads_report
from retention.reports.runs import RunLine, latest_runs
from retention.reports.verification import (
    Check,
    Totals,
    Verification,
    last_verification,
    totals,
)
from tenants.connections import Cursor

LATEST = 10


@dataclass(frozen=True, slots=True)
class Overview:
    """All at a glance. Of runs, holds in force and reads across tenants the latest few.

    `verification` and `totals` are None while no verification has run.
    """

    policies: tuple[PolicyLine, ...]
    runs: tuple[RunLine, ...]
    verification: Verification | None
    totals: Totals | None
    checks: tuple[Check, ...]
    holds_in_force: int
    holds: tuple[HoldLine, ...]
    reads: tuple[ReadLine, ...]


def overview(cursor: Cursor) -> Overview:
    """Return the overview; seven queries, whatever there is."""
    latest = PageRequest(size=LATEST)
    verification, checks = last_verification(cursor)
    holds = holds_report(cursor, latest, released=False)
    return Overview(
        policies=policy_lines(cursor),
        runs=latest_runs(cursor, latest)[0],
        verification=verification,
        totals=None if verification is None else totals(verification, checks),
        checks=checks,
        holds_in_force=holds.in_force,
        holds=holds.holds,
        reads=reads_report(cursor, latest).reads,
    )
