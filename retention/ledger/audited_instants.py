"""Audits what records say of when something was done, against when that was entered.

Who could write a row could have said that it was done long before. An entry is made in the
transaction that writes, so the two are close; but for what was there before its table fed the
ledger, of which it is known that it was entered later.
"""

from __future__ import annotations

from collections.abc import Sequence

from retention.ledger.fed_tables import FedTable
from retention.ledger.findings import SHOWN, Findings, entry_number
from retention.ledger.verifier import LATENESS
from tenants.connections import Cursor

#: By table, the instants of what was done when they were first said.
DONE = {
    "access_changes": ("changed_at",),
    "alerts": ("raised_at", "resolved_at"),
    "batches": ("started_at", "recorded_at"),
    "certificates": ("issued_at",),
    "connector_events": ("happened_at",),
    "connector_requests": ("requested_at", "told_at", "delivered_at", "ended_at"),
    "context_key_steps": ("taken_at",),
    "cross_tenant_reads": ("read_at",),
    "erasure_batches": ("started_at", "recorded_at"),
    "erasure_events": ("happened_at",),
    "erasure_plans": ("made_at",),
    "erasures": ("ended_at",),
    "exports": ("began_at", "ended_at"),
    "forgettings": ("requested_at", "done_at"),
    "hold_events": ("happened_at",),
    "holds": ("placed_at", "released_at"),
    "inspections": ("recorded_at",),
    "interventions": ("taken_at",),
    "ledger_key_steps": ("taken_at",),
    "ledger_sources": ("fed_at",),
    "leftover_deletions": ("deleted_at",),
    "logins": ("created_at",),
    "memberships": ("created_at",),
    "offboardings": ("requested_at", "started_at", "ended_at"),
    "policy_changes": ("changed_at",),
    "policy_periods": ("changed_at",),
    "policy_states": ("changed_at",),
    "policy_versions": ("recorded_at",),
    "policy_withdrawals": ("recorded_at",),
    "purge_batches": ("started_at", "recorded_at"),
    "purges": ("began_at", "ended_at"),
    "receipt_revocations": ("revoked_at",),
    "restorations": ("restored_at",),
    "runs": ("started_at", "finished_at"),
    "scheduled": ("taken_at",),
    "tenants": ("created_at",),
    "units": ("finished_at",),
    "verifications": ("finished_at",),
    "watches": ("began_at",),
}
#: And those of something else: what is to come, what was asked for, how far a look reached.
OTHER = {
    "batches": ("cutoff",),
    "connector_requests": ("due_at",),
    "erasures": ("received_at", "due_at", "waits_until"),
    "exports": ("as_of", "received_at"),
    "hold_events": ("effective_at",),
    "holds": ("effective_at",),
    "leftover_deletions": ("oldest", "newest"),
    "logins": ("disabled_at",),
    "offboardings": ("deletes_at",),
    "restorations": ("kept_until",),
    "runs": ("as_of",),
    "scheduled": ("due_at",),
    "verifications": ("as_of", "started_at"),
}

# As texts, of which nothing can be so forged that it cannot be compared. What the entry before of
# the same row said already is not said here; where entries do not name their row, the entries
# that rows came by are asked alone.
_ASTRAY = """
WITH said AS (
    SELECT e.*, i.field, e.body #>> ARRAY['record', i.field] AS value
    FROM unnest(%(kinds)s::text[], %(fields)s::text[]) AS i(kind, field)
    JOIN tenure.ledger_entries e ON e.kind = i.kind
), astray AS (
    SELECT s.id, s.kind, s.position, s.field, s.value,
           to_char(s.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS entered
    FROM said s
    LEFT JOIN (SELECT table_name, min(fed_at) AS since FROM tenure.ledger_sources
               GROUP BY table_name) AS f ON f.table_name = s.source
    WHERE s.value IS NOT NULL AND (s.recorded_at <= f.since) IS NOT TRUE
      AND (left(s.value, 19) COLLATE "C" BETWEEN
           to_char((s.recorded_at - %(late)s) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') AND
           to_char((s.recorded_at + %(late)s) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
          ) IS NOT TRUE
      AND s.value IS DISTINCT FROM (
          SELECT b.body #>> ARRAY['record', s.field] FROM tenure.ledger_entries b
          WHERE b.source = s.source AND b.row_key = s.row_key
            AND (b.recorded_at, b.id) < (s.recorded_at, s.id)
          ORDER BY b.recorded_at DESC, b.id DESC LIMIT 1)
)
"""
_COUNT = "SELECT count(*) FROM astray"
_FIRST = "SELECT * FROM astray ORDER BY position, id, field LIMIT %(shown)s"


def audit_instants(cursor: Cursor, tables: Sequence[FedTable], findings: Findings) -> None:
    """Compare the instants of DONE with when they were first entered, of all entries."""
    asked = [
        (kind, field)
        for table in tables
        for kind in (table.kinds if table.named else table.kinds[:1])
        for field in DONE.get(table.name, ())
    ]
    params = {
        "kinds": [kind for kind, _ in asked],
        "fields": [field for _, field in asked],
        "late": LATENESS,
        "shown": SHOWN,
    }
    cursor.execute(_ASTRAY + _COUNT, params)
    ((count,),) = cursor.fetchall()
    if not count:
        return
    cursor.execute(_ASTRAY + _FIRST, params)
    rows = cursor.fetchall()
    for entry, kind, position, field, value, entered in rows:
        findings.add(
            "instant",
            f"entry {entry_number(position)} ({entry})",
            f"{kind} says {field} {value}, and was entered at {entered}",
        )
    findings.counts["instant"] += count - len(rows)
