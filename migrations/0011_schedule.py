"""When work was due and when it was done, what nobody was there for, and what was warned of."""

from __future__ import annotations

from typing import Any

from tenants.schema import Access, access_statements, append_only_statement, execute

TICKS = """
CREATE TABLE tenure.watches (
    id uuid PRIMARY KEY,
    began_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL CHECK (last_at >= began_at),
    ticks bigint NOT NULL CHECK (ticks > 0)
);
CREATE INDEX watches_last ON tenure.watches (last_at);
COMMENT ON TABLE tenure.watches IS
    'Stretches of time in which somebody ticked without a gap. Between two of them nobody did.';

CREATE TABLE tenure.scheduled (
    name text NOT NULL,
    due_at timestamptz NOT NULL,
    taken_at timestamptz NOT NULL,
    missed integer NOT NULL CHECK (missed >= 0),
    PRIMARY KEY (name, due_at)
);
COMMENT ON TABLE tenure.scheduled IS
    'Each time that a schedule was due and taken up, once. `missed` counts those before it, '
    'since the last one, for which nobody was there.';

CREATE TABLE tenure.alerts (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('run', 'overdue', 'orphans', 'verification', 'missed')),
    subject text NOT NULL,
    detail text NOT NULL,
    raised_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    delivered_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    problem text,
    resolved_at timestamptz
);
CREATE UNIQUE INDEX alerts_open ON tenure.alerts (kind, subject) WHERE resolved_at IS NULL;
CREATE INDEX alerts_raised ON tenure.alerts (raised_at);
COMMENT ON TABLE tenure.alerts IS
    'What was warned of, once for as long as it lasts. They name policies, runs and counts.';
"""

TABLES = ("watches", "scheduled", "alerts")
ACCESS: tuple[Access, ...] = (
    ("watches", "tenure_retention", ("SELECT", "INSERT", "UPDATE(last_at, ticks)"), "true"),
    ("watches", "tenure_auditor", ("SELECT",), "true"),
    ("scheduled", "tenure_retention", ("SELECT", "INSERT"), "true"),
    ("scheduled", "tenure_verifier", ("SELECT",), "true"),
    ("scheduled", "tenure_auditor", ("SELECT",), "true"),
    (
        "alerts",
        "tenure_retention",
        (
            "SELECT",
            "INSERT",
            "UPDATE(detail, last_seen_at, delivered_at, attempts, problem, resolved_at)",
        ),
        "true",
    ),
    ("alerts", "tenure_auditor", ("SELECT",), "true"),
)


def up(migrator: Any, db: Any) -> None:
    """Create the tables; runs as tenure_owner, in one transaction."""
    execute(db, TICKS, append_only_statement("scheduled"), *access_statements(TABLES, ACCESS))


def down(migrator: Any, db: Any) -> None:
    """Drop the tables."""
    execute(db, *(f"DROP TABLE tenure.{table}" for table in TABLES))
