"""Offboardings over the API, and what goes again on the pages of a tenant's own auditor.

A tenant's owners ask for an offboarding and take it back at the desk (0020): in a transaction that
shows a seal over its tenant, its backend, its beginning and who acts. There the application writes
a request of now with a grace of 30 days or more, or that one is taken back now, by whom the seal is
over; it begins no deletion, names no copy, and makes no grace shorter. A tenant's auditor reads
offboardings and replays of its tenant as tenure_app, without a desk (0017).

When a deletion begins, nobody of the tenant has access any more. Whoever asked for it has a
receipt: a secret of which its digest is kept, and by which its offboarding is read, and the
certificate of it, and nothing else.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import Access, access_statements, execute

OWN = "tenant_id = (SELECT tenure.current_tenant())"
_ACTOR = "(SELECT tenure.desk_actor())"
AT_DESK = f"{OWN} AND {_ACTOR} IS NOT NULL"
# Of this transaction's own time, and of none that somebody makes up.
_NOW = "{} BETWEEN transaction_timestamp() AND clock_timestamp()"
FLOOR = "interval '30 days'"

RECEIPTS = """
ALTER TABLE tenure.offboardings ADD COLUMN receipt_digest bytea
    CHECK (octet_length(receipt_digest) = 32);
COMMENT ON COLUMN tenure.offboardings.receipt_digest IS
    'SHA-256 of what whoever asked for it over the API was given, to read it by when the tenant '
    'has no access any more.';
CREATE INDEX offboardings_receipt ON tenure.offboardings (receipt_digest);

CREATE FUNCTION tenure.resolve_receipt(digest bytea)
RETURNS TABLE (tenant_id uuid, offboarding_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.tenant_id, o.id FROM tenure.offboardings o WHERE o.receipt_digest = digest
$$;
REVOKE ALL ON FUNCTION tenure.resolve_receipt(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenure.resolve_receipt(bytea) TO tenure_app;
"""

TAKEN_BACK = f"""
GRANT UPDATE (state, waits, taken_back_by, taken_back_reason, ended_at)
    ON tenure.offboardings TO tenure_app;
CREATE POLICY tenure_app_update ON tenure.offboardings FOR UPDATE TO tenure_app
    USING ({AT_DESK})
    WITH CHECK ({AT_DESK} AND state = 'taken back' AND taken_back_by = {_ACTOR}
        AND {_NOW.format("ended_at")});
"""
SHOWN = (
    "SELECT(tenant_id, id, state, requested_by, reason, requested_at, grace, deletes_at,"
    " export_id, taken_back_by, taken_back_reason, purge_id, started_at, access, waits, counts,"
    " stays, ended_at)"
)
# Who acted and how the tenant is called, as its certificates say it: the texts of these fields.
OPENED = f"""
{OWN} AND EXISTS (
    SELECT FROM tenure.ledger_entries e WHERE e.id = ledger_texts.entry_id AND e.{OWN}
    AND (e.source, ledger_texts.field) IN (
        ('offboardings', 'requested_by'), ('tenants', 'slug'), ('tenants', 'name'),
        ('exports', 'requested_by'), ('purges', 'begun_by'), ('certificates', 'issued_by')))
"""
ACCESS: tuple[Access, ...] = (
    (
        "offboardings",
        "tenure_app",
        (
            "INSERT(tenant_id, id, requested_by, reason, grace, requested_at, deletes_at,"
            " receipt_digest)",
        ),
        f"{AT_DESK} AND requested_by = {_ACTOR} AND {_NOW.format('requested_at')}"
        f" AND deletes_at >= requested_at + {FLOOR}",
    ),
    ("offboardings", "tenure_app", (SHOWN,), OWN),
    # When the copy was made, and which it is; not who has it.
    (
        "exports",
        "tenure_app",
        ("SELECT(tenant_id, id, kind, state, as_of, bytes, manifest_sha256, ended_at)",),
        f"{OWN} AND kind = 'tenant'",
    ),
    (
        "certificates",
        "tenure_app",
        ("SELECT(id, kind, subject_id, tenant_id, statement_sha256, issued_at)",),
        OWN,
    ),
    ("ledger_texts", "tenure_app", ("SELECT",), OPENED),
    # What others say of checkpoints, which are given out.
    (
        "ledger_attestations",
        "tenure_app",
        ("SELECT(size, kind, name, content)",),
        "(SELECT tenure.current_tenant()) IS NOT NULL",
    ),
    *(
        (table, "tenure_app", ("SELECT",), OWN)
        for table in ("purges", "purge_batches", "purged_keys")
    ),
)


def up(migrator: Any, db: Any) -> None:
    """Open the desk for offboardings; runs as tenure_owner, in one transaction."""
    execute(db, RECEIPTS, TAKEN_BACK, *access_statements((), ACCESS))


def down(migrator: Any, db: Any) -> None:
    """Close it; what was asked for there stays."""
    policies = [
        ("offboardings", "update"),
        *(
            (table, command.partition("(")[0].lower())
            for table, _, of, _ in ACCESS
            for command in of
        ),
    ]
    tables = dict.fromkeys(table for table, _ in policies)
    execute(
        db,
        *(f"DROP POLICY tenure_app_{command} ON tenure.{table}" for table, command in policies),
        *(f"REVOKE ALL ON tenure.{table} FROM tenure_app" for table in tables),
        "DROP FUNCTION tenure.resolve_receipt(bytea)",
        "ALTER TABLE tenure.offboardings DROP COLUMN receipt_digest",
    )
