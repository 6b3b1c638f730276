"""What auditors ask for and nobody kept: who got and lost access, and what inspections said; and
what a tenant's own auditor may read of the evidence.

Changes of access are written by triggers on logins, memberships and tokens, whoever changes
them. They name logins by id. Who did it is what the transaction says (`tenure.actor`), else the
role of the session. (Logins and memberships feed the ledger themselves as well, see 0013: there
the entries are what rows are compared with, and committed to addresses; here they say who did it.)

A tenant's auditor reads as tenure_app in the tenant's context: its rows, and of what spans tenants
(runs, verifications, policies, the ledger's tree) the columns that tell of no other tenant. What
people wrote in free text for the whole installation is in none of them.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import (
    Access,
    access_statements,
    append_only_statement,
    execute,
    ledger_statement,
)

TABLES_SQL = """
CREATE TABLE tenure.access_changes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid,
    login_id uuid NOT NULL,
    what text NOT NULL CHECK (what IN ('login', 'password', 'auditor', 'membership', 'token')),
    before text,
    after text,
    actor text NOT NULL CHECK (actor <> ''),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX access_changes_time ON tenure.access_changes (changed_at);
CREATE INDEX access_changes_tenant ON tenure.access_changes (tenant_id, changed_at);
COMMENT ON TABLE tenure.access_changes IS
    'Who got and lost access: logins, auditors, memberships with their role, API tokens. NULL '
    'stands for there being none.';

CREATE TABLE tenure.inspections (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('lint', 'posture')),
    subject text NOT NULL CHECK (subject <> ''),
    tool text NOT NULL,
    passed boolean NOT NULL,
    findings bigint NOT NULL CHECK (findings >= 0),
    suppressed bigint NOT NULL CHECK (suppressed >= 0),
    result text NOT NULL CHECK (octet_length(result) <= 16777216),
    digest text NOT NULL CHECK (digest = encode(sha256(convert_to(result, 'UTF8')), 'hex')),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_by text NOT NULL CHECK (recorded_by <> '')
);
CREATE INDEX inspections_time ON tenure.inspections (recorded_at);
COMMENT ON TABLE tenure.inspections IS
    'What the lint gate and the posture audit said, as they printed it, and its SHA-256.';
"""

TRIGGERS = """
CREATE FUNCTION tenure.note_access(
    tenant uuid, login uuid, what text, before text, after text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO tenure.access_changes (tenant_id, login_id, what, before, after, actor)
    SELECT tenant, login, what, before, after,
           coalesce(nullif(current_setting('tenure.actor', true), ''), 'role:' || session_user)
    WHERE before IS DISTINCT FROM after
$$;

CREATE FUNCTION tenure.note_login() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was text; becomes text; audited text; audits text; key uuid;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        key := OLD.id;
        was := CASE WHEN OLD.disabled_at IS NULL THEN 'enabled' ELSE 'disabled' END;
        audited := CASE WHEN OLD.is_auditor THEN 'auditor' END;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        key := NEW.id;
        becomes := CASE WHEN NEW.disabled_at IS NULL THEN 'enabled' ELSE 'disabled' END;
        audits := CASE WHEN NEW.is_auditor THEN 'auditor' END;
    END IF;
    PERFORM tenure.note_access(NULL, key, 'login', was, becomes);
    PERFORM tenure.note_access(NULL, key, 'auditor', audited, audits);
    IF TG_OP = 'UPDATE' THEN
        PERFORM tenure.note_access(NULL, key, 'password', NULL, 'changed')
        WHERE OLD.password_hash <> NEW.password_hash;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION tenure.note_membership() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.tenant_id, OLD.login_id) <> (NEW.tenant_id, NEW.login_id) THEN
        PERFORM tenure.note_access(OLD.tenant_id, OLD.login_id, 'membership', OLD.role, NULL);
        PERFORM tenure.note_access(NEW.tenant_id, NEW.login_id, 'membership', NULL, NEW.role);
    ELSE
        PERFORM tenure.note_access(
            CASE TG_OP WHEN 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END,
            CASE TG_OP WHEN 'DELETE' THEN OLD.login_id ELSE NEW.login_id END,
            'membership',
            CASE TG_OP WHEN 'INSERT' THEN NULL ELSE OLD.role END,
            CASE TG_OP WHEN 'DELETE' THEN NULL ELSE NEW.role END);
    END IF;
    RETURN NULL;
END $$;

-- That a token's time is over is no change of anybody's; that it is put away then is none either.
CREATE FUNCTION tenure.note_token() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    was text; becomes text;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        was := CASE WHEN OLD.revoked_at IS NULL
                     AND (OLD.expires_at IS NULL OR OLD.expires_at > clock_timestamp())
                    THEN 'in force until ' || coalesce(OLD.expires_at::text, 'revoked') END;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        becomes := CASE WHEN NEW.revoked_at IS NULL
                         AND (NEW.expires_at IS NULL OR NEW.expires_at > clock_timestamp())
                        THEN 'in force until ' || coalesce(NEW.expires_at::text, 'revoked') END;
    END IF;
    PERFORM tenure.note_access(
        CASE TG_OP WHEN 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END,
        CASE TG_OP WHEN 'DELETE' THEN OLD.login_id ELSE NEW.login_id END, 'token', was, becomes);
    RETURN NULL;
END $$;

CREATE TRIGGER note_access AFTER INSERT OR UPDATE OR DELETE ON tenure.logins
    FOR EACH ROW EXECUTE FUNCTION tenure.note_login();
CREATE TRIGGER note_access AFTER INSERT OR UPDATE OR DELETE ON tenure.memberships
    FOR EACH ROW EXECUTE FUNCTION tenure.note_membership();
CREATE TRIGGER note_access AFTER INSERT OR UPDATE OR DELETE ON tenure.api_tokens
    FOR EACH ROW EXECUTE FUNCTION tenure.note_token();

INSERT INTO tenure.access_changes (tenant_id, login_id, what, after, actor, changed_at)
SELECT NULL::uuid, id, 'login', 'enabled', 'before this was kept', created_at FROM tenure.logins
UNION ALL
SELECT NULL, id, 'login', 'disabled', 'before this was kept', disabled_at FROM tenure.logins
WHERE disabled_at IS NOT NULL
UNION ALL
SELECT NULL, id, 'auditor', 'auditor', 'before this was kept', created_at FROM tenure.logins
WHERE is_auditor
UNION ALL
SELECT tenant_id, login_id, 'membership', role, 'before this was kept', created_at
FROM tenure.memberships;
"""
FUNCTIONS = (
    "tenure.note_access(uuid, uuid, text, text, text)",
    "tenure.note_login()",
    "tenure.note_membership()",
    "tenure.note_token()",
)

TABLES = ("access_changes", "inspections")
ACCESS: tuple[Access, ...] = (
    ("access_changes", "tenure_auditor", ("SELECT",), "true"),
    ("access_changes", "tenure_verifier", ("SELECT",), "true"),
    ("inspections", "tenure_retention", ("INSERT",), "true"),
    ("inspections", "tenure_verifier", ("SELECT",), "true"),
    ("inspections", "tenure_auditor", ("SELECT",), "true"),
)

OWN = "tenant_id = (SELECT tenure.current_tenant())"
ANY_TENANT = "(SELECT tenure.current_tenant()) IS NOT NULL"
OWN_RUN = (
    f"EXISTS (SELECT FROM tenure.units u WHERE u.run_id = runs.id AND u.{OWN})"  # noqa: S608
    f" OR EXISTS (SELECT FROM tenure.batches b WHERE b.run_id = runs.id AND b.{OWN})"
)
# The books' query of a policy, where it found nothing in any tenant.
OF_NONE = f"(tenant_id IS NULL AND kind = 'reconciliation' AND found = 0 AND {ANY_TENANT})"
_READ: tuple[tuple[str, str, str], ...] = (
    ("policy_versions", "", ANY_TENANT),
    ("policy_states", "", OWN),
    ("policy_changes", "", OWN),
    ("hold_events", "", OWN),
    ("access_changes", "", OWN),
    ("units", "run_id, policy, policy_version, tenant_id, planned, state, rows_deleted, batches,"
     " skips, detail", OWN),
    ("batches", "run_id, id, trace_id, tenant_id, policy, policy_version, action, cutoff,"
     " rows_deleted, counts, started_at, recorded_at", OWN),
    ("deleted_keys", "", OWN),
    ("runs", "id, trace_id, as_of, state, versions, started_by, started_at, finished_at", OWN_RUN),
    ("interventions", "number, run_id, action, taken_at", f"run_id IS NULL AND {ANY_TENANT}"),
    ("watches", "began_at, last_at", ANY_TENANT),
    ("scheduled", "", ANY_TENANT),
    ("verifications", "id, trace_id, as_of, started_by, started_at, finished_at, account",
     ANY_TENANT),
    ("verification_results", "", f"{OWN} OR {OF_NONE}"),
    ("reconciliations", "", OWN),
    ("ledger_entries", "id, kind, tenant_id, source, row_key, recorded_at, position, leaf,"
     " leaf_hash", OWN),
    ("ledger_nodes", "", ANY_TENANT),
    ("ledger_checkpoints", "", ANY_TENANT),
    ("ledger_key_steps", "id, step, vkey, previous_vkey, taken_at", ANY_TENANT),
)  # fmt: skip
TENANTS_AUDITOR: tuple[Access, ...] = tuple(
    (table, "tenure_app", (f"SELECT({columns})" if columns else "SELECT",), predicate)
    for table, columns, predicate in _READ
)
# The path to an entry goes through its neighbours, who may be others': their hashes tell nothing,
# for each entry has a random id.
LEAF_HASHES = """
CREATE FUNCTION tenure.leaf_hashes(positions bigint[])
RETURNS TABLE (leaf_position bigint, leaf_hash bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.position, e.leaf_hash FROM tenure.ledger_entries e
    WHERE e.position = ANY (positions) AND tenure.current_tenant() IS NOT NULL
$$;
REVOKE ALL ON FUNCTION tenure.leaf_hashes(bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenure.leaf_hashes(bigint[]) TO tenure_app;
"""
ROLES = """
ALTER TABLE tenure.memberships DROP CONSTRAINT memberships_role_check,
    ADD CONSTRAINT memberships_role_check
        CHECK (role IN ('owner', 'member', 'viewer', 'auditor'))
"""
ROLES_BEFORE = """
ALTER TABLE tenure.memberships DROP CONSTRAINT memberships_role_check,
    ADD CONSTRAINT memberships_role_check CHECK (role IN ('owner', 'member', 'viewer'))
"""

FEEDS = (
    ledger_statement(
        "access_changes",
        "access-change",
        plain=("id", "tenant_id", "what", "before", "after", "changed_at"),
        committed=("login_id", "actor"),
        on="INSERT OR DELETE",
    ),
    ledger_statement(
        "inspections",
        "inspection",
        plain=("id", "kind", "tool", "passed", "findings", "suppressed", "digest", "recorded_at"),
        committed=("subject", "recorded_by"),
        on="INSERT OR DELETE",
    ),
)


def up(migrator: Any, db: Any) -> None:
    """Create the tables and triggers; runs as tenure_owner, in one transaction."""
    execute(db, TABLES_SQL, TRIGGERS, LEAF_HASHES, ROLES)
    for signature in FUNCTIONS:
        execute(db, f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    execute(
        db,
        *(append_only_statement(table) for table in TABLES),
        *access_statements(TABLES, (*ACCESS, *TENANTS_AUDITOR)),
        *FEEDS,
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where inspections are kept, or access changed since; else take it all away."""
    # tenure: allow TS001 because the owner asks whether any tenant has an auditor of its own
    kept = db.execute_sql(
        "SELECT EXISTS (SELECT FROM tenure.memberships WHERE role = 'auditor')"
        " OR EXISTS (SELECT FROM tenure.inspections) OR EXISTS (SELECT FROM"
        " tenure.access_changes WHERE actor <> 'before this was kept')"
    )
    if kept.fetchone()[0]:
        raise RuntimeError("inspections and changes of access are kept; they are evidence")
    execute(db, ROLES_BEFORE, "DROP FUNCTION tenure.leaf_hashes(bigint[])")
    for table, role, commands, _ in TENANTS_AUDITOR:
        if table not in TABLES:
            execute(
                db,
                f"DROP POLICY {role}_select ON tenure.{table}",
                f"REVOKE {commands[0]} ON tenure.{table} FROM {role}",
            )
    for table in ("logins", "memberships", "api_tokens"):
        execute(db, f"DROP TRIGGER note_access ON tenure.{table}")
    execute(db, *(f"DROP FUNCTION {signature}" for signature in reversed(FUNCTIONS)))
    execute(db, *(f"DROP TABLE tenure.{table}" for table in TABLES))
