"""Row-level security as DDL: the context's two functions, and each table's policies and grants.

How the context is protected is inside `tenure.set_tenant` and `tenure.current_tenant` and in
no policy; a policy says `tenant_id = (SELECT tenure.current_tenant())`, evaluated once per
statement. Every power is a policy one can read; no role has BYPASSRLS.
"""

from __future__ import annotations

from tenants.catalog import Table, TableName
from tenants.seal import Mode

_SET_SEALED = """
CREATE OR REPLACE FUNCTION tenure.set_tenant(token text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k tenure.context_key;
    tenant text := split_part(token, ':', 1);
BEGIN
    -- A token serves where its message begins with it. What is injected stands behind that
    -- beginning, and may have seen the token of another message to this very backend.
    -- IS NOT TRUE: a NULL anywhere must not pass.
    IF starts_with(regexp_replace(left(current_query(), 300), '^BEGIN[ A-Z]*; ', ''),
                   'SELECT tenure.set_tenant(''' || token || ''')') IS NOT TRUE THEN
        RAISE EXCEPTION 'the tenant context is not at the beginning of its message'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT * INTO STRICT k FROM tenure.context_key;
    IF (encode(sha256(k.token_outer || sha256(k.token_inner
            || convert_to(tenant || ':' || pg_backend_pid(), 'UTF8'))), 'hex')
        = split_part(token, ':', 2)) IS NOT TRUE THEN
        RAISE EXCEPTION 'the tenant context is not sealed for this session'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM set_config('tenure.context', tenant || ':'
        || encode(sha256(k.setting_outer || sha256(k.setting_inner || convert_to(
               tenant || ':' || extract(epoch FROM transaction_timestamp()), 'UTF8'))), 'hex'),
        true);
END $$
"""

# The transaction's timestamp is the same in parallel workers; the backend's pid is not.
_CURRENT_SEALED = """
CREATE OR REPLACE FUNCTION tenure.current_tenant() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    k tenure.context_key;
    setting text := current_setting('tenure.context', true);
    tenant text;
BEGIN
    IF setting IS NULL OR setting = '' THEN
        RETURN NULL;
    END IF;
    SELECT * INTO STRICT k FROM tenure.context_key;
    tenant := split_part(setting, ':', 1);
    IF (encode(sha256(k.setting_outer || sha256(k.setting_inner || convert_to(
            tenant || ':' || extract(epoch FROM transaction_timestamp()), 'UTF8'))), 'hex')
        = split_part(setting, ':', 2)) IS NOT TRUE THEN
        RAISE EXCEPTION 'the tenant context is forged' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN tenant::uuid;
END $$
"""

# Nothing to hide here: plain SQL functions, which PostgreSQL runs inline.
_SET_PLAIN = """
CREATE OR REPLACE FUNCTION tenure.set_tenant(token text) RETURNS void
LANGUAGE sql VOLATILE AS $$
    SELECT pg_catalog.set_config('tenure.context', token::pg_catalog.uuid::pg_catalog.text, true)
$$
"""

_CURRENT_PLAIN = """
CREATE OR REPLACE FUNCTION tenure.current_tenant() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(pg_catalog.current_setting('tenure.context', true), '')::pg_catalog.uuid
$$
"""

#: Roles that act for one tenant at a time.
TENANT_ROLES = ("tenure_app", "tenure_retention")
CURRENT = "tenant_id = (SELECT tenure.current_tenant())"


def context_statements(mode: Mode) -> list[str]:
    """Return the DDL of the context functions; may be applied again at any time."""
    bodies = {"sealed": (_SET_SEALED, _CURRENT_SEALED), "plain": (_SET_PLAIN, _CURRENT_PLAIN)}
    statements = list(bodies[mode])
    for function in ("tenure.set_tenant(text)", "tenure.current_tenant()"):
        statements.append(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        statements.append(f"GRANT EXECUTE ON FUNCTION {function} TO {', '.join(TENANT_ROLES)}")
    return statements


def quote(identifier: str) -> str:
    """Return an identifier in double quotes, safe for any text."""
    return '"' + identifier.replace('"', '""') + '"'


def quote_name(name: TableName) -> str:
    """Return a qualified table name in double quotes."""
    return f"{quote(name.schema)}.{quote(name.name)}"


def protection_statements(table: Table) -> list[str]:
    """Return what closes a domain's table and opens it to each role as far as it must.

    The application may change every column but the key; retention's UPDATE on `tenant_id`
    is what `SELECT .. FOR UPDATE` asks for, and WITH CHECK leaves it nothing to change.
    """
    name = quote_name(table.name)
    statements = [
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY owner ON {name} FOR ALL TO tenure_owner USING (true) WITH CHECK (true)",
        f"CREATE POLICY verifier ON {name} FOR SELECT TO tenure_verifier USING (true)",
        f"GRANT SELECT ON {name} TO tenure_verifier",
    ]
    if table.kind == "global":
        return [
            *statements,
            f"CREATE POLICY app ON {name} FOR SELECT TO tenure_app USING (true)",
            f"GRANT SELECT ON {name} TO tenure_app",
        ]
    mutable = ", ".join(quote(c.name) for c in table.columns if c.name not in table.primary_key)
    return [
        *statements,
        f"CREATE POLICY app ON {name} FOR ALL TO tenure_app"
        f" USING ({CURRENT}) WITH CHECK ({CURRENT})",
        f"GRANT SELECT, INSERT, DELETE ON {name} TO tenure_app",
        *([f"GRANT UPDATE ({mutable}) ON {name} TO tenure_app"] if mutable else []),
        f"CREATE POLICY retention ON {name} FOR ALL TO tenure_retention"
        f" USING ({CURRENT}) WITH CHECK ({CURRENT})",
        f"GRANT SELECT, DELETE, UPDATE (tenant_id) ON {name} TO tenure_retention",
    ]
