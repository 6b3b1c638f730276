"""How retention stands: policies, who plans and works, the last runs, the last verification.

Read as tenure_auditor: the evidence, and no tenant's data.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from retention.alerts import OpenAlert, open_alerts
from retention.interventions import Stop, stopped
from retention.progress import RunProgress, open_runs
from retention.schedule import Gap, gaps, next_time
from tenants.connections import Cursor, RoleConnections

_GAPS_OF = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """A recorded policy. `overrides` and `periods` map a tenant's slug to its own state and
    period; `next_run` is by its schedule, None where every tick is, or where it never comes."""

    policy: str
    version: int
    table: str
    starts: str
    period: str
    state: str
    recorded_at: datetime
    recorded_by: str
    overrides: dict[str, str]
    periods: dict[str, str]
    schedule: str | None
    next_run: datetime | None


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run, and the rows its batches recorded as deleted."""

    trace_id: str
    as_of: datetime
    state: str
    detail: str | None
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    batches: int
    rows: int


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    """A lease. `in_force` is by the database's clock."""

    name: str
    holder: str
    fence: int
    lease_until: datetime
    in_force: bool


@dataclass(frozen=True, slots=True)
class VerificationStatus:
    """The last verification that moved the books on."""

    trace_id: str
    as_of: datetime
    finished_at: datetime
    findings: int


@dataclass(frozen=True, slots=True)
class ErasureStatus:
    """Erasures that are open: how many, how many of them overdue or deferred, when the next
    answer is due."""

    open: int
    overdue: int
    deferred: int
    next_due: datetime | None


@dataclass(frozen=True, slots=True)
class Status:
    """All of it. `stopped` says who stopped all retention, None where nobody did; `alerts` are
    open, `gaps` of the last thirty days, in which nobody ticked."""

    stopped: Stop | None
    policies: tuple[PolicyStatus, ...]
    open_runs: tuple[RunProgress, ...]
    leases: tuple[LeaseStatus, ...]
    runs: tuple[RunStatus, ...]
    verification: VerificationStatus | None
    alerts: tuple[OpenAlert, ...]
    gaps: tuple[Gap, ...]
    erasures: ErasureStatus

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON's values; instants remain datetimes."""
        return asdict(self)


_POLICIES = """
SELECT DISTINCT ON (v.policy) v.policy, v.version, v.definition->>'table',
       v.definition->>'starts', v.definition->>'period', v.definition->>'state',
       v.recorded_at, v.recorded_by,
       coalesce((SELECT jsonb_object_agg(t.slug, s.state) FROM tenure.policy_states s
                 JOIN tenure.tenants t ON t.id = s.tenant_id WHERE s.policy = v.policy), '{}'),
       coalesce((SELECT jsonb_object_agg(t.slug, s.period) FROM tenure.policy_periods s
                 JOIN tenure.tenants t ON t.id = s.tenant_id WHERE s.policy = v.policy), '{}'),
       v.definition->>'schedule'
FROM tenure.policy_versions v ORDER BY v.policy, v.version DESC
"""
_RUNS = """
SELECT r.trace_id, r.as_of, r.state, r.detail, r.started_by, r.started_at, r.finished_at,
       count(b.id), coalesce(sum(b.rows_deleted), 0)::bigint
FROM (SELECT * FROM tenure.runs ORDER BY started_at DESC, id DESC LIMIT %s) r
LEFT JOIN tenure.batches b ON b.run_id = r.id
GROUP BY r.id, r.trace_id, r.as_of, r.state, r.detail, r.started_by, r.started_at, r.finished_at
ORDER BY r.started_at DESC, r.id DESC
"""
_LEASES = """
SELECT name, holder, fence, lease_until, lease_until > clock_timestamp()
FROM tenure.leases ORDER BY name
"""
_VERIFICATION = """
SELECT trace_id, as_of, finished_at, findings FROM tenure.verifications
WHERE account IS NOT NULL ORDER BY account DESC LIMIT 1
"""
_ERASURES = """
SELECT count(*), count(*) FILTER (WHERE due_at < %(now)s),
       count(*) FILTER (WHERE state = 'deferred'), min(due_at) FILTER (WHERE due_at >= %(now)s)
FROM tenure.erasures WHERE ended_at IS NULL
"""


def read_status(
    auditor: RoleConnections, *, now: datetime, tick: timedelta, runs: int = 10
) -> Status:
    """Return how retention stands, with the last `runs` runs; `tick` is how often it looks."""
    with auditor.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
        policies = tuple(_policy(row, now) for row in _rows(cursor, _POLICIES))
        leases = tuple(LeaseStatus(*row) for row in _rows(cursor, _LEASES))
        last = tuple(RunStatus(*row) for row in _rows(cursor, _RUNS, (runs,)))
        found = [VerificationStatus(*row) for row in _rows(cursor, _VERIFICATION)]
        return Status(
            stopped=stopped(cursor),
            policies=policies,
            open_runs=open_runs(cursor),
            leases=leases,
            runs=last,
            verification=found[0] if found else None,
            alerts=tuple(open_alerts(cursor)),
            erasures=_erasures(cursor, now),
            gaps=tuple(gaps(cursor, now=now, interval=tick, since=now - _GAPS_OF)),
        )


def _erasures(cursor: Cursor, now: datetime) -> ErasureStatus:
    # tenure: allow TS001 because the auditor counts those of all tenants
    cursor.execute(_ERASURES, {"now": now})
    ((*figures,),) = cursor.fetchall()
    return ErasureStatus(*figures)


def _policy(row: tuple[Any, ...], now: datetime) -> PolicyStatus:
    *_, schedule = row
    next_run = next_time(schedule, now) if schedule else None
    return PolicyStatus(*(*row, next_run))


def _rows(cursor: Cursor, query: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    cursor.execute(query, params)
    return cursor.fetchall()
