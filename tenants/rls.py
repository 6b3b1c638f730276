"""Row-level security as DDL: the context's two functions, and each table's policies and grants.

How the context is protected is inside `tenure.set_tenant` and `tenure.current_tenant` and in
no policy; a policy says `tenant_id = (SELECT tenure.current_tenant())`, evaluated once per
statement. Every power is a policy one can read; no role has BYPASSRLS.

The target is plain PostgreSQL or Citus. Citus refuses subqueries in policies, and carries only
a SET LOCAL to its workers.
"""

from __future__ import annotations

from typing import Literal

from tenants.catalog import Table, TableName
from tenants.errors import CatalogError
from tenants.seal import MESSAGE_BEGINS, Binding, Mode

Target = Literal["postgresql", "citus"]

# What these two functions cost is paid by every statement. A transaction's first evaluation of
# an expression in PL/pgSQL is what is dear, so there are few; and the keys are read without a
# parameter, or the plan would be made anew each time.
_SET_SEALED = """
CREATE OR REPLACE FUNCTION tenure.set_tenant(token text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid := left(token, 36)::uuid;
    bound bytea;
    seal_outer bytea; seal_inner bytea; setting_outer bytea; setting_inner bytea;
BEGIN
    -- A token serves where its message begins with it. What is injected stands behind that
    -- beginning, and may have seen the token of another message to this very backend.
    -- IS NOT TRUE: a NULL anywhere must not pass.
    IF starts_with(regexp_replace(left(current_query(), 400), '^BEGIN[ A-Z]*; ', ''),
                   'SELECT tenure.set_tenant(''' || token || ''')') IS NOT TRUE THEN
        RAISE EXCEPTION 'the tenant context is not at the beginning of its message'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
{bound}
    SELECT k.token_outer, k.token_inner, k.setting_outer, k.setting_inner
    INTO STRICT seal_outer, seal_inner, setting_outer, setting_inner FROM tenure.context_key k;
    IF (encode(sha256(seal_outer || sha256(seal_inner || uuid_send(tenant) || bound)), 'hex')
        = substr(token, 38, 64)) IS NOT TRUE THEN
        -- While keys are exchanged, two are good.
        SELECT k.next_outer, k.next_inner INTO STRICT seal_outer, seal_inner
        FROM tenure.context_key k;
        IF (encode(sha256(seal_outer || sha256(seal_inner || uuid_send(tenant) || bound)), 'hex')
            = substr(token, 38, 64)) IS NOT TRUE THEN
            RAISE EXCEPTION 'the tenant context is not sealed for this session'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END IF;
    token := set_config('tenure.context', tenant || encode(sha256(setting_outer || sha256(
        setting_inner || uuid_send(tenant) || timestamptz_send(transaction_timestamp()))), 'hex'),
        true);
END $$
"""

_BOUND: dict[Binding, str] = {
    "backend": "    bound := int4send(pg_backend_pid());",
    # A token bound to the backend is good here, too: it is the stronger one.
    "expiry": """\
    IF length(token) > 101 THEN
        bound := int8send(substr(token, 103)::bigint);
        IF (extract(epoch FROM transaction_timestamp()) <= substr(token, 103)::bigint)
           IS NOT TRUE THEN
            RAISE EXCEPTION 'the tenant context has expired'
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    ELSE
        bound := int4send(pg_backend_pid());
    END IF;""",
}

# The setting is what `set_tenant` made of a token: of this transaction, whose timestamp is the
# same in parallel workers. Where a token is bound to its backend, it may be the token itself: of
# the message that begins with it and is a transaction by itself. That spares the lone statement
# the other function. A worker has another process id, and takes what a function runs in it for
# the message; so the function stays with the leader there. That costs next to nothing: a policy
# evaluates it once, before the workers begin.
_CURRENT_SEALED = """
CREATE OR REPLACE FUNCTION tenure.current_tenant() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL {parallel} SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    setting text := current_setting('tenure.context', true);
    seal_outer bytea; seal_inner bytea;
BEGIN
{lone}
    IF (setting <> '') IS NOT TRUE THEN
        RETURN NULL;
    END IF;
    SELECT k.setting_outer, k.setting_inner INTO STRICT seal_outer, seal_inner
    FROM tenure.context_key k;
    IF encode(sha256(seal_outer || sha256(seal_inner || uuid_send(left(setting, 36)::uuid)
           || timestamptz_send(transaction_timestamp()))), 'hex') = substr(setting, 37) THEN
        RETURN left(setting, 36)::uuid;
    END IF;
    RAISE EXCEPTION 'the tenant context is forged' USING ERRCODE = 'insufficient_privilege';
END $$
"""

_IN_BODY = MESSAGE_BEGINS.replace("'", "''")
_LONE: dict[Binding, tuple[str, str]] = {
    "backend": (
        "RESTRICTED",
        """\
    IF starts_with(current_query(), {begins} || setting || '''') THEN
        SELECT k.token_outer, k.token_inner INTO STRICT seal_outer, seal_inner
        FROM tenure.context_key k;
        IF encode(sha256(seal_outer || sha256(seal_inner || uuid_send(left(setting, 36)::uuid)
               || int4send(pg_backend_pid()))), 'hex') = substr(setting, 38) THEN
            RETURN left(setting, 36)::uuid;
        END IF;
        SELECT k.next_outer, k.next_inner INTO STRICT seal_outer, seal_inner
        FROM tenure.context_key k;
        IF encode(sha256(seal_outer || sha256(seal_inner || uuid_send(left(setting, 36)::uuid)
               || int4send(pg_backend_pid()))), 'hex') = substr(setting, 38) THEN
            RETURN left(setting, 36)::uuid;
        END IF;
    END IF;
""".replace("{begins}", f"'{_IN_BODY}'"),
    ),
    "expiry": ("SAFE", ""),
}

# Nothing to hide here. Not SQL functions: PostgreSQL would parse them anew for every statement.
_SET_PLAIN = """
CREATE OR REPLACE FUNCTION tenure.set_tenant(token text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    {keep}
END $$
"""
_KEEP_PLAIN: dict[Target, str] = {
    "postgresql": "token := pg_catalog.set_config('tenure.context',"
    " token::pg_catalog.uuid::pg_catalog.text, true);",
    # set_config does not reach the workers; a SET LOCAL does, where it is told to
    # (citus.propagate_set_commands = 'local').
    "citus": "EXECUTE pg_catalog.format('SET LOCAL tenure.context = %L', token::pg_catalog.uuid);",
}

_CURRENT_PLAIN = """
CREATE OR REPLACE FUNCTION tenure.current_tenant() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN nullif(pg_catalog.current_setting('tenure.context', true), '')::pg_catalog.uuid;
END $$
"""

#: Roles that act for one tenant at a time.
TENANT_ROLES = ("tenure_app", "tenure_retention")
CURRENT = "tenant_id = (SELECT tenure.current_tenant())"
#: The tenant's, where the application is at its desk: in a transaction that shows who acts
#: (`retention.seat`).
AT_DESK = f"{CURRENT} AND (SELECT tenure.desk_actor()) IS NOT NULL"
_CURRENT: dict[Target, str] = {
    "postgresql": CURRENT,
    "citus": "tenant_id = tenure.current_tenant()",
}


def context_statements(
    mode: Mode, binding: Binding = "backend", target: Target = "postgresql"
) -> list[str]:
    """Return the DDL of the context functions; may be applied again at any time.

    Raises CatalogError for a sealed context on Citus: the seal is bound to the transaction's
    instant, which is another one on every worker.
    """
    if mode == "plain":
        statements = [_SET_PLAIN.replace("{keep}", _KEEP_PLAIN[target]), _CURRENT_PLAIN]
    elif target == "citus":
        raise CatalogError("the context cannot be sealed on Citus: set TENURE_CONTEXT=plain")
    else:
        parallel, lone = _LONE[binding]
        statements = [
            _SET_SEALED.replace("{bound}", _BOUND[binding]),
            _CURRENT_SEALED.replace("{parallel}", parallel).replace("{lone}\n", lone),
        ]
    for function in ("tenure.set_tenant(text)", "tenure.current_tenant()"):
        statements.append(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
        statements.append(f"GRANT EXECUTE ON FUNCTION {function} TO {', '.join(TENANT_ROLES)}")
    return statements


def knows_message(body: str) -> bool:
    """Tell whether a `tenure.current_tenant` with this body takes a lone statement's message."""
    return _IN_BODY in body


def quote(identifier: str) -> str:
    """Return an identifier in double quotes, safe for any text."""
    return '"' + identifier.replace('"', '""') + '"'


def quote_name(name: TableName) -> str:
    """Return a qualified table name in double quotes."""
    return f"{quote(name.schema)}.{quote(name.name)}"


def protection_statements(table: Table, target: Target = "postgresql") -> list[str]:
    """Return what closes a domain's table and opens it to each role as far as it must.

    The application may change every column but the key; retention's UPDATE on `tenant_id`
    is what `SELECT .. FOR UPDATE` asks for, and WITH CHECK leaves it nothing to change.
    """
    name = quote_name(table.name)
    own = _CURRENT[target]
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
        f"CREATE POLICY app ON {name} FOR ALL TO tenure_app USING ({own}) WITH CHECK ({own})",
        f"GRANT SELECT, INSERT, DELETE ON {name} TO tenure_app",
        *([f"GRANT UPDATE ({mutable}) ON {name} TO tenure_app"] if mutable else []),
        f"CREATE POLICY retention ON {name} FOR ALL TO tenure_retention"
        f" USING ({own}) WITH CHECK ({own})",
        f"GRANT SELECT, DELETE, UPDATE (tenant_id) ON {name} TO tenure_retention",
    ]
