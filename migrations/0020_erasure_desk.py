"""Erasures over the API: requests and decisions are entered by the application, nothing is erased.

What it enters there it enters at a desk alone: in a transaction that shows a seal over its
tenant, its backend, its beginning and who acts. SQL injected under the application's role has no
such seal, one that it saw serves in no other transaction, and nobody can be named but whom the
seal is over. Planning, erasing and completing remain tenure_retention's. The evidence, which
names nobody, is read by the tenant's own auditor as well.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import Access, access_statements, execute

# Who acts; NULL where no seal says so. `tenure.desk` is ACTOR|SEAL, as the client sets it.
DESK = """
CREATE FUNCTION tenure.desk_actor() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.actor
    FROM (SELECT substring(said FROM '^(.+)[|][0-9a-f]{64}$') AS actor, right(said, 64) AS seal
          FROM (SELECT current_setting('tenure.desk', true) AS said) d) s
    WHERE tenure.is_sealed(
        'desk:' || tenure.current_tenant() || ':' || pg_backend_pid() || ':'
        || extract(epoch FROM transaction_timestamp()) || ':' || s.actor, s.seal)
$$;
REVOKE ALL ON FUNCTION tenure.desk_actor() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenure.desk_actor() TO tenure_app;
COMMENT ON FUNCTION tenure.desk_actor() IS
    'Who acts at the desk where erasures are handled over the API, as sealed for this transaction.';
"""
WANTED = """
ALTER TABLE tenure.erasures ADD COLUMN plan_wanted_by text CHECK (plan_wanted_by <> '');
COMMENT ON COLUMN tenure.erasures.plan_wanted_by IS
    'Who asked over the API for a plan that the worker has still to make.';
CREATE INDEX erasures_plan_wanted ON tenure.erasures (due_at) WHERE plan_wanted_by IS NOT NULL;
GRANT UPDATE (plan_wanted_by) ON tenure.erasures TO tenure_retention;
"""

OWN = "tenant_id = (SELECT tenure.current_tenant())"
_ACTOR = "(SELECT tenure.desk_actor())"
AT_DESK = f"{OWN} AND {_ACTOR} IS NOT NULL"
_DECISIONS = "('received', 'confirmed', 'approved', 'extended', 'refused', 'withdrawn')"

# A tenant's auditor reads its evidence as tenure_app, without a desk (0017).
ERASURES = f"""
GRANT SELECT (subject, entered_by, received_at, due_at, extended_months, plan, waits_until,
              ended_at, plan_wanted_by)
    ON tenure.erasures TO tenure_app;
GRANT UPDATE (state, due_at, extended_months, ended_at, plan_wanted_by)
    ON tenure.erasures TO tenure_app;
CREATE POLICY tenure_app_update ON tenure.erasures FOR UPDATE TO tenure_app
    USING ({AT_DESK}) WITH CHECK ({AT_DESK} AND state <> 'completed');
"""
ACCESS: tuple[Access, ...] = (
    (
        "erasures",
        "tenure_app",
        ("INSERT(tenant_id, id, subject, subject_hash, entered_by, received_at, due_at)",),
        f"{AT_DESK} AND entered_by = {_ACTOR}",
    ),
    # Who asks, and how they showed who they are, is entered here, and not read.
    (
        "erasure_subjects",
        "tenure_app",
        ("INSERT(tenant_id, erasure_id, key, asked_by, requester)", "UPDATE(identity)", "DELETE"),
        AT_DESK,
    ),
    ("erasure_rows", "tenure_app", ("SELECT(tenant_id, erasure_id)", "DELETE"), AT_DESK),
    (
        "erasure_events",
        "tenure_app",
        ("INSERT(tenant_id, id, erasure_id, event, actor, facts)",),
        f"{AT_DESK} AND actor = {_ACTOR} AND event IN {_DECISIONS}",
    ),
    ("erasure_plans", "tenure_app", ("SELECT",), AT_DESK),
    *(
        (table, "tenure_app", ("SELECT",), OWN)
        for table in ("erasure_events", "erasure_batches", "erased_keys", "connector_events")
    ),
)


def up(migrator: Any, db: Any) -> None:
    """Open the desk; runs as tenure_owner, in one transaction."""
    execute(db, DESK, WANTED, ERASURES, *access_statements((), ACCESS))


def down(migrator: Any, db: Any) -> None:
    """Close it; what was entered there stays."""
    policies = [
        ("erasures", "update"),
        *(
            (table, command.partition("(")[0].lower())
            for table, _, of, _ in ACCESS
            for command in of
        ),
    ]
    execute(
        db,
        *(f"DROP POLICY tenure_app_{command} ON tenure.{table}" for table, command in policies),
        *(
            f"REVOKE ALL ON tenure.{table} FROM tenure_app"
            for table in ("erasures", *dict.fromkeys(table for table, _, _, _ in ACCESS))
        ),
        "GRANT SELECT (tenant_id, id, state, definition) ON tenure.erasures TO tenure_app",
        "GRANT SELECT (tenant_id, erasure_id, key) ON tenure.erasure_subjects TO tenure_app",
        "ALTER TABLE tenure.erasures DROP COLUMN plan_wanted_by",
        "DROP FUNCTION tenure.desk_actor()",
    )
