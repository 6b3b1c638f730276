"""The keys that a batch deleted, as hashes, beside its record."""

from __future__ import annotations

from typing import Any

from tenants.schema import execute

DELETED_KEYS = """
CREATE TABLE tenure.deleted_keys (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    run_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    table_name text NOT NULL,
    hashes bytea NOT NULL CHECK (octet_length(hashes) % 16 = 0),
    PRIMARY KEY (run_id, batch_id, table_name)
);
CREATE INDEX deleted_keys_table ON tenure.deleted_keys (tenant_id, table_name);
COMMENT ON COLUMN tenure.deleted_keys.hashes IS
    'The first 16 bytes of sha256(uuid_send(id)) of each deleted key, ascending, concatenated.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenure.deleted_keys
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change();
"""

ACCESS = """
ALTER TABLE tenure.deleted_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenure.deleted_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON tenure.deleted_keys FOR ALL TO tenure_owner
    USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON tenure.deleted_keys TO tenure_retention;
CREATE POLICY tenure_retention_select ON tenure.deleted_keys FOR SELECT TO tenure_retention
    USING (tenant_id = (SELECT tenure.current_tenant()));
CREATE POLICY tenure_retention_insert ON tenure.deleted_keys FOR INSERT TO tenure_retention
    WITH CHECK (tenant_id = (SELECT tenure.current_tenant()));
GRANT SELECT ON tenure.deleted_keys TO tenure_verifier;
CREATE POLICY tenure_verifier_select ON tenure.deleted_keys FOR SELECT TO tenure_verifier
    USING (true);
GRANT SELECT ON tenure.deleted_keys TO tenure_auditor;
CREATE POLICY tenure_auditor_select ON tenure.deleted_keys FOR SELECT TO tenure_auditor
    USING (true);
"""


def up(migrator: Any, db: Any) -> None:
    """Add the table; runs as tenure_owner, in one transaction."""
    execute(db, DELETED_KEYS, ACCESS)


def down(migrator: Any, db: Any) -> None:
    """Take the table away, and with it what was deleted by key."""
    execute(db, "DROP TABLE tenure.deleted_keys")
