"""Which keys a batch deleted: one row per batch and table, written in the batch's transaction.

A key's hash is the first 16 bytes of `sha256(uuid_send(id))`; `hashes` has those of all deleted
keys, ascending, end to end. Whoever has a key can ask when it went; nobody can read keys from it.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import execute

# Hashes do not compress: EXTERNAL spares the attempt. The record of the batch comes after its
# keys, in the same transaction: the reference is checked at its end.
DELETED_KEYS = """
CREATE UNIQUE INDEX batches_of_tenant ON tenure.batches (tenant_id, run_id, id);
CREATE TABLE tenure.deleted_keys (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    run_id uuid NOT NULL,
    batch_id uuid NOT NULL,
    table_name text NOT NULL,
    hashes bytea NOT NULL CHECK (octet_length(hashes) > 0 AND octet_length(hashes) % 16 = 0),
    PRIMARY KEY (tenant_id, table_name, batch_id),
    FOREIGN KEY (tenant_id, run_id, batch_id) REFERENCES tenure.batches (tenant_id, run_id, id)
        DEFERRABLE INITIALLY DEFERRED
);
ALTER TABLE tenure.deleted_keys ALTER COLUMN hashes SET STORAGE EXTERNAL;
CREATE INDEX deleted_keys_batch ON tenure.deleted_keys (tenant_id, run_id, batch_id);
CREATE INDEX deleted_keys_run ON tenure.deleted_keys (run_id, batch_id);
COMMENT ON TABLE tenure.deleted_keys IS
    'Per batch and table "schema.name": the first 16 bytes of sha256(uuid_send(id)) of each '
    'deleted key, ascending, end to end.';
COMMENT ON COLUMN tenure.batches.counts IS
    'Per table "schema.name": rows deleted, and sha256 over the hashes of their keys in '
    'tenure.deleted_keys; in batches without a row there, over the keys as text, sorted, with '
    'a line feed between them.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenure.deleted_keys
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change();
ALTER TABLE tenure.deleted_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenure.deleted_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON tenure.deleted_keys FOR ALL TO tenure_owner
    USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON tenure.deleted_keys TO tenure_retention;
CREATE POLICY tenure_retention_select ON tenure.deleted_keys FOR SELECT TO tenure_retention
    USING (tenant_id = (SELECT tenure.current_tenant()));
CREATE POLICY tenure_retention_insert ON tenure.deleted_keys FOR INSERT TO tenure_retention
    WITH CHECK (tenant_id = (SELECT tenure.current_tenant()));
GRANT SELECT ON tenure.deleted_keys TO tenure_verifier, tenure_auditor;
CREATE POLICY tenure_verifier_select ON tenure.deleted_keys FOR SELECT TO tenure_verifier
    USING (true);
CREATE POLICY tenure_auditor_select ON tenure.deleted_keys FOR SELECT TO tenure_auditor
    USING (true);
"""

_WAS_COUNTS = """
COMMENT ON COLUMN tenure.batches.counts IS
    'Per table "schema.name": rows deleted, and sha256 over the deleted keys in order.';
"""


def up(migrator: Any, db: Any) -> None:
    """Create the table; runs as tenure_owner, in one transaction."""
    execute(db, DELETED_KEYS)


def down(migrator: Any, db: Any) -> None:
    """Refuse where there is evidence to lose; otherwise take the table away."""
    # tenure: allow TS001 because the owner asks whether any tenant has evidence there
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.deleted_keys)").fetchone()[0]:
        raise RuntimeError(
            "tenure.deleted_keys says which keys were deleted; taking it down would destroy that"
        )
    execute(
        db, "DROP TABLE tenure.deleted_keys", "DROP INDEX tenure.batches_of_tenant", _WAS_COUNTS
    )
