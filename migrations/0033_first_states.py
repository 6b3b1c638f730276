"""What has states begins with the first of them, and with nothing of what comes later.

Who may insert an erasure, an export, a purge, an offboarding, a run or a request to a connector
could insert one that had ended, been approved or begun: past the steps that triggers look at, which
look at changes. The owner may: a copy of the data can be put back.

A request of a person to a connector names the person: without a key it would be read as one for all
that there is of the tenant.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import execute

#: Table, first state, and what a row that begins does not have.
FIRST = (
    (
        "erasures",
        "received",
        "NEW.extended_months <> 0 OR num_nonnulls(NEW.plan, NEW.waits_until) > 0",
    ),
    (
        "exports",
        "begun",
        "num_nonnulls(NEW.as_of, NEW.counts, NEW.bytes, NEW.manifest_sha256) > 0",
    ),
    ("purges", "running", "num_nonnulls(NEW.counts, NEW.kept) > 0"),
    ("offboardings", "requested", "num_nonnulls(NEW.export_id, NEW.purge_id, NEW.started_at) > 0"),
    ("runs", "running", "false"),
    (
        "connector_requests",
        "open",
        "NEW.failures <> 0"
        " OR num_nonnulls(NEW.counted, NEW.told_at, NEW.delivered_at, NEW.problem) > 0",
    ),
)

FUNCTION = """
CREATE FUNCTION tenure.first_state() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'a row of tenure.% begins as %, and with nothing of what comes later',
        TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'insufficient_privilege';
END $$;
REVOKE ALL ON FUNCTION tenure.first_state() FROM PUBLIC;
"""

KEYS = """
ALTER TABLE tenure.connector_requests ADD CONSTRAINT connector_requests_key CHECK (
    ended_at IS NOT NULL OR cause <> 'erasure'
    OR (told ->> 'key' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$') IS TRUE);
"""


def up(migrator: Any, db: Any) -> None:
    """Add the triggers and the constraint; runs as tenure_owner, in one transaction."""
    execute(
        db,
        FUNCTION,
        *(
            f"CREATE TRIGGER first_state BEFORE INSERT ON tenure.{table} FOR EACH ROW"
            f" WHEN (session_user <> 'tenure_owner' AND (NEW.state <> '{state}' OR {later}))"
            f" EXECUTE FUNCTION tenure.first_state('{state}')"
            for table, state, later in FIRST
        ),
        KEYS,
    )


def down(migrator: Any, db: Any) -> None:
    """Take them away; no row says less without them."""
    execute(
        db,
        *(f"DROP TRIGGER first_state ON tenure.{table}" for table, _, _ in FIRST),
        "DROP FUNCTION tenure.first_state()",
        "ALTER TABLE tenure.connector_requests DROP CONSTRAINT connector_requests_key",
    )
