"""Units of work: one policy in one tenant each, claimed by one worker at a time.

Invariant: what a unit's row says was deleted is what the batches of its run and policy
recorded, for both commit with the rows. A worker holds a unit under a fencing token that
grows by one whenever it is claimed. Every batch locks the unit's row with its holder and
fence, after the gate and to its end; so a unit is not taken away under an open batch, and
the next batch of a former holder finds another fence and is rolled back. Expiry alone takes
nothing from a holder. Time is the database's.

A tenant has one worker at a time (an index sees to it), and its units go in the plan's
order, for those that refer come first there. Who was served longest ago is served next.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from config.logging import get_logger
from retention.errors import LeaseLostError, RunError
from retention.heartbeat import LONGEST_TTL_S, beating
from retention.plan import Plan, Unit
from retention.policies import Policy
from retention.run_report import UnitReport
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId

_log = get_logger(__name__)

_CLAIM = """
WITH next AS (
    SELECT u.run_id, u.number FROM tenure.units u
    WHERE u.state = 'open' AND u.holder IS NULL
      AND (%(run)s::uuid IS NULL OR u.run_id = %(run)s::uuid)
      AND tenure.in_window(u.opens, u.closes) AND NOT tenure.is_stopped()
      AND EXISTS (SELECT FROM tenure.runs r
                  WHERE r.id = u.run_id AND r.state = 'running' AND r.catalog_digest = %(catalog)s)
      AND NOT EXISTS (SELECT FROM tenure.units o
                      WHERE o.tenant_id = u.tenant_id AND o.holder IS NOT NULL)
    ORDER BY u.served_at, u.number LIMIT 1 FOR UPDATE OF u SKIP LOCKED
)
UPDATE tenure.units u
SET holder = %(holder)s, fence = u.fence + 1, attempts = u.attempts + 1,
    lease_until = clock_timestamp() + make_interval(secs => %(ttl)s),
    started_at = coalesce(u.started_at, clock_timestamp())
FROM next n, tenure.runs r
WHERE u.run_id = n.run_id AND u.number = n.number AND r.id = u.run_id
RETURNING u.run_id, u.number, u.fence, r.trace_id, r.versions, u.policy, u.tenant_id,
          u.attempts, u.progress, u.rows_deleted, u.batches, u.detail
"""

_WORKABLE = """
SELECT NOT tenure.is_stopped() AND EXISTS (
    SELECT FROM tenure.units u JOIN tenure.runs r ON r.id = u.run_id
    WHERE u.run_id = %(run)s::uuid AND u.state = 'open' AND tenure.in_window(u.opens, u.closes)
      AND r.state = 'running' AND r.catalog_digest = %(catalog)s)
"""

# A tenant that waits its turn in another run waits for it here.
_ADD = """
INSERT INTO tenure.units (run_id, number, policy, policy_version, tenant_id, planned, opens,
                          closes, state, skips, served_at, finished_at)
SELECT %(run)s::uuid, x.number, x.policy, x.version, x.tenant, x.planned, x.opens, x.closes,
       x.state, x.skips, coalesce(o.served_at, '-infinity'),
       CASE WHEN x.state <> 'open' THEN clock_timestamp() END
FROM jsonb_to_recordset(%(units)s::jsonb)
     AS x(number integer, policy text, version integer, tenant uuid, planned bigint,
          opens time, closes time, state text, skips jsonb)
LEFT JOIN (SELECT tenant_id, max(served_at) AS served_at FROM tenure.units
           WHERE state = 'open' GROUP BY tenant_id) o ON o.tenant_id = x.tenant
"""
_OPEN = "SELECT DISTINCT policy, tenant_id FROM tenure.units WHERE state = 'open'"

_WORKERS = """
SELECT count(DISTINCT holder) FROM tenure.units WHERE policy = %s AND holder IS NOT NULL
"""

# One that is locked has an open batch: its worker lives. A lease that ends further ahead than
# any may is from before the clock was set back.
_REAP = """
UPDATE tenure.units u SET holder = NULL, lease_until = NULL, fence = u.fence + 1
FROM tenure.runs r
WHERE r.id = u.run_id AND (u.run_id, u.number) IN (
    SELECT run_id, number FROM tenure.units
    WHERE holder IS NOT NULL
      AND lease_until NOT BETWEEN clock_timestamp()
                              AND clock_timestamp() + make_interval(secs => %(longest)s)
    FOR UPDATE SKIP LOCKED)
RETURNING r.trace_id, u.number, u.policy
"""
_RENEW = """
UPDATE tenure.units SET lease_until = clock_timestamp() + make_interval(secs => %(ttl)s)
WHERE (run_id, number) IN (
    SELECT run_id, number FROM tenure.units
    WHERE holder IS NOT NULL AND holder = %(holder)s FOR UPDATE SKIP LOCKED)
"""

_DROP = """
UPDATE tenure.units SET holder = NULL, lease_until = NULL, fence = fence + 1
WHERE (run_id, number) IN (SELECT run_id, number FROM tenure.units WHERE holder = %(holder)s
                           FOR UPDATE SKIP LOCKED)
"""

# Locks the unit to the transaction's end. Whoever asks afterwards, in a statement of its own (its
# snapshot is younger than the lock), whether the unit is still the claim's, asks for good: a fence
# that was lost never comes back.
FENCE = """
SELECT FROM tenure.units
WHERE run_id = %(run)s::uuid AND number = %(number)s AND holder = %(holder)s AND fence = %(fence)s
FOR NO KEY UPDATE
"""
# Counts a batch, in the transaction that deletes its rows; one row, or the unit was lost.
COUNT = """
UPDATE tenure.units
SET rows_deleted = rows_deleted + %(rows)s, batches = batches + 1, progress = %(walk)s,
    attempts = 0, lease_until = clock_timestamp() + make_interval(secs => %(ttl)s)
WHERE run_id = %(run)s::uuid AND number = %(number)s AND holder = %(holder)s AND fence = %(fence)s
"""
_GIVE_BACK = """
UPDATE tenure.units
SET holder = NULL, lease_until = NULL, detail = %(detail)s,
    progress = coalesce(%(progress)s, progress),
    attempts = CASE WHEN %(orderly)s THEN 0 ELSE attempts END
WHERE run_id = %(run)s::uuid AND number = %(number)s AND holder = %(holder)s AND fence = %(fence)s
"""
_FINISH = """
UPDATE tenure.units
SET holder = NULL, lease_until = NULL, state = %(state)s, detail = %(detail)s,
    skips = %(skips)s, left_due = %(left)s, finished_at = clock_timestamp()
WHERE run_id = %(run)s::uuid AND number = %(number)s AND holder = %(holder)s AND fence = %(fence)s
"""
# Units of runs that have ended without them, and that nobody has.
_CANCEL = """
UPDATE tenure.units u SET state = 'cancelled', finished_at = clock_timestamp()
WHERE u.state = 'open' AND u.holder IS NULL
  AND EXISTS (SELECT FROM tenure.runs r WHERE r.id = u.run_id AND r.finished_at IS NOT NULL)
"""
# All units of a tenant wait in one place, so that they keep the plan's order among them: the
# instant is the transaction's, the same for all.
_SERVED = """
UPDATE tenure.units SET served_at = now()
WHERE (run_id, number) IN (SELECT run_id, number FROM tenure.units
                           WHERE tenant_id = %(tenant)s::uuid AND state = 'open'
                           FOR UPDATE SKIP LOCKED)
"""


def new_holder() -> str:
    """Return a name for a worker that tells people where it runs."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


@dataclass(frozen=True, slots=True)
class Claim:
    """A unit as it was claimed: by whom, under which fence, and how far it had come.

    `versions` are of the policies that the run was opened under; `ttl_s` is in seconds;
    `attempts` counts the claims since it last came forward, this one
    included; `trouble` is what the last worker ran into.
    """

    run_id: UUID
    number: int
    fence: int
    trace_id: str
    policy: str
    versions: Mapping[str, int]
    tenant_id: TenantId
    attempts: int
    progress: Mapping[str, Any]
    rows: int
    batches: int
    trouble: str | None
    holder: str
    ttl_s: float

    def params(self) -> dict[str, Any]:
        """Return what identifies the claim, for SQL."""
        return {
            "run": str(self.run_id), "number": self.number, "holder": self.holder,
            "fence": self.fence, "ttl": self.ttl_s,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims: a worker's name, the catalog it works with, how long it may be silent (s).

    Raises RunError for longer than LONGEST_TTL_S.
    """

    holder: str
    catalog_digest: str
    ttl_s: float

    def __post_init__(self) -> None:
        if not 0 < self.ttl_s <= LONGEST_TTL_S:
            raise RunError(f"a unit is held for up to {LONGEST_TTL_S:g} s, not {self.ttl_s:g} s")


def claim(cursor: Cursor, claimant: Claimant, run_id: UUID | None = None) -> Claim | None:
    """Claim the unit whose turn it is, of one run or of any; None where there is none.

    Raises psycopg2's UniqueViolation when another worker took the same tenant at this moment.
    """
    cursor.execute(
        _CLAIM,
        {
            "holder": claimant.holder,
            "catalog": claimant.catalog_digest,
            "ttl": claimant.ttl_s,
            "run": None if run_id is None else str(run_id),
        },
    )
    row = cursor.fetchone()
    if row is None:
        return None
    run, number, fence, trace, versions, policy, tenant, attempts, *came = row
    progress, rows, batches, trouble = came
    return Claim(
        run_id=UUID(str(run)),
        number=number,
        fence=fence,
        trace_id=trace,
        policy=policy,
        versions=versions,
        tenant_id=TenantId(UUID(str(tenant))),
        attempts=attempts,
        progress=progress,
        rows=rows,
        batches=batches,
        trouble=trouble,
        holder=claimant.holder,
        ttl_s=claimant.ttl_s,
    )


def add(cursor: Cursor, run_id: UUID, planned: Plan, versions: Mapping[str, int]) -> None:
    """Write a plan's units down, in its order; those that may not be worked on as done."""
    cursor.execute(
        _ADD,
        {
            "run": str(run_id),
            "units": json.dumps(
                [
                    {
                        "number": number,
                        "policy": unit.policy,
                        "version": versions[unit.policy],
                        "tenant": str(unit.tenant_id),
                        "planned": unit.rows,
                        **_window(planned.planned(unit.policy).policy),
                        **_standing(unit),
                    }
                    for number, unit in enumerate(planned.units, 1)
                ]
            ),
        },
    )


def _window(policy: Policy) -> dict[str, Any]:
    if policy.window is None:
        return {"opens": None, "closes": None}
    return {"opens": str(policy.window.opens), "closes": str(policy.window.closes)}


def _standing(unit: Unit) -> dict[str, Any]:
    held = sum(kept.rows for kept in unit.kept if kept.reason == "held")
    if unit.may_run:
        return {"state": "open", "skips": []}
    if held:
        return {"state": "succeeded_with_skips", "skips": [{"reason": "held", "rows": held}]}
    return {"state": "succeeded", "skips": []}


def open_units(retention: RoleConnections) -> frozenset[tuple[str, TenantId]]:
    """Return the policies and tenants that an open run has not done with yet."""
    with retention.transaction(None) as cursor:
        cursor.execute(_OPEN)
        return frozenset((policy, TenantId(UUID(str(t)))) for policy, t in cursor.fetchall())


def cancel_left_over(cursor: Cursor) -> None:
    """Say of units whose run has ended without them that they were cancelled."""
    cursor.execute(_CANCEL)


def reap(retention: RoleConnections) -> int:
    """Take units from workers that were silent for too long; return how many."""
    with retention.transaction(None) as cursor:
        cursor.execute(_REAP, {"longest": LONGEST_TTL_S + 1})
        taken = cursor.fetchall()
    for trace_id, number, policy in taken:
        _log.warning("unit_reaped", trace_id=trace_id, unit=number, policy=policy)
    return len(taken)


def drop(cursor: Cursor, holder: str) -> None:
    """Give up all that a worker has: a claim whose commit it never heard of is among it."""
    cursor.execute(_DROP, {"holder": holder})


def workers_on(retention: RoleConnections, policy: str) -> int:
    """Return how many workers have a unit of the policy now."""
    with retention.transaction(None, read_only=True) as cursor:
        cursor.execute(_WORKERS, (policy,))
        row = cursor.fetchone()
    return row[0] if row else 0


def is_workable(retention: RoleConnections, run_id: UUID, catalog_digest: str) -> bool:
    """Tell whether anybody could work on a unit of the run now, or does."""
    with retention.transaction(None) as cursor:
        cursor.execute(_WORKABLE, {"run": str(run_id), "catalog": catalog_digest})
        row = cursor.fetchone()
    return bool(row and row[0])


def give_back(
    cursor: Cursor, claim: Claim, progress: Mapping[str, Any] | None, *, trouble: str | None = None
) -> None:
    """Let a unit go before it is done; raises LeaseLostError.

    Without `progress` that of its last batch stands. With `trouble` the attempt counts as one
    that did not come forward.
    """
    _let_go(
        cursor,
        claim,
        _GIVE_BACK,
        {
            "progress": None if progress is None else json.dumps(progress),
            "detail": trouble,
            "orderly": trouble is None,
        },
    )


def finish(cursor: Cursor, claim: Claim, report: UnitReport) -> None:
    """Say what became of a unit, for good; raises LeaseLostError."""
    _let_go(
        cursor,
        claim,
        _FINISH,
        {
            "state": report.state,
            "detail": report.error or report.stalled or None,
            "skips": json.dumps([{"reason": s.reason, "rows": s.rows} for s in report.skips]),
            "left": report.left,
        },
    )


def _let_go(cursor: Cursor, claim: Claim, statement: str, values: Mapping[str, Any]) -> None:
    cursor.execute(statement, {**claim.params(), **values})
    if cursor.rowcount != 1:
        raise lost(claim)
    cursor.execute(_SERVED, {"tenant": str(claim.tenant_id)})


def lost(claim: Claim) -> LeaseLostError:
    """Return the error of one whose unit another has."""
    return LeaseLostError(
        f"unit {claim.number} of run {claim.run_id}: fence {claim.fence} is no longer in force; "
        "another took over"
    )


@contextmanager
def kept(retention: RoleConnections, claimant: Claimant) -> Iterator[None]:
    """Renew all that the claimant holds while the block runs; the batches renew it, too."""

    def renew() -> None:
        with retention.transaction(None) as cursor:
            cursor.execute(_RENEW, {"holder": claimant.holder, "ttl": claimant.ttl_s})

    with beating(claimant.holder, claimant.ttl_s, renew):
        yield
