"""A run's work as units that workers claim, and what people did to runs.

A unit is one policy in one tenant. Whoever works on it holds it for a while, under a fencing
token; its counters and its progress are written by the transactions that delete its rows.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import execute

UNITS = """
CREATE TABLE tenure.units (
    run_id uuid NOT NULL REFERENCES tenure.runs (id),
    number integer NOT NULL CHECK (number > 0),
    policy text NOT NULL,
    policy_version integer NOT NULL,
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    planned bigint NOT NULL CHECK (planned >= 0),
    opens time,
    closes time,
    state text NOT NULL CHECK (state IN
        ('open', 'succeeded', 'succeeded_with_skips', 'stalled', 'failed', 'cancelled')),
    rows_deleted bigint NOT NULL DEFAULT 0 CHECK (rows_deleted >= 0),
    batches bigint NOT NULL DEFAULT 0 CHECK (batches >= 0),
    progress jsonb NOT NULL DEFAULT '{}',
    left_due bigint CHECK (left_due >= 0),
    skips jsonb NOT NULL DEFAULT '[]',
    detail text,
    holder text CHECK (holder <> ''),
    fence bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    served_at timestamptz NOT NULL DEFAULT '-infinity',
    started_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (run_id, number),
    UNIQUE (tenant_id, run_id, policy),
    FOREIGN KEY (policy, policy_version)
        REFERENCES tenure.policy_versions (policy, version),
    CHECK ((state = 'open') = (finished_at IS NULL)),
    CHECK ((holder IS NULL) = (lease_until IS NULL)),
    CHECK (holder IS NULL OR state = 'open'),
    CHECK ((opens IS NULL) = (closes IS NULL))
) WITH (fillfactor = 70);
-- A tenant has one worker at a time, whatever the workers believe.
CREATE UNIQUE INDEX units_one_worker ON tenure.units (tenant_id) WHERE holder IS NOT NULL;
CREATE INDEX units_turn ON tenure.units (served_at, number)
    WHERE state = 'open' AND holder IS NULL;
CREATE INDEX units_open ON tenure.units (run_id) WHERE state = 'open';
CREATE INDEX units_policy ON tenure.units (policy, policy_version);
COMMENT ON TABLE tenure.units IS
    'What a run has to do, in the plan''s order: one policy in one tenant each.';
COMMENT ON COLUMN tenure.units.progress IS
    'Where its next batch begins: the pass, and the last row that was looked at.';
COMMENT ON COLUMN tenure.units.attempts IS
    'How often it was taken since it last came forward.';

CREATE TABLE tenure.interventions (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id uuid REFERENCES tenure.runs (id),
    action text NOT NULL CHECK (action IN ('stop', 'start', 'pause', 'resume', 'cancel')),
    actor text NOT NULL CHECK (actor <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((run_id IS NULL) = (action IN ('stop', 'start')))
);
CREATE INDEX interventions_run ON tenure.interventions (run_id, number);
COMMENT ON TABLE tenure.interventions IS
    'Who stopped and started all retention, and paused, resumed or cancelled which run.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenure.interventions
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change();
"""

# Windows are of the database's clock, in UTC; one may go over midnight.
FUNCTIONS = """
CREATE FUNCTION tenure.in_window(opens time, closes time) RETURNS boolean LANGUAGE sql STABLE
RETURN CASE
    WHEN opens IS NULL THEN true
    WHEN opens < closes
        THEN (clock_timestamp() AT TIME ZONE 'UTC')::time >= opens
         AND (clock_timestamp() AT TIME ZONE 'UTC')::time < closes
    ELSE (clock_timestamp() AT TIME ZONE 'UTC')::time >= opens
      OR (clock_timestamp() AT TIME ZONE 'UTC')::time < closes END;

CREATE FUNCTION tenure.is_stopped() RETURNS boolean LANGUAGE sql STABLE
RETURN coalesce((SELECT i.action = 'stop' FROM tenure.interventions i
                 WHERE i.run_id IS NULL ORDER BY i.number DESC LIMIT 1), false);
"""
SIGNATURES = ("tenure.in_window(time, time)", "tenure.is_stopped()")

# What no worker can go on with, for it has no units.
INTERRUPTED = """
UPDATE tenure.runs SET state = 'failed', finished_at = clock_timestamp(),
    detail = 'interrupted; its batches record what it deleted'
WHERE state NOT IN ('succeeded', 'succeeded_with_skips', 'stalled', 'failed', 'cancelled');
"""

RUNS = """
ALTER TABLE tenure.runs
    ADD COLUMN catalog_digest text,
    ADD COLUMN versions jsonb,
    DROP CONSTRAINT runs_state_check,
    DROP CONSTRAINT runs_check,
    ADD CONSTRAINT runs_state_check CHECK (state IN
        ('running', 'paused', 'succeeded', 'succeeded_with_skips', 'stalled', 'failed',
         'cancelled')),
    ADD CONSTRAINT runs_check CHECK ((finished_at IS NULL) = (state IN ('running', 'paused')));
COMMENT ON COLUMN tenure.runs.versions IS
    'The versions of the policies that it was opened under, by name.';
CREATE INDEX runs_open ON tenure.runs (started_at) WHERE finished_at IS NULL;
ALTER TABLE tenure.batches ADD COLUMN span_id text CHECK (span_id ~ '^[0-9a-f]{16}$');
COMMENT ON COLUMN tenure.batches.span_id IS
    'The batch as a span of its run''s trace (W3C Trace Context). NULL before there were any.';
"""

_RUNS_BEFORE = """
DROP INDEX tenure.runs_open;
ALTER TABLE tenure.batches DROP COLUMN span_id;
ALTER TABLE tenure.runs
    DROP COLUMN catalog_digest,
    DROP COLUMN versions,
    DROP CONSTRAINT runs_state_check,
    DROP CONSTRAINT runs_check,
    ADD CONSTRAINT runs_state_check CHECK (state IN
        ('running', 'succeeded', 'succeeded_with_skips', 'stalled', 'failed', 'cancelled')),
    ADD CONSTRAINT runs_check CHECK ((finished_at IS NULL) = (state = 'running'));
"""

WORKED = (
    "state", "rows_deleted", "batches", "progress", "left_due", "skips", "detail", "holder",
    "fence", "lease_until", "attempts", "served_at", "started_at", "finished_at",
)  # fmt: skip

# The rows of units belong to a run, which serves all tenants: retention claims them before it
# knows whose they are. They hold no tenant's data.
ACCESS = (
    ("units", "tenure_retention", ("SELECT", "INSERT", f"UPDATE({', '.join(WORKED)})")),
    ("units", "tenure_verifier", ("SELECT",)),
    ("units", "tenure_auditor", ("SELECT",)),
    ("interventions", "tenure_retention", ("SELECT", "INSERT")),
    ("interventions", "tenure_auditor", ("SELECT",)),
)


def up(migrator: Any, db: Any) -> None:
    """Add both tables; runs that were left unfinished have failed."""
    execute(db, INTERRUPTED, UNITS, RUNS, FUNCTIONS)
    for signature in SIGNATURES:
        execute(
            db,
            f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC",
            f"GRANT EXECUTE ON FUNCTION {signature} TO tenure_retention, tenure_auditor",
        )
    for table in ("units", "interventions"):
        execute(
            db,
            f"ALTER TABLE tenure.{table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE tenure.{table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY owner ON tenure.{table} FOR ALL TO tenure_owner"
            " USING (true) WITH CHECK (true)",
        )
    for table, role, commands in ACCESS:
        execute(db, f"GRANT {', '.join(commands)} ON tenure.{table} TO {role}")
        for command in commands:
            verb = command.partition("(")[0]
            clause = {
                "SELECT": "USING (true)",
                "INSERT": "WITH CHECK (true)",
                "UPDATE": "USING (true) WITH CHECK (true)",
            }[verb]
            execute(
                db,
                f"CREATE POLICY {role}_{verb.lower()} ON tenure.{table}"
                f" FOR {verb} TO {role} {clause}",
            )


def down(migrator: Any, db: Any) -> None:
    """Take them away; open runs have failed then, for nobody can go on with them."""
    execute(
        db,
        INTERRUPTED,
        *(f"DROP FUNCTION {signature}" for signature in SIGNATURES),
        "DROP TABLE tenure.interventions",
        "DROP TABLE tenure.units",
        _RUNS_BEFORE,
    )
