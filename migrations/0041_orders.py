"""Certificates that a tenant orders, and receipts that end.

A tenant's owners order certificates at the desk (0020): the application writes down of what, and
by whom, and nothing else; whoever ticks makes it, for that tenant alone, and lays it here to be
fetched. It may say who acted, so it lies there for thirty days; ordered again it is the same.

A receipt of an offboarding (0023) serves until somebody says that it does not.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tenants.schema import (
    Access,
    access_statements,
    append_only_statement,
    execute,
    ledger_statement,
)

TABLES_SQL = """
ALTER TABLE tenure.certificates ADD CONSTRAINT certificates_of_tenant UNIQUE (tenant_id, id);
CREATE TABLE tenure.certificate_orders (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('run', 'erasure', 'tenant')),
    subject_id uuid NOT NULL,
    ordered_by text NOT NULL CHECK (btrim(ordered_by) <> ''),
    ordered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'issued', 'refused')),
    problem text CHECK (problem <> ''),
    certificate_id uuid,
    content bytea,
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, certificate_id) REFERENCES tenure.certificates (tenant_id, id),
    CHECK ((state = 'wanted') = (ended_at IS NULL)),
    CHECK ((state = 'refused') = (problem IS NOT NULL)),
    CHECK ((state = 'issued') = (content IS NOT NULL)),
    CHECK ((state = 'issued') = (certificate_id IS NOT NULL))
);
CREATE UNIQUE INDEX certificate_orders_wanted
    ON tenure.certificate_orders (tenant_id, kind, subject_id) WHERE state = 'wanted';
CREATE INDEX certificate_orders_open ON tenure.certificate_orders (ordered_at)
    WHERE state = 'wanted';
CREATE INDEX certificate_orders_ended ON tenure.certificate_orders (ended_at);
CREATE INDEX certificate_orders_made ON tenure.certificate_orders (tenant_id, certificate_id);
COMMENT ON TABLE tenure.certificate_orders IS
    'Certificates that tenants ordered; content is the certificate as it was given out, for the '
    'tenant to fetch within thirty days. That it was issued is in tenure.certificates.';

-- What was made of an order stays so; which it is of stays what was ordered.
CREATE FUNCTION tenure.refuse_changed_order() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.state <> 'wanted' THEN
        RAISE EXCEPTION 'order % is %, and does not change', OLD.id, OLD.state
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION tenure.refuse_changed_order() FROM PUBLIC;
CREATE TRIGGER order_stays BEFORE UPDATE ON tenure.certificate_orders
    FOR EACH ROW EXECUTE FUNCTION tenure.refuse_changed_order();

CREATE TABLE tenure.receipt_revocations (
    tenant_id uuid NOT NULL,
    offboarding_id uuid NOT NULL,
    revoked_by text NOT NULL CHECK (btrim(revoked_by) <> ''),
    reason text NOT NULL CHECK (btrim(reason) <> ''),
    revoked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, offboarding_id),
    FOREIGN KEY (tenant_id, offboarding_id) REFERENCES tenure.offboardings (tenant_id, id)
);
COMMENT ON TABLE tenure.receipt_revocations IS
    'Receipts of offboardings that serve for nothing any more, and who said so.';
"""

RESOLVE = """
CREATE OR REPLACE FUNCTION tenure.resolve_receipt(digest bytea)
RETURNS TABLE (tenant_id uuid, offboarding_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.tenant_id, o.id FROM tenure.offboardings o WHERE o.receipt_digest = digest{}
$$;
"""
_NOT_REVOKED = """
      AND NOT EXISTS (SELECT FROM tenure.receipt_revocations r
                      WHERE r.tenant_id = o.tenant_id AND r.offboarding_id = o.id)"""

OWN = "tenant_id = (SELECT tenure.current_tenant())"
_ACTOR = "(SELECT tenure.desk_actor())"
AT_DESK = f"{OWN} AND {_ACTOR} IS NOT NULL"
TABLES = ("certificate_orders", "receipt_revocations")
_MADE = "UPDATE(state, problem, certificate_id, content, ended_at)"
_WANTED = "tenant_id, id, kind, subject_id, ordered_by, ordered_at, state"
ACCESS: tuple[Access, ...] = (
    (
        "certificate_orders",
        "tenure_app",
        ("INSERT(tenant_id, id, kind, subject_id, ordered_by)",),
        f"{AT_DESK} AND ordered_by = {_ACTOR}",
    ),
    ("certificate_orders", "tenure_app", ("SELECT",), AT_DESK),
    (
        "certificate_orders",
        "tenure_retention",
        (
            "SELECT",
            "INSERT(tenant_id, id, kind, subject_id, ordered_by)",
            _MADE,
        ),
        OWN,
    ),
    (
        "certificate_orders",
        "tenure_retention",
        ("DELETE",),
        f"{OWN} AND ended_at < clock_timestamp() - interval '30 days'",
    ),
    ("certificate_orders", "tenure_verifier", (f"SELECT({_WANTED}, ended_at)",), "true"),
    (
        "receipt_revocations",
        "tenure_app",
        ("INSERT(tenant_id, offboarding_id, revoked_by, reason)",),
        f"{AT_DESK} AND revoked_by = {_ACTOR}",
    ),
    (
        "receipt_revocations",
        "tenure_app",
        ("SELECT(tenant_id, offboarding_id, revoked_by, revoked_at)",),
        OWN,
    ),
    (
        "receipt_revocations",
        "tenure_retention",
        ("SELECT", "INSERT(tenant_id, offboarding_id, revoked_by, reason)"),
        OWN,
    ),
    ("receipt_revocations", "tenure_verifier", ("SELECT",), "true"),
    ("receipt_revocations", "tenure_auditor", ("SELECT",), "true"),
)
FEEDS = (
    ledger_statement(
        "receipt_revocations",
        "receipt-revocation",
        plain=("tenant_id", "offboarding_id", "revoked_at"),
        committed=("revoked_by", "reason"),
    ),
)


_FORGETTINGS = import_module("migrations.0039_forgettings")
#: Columns of these that name people.
NAMING = {
    "certificate_orders": ("ordered_by", "problem"),
    "receipt_revocations": ("reason", "revoked_by"),
}


def up(migrator: Any, db: Any) -> None:
    """Create the tables and functions; runs as tenure_owner, in one transaction."""
    execute(
        db,
        TABLES_SQL,
        RESOLVE.format(_NOT_REVOKED),
        append_only_statement("receipt_revocations"),
        *access_statements(TABLES, ACCESS),
        *FEEDS,
        _FORGETTINGS.naming_statement(_FORGETTINGS.NAMING | NAMING),
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where a receipt was revoked, which would serve again; else take it all away."""
    # tenure: allow TS001 because the owner asks whether there is any for any tenant
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.receipt_revocations)").fetchone()[0]:
        raise RuntimeError("receipts were revoked, and would serve again")
    execute(
        db,
        _FORGETTINGS.naming_statement(_FORGETTINGS.NAMING),
        RESOLVE.format(""),
        *(f"DROP TABLE tenure.{table}" for table in TABLES),
        "DROP FUNCTION tenure.refuse_changed_order()",
        "ALTER TABLE tenure.certificates DROP CONSTRAINT certificates_of_tenant",
    )
