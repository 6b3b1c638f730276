"""What only a pause keeps is counted; sessions and tokens past their time can be deleted.

`tenure.delete_expired` is the one way by which retention reaches the identity tables, on which
it has no grant: it takes no address, no tenant and no digest, and can name no row.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import execute

PAUSED = """
ALTER TABLE tenure.verification_results
    ADD COLUMN paused bigint NOT NULL DEFAULT 0 CHECK (paused >= 0);
COMMENT ON COLUMN tenure.verification_results.paused IS
    'Rows past their period that nothing but a pause of their policy keeps. '
    '0 in results from before this was counted.';
"""

# A token is kept for thirty days after its end, for whoever asks what it was.
EXPIRED = """
CREATE INDEX api_tokens_end ON tenure.api_tokens ((least(expires_at, revoked_at)));

CREATE FUNCTION tenure.delete_expired(at_most integer)
RETURNS TABLE (sessions bigint, tokens bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM tenure.sessions WHERE digest IN (
        SELECT s.digest FROM tenure.sessions s WHERE s.expires_at <= now()
        ORDER BY s.expires_at LIMIT at_most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS sessions = ROW_COUNT;
    DELETE FROM tenure.api_tokens WHERE id IN (
        SELECT t.id FROM tenure.api_tokens t
        WHERE least(t.expires_at, t.revoked_at) <= now() - interval '30 days'
        ORDER BY least(t.expires_at, t.revoked_at) LIMIT at_most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS tokens = ROW_COUNT;
    RETURN NEXT;
END $$;
REVOKE ALL ON FUNCTION tenure.delete_expired(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenure.delete_expired(integer) TO tenure_retention;
"""


def up(migrator: Any, db: Any) -> None:
    """Add the column and the function; runs as tenure_owner, in one transaction."""
    execute(db, PAUSED, EXPIRED)


def down(migrator: Any, db: Any) -> None:
    """Take both away; what was counted as paused goes with the column."""
    execute(
        db,
        "DROP FUNCTION tenure.delete_expired(integer)",
        "DROP INDEX tenure.api_tokens_end",
        "ALTER TABLE tenure.verification_results DROP COLUMN paused",
    )
