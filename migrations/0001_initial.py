"""The schema `tenure`: tenants and identities, context, holds and their gate, evidence.

Everything here is the owner's; what each role may do with it is in the grants and
policies at the end of each part. Nobody but the owner touches the identity tables: the
application reaches them through functions that return one answer.
"""

from __future__ import annotations

from typing import Any

from tenants.schema import execute

TENANTS = """
CREATE TABLE tenure.tenants (
    id uuid PRIMARY KEY,
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$'),
    name text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tenure.tenants IS 'Global: who the tenants are. Each sees its own row only.';

CREATE TABLE tenure.context_key (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    token_inner bytea NOT NULL, token_outer bytea NOT NULL,
    setting_inner bytea NOT NULL, setting_outer bytea NOT NULL
);
COMMENT ON TABLE tenure.context_key IS
    'Padded HMAC-SHA-256 keys of the sealed context. Readable by the owner alone.';
"""

IDENTITY = """
CREATE TABLE tenure.logins (
    id uuid PRIMARY KEY,
    email text NOT NULL CHECK (email = lower(email) AND email LIKE '_%@_%'),
    password_hash text NOT NULL,
    is_auditor boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz,
    UNIQUE (email)
);
CREATE TABLE tenure.memberships (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    login_id uuid NOT NULL REFERENCES tenure.logins (id),
    role text NOT NULL CHECK (role IN ('owner', 'member', 'viewer')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, login_id)
);
CREATE INDEX memberships_login ON tenure.memberships (login_id);
CREATE TABLE tenure.api_tokens (
    id uuid PRIMARY KEY,
    digest bytea NOT NULL UNIQUE CHECK (octet_length(digest) = 32),
    tenant_id uuid NOT NULL,
    login_id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    FOREIGN KEY (tenant_id, login_id) REFERENCES tenure.memberships (tenant_id, login_id)
);
CREATE INDEX api_tokens_membership ON tenure.api_tokens (tenant_id, login_id);
CREATE TABLE tenure.sessions (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    login_id uuid NOT NULL REFERENCES tenure.logins (id),
    tenant_id uuid REFERENCES tenure.tenants (id),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_login ON tenure.sessions (login_id);
CREATE INDEX sessions_tenant ON tenure.sessions (tenant_id);
CREATE INDEX sessions_expiry ON tenure.sessions (expires_at);
"""

HOLDS = """
CREATE TABLE tenure.gates (
    tenant_id uuid PRIMARY KEY REFERENCES tenure.tenants (id),
    turned bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE tenure.gates IS
    'Where holds meet deletes: a batch takes its tenant''s row FOR SHARE, first in its '
    'transaction; placing a hold takes it FOR UPDATE.';

CREATE TABLE tenure.holds (
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    id uuid NOT NULL,
    matter text NOT NULL CHECK (matter <> ''),
    reason text NOT NULL CHECK (reason <> ''),
    placed_by text NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT now(),
    released_by text,
    released_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CHECK ((released_at IS NULL) = (released_by IS NULL))
);
CREATE INDEX holds_in_force ON tenure.holds (tenant_id) WHERE released_at IS NULL;
COMMENT ON TABLE tenure.holds IS 'Legal holds on a tenant. They have no expiry.';
"""

EVIDENCE = """
CREATE TABLE tenure.policy_versions (
    policy text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    definition jsonb NOT NULL,
    digest text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    recorded_by text NOT NULL,
    PRIMARY KEY (policy, version)
);
CREATE TABLE tenure.policy_states (
    policy text NOT NULL,
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    state text NOT NULL CHECK (state IN ('active', 'paused')),
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL,
    PRIMARY KEY (policy, tenant_id)
);
CREATE INDEX policy_states_tenant ON tenure.policy_states (tenant_id);
COMMENT ON TABLE tenure.policy_states IS
    'A policy''s state for one tenant where it differs from the policy''s own.';

CREATE TABLE tenure.runs (
    id uuid PRIMARY KEY,
    trace_id text NOT NULL UNIQUE CHECK (trace_id ~ '^[0-9a-f]{32}$'),
    as_of timestamptz NOT NULL,
    plan jsonb NOT NULL,
    state text NOT NULL CHECK (state IN
        ('running', 'succeeded', 'succeeded_with_skips', 'stalled', 'failed', 'cancelled')),
    detail text,
    started_by text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    CHECK ((finished_at IS NULL) = (state = 'running'))
);
CREATE INDEX runs_started ON tenure.runs (started_at);

CREATE TABLE tenure.batches (
    run_id uuid NOT NULL REFERENCES tenure.runs (id),
    id uuid NOT NULL,
    trace_id text NOT NULL,
    tenant_id uuid NOT NULL REFERENCES tenure.tenants (id),
    policy text NOT NULL,
    policy_version integer NOT NULL,
    cutoff timestamptz NOT NULL,
    rows_deleted bigint NOT NULL CHECK (rows_deleted >= 0),
    counts jsonb NOT NULL,
    progress jsonb NOT NULL,
    started_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run_id, id),
    FOREIGN KEY (policy, policy_version)
        REFERENCES tenure.policy_versions (policy, version)
);
CREATE INDEX batches_tenant ON tenure.batches (tenant_id, policy);
CREATE INDEX batches_policy ON tenure.batches (policy, policy_version);
CREATE INDEX batches_trace ON tenure.batches (trace_id);
COMMENT ON COLUMN tenure.batches.counts IS
    'Per table "schema.name": rows deleted, and sha256 over the deleted keys in order.';

CREATE TABLE tenure.leases (
    name text PRIMARY KEY,
    holder text NOT NULL,
    fence bigint NOT NULL,
    lease_until timestamptz NOT NULL
);

CREATE TABLE tenure.verifications (
    id uuid PRIMARY KEY,
    trace_id text NOT NULL CHECK (trace_id ~ '^[0-9a-f]{32}$'),
    as_of timestamptz NOT NULL,
    started_by text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    findings bigint NOT NULL CHECK (findings >= 0)
);
CREATE INDEX verifications_finished ON tenure.verifications (finished_at);
CREATE TABLE tenure.verification_results (
    verification_id uuid NOT NULL REFERENCES tenure.verifications (id),
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('overdue', 'orphans', 'undated')),
    subject text NOT NULL,
    tenant_id uuid,
    found bigint NOT NULL CHECK (found >= 0),
    held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    oldest timestamptz,
    query text NOT NULL,
    PRIMARY KEY (verification_id, id)
);

CREATE TABLE tenure.cross_tenant_reads (
    id uuid PRIMARY KEY,
    read_at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    place text NOT NULL,
    statement text NOT NULL,
    trace_id text NOT NULL
);
CREATE INDEX cross_tenant_reads_time ON tenure.cross_tenant_reads (read_at);
"""

# Append-only by trigger as well as by grant: the owner, too, would have to say so in DDL.
APPEND_ONLY = """
CREATE FUNCTION tenure.refuse_change() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
"""
APPEND_ONLY_TABLES = (
    "policy_versions",
    "batches",
    "verifications",
    "verification_results",
    "cross_tenant_reads",
)

CONTEXT_MAC = """
CREATE FUNCTION tenure.is_sealed(message text, mac text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE k tenure.context_key;
BEGIN
    SELECT * INTO STRICT k FROM tenure.context_key;
    RETURN coalesce(encode(sha256(k.token_outer || sha256(k.token_inner
           || convert_to(message, 'UTF8'))), 'hex') = mac, false);
END $$;
"""

IDENTITY_FUNCTIONS = """
CREATE FUNCTION tenure.resolve_token(token_digest bytea)
RETURNS TABLE (token_id uuid, tenant_id uuid, login_id uuid, role text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.id, t.tenant_id, t.login_id, m.role
    FROM tenure.api_tokens t
    JOIN tenure.memberships m ON m.tenant_id = t.tenant_id AND m.login_id = t.login_id
    JOIN tenure.logins l ON l.id = t.login_id
    WHERE t.digest = token_digest AND t.revoked_at IS NULL AND l.disabled_at IS NULL
      AND (t.expires_at IS NULL OR t.expires_at > now())
$$;

CREATE FUNCTION tenure.resolve_login(login_email text)
RETURNS TABLE (login_id uuid, password_hash text, is_auditor boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.id, l.password_hash, l.is_auditor FROM tenure.logins l
    WHERE l.email = lower(login_email) AND l.disabled_at IS NULL
$$;

-- The seal proves that the application checked the password: SQL injected under its role
-- cannot open a session for somebody.
CREATE FUNCTION tenure.open_session(
    session_digest bytea, session_login uuid, session_tenant uuid, lifetime interval, seal text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT tenure.is_sealed(
        'session:' || encode(session_digest, 'hex') || ':' || session_login
        || ':' || coalesce(session_tenant::text, ''), seal) THEN
        RAISE EXCEPTION 'the session is not sealed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO tenure.sessions (digest, login_id, tenant_id, expires_at)
    SELECT session_digest, l.id, session_tenant, now() + lifetime
    FROM tenure.logins l
    WHERE l.id = session_login AND l.disabled_at IS NULL
      AND CASE WHEN session_tenant IS NULL THEN l.is_auditor
          ELSE EXISTS (SELECT FROM tenure.memberships m
                       WHERE m.login_id = l.id AND m.tenant_id = session_tenant) END;
    RETURN FOUND;
END $$;

CREATE FUNCTION tenure.resolve_session(session_digest bytea)
RETURNS TABLE (login_id uuid, email text, tenant_id uuid, role text, is_auditor boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT l.id, l.email, s.tenant_id, m.role, l.is_auditor
    FROM tenure.sessions s
    JOIN tenure.logins l ON l.id = s.login_id
    LEFT JOIN tenure.memberships m ON m.login_id = l.id AND m.tenant_id = s.tenant_id
    WHERE s.digest = session_digest AND s.expires_at > now() AND l.disabled_at IS NULL
      AND (m.role IS NOT NULL OR (s.tenant_id IS NULL AND l.is_auditor))
$$;

CREATE FUNCTION tenure.close_session(session_digest bytea) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM tenure.sessions WHERE digest = session_digest
$$;

-- The memberships of a login whose password was checked, for choosing a tenant.
CREATE FUNCTION tenure.memberships_of(member uuid, seal text)
RETURNS TABLE (tenant_id uuid, slug text, name text, role text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT tenure.is_sealed('memberships:' || member, seal) THEN
        RAISE EXCEPTION 'the question is not sealed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY SELECT t.id, t.slug, t.name, m.role
        FROM tenure.memberships m JOIN tenure.tenants t ON t.id = m.tenant_id
        WHERE m.login_id = member ORDER BY t.name;
END $$;
"""
IDENTITY_SIGNATURES = (
    "tenure.resolve_token(bytea)",
    "tenure.resolve_login(text)",
    "tenure.open_session(bytea, uuid, uuid, interval, text)",
    "tenure.resolve_session(bytea)",
    "tenure.close_session(bytea)",
    "tenure.memberships_of(uuid, text)",
)

TABLES = (
    "tenants", "context_key", "logins", "memberships", "api_tokens", "sessions", "gates",
    "holds", "policy_versions", "policy_states", "runs", "batches", "leases", "verifications",
    "verification_results", "cross_tenant_reads",
)  # fmt: skip

OWN = "tenant_id = (SELECT tenure.current_tenant())"

# (table, role, commands, predicate): the whole of who may do what in the schema tenure.
# A command may name columns: "UPDATE(turned)".
ACCESS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("tenants", "tenure_app", ("SELECT",), "id = (SELECT tenure.current_tenant())"),
    ("tenants", "tenure_verifier", ("SELECT",), "true"),
    ("tenants", "tenure_auditor", ("SELECT",), "true"),
    # FOR SHARE and FOR UPDATE ask for the UPDATE privilege, and for an UPDATE policy.
    ("gates", "tenure_app", ("SELECT", "UPDATE(turned)"), OWN),
    ("gates", "tenure_retention", ("SELECT", "UPDATE(turned)"), OWN),
    ("gates", "tenure_verifier", ("SELECT",), "true"),
    ("holds", "tenure_app", ("SELECT",), OWN),
    (
        "holds",
        "tenure_retention",
        ("SELECT", "INSERT", "UPDATE(released_by, released_at)"),
        OWN,
    ),
    ("holds", "tenure_verifier", ("SELECT",), "true"),
    ("holds", "tenure_auditor", ("SELECT",), "true"),
    ("policy_versions", "tenure_retention", ("SELECT", "INSERT"), "true"),
    ("policy_versions", "tenure_verifier", ("SELECT",), "true"),
    ("policy_versions", "tenure_auditor", ("SELECT",), "true"),
    (
        "policy_states",
        "tenure_retention",
        ("SELECT", "INSERT", "UPDATE(state, changed_at, changed_by)"),
        OWN,
    ),
    ("policy_states", "tenure_verifier", ("SELECT",), "true"),
    ("policy_states", "tenure_auditor", ("SELECT",), "true"),
    (
        "runs",
        "tenure_retention",
        ("SELECT", "INSERT", "UPDATE(state, detail, finished_at)"),
        "true",
    ),
    ("runs", "tenure_verifier", ("SELECT",), "true"),
    ("runs", "tenure_auditor", ("SELECT",), "true"),
    ("batches", "tenure_retention", ("SELECT", "INSERT"), OWN),
    ("batches", "tenure_verifier", ("SELECT",), "true"),
    ("batches", "tenure_auditor", ("SELECT",), "true"),
    (
        "leases",
        "tenure_retention",
        ("SELECT", "INSERT", "UPDATE(holder, fence, lease_until)"),
        "true",
    ),
    ("leases", "tenure_auditor", ("SELECT",), "true"),
    ("verifications", "tenure_retention", ("SELECT", "INSERT"), "true"),
    ("verifications", "tenure_auditor", ("SELECT",), "true"),
    ("verification_results", "tenure_retention", ("SELECT", "INSERT"), "true"),
    ("verification_results", "tenure_auditor", ("SELECT",), "true"),
    ("cross_tenant_reads", "tenure_retention", ("INSERT",), "true"),
    ("cross_tenant_reads", "tenure_auditor", ("SELECT",), "true"),
)


def access_statements() -> list[str]:
    """Return the grants and policies of ACCESS; every table is closed to all else."""
    statements = []
    for table in TABLES:
        statements += [
            f"ALTER TABLE tenure.{table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE tenure.{table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY owner ON tenure.{table} FOR ALL TO tenure_owner"
            " USING (true) WITH CHECK (true)",
        ]
    for table, role, commands, predicate in ACCESS:
        statements.append(f"GRANT {', '.join(commands)} ON tenure.{table} TO {role}")
        for command in commands:
            verb = command.partition("(")[0]
            clause = {
                "SELECT": f"USING ({predicate})",
                "INSERT": f"WITH CHECK ({predicate})",
                "UPDATE": f"USING ({predicate}) WITH CHECK ({predicate})",
            }[verb]
            statements.append(
                f"CREATE POLICY {role}_{verb.lower()} ON tenure.{table}"
                f" FOR {verb} TO {role} {clause}"
            )
    return statements


def up(migrator: Any, db: Any) -> None:
    """Create everything; runs as tenure_owner, in one transaction."""
    for part in (TENANTS, IDENTITY, HOLDS, EVIDENCE, APPEND_ONLY, CONTEXT_MAC):
        execute(db, part)
    execute(db, IDENTITY_FUNCTIONS)
    for table in APPEND_ONLY_TABLES:
        execute(
            db,
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenure.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change()",
        )
    for signature in ("tenure.is_sealed(text, text)", *IDENTITY_SIGNATURES):
        execute(db, f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    for signature in IDENTITY_SIGNATURES:
        execute(db, f"GRANT EXECUTE ON FUNCTION {signature} TO tenure_app")
    for statement in access_statements():
        execute(db, statement)


def down(migrator: Any, db: Any) -> None:
    """Refuse where there is anything to lose; otherwise take it all down again."""
    # tenure: allow TS001 because the owner asks whether there is any tenant at all
    if db.execute_sql("SELECT EXISTS (SELECT FROM tenure.tenants)").fetchone()[0]:
        raise RuntimeError(
            "the schema tenure holds tenants and their evidence; taking it down would destroy "
            "them. Remove the tenants first, or drop the database."
        )
    for table in reversed(TABLES):
        execute(db, f"DROP TABLE tenure.{table} CASCADE")
    for signature in (*IDENTITY_SIGNATURES, "tenure.is_sealed(text, text)"):
        execute(db, f"DROP FUNCTION {signature}")
    execute(db, "DROP FUNCTION tenure.refuse_change()")
