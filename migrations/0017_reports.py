"""What auditors ask for and nobody kept: who got and lost access, and what inspections said.

Changes of access are written by triggers on logins, memberships and tokens, whoever changes
them. They name logins by id. Who did it is what the transaction says (`tenure.actor`), else the
role of the session.
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
    execute(db, TABLES_SQL, TRIGGERS)
    for signature in FUNCTIONS:
        execute(db, f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    execute(
        db,
        *(append_only_statement(table) for table in TABLES),
        *access_statements(TABLES, ACCESS),
        *FEEDS,
    )


def down(migrator: Any, db: Any) -> None:
    """Refuse where inspections are kept, or access changed since; else take it all away."""
    kept = db.execute_sql(
        "SELECT EXISTS (SELECT FROM tenure.inspections) OR EXISTS (SELECT FROM"
        " tenure.access_changes WHERE actor <> 'before this was kept')"
    )
    if kept.fetchone()[0]:
        raise RuntimeError("inspections and changes of access are kept; they are evidence")
    for table in ("logins", "memberships", "api_tokens"):
        execute(db, f"DROP TRIGGER note_access ON tenure.{table}")
    execute(db, *(f"DROP FUNCTION {signature}" for signature in reversed(FUNCTIONS)))
    execute(db, *(f"DROP TABLE tenure.{table}" for table in TABLES))
