"""Runs: the intent, written down before anything is deleted, and what became of it.

Invariant: a run is made of what its plan allows and nothing else. If the checks at its
opening are loosened, a plan made for another catalog, or under a policy that was since made
longer, deletes what must be kept. A run ends when its last unit does, by whoever comes to
that first; its state is the verdict over its units.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from config.logging import get_logger
from config.release import release
from config.trace import TraceId
from retention import units
from retention.errors import PlanError, RunError
from retention.gate import is_stopped
from retention.lease import Lease, check_fence
from retention.plan import Plan, PlannedPolicy, catalog_digest, plan_from_json
from retention.policy_records import WITHDRAWN, latest_versions
from retention.run_report import RunReport, RunState, Skip, UnitReport, verdict
from tenants.catalog import Catalog
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

_log = get_logger(__name__)

_OPEN = """
INSERT INTO tenure.runs (id, trace_id, as_of, plan, catalog_digest, versions, state, started_by,
                         release, started_at)
VALUES (%s, %s, %s, %s, %s, %s, 'running', %s, %s, clock_timestamp())
"""
# All policies that were ever on some tables, for a batch to tell whether one came since, or again.
_ON_TABLES = f"""
SELECT v.policy, max(v.version), {WITHDRAWN} FROM tenure.policy_versions v
WHERE v.policy IN (SELECT policy FROM tenure.policy_versions WHERE definition ->> 'table' = ANY(%s))
GROUP BY v.policy
"""  # noqa: S608 - a constant is put in
_DONE = """
SELECT r.id, r.trace_id FROM tenure.runs r WHERE r.state = 'running'
  AND NOT EXISTS (SELECT FROM tenure.units u WHERE u.run_id = r.id AND u.state = 'open')
"""
_CLOSE = """
UPDATE tenure.runs SET state = %s, detail = %s, finished_at = clock_timestamp()
WHERE id = %s AND state = 'running'
"""
# The tables changed during the run, and those who worked with the former catalog are gone.
_OUTDATED = """
UPDATE tenure.runs r SET state = 'failed', finished_at = clock_timestamp(),
    detail = 'the catalog of tables has changed during the run; what it left is planned again'
WHERE r.state = 'running' AND r.catalog_digest IS DISTINCT FROM %s
  AND NOT EXISTS (SELECT FROM tenure.units u WHERE u.run_id = r.id AND u.holder IS NOT NULL)
"""
_LATEST = """
SELECT NOT tenure.is_stopped() AND EXISTS (
           SELECT FROM tenure.units u JOIN tenure.runs r ON r.id = u.run_id
           WHERE u.state = 'open' AND r.state = 'running'
             AND tenure.in_window(u.opens, u.closes)),
       (SELECT max(finished_at) FROM tenure.runs WHERE finished_at <= clock_timestamp())
"""
_UNITS = """
SELECT policy, tenant_id, batches, left_due, skips, state, detail
FROM tenure.units WHERE run_id = %s ORDER BY number
"""
_COUNTS = """
SELECT b.policy, b.tenant_id, c.key, sum((c.value->>'rows')::bigint)::bigint
FROM tenure.batches b CROSS JOIN LATERAL jsonb_each(b.counts) c
WHERE b.run_id = %s GROUP BY b.policy, b.tenant_id, c.key ORDER BY c.key
"""


@dataclass(frozen=True, slots=True)
class Intent:
    """A run that is to be opened: who wants it, when, under which trace."""

    plan: Plan
    actor: str
    now: datetime
    trace_id: TraceId


def open_run(
    retention: RoleConnections, catalog: Catalog, intent: Intent, lease: Lease | None = None
) -> UUID:
    """Write a run and its units down, for workers to take; return its id.

    Raises PlanError for a plan that does not fit this installation any more, RunError while
    retention is stopped, and LeaseLostError when another has `lease` by now.
    """
    plan, run_id = intent.plan, new_id()
    with retention.transaction(None) as cursor:
        if lease is not None:
            check_fence(cursor, lease)
        if is_stopped(cursor):
            raise RunError("retention is stopped; `tenure retention start` lets it go on")
        versions = _checked(cursor, catalog, plan, intent.now)
        text = json.dumps(plan.to_json(), ensure_ascii=False)
        pinned = (plan.as_of, text, plan.catalog_digest, json.dumps(versions))
        cursor.execute(_OPEN, (str(run_id), intent.trace_id, *pinned, intent.actor, release()))
        units.add(cursor, run_id, plan, versions)
    _log.info("run_opened", trace_id=intent.trace_id, as_of=plan.as_of.isoformat())
    return run_id


def _checked(cursor: Cursor, catalog: Catalog, plan: Plan, now: datetime) -> dict[str, int]:
    """Raise PlanError unless the plan still fits; return the versions of all policies that were
    ever on its tables."""
    if plan.as_of > now:
        raise PlanError(f"the plan is as of {plan.as_of.isoformat()}, which is in the future")
    if plan.catalog_digest != catalog_digest(catalog):
        raise PlanError("the plan was made for another catalog of tables; plan again")
    versions: dict[str, int] = {}
    for planned in plan.policies:
        policy = planned.policy
        if planned.cutoff != policy.cutoff(plan.as_of):
            raise PlanError(
                f"policy {policy.name!r}: the cutoff {planned.cutoff.isoformat()} is not "
                f"{policy.period} before {plan.as_of.isoformat()}"
            )
        versions |= _checked_policies(cursor, planned)
    return versions


def _checked_policies(cursor: Cursor, planned: PlannedPolicy) -> dict[str, int]:
    """Raise PlanError unless a policy, and those beside it, are in force as they were planned, and
    no other is on its tables."""
    known = {policy.name: policy for policy in (planned.policy, *planned.beside)}
    latest = latest_versions(cursor, known)
    for name, policy in known.items():
        recorded = latest.get(name)
        if recorded is None:
            raise PlanError(f"policy {name!r} is not recorded in the database")
        other = name == planned.policy.name and planned.version not in (None, recorded.version)
        if recorded.withdrawn:
            raise PlanError(f"policy {name!r} was taken out of the policy file; plan again")
        if recorded.digest != policy.digest or other:
            raise PlanError(
                f"policy {name!r} has changed since the plan (the database has version "
                f"{recorded.version}); plan again"
            )
    versions = {name: recorded.version for name, recorded in latest.items()}
    cursor.execute(_ON_TABLES, (list(planned.order),))
    for name, version, withdrawn in cursor.fetchall():
        if name not in known and not withdrawn:
            raise PlanError(
                f"policy {name!r} is in force on a table of {planned.policy.name!r}, and the plan "
                "does not know it; plan again"
            )
        versions[name] = version
    return versions


def plan_of(retention: RoleConnections, run_id: UUID) -> Plan:
    """Return the plan of a run, found unchanged; raises PlanError."""
    with retention.transaction(None, read_only=True) as cursor:
        cursor.execute("SELECT plan::text FROM tenure.runs WHERE id = %s", (str(run_id),))
        row = cursor.fetchone()
    if row is None:
        raise PlanError(f"there is no run {run_id}")
    return plan_from_json(row[0])


def latest(retention: RoleConnections) -> tuple[bool, datetime | None]:
    """Tell whether there is work that may go on now, and when the last run ended (None: none); one
    that has not ended yet, by a clock that was wrong, counts for nothing."""
    with retention.transaction(None, read_only=True) as cursor:
        cursor.execute(_LATEST)
        row = cursor.fetchone()
    return (row[0], row[1]) if row else (False, None)


def close_done(retention: RoleConnections) -> dict[UUID, RunState]:
    """End the runs whose units have all ended; return those that this call has ended.

    Any number of workers may do so at once. One that dies before leaves it to the next.
    """
    ended: dict[UUID, RunState] = {}
    with retention.transaction(None) as cursor:
        units.cancel_left_over(cursor)
        cursor.execute(_DONE)
        for run_id, trace_id in cursor.fetchall():
            state, detail = verdict(_units_of(cursor, run_id), cancelled=False)
            cursor.execute(_CLOSE, (state, detail or None, str(run_id)))
            if cursor.rowcount:
                ended[UUID(str(run_id))] = state
                log = _log.info if state.startswith("succeeded") else _log.warning
                log("run_ended", trace_id=trace_id, state=state, detail=detail)
    return ended


def fail_outdated(retention: RoleConnections, catalog: Catalog) -> int:
    """End the runs that were made for another catalog and that nobody works on; return how many.

    The new catalog's workers cannot go on with them; their rows are planned again.
    """
    with retention.transaction(None) as cursor:
        cursor.execute(_OUTDATED, (catalog_digest(catalog),))
        failed = cursor.rowcount
        units.cancel_left_over(cursor)
    if failed:
        _log.warning("runs_outdated", runs=failed)
    return failed


def report_of(
    verifier: RoleConnections, run_id: UUID, *, round_trips: int = 0, seconds: float = 0.0
) -> RunReport:
    """Return what has become of a run so far; what was deleted is summed from its batches."""
    with verifier.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
        cursor.execute(
            "SELECT trace_id, as_of, state, detail FROM tenure.runs WHERE id = %s", (str(run_id),)
        )
        row = cursor.fetchone()
        if row is None:
            raise RunError(f"there is no run {run_id}")
        reports = tuple(_with_counts(cursor, run_id, _units_of(cursor, run_id)))
    trace_id, as_of, state, detail = row
    return RunReport(run_id, trace_id, as_of, state, detail or "", reports, round_trips, seconds)


def _units_of(cursor: Cursor, run_id: Any) -> list[UnitReport]:
    """Return the units of a run; tenants are named as the plan has them."""
    cursor.execute("SELECT plan->'units' FROM tenure.runs WHERE id = %s", (str(run_id),))
    planned = cursor.fetchone()
    slugs = _slugs(planned[0] if planned else None)
    cursor.execute(_UNITS, (str(run_id),))
    return [_unit(slugs, row) for row in cursor.fetchall()]


def _slugs(planned: Any) -> dict[str, str]:
    # A plan that somebody changed must not keep its run from ending.
    named = planned if isinstance(planned, list) else []
    return {str(u.get("tenant_id")): str(u.get("tenant")) for u in named if isinstance(u, Mapping)}


def _unit(slugs: Mapping[str, str], row: tuple[Any, ...]) -> UnitReport:
    policy, tenant, batches, left, skips, state, detail = row
    return UnitReport(
        policy=policy,
        tenant_id=TenantId(UUID(str(tenant))),
        tenant=slugs.get(str(tenant), str(tenant)),
        batches=batches,
        left=left,
        skips=tuple(Skip(skip["reason"], skip["rows"]) for skip in skips),
        stalled=(detail or "") if state == "stalled" else "",
        error=(detail or "") if state == "failed" else "",
        state=state,
    )


def _with_counts(
    cursor: Cursor, run_id: UUID, reports: Iterable[UnitReport]
) -> Iterator[UnitReport]:
    cursor.execute(_COUNTS, (str(run_id),))
    counts: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for policy, tenant, table, rows in cursor.fetchall():
        counts.setdefault((policy, str(tenant)), []).append((table, rows))
    for report in reports:
        deleted = counts.get((report.policy, str(report.tenant_id)), [])
        yield replace(report, deleted=tuple(deleted))
