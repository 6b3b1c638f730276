"""Erasures (GDPR 17): who asked, what was planned and approved, what went, what became of it.

What says who the person is stands in `erasure_subjects` and `erasure_rows` alone, and leaves
with the erasure's end. The rest is evidence: states, instants, counts, who of us did what, and
the keys that went, as hashes (`tenure.deleted_keys` has them alike). No text about the person.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import (
    Access,
    access_statements,
    append_only_statement,
    execute,
    ledger_statement,
)

ERASURES = """
CREATE TABLE tenure.erasures (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    id uuid NOT NULL,
    subject text NOT NULL,
    subject_hash bytea NOT NULL CHECK (octet_length(subject_hash) = 16),
    state text NOT NULL DEFAULT 'received' CHECK (state IN
        ('received', 'confirmed', 'planned', 'approved', 'running', 'deferred', 'completed',
         'refused', 'withdrawn')),
    entered_by text NOT NULL CHECK (entered_by <> ''),
    received_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL CHECK (due_at > received_at),
    extended_months integer NOT NULL DEFAULT 0 CHECK (extended_months BETWEEN 0 AND 2),
    plan integer CHECK (plan > 0),
    definition jsonb,
    waits_until timestamptz,
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK ((ended_at IS NOT NULL) = (state IN ('completed', 'refused', 'withdrawn'))),
    CHECK ((plan IS NULL) = (definition IS NULL)),
    CHECK (plan IS NOT NULL OR state NOT IN
        ('planned', 'approved', 'running', 'deferred', 'completed'))
);
CREATE UNIQUE INDEX erasures_id ON tenure.erasures (id);
CREATE INDEX erasures_due ON tenure.erasures (due_at) WHERE ended_at IS NULL;
CREATE INDEX erasures_open ON tenure.erasures (tenant_id) WHERE state IN ('running', 'deferred');
COMMENT ON TABLE tenure.erasures IS
    'Requests of people to be erased, and how far each is. subject_hash: of the person''s key, as '
    'in tenure.deleted_keys. definition: the declaration of the subject that was planned with.';
COMMENT ON COLUMN tenure.erasures.waits_until IS
    'When what a deferred erasure waits for ends; NULL where a hold, which has none, is among it.';

CREATE TABLE tenure.erasure_subjects (
    tenant_id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    key uuid NOT NULL,
    asked_by text,
    requester text NOT NULL,
    identity text,
    PRIMARY KEY (tenant_id, erasure_id),
    FOREIGN KEY (tenant_id, erasure_id) REFERENCES tenure.erasures (tenant_id, id)
);
COMMENT ON TABLE tenure.erasure_subjects IS
    'Erasable: whom an open erasure is about, who asks, how they showed who they are. Goes when '
    'the erasure ends.';

CREATE TABLE tenure.erasure_rows (
    tenant_id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    table_name text NOT NULL,
    row_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, erasure_id, table_name, row_id),
    FOREIGN KEY (tenant_id, erasure_id) REFERENCES tenure.erasures (tenant_id, id)
);
COMMENT ON TABLE tenure.erasure_rows IS
    'Erasable: rows that went and to which others may refer softly; by them, what was written '
    'meanwhile is found. Goes when the erasure ends.';

CREATE TABLE tenure.erasure_plans (
    tenant_id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    digest text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    plan jsonb NOT NULL,
    made_by text NOT NULL CHECK (made_by <> ''),
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, erasure_id, number),
    FOREIGN KEY (tenant_id, erasure_id) REFERENCES tenure.erasures (tenant_id, id)
);
COMMENT ON TABLE tenure.erasure_plans IS
    'What each table would lose, keep and wait for. digest: SHA-256 over the plan as canonical '
    'JSON.';

CREATE TABLE tenure.erasure_events (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    event text NOT NULL CHECK (event IN
        ('received', 'confirmed', 'planned', 'approved', 'extended', 'started', 'deferred',
         'resumed', 'verified', 'completed', 'refused', 'withdrawn')),
    actor text NOT NULL CHECK (actor <> ''),
    facts jsonb NOT NULL DEFAULT '{}',
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, erasure_id) REFERENCES tenure.erasures (tenant_id, id)
);
CREATE INDEX erasure_events_erasure
    ON tenure.erasure_events (tenant_id, erasure_id, happened_at);
COMMENT ON TABLE tenure.erasure_events IS
    'What became of each erasure, by whom. facts: grounds by their names, counts, instants.';

CREATE TABLE tenure.erasure_batches (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    erasure_id uuid NOT NULL,
    trace_id text NOT NULL CHECK (trace_id ~ '^[0-9a-f]{32}$'),
    rows bigint NOT NULL CHECK (rows > 0),
    counts jsonb NOT NULL,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    started_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, erasure_id, id),
    FOREIGN KEY (tenant_id, erasure_id) REFERENCES tenure.erasures (tenant_id, id)
);
COMMENT ON COLUMN tenure.erasure_batches.transaction IS
    'Whoever wrote before it committed has ended when no transaction is older.';
CREATE INDEX erasure_batches_trace ON tenure.erasure_batches (trace_id);
COMMENT ON TABLE tenure.erasure_batches IS
    'Transactions of erasures. counts: per table and action rows, and sha256 over the hashes of '
    'their keys in tenure.erased_keys.';

-- The record of the batch comes after its keys, in the same transaction.
CREATE TABLE tenure.erased_keys (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    erasure_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    table_name text NOT NULL,
    action text NOT NULL CHECK (action IN ('delete', 'anonymise', 'pseudonymise', 'cut')),
    hashes bytea NOT NULL CHECK (octet_length(hashes) > 0 AND octet_length(hashes) % 16 = 0),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, table_name, batch_id, action),
    FOREIGN KEY (tenant_id, erasure_id, batch_id)
        REFERENCES tenure.erasure_batches (tenant_id, erasure_id, id)
        DEFERRABLE INITIALLY DEFERRED
);
ALTER TABLE tenure.erased_keys ALTER COLUMN hashes SET STORAGE EXTERNAL;
CREATE INDEX erased_keys_batch ON tenure.erased_keys (tenant_id, erasure_id, batch_id);
COMMENT ON TABLE tenure.erased_keys IS
    'Which rows a batch deleted, changed, or took a reference from (cut). Keys as in '
    'tenure.deleted_keys.';
"""

# What has ended stays as it is, and a person is asked about once at a time.
GUARDS = """
CREATE FUNCTION tenure.erasure_open() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'erasure % has ended, and does not change', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER erasure_open BEFORE UPDATE ON tenure.erasures
    FOR EACH ROW EXECUTE FUNCTION tenure.erasure_open();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON tenure.erasures
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change();
CREATE UNIQUE INDEX erasures_one_of_a_person ON tenure.erasures (tenant_id, subject, subject_hash)
    WHERE ended_at IS NULL;
"""

_KINDS = """
ALTER TABLE tenure.verification_results DROP CONSTRAINT verification_results_kind_check,
    ADD CONSTRAINT verification_results_kind_check CHECK (kind IN ({}));
"""
_ALERTS = """
ALTER TABLE tenure.alerts DROP CONSTRAINT alerts_kind_check,
    ADD CONSTRAINT alerts_kind_check CHECK (kind IN ({}));
"""
_WERE_KINDS = (
    "'overdue', 'orphans', 'undated', 'returned', 'records', 'reconciliation', 'held_missing'"
)
_WERE_ALERTS = "'run', 'overdue', 'orphans', 'verification', 'missed', 'ledger'"

TABLES = (
    "erasures",
    "erasure_subjects",
    "erasure_rows",
    "erasure_plans",
    "erasure_events",
    "erasure_batches",
    "erased_keys",
)
APPEND_ONLY = ("erasure_plans", "erasure_events", "erasure_batches", "erased_keys")
OWN = "tenant_id = (SELECT tenure.current_tenant())"
_STEPS = (
    "UPDATE(state, due_at, extended_months, plan, definition, waits_until, ended_at)"  # evidence
)
ACCESS: tuple[Access, ...] = (
    ("erasures", "tenure_retention", ("SELECT", "INSERT", _STEPS), OWN),
    (
        "erasure_subjects",
        "tenure_retention",
        ("SELECT", "INSERT", "UPDATE(identity)", "DELETE"),
        OWN,
    ),
    ("erasure_rows", "tenure_retention", ("SELECT", "INSERT", "DELETE"), OWN),
    *((table, "tenure_retention", ("SELECT", "INSERT"), OWN) for table in APPEND_ONLY),
    # What stands in a write's way.
    ("erasures", "tenure_app", ("SELECT(tenant_id, id, state, definition)",), OWN),
    ("erasure_subjects", "tenure_app", ("SELECT(tenant_id, erasure_id, key)",), OWN),
    *((table, "tenure_verifier", ("SELECT",), "true") for table in TABLES),
    *((table, "tenure_auditor", ("SELECT",), "true") for table in ("erasures", *APPEND_ONLY)),
)

FEEDS = (
    ledger_statement(
        "erasures",
        "erasure",
        plain=(
            "tenant_id", "id", "subject", "state", "received_at", "due_at", "extended_months",
            "plan", "waits_until", "ended_at",
        ),
        committed=("entered_by",),
        digested=("definition",),
        on="INSERT OR UPDATE",
    ),
    ledger_statement(
        "erasure_plans",
        "erasure-plan",
        plain=("tenant_id", "erasure_id", "number", "digest", "made_at"),
        committed=("made_by",),
    ),
    ledger_statement(
        "erasure_events",
        "erasure-event",
        plain=("tenant_id", "id", "erasure_id", "event", "facts", "happened_at"),
        committed=("actor",),
    ),
    ledger_statement(
        "erasure_batches",
        "erasure-batch",
        plain=(
            "tenant_id", "id", "erasure_id", "trace_id", "rows", "counts", "started_at",
            "recorded_at",
        ),
    ),
)  # fmt: skip


def up(migrator: Any, db: Any) -> None:
    """Create the tables; runs as tenure_owner, in one transaction."""
    execute(
        db,
        ERASURES,
        GUARDS,
        "REVOKE ALL ON FUNCTION tenure.erasure_open() FROM PUBLIC",
        *map(append_only_statement, APPEND_ONLY),
        *access_statements(TABLES, ACCESS),
        _KINDS.format(f"{_WERE_KINDS}, 'erasures'"),
        _ALERTS.format(f"{_WERE_ALERTS}, 'erasure'"),
        *FEEDS,
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where somebody asked to be erased, or a verification told of it."""
    # tenure: allow TS001 because the owner asks whether any tenant has erasures
    asked = db.execute_sql(
        "SELECT EXISTS (SELECT FROM tenure.erasures) OR EXISTS ("
        "SELECT FROM tenure.verification_results WHERE kind = 'erasures')"
    )
    if asked.fetchone()[0]:
        raise RuntimeError("people asked to be erased, and what became of it is evidence")
    execute(
        db,
        *(f"DROP TABLE tenure.{table}" for table in reversed(TABLES)),
        "DROP FUNCTION tenure.erasure_open()",
        _KINDS.format(_WERE_KINDS),
        "DELETE FROM tenure.alerts WHERE kind = 'erasure'",
        _ALERTS.format(_WERE_ALERTS),
    )
