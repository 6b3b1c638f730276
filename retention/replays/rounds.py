"""The scheduler's part in replays: an incomplete one is warned of, and tried again.

What kept its rows may have ended: a hold, which is looked at each tick; or a reference, or a store
that was not mounted, for which it is tried again once a day.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg2

from config.logging import get_logger
from retention.alerts import Alert
from retention.errors import RetentionError
from retention.replays.execution import Replayer
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId

_log = get_logger(__name__)

# The last of each tenant; a hold that ended since may be what kept rows.
_WAITING = """
SELECT l.tenant_id::text, l.slug, l.state, l.kept, l.since, l.is_due FROM (
    SELECT DISTINCT ON (p.tenant_id) p.tenant_id, t.slug, p.state, p.kept,
           coalesce(p.ended_at, p.began_at) AS since,
           coalesce(p.ended_at, p.began_at) < clock_timestamp() - interval '1 day'
           OR p.state = 'incomplete' AND EXISTS (
               SELECT FROM tenure.hold_events e
               WHERE e.tenant_id = p.tenant_id AND e.event = 'released'
                 AND e.effective_at BETWEEN p.ended_at AND clock_timestamp()) AS is_due
    FROM tenure.purges p JOIN tenure.tenants t ON t.id = p.tenant_id
    WHERE p.kind = 'replay' ORDER BY p.tenant_id, p.began_at DESC, p.id DESC) l
WHERE l.state <> 'completed' ORDER BY l.slug
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A tenant whose last replay is not completed. `is_due`: it is to be tried again now."""

    tenant_id: TenantId
    tenant: str
    state: str
    kept: Mapping[str, Mapping[str, int]]
    since: datetime
    is_due: bool

    def alert(self, problem: str) -> Alert:
        """Return what is to be said of it."""
        kept = "; ".join(
            f"{why}: {', '.join(f'{count} of {name}' for name, count in sorted(of.items()))}"
            for why, of in sorted(self.kept.items())
        )
        what = f"what had gone before a restore is there since {self.since.isoformat()}"
        said = (kept, problem) if self.state == "incomplete" else ("it has not ended", problem)
        return Alert("replay", self.tenant, ": ".join((what, "; ".join(filter(None, said)))))


def waiting(cursor: Cursor) -> list[Waiting]:
    """Return the tenants whose last replay is not completed; as verifier."""
    # tenure: allow TS001 because the scheduler goes on with all tenants' replays
    cursor.execute(_WAITING)
    return [
        Waiting(TenantId(UUID(row[0])), row[1], row[2], row[3] or {}, *row[4:])
        for row in cursor.fetchall()
    ]


def make_round(
    verifier: RoleConnections, replayer_of: Callable[[Collection[TenantId]], Replayer | None]
) -> list[Alert]:
    """Try again what is due, and return what is to be said of what is not completed then.

    `replayer_of` makes what replays for these tenants, None where there are no records.
    """
    problems: dict[TenantId, str] = {}
    due = [one.tenant_id for one in _now(verifier) if one.is_due]
    if due:
        try:
            replayer = replayer_of(due)
            if replayer is None:
                problems = dict.fromkeys(due, "there are no records to try again by")
            else:
                replayer.run()
        except (RetentionError, psycopg2.Error) as error:
            said = str(error).strip().splitlines()[0]
            _log.error("replay_failed", error=said)
            problems = dict.fromkeys(due, said)
    return [one.alert(problems.get(one.tenant_id, "")) for one in _now(verifier)]


def _now(verifier: RoleConnections) -> list[Waiting]:
    with verifier.transaction(None, read_only=True) as cursor:
        return waiting(cursor)
