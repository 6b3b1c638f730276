"""Rows that came back from an archive: that they did, and how long they stay."""

from __future__ import annotations

from typing import Any

from tenants.schema import Access, access_statements, append_only_statement, execute

RESTORATIONS = """
CREATE TABLE tenure.restorations (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    id uuid NOT NULL,
    run_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    counts jsonb NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    restored_by text NOT NULL,
    restored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kept_until timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, batch_id),
    FOREIGN KEY (tenant_id, run_id, batch_id) REFERENCES tenure.batches (tenant_id, run_id, id)
);
CREATE INDEX restorations_batch ON tenure.restorations (tenant_id, run_id, batch_id);
COMMENT ON TABLE tenure.restorations IS
    'Batches whose rows were brought back from the archive, all of them; per table how many.';

CREATE TABLE tenure.restored_rows (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    table_name text NOT NULL,
    row_id uuid NOT NULL,
    restoration_id uuid NOT NULL,
    kept_until timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, table_name, row_id, restoration_id),
    FOREIGN KEY (tenant_id, restoration_id) REFERENCES tenure.restorations (tenant_id, id)
);
CREATE INDEX restored_rows_restoration ON tenure.restored_rows (tenant_id, restoration_id);
COMMENT ON TABLE tenure.restored_rows IS
    'Rows that no policy archives again before `kept_until`.';
"""

TABLES = ("restorations", "restored_rows")
OWN = "tenant_id = (SELECT tenure.current_tenant())"
ACCESS: tuple[Access, ...] = (
    ("restorations", "tenure_retention", ("SELECT", "INSERT"), OWN),
    ("restorations", "tenure_verifier", ("SELECT",), "true"),
    ("restorations", "tenure_auditor", ("SELECT",), "true"),
    ("restored_rows", "tenure_retention", ("SELECT", "INSERT"), OWN),
    ("restored_rows", "tenure_verifier", ("SELECT",), "true"),
    ("restored_rows", "tenure_auditor", ("SELECT",), "true"),
)


def up(migrator: Any, db: Any) -> None:
    """Create the tables; runs as tenure_owner, in one transaction."""
    execute(db, RESTORATIONS)
    execute(
        db,
        *(append_only_statement(table) for table in TABLES),
        *access_statements(TABLES, ACCESS),
    )


def down(migrator: Any, db: Any) -> None:
    """Drop the tables: what came back is archived again when its time is over."""
    execute(db, *(f"DROP TABLE tenure.{table}" for table in reversed(TABLES)))
