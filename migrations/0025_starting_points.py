"""From when the period of each row ran that a policy took or changed, beside the hash of its key.

In the order of the hashes, 8 bytes each (an instant, as `timestamptz_send` has it) or 4 (a day, as
`date_send`), of the rows of the policy's own table. Those that went along have none of their own,
nor have batches from before, erasures and purges.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import execute

# As many as there are hashes, or the batch does not commit. Instants do not compress either.
STARTS = """
ALTER TABLE tenure.deleted_keys
    ADD COLUMN starts bytea,
    ALTER COLUMN starts SET STORAGE EXTERNAL,
    ADD CONSTRAINT deleted_keys_starts_check
        CHECK (octet_length(starts) IN (octet_length(hashes) / 2, octet_length(hashes) / 4));
COMMENT ON COLUMN tenure.deleted_keys.starts IS
    'Starting points of the rows, in the order of hashes, end to end: timestamptz_send or '
    'date_send of each. NULL for rows that went along, and in batches from before.';
COMMENT ON COLUMN tenure.batches.counts IS
    'Per table "schema.name": rows deleted, and sha256 over the hashes of their keys in '
    'tenure.deleted_keys, starts_sha256 over their starting points there; in batches without a '
    'row there, sha256 is over the keys as text, sorted, with a line feed between them.';
"""

_BEFORE = """
ALTER TABLE tenure.deleted_keys DROP COLUMN starts;
COMMENT ON COLUMN tenure.batches.counts IS
    'Per table "schema.name": rows deleted, and sha256 over the hashes of their keys in '
    'tenure.deleted_keys; in batches without a row there, over the keys as text, sorted, with '
    'a line feed between them.';
"""


def up(migrator: Any, db: Any) -> None:
    """Add the column; runs as tenure_owner, in one transaction."""
    execute(db, STARTS)


def down(migrator: Any, db: Any) -> None:
    """Refuse where there is evidence to lose; otherwise take the column away."""
    # tenure: allow TS001 because the owner asks whether any tenant has evidence there
    kept = db.execute_sql(
        "SELECT EXISTS (SELECT FROM tenure.deleted_keys WHERE starts IS NOT NULL)"
    )
    if kept.fetchone()[0]:
        raise RuntimeError(
            "tenure.deleted_keys says from when the periods of deleted rows ran; taking the "
            "column down would destroy that"
        )
    execute(db, _BEFORE)
