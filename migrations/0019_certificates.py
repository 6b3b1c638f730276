"""Certificates of deletion: that each was issued, and what the ledger must have for them.

A unit enters the ledger when it ends, with its batches: so that a certificate's batches are all
there are, and what was left has its reason. (A run's plan, of which its entries have the digest,
names its units.) A run says which release opened it.
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

CERTIFICATES = """
CREATE TABLE tenure.certificates (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('run', 'erasure', 'tenant')),
    subject_id uuid NOT NULL,
    tenant_id uuid,
    statement_sha256 text NOT NULL CHECK (statement_sha256 ~ '^[0-9a-f]{64}$'),
    backups_kept_days integer CHECK (backups_kept_days >= 0),
    release text NOT NULL CHECK (release <> ''),
    issued_by text NOT NULL CHECK (issued_by <> ''),
    issued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (statement_sha256)
);
CREATE INDEX certificates_subject ON tenure.certificates (subject_id);
COMMENT ON TABLE tenure.certificates IS
    'Which certificates were issued: of a run, an erasure, a tenant; for one tenant or all. '
    'statement_sha256: over all that one states, as canonical JSON.';

ALTER TABLE tenure.runs ADD COLUMN release text CHECK (release <> '');
COMMENT ON COLUMN tenure.runs.release IS
    'The release of the product that opened it. NULL from before this was kept.';
"""

RUN_COLUMNS = (
    "id", "trace_id", "as_of", "state", "catalog_digest", "versions", "started_at", "finished_at",
)  # fmt: skip
FEEDS = (
    ledger_statement(
        "certificates",
        "certificate",
        plain=(
            "id", "kind", "subject_id", "tenant_id", "statement_sha256", "backups_kept_days",
            "release", "issued_at",
        ),
        committed=("issued_by",),
    ),
    ledger_statement(
        "units",
        "unit",
        plain=(
            "run_id", "number", "policy", "policy_version", "tenant_id", "planned", "state",
            "left_due", "skips", "finished_at",
        ),
        committed=("detail",),
        children={
            "batches": (
                "batches",
                {"run_id": "run_id", "tenant_id": "tenant_id", "policy": "policy"},
                ("id", "rows_deleted"),
            )
        },
        on="INSERT OR UPDATE",
        when="NEW.state <> 'open'",
    ),
    ledger_statement(
        "runs",
        "run",
        plain=(*RUN_COLUMNS, "release"),
        committed=("started_by", "detail"),
        digested=("plan",),
        on="INSERT OR UPDATE",
    ),
)  # fmt: skip
RUNS_BEFORE = ledger_statement(
    "runs",
    "run",
    plain=RUN_COLUMNS,
    committed=("started_by", "detail"),
    digested=("plan",),
    on="INSERT OR UPDATE",
)

ACCESS: tuple[Access, ...] = (
    ("certificates", "tenure_retention", ("INSERT",), "true"),
    ("certificates", "tenure_verifier", ("SELECT",), "true"),
    ("certificates", "tenure_auditor", ("SELECT",), "true"),
)


def up(migrator: Any, db: Any) -> None:
    """Create the table and feed the ledger; runs as tenure_owner, in one transaction."""
    execute(
        db,
        CERTIFICATES,
        append_only_statement("certificates"),
        *access_statements(("certificates",), ACCESS),
        *FEEDS,
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where certificates were issued; what units entered in the ledger stays there."""
    # tenure: allow TS001 because the owner asks whether there is any for any tenant
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.certificates)").fetchone()[0]:
        raise RuntimeError("tenure.certificates says what was certified to whom")
    execute(
        db,
        "DROP TABLE tenure.certificates",
        "DROP TRIGGER ledger_insert ON tenure.units",
        "DROP TRIGGER ledger_update ON tenure.units",
        RUNS_BEFORE,
        "ALTER TABLE tenure.runs DROP COLUMN release",
    )
