"""Context keys that can be exchanged, and identity functions that answer nobody but the app.

While keys are exchanged, two are good. Whoever calls an identity function that tells of people
shows a seal that says for what, and until when: SQL injected under the application's role has
none, and one that it saw serves for a minute and for that one question.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tenants.schema import execute

KEYS = """
ALTER TABLE tenure.context_key ADD COLUMN next_inner bytea, ADD COLUMN next_outer bytea,
    ADD CHECK ((next_inner IS NULL) = (next_outer IS NULL));

CREATE TABLE tenure.context_key_steps (
    id uuid PRIMARY KEY,
    step text NOT NULL CHECK (step IN ('installed', 'begun', 'finished', 'abandoned')),
    key_id text NOT NULL CHECK (key_id ~ '^[0-9a-f]{16}$'),
    actor text NOT NULL CHECK (actor <> ''),
    taken_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tenure.context_key_steps IS
    'When which key came and went; key_id tells keys apart and nothing of them.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenure.context_key_steps
    FOR EACH STATEMENT EXECUTE FUNCTION tenure.refuse_change();
ALTER TABLE tenure.context_key_steps ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenure.context_key_steps FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON tenure.context_key_steps FOR ALL TO tenure_owner
    USING (true) WITH CHECK (true);
GRANT SELECT ON tenure.context_key_steps TO tenure_auditor;
CREATE POLICY tenure_auditor_select ON tenure.context_key_steps
    FOR SELECT TO tenure_auditor USING (true);
"""

IS_SEALED = """
CREATE OR REPLACE FUNCTION tenure.is_sealed(message text, mac text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(mac IN (
        encode(sha256(k.token_outer || sha256(k.token_inner || convert_to(message, 'UTF8'))),
               'hex'),
        encode(sha256(k.next_outer || sha256(k.next_inner || convert_to(message, 'UTF8'))),
               'hex')), false)
    FROM tenure.context_key k
$$;
"""

_WAS_SEALED = """
CREATE OR REPLACE FUNCTION tenure.is_sealed(message text, mac text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE k tenure.context_key;
BEGIN
    SELECT * INTO STRICT k FROM tenure.context_key;
    RETURN coalesce(encode(sha256(k.token_outer || sha256(k.token_inner
           || convert_to(message, 'UTF8'))), 'hex') = mac, false);
END $$;
"""


# `until`, in seconds since 1970, is part of what is sealed: a seal that was seen soon is none.
IDENTITY = """
CREATE FUNCTION tenure.is_sealed_until(message text, until bigint, seal text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        until BETWEEN extract(epoch FROM now()) AND extract(epoch FROM now()) + 300
        AND tenure.is_sealed(message || ':' || until, seal), false)
$$;

DROP FUNCTION tenure.resolve_login(text);
CREATE FUNCTION tenure.resolve_login(login_email text, until bigint, seal text)
RETURNS TABLE (login_id uuid, password_hash text, is_auditor boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT tenure.is_sealed_until('login:' || login_email, until, seal) THEN
        RAISE EXCEPTION 'the question is not sealed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY SELECT l.id, l.password_hash, l.is_auditor FROM tenure.logins l
        WHERE l.email = lower(login_email) AND l.disabled_at IS NULL;
END $$;

DROP FUNCTION tenure.memberships_of(uuid, text);
CREATE FUNCTION tenure.memberships_of(member uuid, until bigint, seal text)
RETURNS TABLE (tenant_id uuid, slug text, name text, role text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT tenure.is_sealed_until('memberships:' || member, until, seal) THEN
        RAISE EXCEPTION 'the question is not sealed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN QUERY SELECT t.id, t.slug, t.name, m.role
        FROM tenure.memberships m JOIN tenure.tenants t ON t.id = m.tenant_id
        WHERE m.login_id = member ORDER BY t.name;
END $$;

DROP FUNCTION tenure.open_session(bytea, uuid, uuid, interval, text);
CREATE FUNCTION tenure.open_session(
    session_digest bytea, session_login uuid, session_tenant uuid, seconds integer,
    until bigint, seal text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT tenure.is_sealed_until(
        'session:' || encode(session_digest, 'hex') || ':' || session_login
        || ':' || coalesce(session_tenant::text, '') || ':' || seconds, until, seal) THEN
        RAISE EXCEPTION 'the session is not sealed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO tenure.sessions (digest, login_id, tenant_id, expires_at)
    SELECT session_digest, l.id, session_tenant, now() + make_interval(secs => seconds)
    FROM tenure.logins l
    WHERE l.id = session_login AND l.disabled_at IS NULL
      AND CASE WHEN session_tenant IS NULL THEN l.is_auditor
          ELSE EXISTS (SELECT FROM tenure.memberships m
                       WHERE m.login_id = l.id AND m.tenant_id = session_tenant) END;
    RETURN FOUND;
END $$;
"""
INTERNAL = "tenure.is_sealed_until(text, bigint, text)"
SIGNATURES = (
    "tenure.resolve_login(text, bigint, text)",
    "tenure.memberships_of(uuid, bigint, text)",
    "tenure.open_session(bytea, uuid, uuid, integer, bigint, text)",
)


def up(migrator: Any, db: Any) -> None:
    """Make room for a second key, record what becomes of keys, and seal the questions."""
    execute(db, KEYS, IS_SEALED, IDENTITY)
    for signature in (INTERNAL, *SIGNATURES):
        execute(db, f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    for signature in SIGNATURES:
        execute(db, f"GRANT EXECUTE ON FUNCTION {signature} TO tenure_app")


def down(migrator: Any, db: Any) -> None:
    """Take it back; the key in use stays, the next one goes."""
    initial = import_module("migrations.0001_initial")
    unchanged = [s for s in initial.IDENTITY_SIGNATURES if s.startswith(_UNCHANGED)]
    for signature in (*SIGNATURES, INTERNAL, *unchanged):
        execute(db, f"DROP FUNCTION {signature}")
    execute(
        db,
        _WAS_SEALED,
        initial.IDENTITY_FUNCTIONS,
        "DROP TABLE tenure.context_key_steps",
        "ALTER TABLE tenure.context_key DROP COLUMN next_inner, DROP COLUMN next_outer",
    )
    for signature in initial.IDENTITY_SIGNATURES:
        execute(db, f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        execute(db, f"GRANT EXECUTE ON FUNCTION {signature} TO tenure_app")


_UNCHANGED = ("tenure.resolve_token", "tenure.resolve_session", "tenure.close_session")
