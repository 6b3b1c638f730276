"""Offboardings: all of a tenant goes, after an export and a period of grace.

Evidence: who asked for it and why, when it may begin, what was exported, what went, what stays.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import Access, access_statements, execute, ledger_statement

OFFBOARDINGS = """
CREATE TABLE tenure.offboardings (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    id uuid NOT NULL,
    state text NOT NULL DEFAULT 'requested' CHECK (state IN
        ('requested', 'taken back', 'running', 'waiting', 'deferred', 'completed')),
    requested_by text NOT NULL CHECK (requested_by <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    grace text NOT NULL,
    deletes_at timestamptz NOT NULL CHECK (deletes_at >= requested_at),
    export_id uuid,
    taken_back_by text,
    taken_back_reason text,
    purge_id uuid,
    started_at timestamptz,
    access jsonb,
    waits text,
    counts jsonb,
    stays jsonb,
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, export_id) REFERENCES tenure.exports (tenant_id, id),
    FOREIGN KEY (tenant_id, purge_id) REFERENCES tenure.purges (tenant_id, id),
    CHECK ((state = 'taken back') = (taken_back_by IS NOT NULL)),
    CHECK ((taken_back_by IS NULL) = (taken_back_reason IS NULL)),
    CHECK ((ended_at IS NULL) = (state NOT IN ('taken back', 'completed'))),
    CHECK (started_at IS NULL OR state NOT IN ('requested', 'taken back')),
    CHECK (started_at IS NOT NULL OR state NOT IN ('running', 'waiting', 'completed')),
    CHECK ((started_at IS NULL) = (purge_id IS NULL)),
    CHECK ((started_at IS NULL) = (access IS NULL)),
    CHECK (started_at IS NULL OR export_id IS NOT NULL),
    CHECK ((waits IS NOT NULL) = (state IN ('waiting', 'deferred'))),
    CHECK ((state = 'completed') = (counts IS NOT NULL AND stays IS NOT NULL))
);
CREATE UNIQUE INDEX offboardings_open ON tenure.offboardings (tenant_id) WHERE ended_at IS NULL;
CREATE INDEX offboardings_requested ON tenure.offboardings (requested_at);
CREATE INDEX offboardings_export ON tenure.offboardings (tenant_id, export_id);
CREATE INDEX offboardings_purge ON tenure.offboardings (tenant_id, purge_id);
COMMENT ON TABLE tenure.offboardings IS
    'Tenants that leave. access: how many memberships, tokens and sessions ended when the '
    'deletion began. stays: what is kept of the tenant, per table, and why.';

-- One function decides what may follow on what, by the database's clock; and whoever has the
-- deletion begin ends the tenant's access by it, in the same transaction.
CREATE FUNCTION tenure.offboarding_step() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_tokens bigint; of_sessions bigint; of_members bigint;
BEGIN
    IF OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'offboarding % is %, and does not change', OLD.id, OLD.state
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF OLD.started_at IS NOT NULL THEN
        IF (NEW.started_at, NEW.purge_id, NEW.export_id)
           IS DISTINCT FROM (OLD.started_at, OLD.purge_id, OLD.export_id) THEN
            RAISE EXCEPTION 'offboarding % has begun, and cannot be made not to have', OLD.id
                USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF NEW.state = 'completed' THEN
            DELETE FROM tenure.pseudonym_keys WHERE tenant_id = NEW.tenant_id;
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.started_at IS NULL THEN
        RETURN NEW;
    END IF;
    IF clock_timestamp() < OLD.deletes_at THEN
        RAISE EXCEPTION 'offboarding % is in its grace until %', OLD.id, OLD.deletes_at
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT EXISTS (SELECT FROM tenure.exports e
                   WHERE e.tenant_id = NEW.tenant_id AND e.id = NEW.export_id
                     AND e.kind = 'tenant' AND e.state = 'finished') THEN
        RAISE EXCEPTION 'offboarding % has no export that was finished', OLD.id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('tenure.actor', 'offboarding:' || OLD.id, true);
    DELETE FROM tenure.sessions WHERE tenant_id = NEW.tenant_id;
    GET DIAGNOSTICS of_sessions = ROW_COUNT;
    DELETE FROM tenure.api_tokens WHERE tenant_id = NEW.tenant_id;
    GET DIAGNOSTICS of_tokens = ROW_COUNT;
    DELETE FROM tenure.memberships WHERE tenant_id = NEW.tenant_id;
    GET DIAGNOSTICS of_members = ROW_COUNT;
    NEW.access := jsonb_build_object(
        'memberships', of_members, 'api_tokens', of_tokens, 'sessions', of_sessions);
    RETURN NEW;
END $$;
CREATE TRIGGER offboarding_step BEFORE UPDATE ON tenure.offboardings
    FOR EACH ROW EXECUTE FUNCTION tenure.offboarding_step();
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON tenure.offboardings
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change();

-- The gate, which the beginning turns, is passed in a statement of its own: what comes after it
-- sees whether the deletion has begun.
CREATE FUNCTION tenure.member_stays_out() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM FROM tenure.gates g WHERE g.tenant_id = NEW.tenant_id FOR SHARE;
    IF EXISTS (SELECT FROM tenure.offboardings o
               WHERE o.tenant_id = NEW.tenant_id AND o.started_at IS NOT NULL) THEN
        RAISE EXCEPTION 'tenant % has been offboarded: nobody becomes its member', NEW.tenant_id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER member_stays_out BEFORE INSERT ON tenure.memberships
    FOR EACH ROW EXECUTE FUNCTION tenure.member_stays_out();
"""
FUNCTIONS = ("tenure.offboarding_step()", "tenure.member_stays_out()")

_KINDS = """
ALTER TABLE tenure.purges DROP CONSTRAINT purges_kind_check,
    ADD CONSTRAINT purges_kind_check CHECK (kind IN ({}))
"""
_COMMENT = """
COMMENT ON TABLE tenure.purges IS
    'Rows that go again after a restore, or with their tenant. cause: from which records, and up '
    'to which line, and the last checkpoint that was given out before; or which offboarding. '
    'kept: what stays, and why.'
"""
# Whichever kinds there are by now, and one more or less.
_ALERTS = """
DO $$
DECLARE kinds text;
BEGIN
    SELECT string_agg(DISTINCT quote_literal(k[1]), ', ') INTO STRICT kinds
    FROM pg_catalog.pg_constraint c,
         regexp_matches(pg_catalog.pg_get_constraintdef(c.oid), '''([^'']+)''', 'g') k
    WHERE c.conname = 'alerts_kind_check' AND c.conrelid = 'tenure.alerts'::regclass
      AND k[1] <> 'offboarding';
    EXECUTE 'ALTER TABLE tenure.alerts DROP CONSTRAINT alerts_kind_check,'
        || ' ADD CONSTRAINT alerts_kind_check CHECK (kind IN (' || kinds || '{}))';
END $$
"""

OWN = "tenant_id = (SELECT tenure.current_tenant())"
_CHANGES = (
    "UPDATE(state, export_id, taken_back_by, taken_back_reason, purge_id, started_at, waits,"
    " counts, stays, ended_at)"
)
ACCESS: tuple[Access, ...] = (
    ("offboardings", "tenure_retention", ("SELECT", "INSERT", _CHANGES), OWN),
    ("offboardings", "tenure_verifier", ("SELECT",), "true"),
    ("offboardings", "tenure_auditor", ("SELECT",), "true"),
)

LEDGER = ledger_statement(
    "offboardings",
    "offboarding",
    plain=(
        "tenant_id", "id", "state", "requested_at", "grace", "deletes_at", "export_id", "purge_id",
        "started_at", "access", "counts", "stays", "ended_at",
    ),
    committed=("requested_by", "reason", "taken_back_by", "taken_back_reason", "waits"),
    on="INSERT OR UPDATE",
)  # fmt: skip


def up(migrator: Any, db: Any) -> None:
    """Create the table; runs as tenure_owner, in one transaction."""
    execute(
        db,
        OFFBOARDINGS,
        *(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC" for function in FUNCTIONS),
        *access_statements(("offboardings",), ACCESS),
        LEDGER,
        _KINDS.format("'replay', 'offboarding'"),
        _COMMENT,
        _ALERTS.format(", ''offboarding''"),
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where it says who left."""
    # tenure: allow TS001 because the owner asks whether any tenant was offboarded
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.offboardings)").fetchone()[0]:
        raise RuntimeError("tenure.offboardings says which tenants left, and what went with them")
    execute(
        db,
        "DROP TRIGGER member_stays_out ON tenure.memberships",
        "DROP TABLE tenure.offboardings",
        *(f"DROP FUNCTION {function}" for function in FUNCTIONS),
        _KINDS.format("'replay'"),
        "DELETE FROM tenure.alerts WHERE kind = 'offboarding'",
        _ALERTS.format(""),
    )
