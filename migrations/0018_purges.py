"""Purges: rows of a tenant that go again because records outside of the database say they went.

Evidence, like a run's: what was begun by whom, from which records, what each batch deleted or
changed, with the keys as hashes (as in `tenure.deleted_keys`), and what was left. No identifiers.
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

PURGES = """
CREATE TABLE tenure.purges (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('replay')),
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'completed', 'incomplete')),
    cause jsonb NOT NULL,
    trace_id text NOT NULL CHECK (trace_id ~ '^[0-9a-f]{32}$'),
    begun_by text NOT NULL CHECK (begun_by <> ''),
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    counts jsonb,
    kept jsonb,
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK ((ended_at IS NULL) = (state = 'running')),
    CHECK ((counts IS NULL) = (state = 'running')),
    CHECK ((kept IS NULL) = (state = 'running'))
);
CREATE UNIQUE INDEX purges_one_at_a_time ON tenure.purges (tenant_id, kind)
    WHERE state = 'running';
COMMENT ON TABLE tenure.purges IS
    'Rows that go again after a restore. cause: from which records, and up to which line; the '
    'last checkpoint that was given out before. kept: what stays, and why.';

CREATE TABLE tenure.purge_batches (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    purge_id uuid NOT NULL,
    trace_id text NOT NULL CHECK (trace_id ~ '^[0-9a-f]{32}$'),
    rows bigint NOT NULL CHECK (rows > 0),
    counts jsonb NOT NULL,
    started_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, purge_id, id),
    FOREIGN KEY (tenant_id, purge_id) REFERENCES tenure.purges (tenant_id, id)
);
CREATE INDEX purge_batches_trace ON tenure.purge_batches (trace_id);
COMMENT ON TABLE tenure.purge_batches IS
    'Transactions of purges. counts: per table and action rows, and sha256 over the hashes of '
    'their keys in tenure.purged_keys.';

-- The record of the batch comes after its keys, in the same transaction.
CREATE TABLE tenure.purged_keys (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    purge_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    table_name text NOT NULL,
    action text NOT NULL CHECK (action IN ('delete', 'anonymise', 'pseudonymise', 'cut')),
    hashes bytea NOT NULL CHECK (octet_length(hashes) > 0 AND octet_length(hashes) % 16 = 0),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, table_name, batch_id, action),
    FOREIGN KEY (tenant_id, purge_id, batch_id)
        REFERENCES tenure.purge_batches (tenant_id, purge_id, id) DEFERRABLE INITIALLY DEFERRED
);
ALTER TABLE tenure.purged_keys ALTER COLUMN hashes SET STORAGE EXTERNAL;
CREATE INDEX purged_keys_batch ON tenure.purged_keys (tenant_id, purge_id, batch_id);
COMMENT ON TABLE tenure.purged_keys IS
    'Which rows a batch deleted, changed, or took a reference from (cut). Keys as in '
    'tenure.deleted_keys.';

CREATE FUNCTION tenure.purge_open() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'purge % has ended, and does not change', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION tenure.purge_open() FROM PUBLIC;
CREATE TRIGGER purge_open BEFORE UPDATE ON tenure.purges
    FOR EACH ROW EXECUTE FUNCTION tenure.purge_open();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON tenure.purges
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change();
"""

TABLES = ("purges", "purge_batches", "purged_keys")
APPEND_ONLY = ("purge_batches", "purged_keys")
OWN = "tenant_id = (SELECT tenure.current_tenant())"
ACCESS: tuple[Access, ...] = (
    ("purges", "tenure_retention", ("SELECT", "INSERT", "UPDATE(state, counts, kept, ended_at)"),
     OWN),
    *((table, "tenure_retention", ("SELECT", "INSERT"), OWN) for table in APPEND_ONLY),
    *((table, "tenure_verifier", ("SELECT",), "true") for table in TABLES),
    *((table, "tenure_auditor", ("SELECT",), "true") for table in TABLES),
)  # fmt: skip

FEEDS = (
    ledger_statement(
        "purges",
        "purge",
        plain=(
            "tenant_id", "id", "kind", "state", "cause", "trace_id", "began_at", "counts", "kept",
            "ended_at",
        ),
        committed=("begun_by",),
        on="INSERT OR UPDATE",
    ),
    ledger_statement(
        "purge_batches",
        "purge-batch",
        plain=(
            "tenant_id", "id", "purge_id", "trace_id", "rows", "counts", "started_at",
            "recorded_at",
        ),
    ),
)  # fmt: skip


def up(migrator: Any, db: Any) -> None:
    """Create the tables; runs as tenure_owner, in one transaction."""
    execute(
        db,
        PURGES,
        *map(append_only_statement, APPEND_ONLY),
        *access_statements(TABLES, ACCESS),
        *FEEDS,
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where it says what went."""
    # tenure: allow TS001 because the owner asks whether any tenant has purges
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.purges)").fetchone()[0]:
        raise RuntimeError("tenure.purges says what was erased again")
    execute(
        db,
        *(f"DROP TABLE tenure.{table}" for table in reversed(TABLES)),
        "DROP FUNCTION tenure.purge_open()",
    )
