"""What decides retention, and what was warned of, enters the ledger too; and whoever writes
evidence does not say when.

A tenant's own state and period of a policy are what retention goes by, so they are what enters,
beside the record of their changes. That a policy was taken out of the policy file is recorded.
Instants that a row has by default can be given by none of the roles that add rows: the database's
clock gives them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tenants.schema import (
    Access,
    access_statements,
    append_only_statement,
    execute,
    ledger_statement,
)

WITHDRAWALS = """
CREATE TABLE tenure.policy_withdrawals (
    policy text NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    event text NOT NULL CHECK (event = CASE number % 2 WHEN 1 THEN 'withdrawn' ELSE 'returned' END),
    version integer NOT NULL,
    recorded_by text NOT NULL CHECK (recorded_by <> ''),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (policy, number),
    FOREIGN KEY (policy, version) REFERENCES tenure.policy_versions (policy, version)
);
COMMENT ON TABLE tenure.policy_withdrawals IS
    'When a policy was taken out of the policy file, and put in again; version: its last one then.';
"""

# What was set before each change of a tenant's own terms was recorded, or by an import.
UNRECORDED = """
INSERT INTO tenure.policy_changes (tenant_id, id, policy, what, before, after, changed_by)
SELECT own.tenant_id, gen_random_uuid(), own.policy, own.what, said.after, own.value, own.changed_by
FROM (SELECT policy, tenant_id, 'state' AS what, state AS value, changed_by
      FROM tenure.policy_states
      UNION ALL
      SELECT policy, tenant_id, 'period', period, changed_by FROM tenure.policy_periods) AS own
LEFT JOIN LATERAL (
    SELECT c.after FROM tenure.policy_changes c
    WHERE c.tenant_id = own.tenant_id AND c.policy = own.policy AND c.what = own.what
    ORDER BY c.changed_at DESC, c.id DESC LIMIT 1) AS said ON true
WHERE said.after IS DISTINCT FROM own.value;
"""

# The same entries as before, in some 15 % less of the time. A first evaluation of an expression in
# PL/pgSQL is dear in each transaction, and most batches enter one row: so there are few, and none
# goes through a table's columns one by one. A key has at most six columns (a test counts them).
ENTER = """
CREATE OR REPLACE FUNCTION tenure.enter_row(
    source text, kind text, entered jsonb,
    keys text[], plain text[], committed text[], digested text[], children jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    entry uuid := gen_random_uuid();
    tenant uuid := entered ->> CASE source WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END;
    commitments jsonb := '{}';
    more jsonb := '{}';
BEGIN
    IF committed <> '{}' THEN
        WITH kept AS (
            INSERT INTO tenure.ledger_texts (entry_id, field, tenant_id, salt, content)
            SELECT entry, name, tenant,
                   sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
                          || uuid_send(gen_random_uuid())),
                   entered ->> name
            FROM unnest(committed) AS name WHERE entered ->> name IS NOT NULL
            RETURNING field, salt, content)
        SELECT coalesce(jsonb_object_agg(
            field, encode(sha256(salt || convert_to(content, 'UTF8')), 'hex')), '{}')
        INTO commitments FROM kept;
    END IF;
    IF digested <> '{}' THEN
        more := (
            SELECT jsonb_object_agg(name || '_sha256',
                encode(sha256(convert_to(entered ->> name, 'UTF8')), 'hex'))
            FROM unnest(digested) AS name);
    END IF;
    IF children <> '{}' THEN
        more := more || tenure.ledger_children(children, entered);
    END IF;
    INSERT INTO tenure.ledger_entries (id, kind, tenant_id, source, row_key, body)
    VALUES (entry, kind, tenant, source,
        CASE WHEN keys <@ plain THEN
            concat_ws('/', entered ->> keys[1], entered ->> keys[2], entered ->> keys[3],
                      entered ->> keys[4], entered ->> keys[5], entered ->> keys[6]) END,
        jsonb_build_object(
            'record', entered - ARRAY(SELECT jsonb_object_keys(entered - plain)) || more,
            'commitments', commitments));
END $$;

-- Its arguments: kind, keys, plain, committed and digested columns, children.
CREATE OR REPLACE FUNCTION tenure.enter_in_ledger() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    PERFORM tenure.enter_row(
        TG_TABLE_NAME,
        TG_ARGV[0] || CASE TG_OP WHEN 'INSERT' THEN '' WHEN 'UPDATE' THEN '-changed'
                                 ELSE '-deleted' END,
        CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END,
        TG_ARGV[1]::text[], TG_ARGV[2]::text[], TG_ARGV[3]::text[], TG_ARGV[4]::text[],
        CASE TG_OP WHEN 'DELETE' THEN '{}' ELSE TG_ARGV[5]::jsonb END);
    RETURN NULL;
END $$;
"""

FEEDS = (
    ledger_statement(
        "policy_states",
        "policy-state",
        plain=("policy", "tenant_id", "state", "changed_at"),
        committed=("changed_by",),
        on="INSERT OR UPDATE OR DELETE",
    ),
    ledger_statement(
        "policy_periods",
        "policy-period",
        plain=("policy", "tenant_id", "period", "changed_at"),
        committed=("changed_by",),
        on="INSERT OR UPDATE OR DELETE",
    ),
    ledger_statement(
        "policy_withdrawals",
        "policy-withdrawal",
        plain=("policy", "number", "event", "version", "recorded_at"),
        committed=("recorded_by",),
    ),
    # Not what is said of it as long as it lasts: that may name tenants, and the ledger's own alerts
    # would make it grow with each attempt to publish it.
    ledger_statement(
        "alerts",
        "alert",
        plain=("id", "kind", "subject", "raised_at", "resolved_at"),
        on="INSERT OR UPDATE OR DELETE",
    ),
    ledger_statement(
        "scheduled",
        "scheduled-time",
        plain=("name", "due_at", "taken_at", "missed"),
        on="INSERT OR DELETE",
    ),
    # One begins where nobody had been there before. It is prolonged at every tick.
    ledger_statement("watches", "watch", plain=("id", "began_at"), on="INSERT OR DELETE"),
)
FED = ("policy_states", "policy_periods", "alerts", "scheduled", "watches")

ANY_TENANT = "(SELECT tenure.current_tenant()) IS NOT NULL"
ACCESS: tuple[Access, ...] = (
    ("policy_withdrawals", "tenure_retention", ("SELECT", "INSERT"), "true"),
    ("policy_withdrawals", "tenure_verifier", ("SELECT",), "true"),
    ("policy_withdrawals", "tenure_auditor", ("SELECT",), "true"),
    # As policies themselves, for a tenant's own auditor.
    ("policy_withdrawals", "tenure_app", ("SELECT",), ANY_TENANT),
    # What the ledger is compared with.
    ("alerts", "tenure_verifier", ("SELECT",), "true"),
    ("watches", "tenure_verifier", ("SELECT",), "true"),
)

#: Who adds rows, and which instants these have by default.
STAMPED = {
    ("alerts", "tenure_retention"): ("raised_at", "last_seen_at"),
    ("batches", "tenure_retention"): ("recorded_at",),
    ("certificates", "tenure_retention"): ("issued_at",),
    ("connector_events", "tenure_retention"): ("happened_at",),
    ("connector_requests", "tenure_retention"): ("requested_at",),
    ("cross_tenant_reads", "tenure_retention"): ("read_at",),
    ("erased_keys", "tenure_retention"): ("recorded_at",),
    ("erasure_batches", "tenure_retention"): ("recorded_at",),
    ("erasure_events", "tenure_retention"): ("happened_at",),
    ("erasure_plans", "tenure_retention"): ("made_at",),
    ("exports", "tenure_retention"): ("began_at",),
    ("holds", "tenure_retention"): ("placed_at",),
    ("inspections", "tenure_retention"): ("recorded_at",),
    ("interventions", "tenure_retention"): ("taken_at",),
    ("ledger_attestations", "tenure_retention"): ("received_at",),
    ("ledger_checkpoints", "tenure_retention"): ("signed_at",),
    ("ledger_key_steps", "tenure_retention"): ("taken_at",),
    ("policy_changes", "tenure_retention"): ("changed_at",),
    ("policy_periods", "tenure_retention"): ("changed_at",),
    ("policy_states", "tenure_retention"): ("changed_at",),
    ("policy_versions", "tenure_retention"): ("recorded_at",),
    ("policy_withdrawals", "tenure_retention"): ("recorded_at",),
    ("purge_batches", "tenure_retention"): ("recorded_at",),
    ("purged_keys", "tenure_retention"): ("recorded_at",),
    ("purges", "tenure_retention"): ("began_at",),
    ("restorations", "tenure_retention"): ("restored_at",),
}
_STAMP = """
DO $$ BEGIN
    REVOKE INSERT ON tenure.{table} FROM {role};
    EXECUTE (SELECT format('GRANT INSERT (%s) ON tenure.{table} TO {role}',
                           string_agg(quote_ident(attname), ', ' ORDER BY attnum))
             FROM pg_catalog.pg_attribute
             WHERE attrelid = 'tenure.{table}'::regclass AND attnum > 0 AND NOT attisdropped
               AND attname <> ALL ('{columns}'));
END $$
"""
_UNSTAMP = """
DO $$ BEGIN
    EXECUTE (SELECT format('REVOKE INSERT (%s) ON tenure.{table} FROM {role}',
                           string_agg(quote_ident(attname), ', ' ORDER BY attnum))
             FROM pg_catalog.pg_attribute
             WHERE attrelid = 'tenure.{table}'::regclass AND attnum > 0 AND NOT attisdropped);
    GRANT INSERT ON tenure.{table} TO {role};
END $$
"""


def up(migrator: Any, db: Any) -> None:
    """Feed the ledger and take powers away; runs as tenure_owner, in one transaction."""
    execute(
        db,
        ENTER,
        WITHDRAWALS,
        append_only_statement("policy_withdrawals"),
        *access_statements(("policy_withdrawals",), ACCESS),
        UNRECORDED,
        *FEEDS,
        "ALTER TABLE tenure.holds ALTER COLUMN placed_at SET DEFAULT clock_timestamp()",
        *(
            _STAMP.format(table=table, role=role, columns="{" + ",".join(columns) + "}")
            for (table, role), columns in STAMPED.items()
        ),
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where it says what became of policies; what has entered stays in the ledger."""
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.policy_withdrawals)").fetchone()[0]:
        raise RuntimeError("tenure.policy_withdrawals says which policies ended, and when")
    ledger = import_module("migrations.0013_ledger")
    execute(
        db,
        *(
            _UNSTAMP.format(table=table, role=role)
            for table, role in STAMPED
            if table != "policy_withdrawals"
        ),
        "ALTER TABLE tenure.holds ALTER COLUMN placed_at SET DEFAULT now()",
        *(
            f"DROP TRIGGER IF EXISTS ledger_{event} ON tenure.{table}"
            for table in FED
            for event in ("insert", "update", "delete")
        ),
        *(
            f"DROP POLICY tenure_verifier_select ON tenure.{table}"
            for table in ("alerts", "watches")
        ),
        "REVOKE SELECT ON tenure.alerts, tenure.watches FROM tenure_verifier",
        "DROP TABLE tenure.policy_withdrawals",
        ledger.ENTER.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"),
    )
