"""Verification in full: why rows stay, how old they are, and books that come out even.

Each verification that moves on in time is an account: numbered without a gap, it says per
policy and tenant what was due at its opening, what became due, what went and how, and what is
due at its close. The keys that came and went stand beside it as hashes, so that the next one
can tell a row that was deleted from one that vanished.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import execute

RESULTS = """
ALTER TABLE tenure.verifications ADD COLUMN account bigint UNIQUE CHECK (account > 0);
COMMENT ON COLUMN tenure.verifications.account IS
    'Its number in the books; NULL where it looked back to before the account before it, '
    'and so moved nothing.';

ALTER TABLE tenure.verification_results
    DROP CONSTRAINT verification_results_kind_check,
    ADD CONSTRAINT verification_results_kind_check CHECK (kind IN (
        'overdue', 'orphans', 'undated', 'returned', 'records', 'reconciliation', 'held_missing')),
    ADD COLUMN undeletable bigint NOT NULL DEFAULT 0 CHECK (undeletable >= 0),
    ADD COLUMN undeletable_oldest timestamptz,
    ADD COLUMN age_p99_s bigint CHECK (age_p99_s >= 0),
    ADD COLUMN watermark timestamptz,
    ADD COLUMN reasons jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN tenure.verification_results.undeletable IS
    'Rows past their period that nothing but references keep; reasons says whose.';
COMMENT ON COLUMN tenure.verification_results.age_p99_s IS
    'Of the rows found overdue: how long they have been due, in seconds, the 99th percentile.';
COMMENT ON COLUMN tenure.verification_results.watermark IS
    'Every row that started before it was deleted, or is kept for a reason.';
"""

BOOKS = """
CREATE TABLE tenure.reconciliations (
    account bigint NOT NULL REFERENCES tenure.verifications (account),
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    policy text NOT NULL,
    table_name text NOT NULL,
    version integer,
    opening bigint NOT NULL CHECK (opening >= 0),
    newly_due bigint NOT NULL CHECK (newly_due >= 0),
    deleted bigint NOT NULL CHECK (deleted >= 0),
    deleted_along bigint NOT NULL CHECK (deleted_along >= 0),
    removed bigint NOT NULL CHECK (removed >= 0),
    no_longer_due bigint NOT NULL CHECK (no_longer_due >= 0),
    held bigint NOT NULL CHECK (held >= 0),
    undeletable bigint NOT NULL CHECK (undeletable >= 0),
    paused bigint NOT NULL CHECK (paused >= 0),
    still_due bigint NOT NULL CHECK (still_due >= 0),
    vanished bigint NOT NULL CHECK (vanished >= 0),
    closing bigint NOT NULL GENERATED ALWAYS AS (held + undeletable + paused + still_due) STORED,
    difference bigint NOT NULL GENERATED ALWAYS AS (
        opening + newly_due - deleted - deleted_along - removed - no_longer_due
        - held - undeletable - paused - still_due) STORED,
    PRIMARY KEY (account, tenant_id, policy, table_name)
);
CREATE INDEX reconciliations_book
    ON tenure.reconciliations (policy, table_name, tenant_id, account DESC);
CREATE INDEX reconciliations_tenant ON tenure.reconciliations (tenant_id);
COMMENT ON TABLE tenure.reconciliations IS
    'Rows of a policy and tenant from one account to the next; there is no row where nothing '
    'changed. Of the difference, vanished rows were due and are gone without a record.';

CREATE TABLE tenure.movements (
    account bigint NOT NULL REFERENCES tenure.verifications (account),
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    policy text NOT NULL,
    table_name text NOT NULL,
    movement text NOT NULL CHECK (movement IN (
        'entered', 'deleted', 'deleted_along', 'removed', 'no_longer_due', 'vanished')),
    part integer NOT NULL,
    hashes bytea NOT NULL CHECK (octet_length(hashes) > 0 AND octet_length(hashes) % 16 = 0),
    PRIMARY KEY (account, tenant_id, policy, table_name, movement, part)
);
CREATE INDEX movements_book ON tenure.movements (policy, table_name, account);
CREATE INDEX movements_tenant ON tenure.movements (tenant_id);
COMMENT ON TABLE tenure.movements IS
    'Which rows became due and were still there, and which of those went: what is due at an '
    'account is what entered up to it and did not leave. Keys as in tenure.deleted_keys.';

CREATE TABLE tenure.accounted_batches (
    run_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    account bigint NOT NULL,
    PRIMARY KEY (run_id, batch_id)
);
CREATE INDEX accounted_batches_tenant ON tenure.accounted_batches (tenant_id);
COMMENT ON TABLE tenure.accounted_batches IS
    'In which account a batch was counted. Times do not decide it: a batch that was open while '
    'a verification looked is in the next.';
-- Batches from before the books were opened kept no keys; account 0 is none.
INSERT INTO tenure.accounted_batches (run_id, batch_id, tenant_id, account)
SELECT run_id, id, tenant_id, 0 FROM tenure.batches;

CREATE TABLE tenure.removals (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    id uuid NOT NULL,
    table_name text NOT NULL,
    hashes bytea NOT NULL CHECK (octet_length(hashes) > 0 AND octet_length(hashes) % 16 = 0),
    removed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    trace_id text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX removals_table ON tenure.removals (table_name, removed_at);
COMMENT ON TABLE tenure.removals IS
    'What users delete through the API, written in the transaction that deletes it. '
    'Keys as in tenure.deleted_keys.';
"""

TABLES = ("reconciliations", "movements", "accounted_batches", "removals")
OWN = "tenant_id = (SELECT tenure.current_tenant())"
ACCESS: tuple[tuple[str, str, str, str], ...] = (
    # A verification looks at all tenants, and is stored in one transaction or not at all.
    ("reconciliations", "tenure_retention", "INSERT", "true"),
    ("movements", "tenure_retention", "INSERT", "true"),
    ("accounted_batches", "tenure_retention", "INSERT", "true"),
    ("removals", "tenure_app", "INSERT", OWN),
    *((table, role, "SELECT", "true")
      for table in (*TABLES, "verifications") for role in ("tenure_verifier", "tenure_auditor")
      if (table, role) != ("verifications", "tenure_auditor")),
)  # fmt: skip


def up(migrator: Any, db: Any) -> None:
    """Add the columns and tables; runs as tenure_owner, in one transaction."""
    execute(db, RESULTS, BOOKS)
    for table in TABLES:
        execute(
            db,
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenure.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change()",
            f"ALTER TABLE tenure.{table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE tenure.{table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY owner ON tenure.{table} FOR ALL TO tenure_owner"
            " USING (true) WITH CHECK (true)",
        )
    for table, role, command, predicate in ACCESS:
        clause = "USING" if command == "SELECT" else "WITH CHECK"
        execute(
            db,
            f"GRANT {command} ON tenure.{table} TO {role}",
            f"CREATE POLICY {role}_{command.lower()} ON tenure.{table}"
            f" FOR {command} TO {role} {clause} ({predicate})",
        )


def down(migrator: Any, db: Any) -> None:
    """Refuse where verifications are kept that only this can hold; else take it all away."""
    # tenure: allow TS001 because the owner asks whether anything is kept at all
    kept = db.execute_sql(
        "SELECT EXISTS (SELECT FROM tenure.verification_results"
        " WHERE kind IN ('returned', 'records', 'reconciliation', 'held_missing'))"
    )
    if kept.fetchone()[0]:
        raise RuntimeError(
            "verifications are kept whose results and books would be lost; they are evidence"
        )
    for table in reversed(TABLES):
        execute(db, f"DROP TABLE tenure.{table}")
    execute(
        db,
        "DROP POLICY tenure_verifier_select ON tenure.verifications",
        "REVOKE SELECT ON tenure.verifications FROM tenure_verifier",
        "ALTER TABLE tenure.verifications DROP COLUMN account",
        "ALTER TABLE tenure.verification_results"
        " DROP COLUMN undeletable, DROP COLUMN undeletable_oldest, DROP COLUMN age_p99_s,"
        " DROP COLUMN watermark, DROP COLUMN reasons,"
        " DROP CONSTRAINT verification_results_kind_check,"
        " ADD CONSTRAINT verification_results_kind_check"
        " CHECK (kind IN ('overdue', 'orphans', 'undated'))",
    )
