"""Changes of what decides: policies and tenants' own terms, roles and keys, stops and pauses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from retention.reports.paging import Page, PageRequest
from retention.reports.scope import Scope
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class ChangeLine:
    """A change: `what` of `subject` (a policy, a login's id, a key, a run's trace id) was
    `before` and is `after`; null stands for nothing, and of a tenant's own terms for the
    policy's. Without a tenant it was everybody's. `role` is the database's role under which access
    was changed, where that is on record; `actor` is what it said."""

    at: datetime
    kind: str
    subject: str
    tenant: str | None
    tenant_name: str | None
    what: str
    before: str | None
    after: str | None
    actor: str
    role: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ChangesReport:
    """A page of changes, newest first."""

    changes: tuple[ChangeLine, ...]
    page: Page


# A policy's first version, and one from before changes were kept, is one line.
_OWN = """
    SELECT v.recorded_at AS at, 'policy' AS kind, v.policy AS subject, NULL::uuid AS tenant_id,
           CASE WHEN e.key IS NULL THEN 'version ' || v.version ELSE e.key END AS what,
           CASE WHEN jsonb_typeof(e.value->0) = 'string' THEN e.value->>0
                ELSE nullif((e.value->0)::text, 'null') END AS before,
           CASE WHEN e.key IS NULL THEN v.digest
                WHEN jsonb_typeof(e.value->1) = 'string' THEN e.value->>1
                ELSE nullif((e.value->1)::text, 'null') END AS after,
           v.recorded_by AS actor, NULL::text AS role, NULL::text AS reason,
           v.version::text || e.key AS number
    FROM tenure.policy_versions v
    LEFT JOIN LATERAL jsonb_each(CASE WHEN v.version > 1 THEN v.changes END) e ON true
    UNION ALL
    SELECT recorded_at, 'policy', policy, NULL, event, NULL, NULL, recorded_by, NULL,
           NULL, number::text
    FROM tenure.policy_withdrawals
    UNION ALL
    SELECT changed_at, 'own terms', policy, tenant_id, what, before, after, changed_by, NULL,
           NULL, id::text
    FROM tenure.policy_changes
    UNION ALL
    SELECT changed_at, 'access', login_id::text, tenant_id, what, before, after, actor, recorded_as,
           NULL, id::text
    FROM tenure.access_changes
"""
_EVERYBODYS = """
    UNION ALL
    SELECT taken_at, 'context key', key_id, NULL, step, NULL, NULL, actor, NULL, NULL, id::text
    FROM tenure.context_key_steps
    UNION ALL
    SELECT taken_at, 'ledger key', vkey, NULL, step, previous_vkey, vkey, actor, NULL, NULL,
           id::text
    FROM tenure.ledger_key_steps
    UNION ALL
    SELECT i.taken_at, 'retention', coalesce(r.trace_id, 'all retention'), NULL, i.action, NULL,
           NULL, i.actor, NULL, i.reason, i.number::text
    FROM tenure.interventions i LEFT JOIN tenure.runs r ON r.id = i.run_id
"""
_CHANGES = """
WITH changes AS ({})
SELECT c.at, c.kind, c.subject, t.slug, t.name, c.what, c.before, c.after, c.actor,
       c.role, c.reason
FROM changes c LEFT JOIN tenure.tenants t ON t.id = c.tenant_id
WHERE c.at >= %(since)s::timestamptz AND c.at < %(until)s::timestamptz
  AND (%(tenant)s::uuid IS NULL OR c.tenant_id IS NULL OR c.tenant_id = %(tenant)s::uuid)
ORDER BY c.at DESC, c.kind, c.subject, c.number DESC LIMIT %(limit)s OFFSET %(offset)s
"""


def changes_report(cursor: Cursor, wanted: PageRequest, scope: Scope) -> ChangesReport:
    """Return a page of changes; one query. Of one tenant: its own, and everybody's, of which its
    own auditor sees the policies alone."""
    changes = _OWN if scope.confined else _OWN + _EVERYBODYS
    cursor.execute(_CHANGES.format(changes), {**scope.params, **wanted.window})
    lines, page = wanted.cut([ChangeLine(*row) for row in cursor.fetchall()])
    return ChangesReport(lines, page)
