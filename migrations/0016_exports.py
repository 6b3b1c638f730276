"""Exports of data: whose, for whom, when, how much, and the digest of what was handed out."""

from __future__ import annotations

from typing import Any

from tenants.schema import Access, access_statements, execute, ledger_statement

EXPORTS = """
CREATE TABLE tenure.exports (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('subject', 'tenant')),
    subject text,
    subject_hash bytea CHECK (octet_length(subject_hash) = 16),
    requested_by text NOT NULL CHECK (requested_by <> ''),
    reason text,
    state text NOT NULL DEFAULT 'begun' CHECK (state IN ('begun', 'finished', 'failed')),
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    as_of timestamptz,
    counts jsonb,
    bytes bigint CHECK (bytes > 0),
    manifest_sha256 text CHECK (manifest_sha256 ~ '^[0-9a-f]{64}$'),
    ended_at timestamptz,
    problem text,
    PRIMARY KEY (tenant_id, id),
    CHECK ((kind = 'subject') = (subject IS NOT NULL)),
    CHECK ((subject IS NULL) = (subject_hash IS NULL)),
    CHECK ((ended_at IS NULL) = (state = 'begun')),
    CHECK ((problem IS NULL) = (state <> 'failed')),
    CHECK ((state = 'finished') =
           (as_of IS NOT NULL AND counts IS NOT NULL AND bytes IS NOT NULL
            AND manifest_sha256 IS NOT NULL))
);
CREATE INDEX exports_began ON tenure.exports (began_at);
COMMENT ON TABLE tenure.exports IS
    'Who had data of a person, or all of a tenant, written out: begun before the first row is '
    'read. counts: rows per table. manifest_sha256: over manifest.json, which has the digest of '
    'each file. One that stays begun was broken off.';
COMMENT ON COLUMN tenure.exports.subject_hash IS
    'Of the person''s key, as in tenure.deleted_keys.';

CREATE FUNCTION tenure.export_ended() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'export % has ended, and does not change', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION tenure.export_ended() FROM PUBLIC;
CREATE TRIGGER export_ended BEFORE UPDATE ON tenure.exports
    FOR EACH ROW EXECUTE FUNCTION tenure.export_ended();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON tenure.exports
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change();
"""

LEDGER = ledger_statement(
    "exports",
    "export",
    plain=(
        "tenant_id",
        "id",
        "kind",
        "subject",
        "state",
        "began_at",
        "as_of",
        "counts",
        "bytes",
        "manifest_sha256",
        "ended_at",
    ),
    committed=("subject_hash", "requested_by", "reason", "problem"),
    on="INSERT OR UPDATE",
)

OWN = "tenant_id = (SELECT tenure.current_tenant())"
_ENDS = "UPDATE(state, as_of, counts, bytes, manifest_sha256, ended_at, problem)"
ACCESS: tuple[Access, ...] = (
    ("exports", "tenure_retention", ("SELECT", "INSERT", _ENDS), OWN),
    ("exports", "tenure_verifier", ("SELECT",), "true"),
    ("exports", "tenure_auditor", ("SELECT",), "true"),
)


def up(migrator: Any, db: Any) -> None:
    """Create the table; runs as tenure_owner, in one transaction."""
    execute(db, EXPORTS, LEDGER, *access_statements(("exports",), ACCESS))


def down(migrator: Any, db: Any) -> None:
    """Refuse where it says what was handed out."""
    # tenure: allow TS001 because the owner asks whether any tenant has exports
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.exports)").fetchone()[0]:
        raise RuntimeError("tenure.exports says who was handed whose data")
    execute(db, "DROP TABLE tenure.exports", "DROP FUNCTION tenure.export_ended()")
