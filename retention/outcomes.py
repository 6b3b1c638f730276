"""What became of the last unit of each policy in each tenant: which stalled or failed, and lasts.

It is looked up in the evidence at each tick, and hangs on no process that heard a run end: whoever
ended it may be dead. One policy has one alert, however many tenants it is in trouble with.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from retention.alerts import Alert
from tenants.connections import Cursor
from tenants.context import TenantId

# An end that has not come yet is from before the clock was put back. What a run did not come to
# because it failed itself is cancelled.
_LAST_TROUBLES = """
SELECT t.policy, t.tenant_id::text, n.slug, u.finished_at, r.trace_id,
       coalesce(u.detail, r.detail, u.state)
FROM (SELECT DISTINCT policy, tenant_id FROM tenure.units
      WHERE state IN ('failed', 'stalled', 'cancelled')) t
JOIN tenure.tenants n ON n.id = t.tenant_id
CROSS JOIN LATERAL (
    SELECT l.run_id, l.state, l.detail, l.finished_at FROM tenure.units l
    WHERE l.policy = t.policy AND l.tenant_id = t.tenant_id AND l.finished_at <= clock_timestamp()
    ORDER BY l.finished_at DESC LIMIT 1) u
JOIN tenure.runs r ON r.id = u.run_id
WHERE u.state IN ('failed', 'stalled') OR u.state = 'cancelled' AND r.state = 'failed'
ORDER BY t.policy, n.slug
"""
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Trouble:
    """The last unit of a policy in a tenant that ended, and ended badly: when, and why."""

    policy: str
    tenant_id: TenantId
    tenant: str
    ended_at: datetime
    trace_id: str
    why: str


def last_troubles(cursor: Cursor) -> list[Trouble]:
    """Return the policies and tenants whose last unit stalled or failed, as verifier."""
    # tenure: allow TS001 because runs are of all tenants, and so is what became of them
    cursor.execute(_LAST_TROUBLES)
    return [
        Trouble(policy, TenantId(UUID(tenant)), *rest)
        for policy, tenant, *rest in cursor.fetchall()
    ]


def of_troubles(troubles: Iterable[Trouble]) -> list[Alert]:
    """Return what is to be said of troubles that last: an alert per policy."""
    by_policy: dict[str, list[str]] = {}
    for one in troubles:
        by_policy.setdefault(one.policy, []).append(f"{one.tenant}: {one.why}, run {one.trace_id}")
    return [
        Alert("run", policy, "; ".join(said[:_NAMED]) + _more(said[_NAMED:]))
        for policy, said in sorted(by_policy.items())
    ]


def _more(rest: Collection[str]) -> str:
    return f"; and {len(rest)} more" if rest else ""
