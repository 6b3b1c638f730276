"""What evidence tells no longer: verifications' queries to a tenant, digests of rows about people.

A query is asked over all tenants and its text kept with each tenant's results. Texts of now say
nothing of any; those of before carry others' terms and holds, so tenants' auditors read none.

A digest over a few rows that name people confirms a guess of what they said, for ever, where it
stands beside their ids. Of leftovers is recorded how many went, and from when; of those that name
people the ledger has an entry each, salted.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import execute, ledger_statement

_OWN = "tenant_id = (SELECT tenure.current_tenant())"
_OF_NONE = (
    "tenant_id IS NULL AND kind = 'reconciliation' AND found = 0"
    " AND (SELECT tenure.current_tenant()) IS NOT NULL"
)
_TOLD = (
    "verification_id, id, kind, subject, tenant_id, found, held, oldest, paused, undeletable,"
    " undeletable_oldest, age_p99_s, watermark, reasons"
)

_LEFTOVERS = """
CREATE OR REPLACE FUNCTION tenure.record_leftovers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO tenure.leftover_deletions (table_name, rows_deleted, oldest, newest)
    SELECT TG_TABLE_NAME, count(*), min(at), max(at)
    FROM (SELECT (to_jsonb(g) ->> TG_ARGV[0])::timestamptz AS at FROM gone g) r
    HAVING count(*) > 0;
    RETURN NULL;
END $$;
"""
_LEFTOVERS_BEFORE = """
CREATE OR REPLACE FUNCTION tenure.record_leftovers() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO tenure.leftover_deletions (table_name, rows_deleted, oldest, newest, rows_sha256)
    SELECT TG_TABLE_NAME, count(*), min(at), max(at),
           encode(sha256(convert_to(string_agg(content, E'\\n' ORDER BY content COLLATE "C"),
                                    'UTF8')), 'hex')
    FROM (SELECT to_jsonb(g)::text AS content, (to_jsonb(g) ->> TG_ARGV[0])::timestamptz AS at
          FROM gone g) r
    HAVING count(*) > 0;
    RETURN NULL;
END $$;
"""


def _feed(*digest: str) -> str:
    return ledger_statement(
        "leftover_deletions",
        "leftovers",
        plain=("id", "table_name", "rows_deleted", "oldest", "newest", *digest, "deleted_at"),
        committed=("deleted_by",),
    )


def up(migrator: Any, db: Any) -> None:
    """Take away the grant and the digests; runs as tenure_owner, in one transaction."""
    execute(
        db,
        "REVOKE SELECT ON tenure.verification_results FROM tenure_app",
        f"GRANT SELECT ({_TOLD}) ON tenure.verification_results TO tenure_app",
        f"ALTER POLICY tenure_app_select ON tenure.verification_results USING ({_OWN})",
        _LEFTOVERS,
        _feed(),
        "ALTER TABLE tenure.leftover_deletions DROP COLUMN rows_sha256",
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where leftovers went, whose digest nobody knows; else give it all back."""
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.leftover_deletions)").fetchone()[0]:
        raise RuntimeError("rows of ours were deleted, and no digest of them was kept")
    execute(
        db,
        "ALTER TABLE tenure.leftover_deletions ADD COLUMN rows_sha256 text NOT NULL"
        " CHECK (rows_sha256 ~ '^[0-9a-f]{64}$')",
        _feed("rows_sha256"),
        _LEFTOVERS_BEFORE,
        "ALTER POLICY tenure_app_select ON tenure.verification_results"
        f" USING (({_OWN}) OR ({_OF_NONE}))",
        "GRANT SELECT ON tenure.verification_results TO tenure_app",
    )
