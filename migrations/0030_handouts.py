"""What is handed out, and what came back, on the pages: exports with a clock, restorations, reads.

A person who asks for a copy of their data has an answer within a month (GDPR 12(3)): an export
says when they asked. A tenant's own auditor reads which archived rows of the tenant's came back,
which certificates were given out, and when and from where in the program somebody looked across
tenants; who did, why, and by which statement may name others, and stays closed.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import Access, access_statements, execute, ledger_statement

RECEIVED = """
ALTER TABLE tenure.exports ADD COLUMN received_at timestamptz CHECK (received_at <= began_at);
COMMENT ON COLUMN tenure.exports.received_at IS
    'When the person asked, where it was said; NULL: when it began.';
GRANT INSERT (received_at) ON tenure.exports TO tenure_app, tenure_retention;
GRANT SELECT (received_at) ON tenure.exports TO tenure_app;

-- Whether a later copy is of the same, without the hash that says so.
CREATE FUNCTION tenure.copied_later(export uuid) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT min(l.ended_at) FROM tenure.exports e
    JOIN tenure.exports l ON l.tenant_id = e.tenant_id AND l.kind = e.kind
        AND l.state = 'finished' AND l.began_at > e.began_at
        AND (l.subject, l.subject_hash) IS NOT DISTINCT FROM (e.subject, e.subject_hash)
    WHERE e.id = export
      AND (session_user = 'tenure_auditor' OR e.tenant_id = tenure.current_tenant())
$$;
REVOKE ALL ON FUNCTION tenure.copied_later(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenure.copied_later(uuid) TO tenure_auditor, tenure_app;
"""
NOT_RECEIVED = """
DROP FUNCTION tenure.copied_later(uuid);
ALTER TABLE tenure.exports DROP COLUMN received_at;
"""

_MORE = "backups_kept_days, release"
OWN = "tenant_id = (SELECT tenure.current_tenant())"
ACCESS: tuple[Access, ...] = (
    ("restorations", "tenure_app", ("SELECT",), OWN),
    (
        "cross_tenant_reads",
        "tenure_app",
        ("SELECT(id, read_at, place)",),
        "(SELECT tenure.current_tenant()) IS NOT NULL",
    ),
)


_ASKED = "SELECT EXISTS (SELECT FROM tenure.exports WHERE received_at IS NOT NULL)"


def _feed(*more: str) -> str:
    return ledger_statement(
        "exports",
        "export",
        plain=(
            "tenant_id", "id", "kind", "subject", "state", *more, "began_at", "as_of", "counts",
            "bytes", "manifest_sha256", "ended_at",
        ),
        committed=("subject_hash", "requested_by", "reason", "problem"),
        on="INSERT OR UPDATE",
    )  # fmt: skip


def up(migrator: Any, db: Any) -> None:
    """Say when a person asked, and let tenants' auditors read; runs as tenure_owner."""
    execute(
        db,
        RECEIVED,
        _feed("received_at"),
        f"GRANT SELECT ({_MORE}) ON tenure.certificates TO tenure_app",
        *access_statements((), ACCESS),
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where it says when somebody asked; else take it all away."""
    # tenure: allow TS001 because the owner asks whether any tenant has such exports
    if db.execute_sql(_ASKED).fetchone()[0]:
        raise RuntimeError("tenure.exports says when people asked for their data")
    execute(
        db,
        *(f"DROP POLICY tenure_app_select ON tenure.{table}" for table, *_ in ACCESS),
        *(f"REVOKE ALL ON tenure.{table} FROM tenure_app" for table, *_ in ACCESS),
        f"REVOKE SELECT ({_MORE}) ON tenure.certificates FROM tenure_app",  # noqa: S608 - constants
        _feed(),
        NOT_RECEIVED,
    )
