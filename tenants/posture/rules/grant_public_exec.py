"""A SECURITY DEFINER function is open to PUBLIC."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.records import PUBLIC
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield SECURITY DEFINER functions that every role may call."""
    facts = subject.facts
    for function in facts.functions.values():
        # What returns a trigger cannot be called.
        if not function.definer or function.returns in ("trigger", "event_trigger"):
            continue
        if any(g.grantee == PUBLIC for g in facts.grants_on("function", function.oid)):
            keep = [role for role in subject.app_roles if facts.may_execute(role.oid, function)]
            statements = [f"REVOKE EXECUTE ON FUNCTION {function.sql} FROM PUBLIC;"]
            statements += [
                f"GRANT EXECUTE ON FUNCTION {function.sql} TO {facts.role_sql(role.oid)};"
                for role in keep
            ]
            yield Problem(
                function.label,
                f"every role may call it, and it runs as {facts.role_name(function.owner)}",
                "\n".join(statements).replace("ON FUNCTION", "ON ROUTINE"),
            )


RULE = Rule(
    name="grant-public-exec",
    severity="warning",
    group="Roles and grants",
    title="A SECURITY DEFINER function is open to PUBLIC",
    why=(
        "It runs with its owner's rights, and PUBLIC may execute every new function unless "
        "that is revoked: roles that have no grant on any table reach what the function "
        "reaches."
    ),
    sources=(
        "https://www.postgresql.org/docs/current/sql-createfunction.html#SQL-CREATEFUNCTION-SECURITY",
    ),
    bad="""\
SET LOCAL ROLE shop_owner;
CREATE FUNCTION shop.invoice_count() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM shop.invoices WHERE tenant_id = shop.current_tenant()
$$;""",
    good="""\
SET LOCAL ROLE shop_owner;
CREATE FUNCTION shop.invoice_count() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM shop.invoices WHERE tenant_id = shop.current_tenant()
$$;
REVOKE EXECUTE ON FUNCTION shop.invoice_count() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.invoice_count() TO shop_app;""",
    check=check,
)
