"""Holds on less than a tenant, with a period of grace after their release, and their history.

What a hold kept when it was placed is noted by key, so that a row that is missing later can be
named; what became of a hold is appended to, never changed.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import execute

HOLDS = """
ALTER TABLE tenure.holds
    ADD COLUMN scope text NOT NULL DEFAULT 'tenant'
        CHECK (scope IN ('tenant', 'subject', 'table', 'rows')),
    ADD COLUMN table_name text,
    ADD COLUMN subject_id uuid,
    ADD COLUMN condition text CHECK (condition <> ''),
    ADD COLUMN rows_then bigint CHECK (rows_then >= 0),
    ADD COLUMN keys_kept boolean NOT NULL DEFAULT false,
    ADD COLUMN effective_at timestamptz,
    ADD CONSTRAINT holds_shape_check CHECK (
        (table_name IS NULL) = (scope = 'tenant')
        AND (subject_id IS NOT NULL) = (scope = 'subject')
        AND (condition IS NOT NULL) = (scope = 'table')),
    ADD CONSTRAINT holds_kept_check CHECK (rows_then IS NOT NULL OR NOT keys_kept);
UPDATE tenure.holds SET effective_at = released_at WHERE released_at IS NOT NULL;
ALTER TABLE tenure.holds
    ADD CONSTRAINT holds_effective_check CHECK ((effective_at IS NULL) = (released_at IS NULL)),
    ADD CONSTRAINT holds_grace_check CHECK (effective_at >= released_at);
DROP INDEX tenure.holds_in_force;
COMMENT ON TABLE tenure.holds IS
    'Legal holds on a tenant, on a subject (a row and all that refers to it), on a table''s rows '
    'that meet a condition, or on rows by key. They have no expiry. A released one is in force '
    'until effective_at.';
COMMENT ON COLUMN tenure.holds.rows_then IS
    'Rows under it when it was placed; NULL where that was not counted.';
COMMENT ON COLUMN tenure.holds.keys_kept IS
    'Whether the keys of these rows are in tenure.hold_rows.';
GRANT UPDATE (effective_at) ON tenure.holds TO tenure_retention;

CREATE TABLE tenure.hold_rows (
    tenant_id uuid NOT NULL,
    hold_id uuid NOT NULL,
    table_name text NOT NULL,
    row_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, hold_id, table_name, row_id),
    FOREIGN KEY (tenant_id, hold_id) REFERENCES tenure.holds (tenant_id, id)
);
COMMENT ON TABLE tenure.hold_rows IS
    'The rows that were under a hold when it was placed; of a hold on rows, those it is on.';

CREATE TABLE tenure.hold_events (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    hold_id uuid NOT NULL,
    event text NOT NULL CHECK (event IN ('placed', 'released', 'taken back')),
    actor text NOT NULL,
    reason text CHECK (reason <> ''),
    happened_at timestamptz NOT NULL,
    effective_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, hold_id) REFERENCES tenure.holds (tenant_id, id),
    CHECK ((effective_at IS NOT NULL) = (event = 'released'))
);
CREATE INDEX hold_events_hold ON tenure.hold_events (tenant_id, hold_id, happened_at);
COMMENT ON TABLE tenure.hold_events IS
    'What became of each hold, by whom and why. effective_at: when a release takes effect.';

INSERT INTO tenure.hold_events
    (tenant_id, id, hold_id, event, actor, reason, happened_at, effective_at)
SELECT tenant_id, gen_random_uuid(), id, 'placed', placed_by, reason, placed_at, NULL
FROM tenure.holds
UNION ALL
SELECT tenant_id, gen_random_uuid(), id, 'released', released_by, NULL, released_at, released_at
FROM tenure.holds WHERE released_at IS NOT NULL;
"""

RESULTS = """
ALTER TABLE tenure.verification_results DROP CONSTRAINT verification_results_kind_check,
    ADD CONSTRAINT verification_results_kind_check
        CHECK (kind IN ('overdue', 'orphans', 'undated', 'held_missing'));
"""
_WERE_RESULTS = """
ALTER TABLE tenure.verification_results DROP CONSTRAINT verification_results_kind_check,
    ADD CONSTRAINT verification_results_kind_check
        CHECK (kind IN ('overdue', 'orphans', 'undated'));
"""

TABLES = ("hold_rows", "hold_events")
OWN = "tenant_id = (SELECT tenure.current_tenant())"

ACCESS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("hold_rows", "tenure_app", ("SELECT",), OWN),
    ("hold_rows", "tenure_retention", ("SELECT", "INSERT"), OWN),
    ("hold_rows", "tenure_verifier", ("SELECT",), "true"),
    ("hold_rows", "tenure_auditor", ("SELECT",), "true"),
    ("hold_events", "tenure_retention", ("INSERT",), OWN),
    ("hold_events", "tenure_verifier", ("SELECT",), "true"),
    ("hold_events", "tenure_auditor", ("SELECT",), "true"),
)

_NARROW = """
SELECT EXISTS (SELECT FROM tenure.holds WHERE scope <> 'tenant' OR effective_at <> released_at)
    OR EXISTS (SELECT FROM tenure.verification_results WHERE kind = 'held_missing')
"""


def access_statements() -> list[str]:
    """Return the grants and policies of ACCESS, and what makes the tables append-only."""
    statements = []
    for table in TABLES:
        statements += [
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenure.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change()",
            f"ALTER TABLE tenure.{table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE tenure.{table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY owner ON tenure.{table} FOR ALL TO tenure_owner"
            " USING (true) WITH CHECK (true)",
        ]
    for table, role, commands, predicate in ACCESS:
        statements.append(f"GRANT {', '.join(commands)} ON tenure.{table} TO {role}")
        for command in commands:
            clause = "WITH CHECK" if command == "INSERT" else "USING"
            statements.append(
                f"CREATE POLICY {role}_{command.lower()} ON tenure.{table}"
                f" FOR {command} TO {role} {clause} ({predicate})"
            )
    return statements


def up(migrator: Any, db: Any) -> None:
    """Widen what a hold can be on; runs as tenure_owner, in one transaction."""
    execute(db, HOLDS, RESULTS)
    execute(db, *access_statements())


def down(migrator: Any, db: Any) -> None:
    """Take it back, unless a hold would come to mean something else by it."""
    # tenure: allow TS001 because the owner asks whether any tenant has such a hold
    if db.execute_sql(_NARROW).fetchone()[0]:
        raise RuntimeError(
            "there are holds on less than a tenant, releases with a period of grace, or results "
            "about them, which the schema before could not say"
        )
    execute(
        db,
        _WERE_RESULTS,
        "DROP TABLE tenure.hold_events, tenure.hold_rows",
        "ALTER TABLE tenure.holds DROP CONSTRAINT holds_shape_check,"
        " DROP CONSTRAINT holds_kept_check, DROP CONSTRAINT holds_effective_check,"
        " DROP CONSTRAINT holds_grace_check, DROP COLUMN scope, DROP COLUMN table_name,"
        " DROP COLUMN subject_id, DROP COLUMN condition, DROP COLUMN rows_then,"
        " DROP COLUMN keys_kept, DROP COLUMN effective_at",
        "CREATE INDEX holds_in_force ON tenure.holds (tenant_id) WHERE released_at IS NULL",
        "COMMENT ON TABLE tenure.holds IS 'Legal holds on a tenant. They have no expiry.'",
    )
