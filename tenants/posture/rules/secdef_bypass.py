"""A function runs as an owner whom no policy limits, and reads or writes tenants' rows."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.reach import FunctionReach
from tenants.posture.records import Function
from tenants.posture.rule import Problem, Rule, Severity
from tenants.posture.subject import Subject, listed

_TRIGGERS = ("trigger", "event_trigger")


def check(subject: Subject) -> Iterator[Problem]:
    """Yield what the app may call; what asks for the session, or looks up by a key, is info."""
    for reach in subject.reach.functions:
        function = reach.function
        if function.returns in _TRIGGERS:
            continue
        if not any(_may_call(subject, role.oid, function) for role in subject.app_roles):
            continue
        owner = subject.facts.role_name(function.owner)
        if reach.shows != "limited":
            tables = listed([table.label for table in reach.tables])
            severity, addition = _weighed(reach)
            yield Problem(
                function.label,
                f"it runs as {owner}, who sees every tenant's rows in {tables}{addition}",
                None if severity else f"ALTER ROUTINE {function.sql} SECURITY INVOKER;",
                severity,
            )
        if reach.dynamic:
            handed = reach.dynamic == "argument"
            what = "SQL with its argument in it" if handed else "SQL that it puts together"
            yield Problem(
                function.label,
                f"it runs {what} as {owner}, who sees every tenant's rows: which, is not seen",
                f"ALTER ROUTINE {function.sql} SECURITY INVOKER;" if handed else None,
                None if handed else "warning",
            )


def _weighed(reach: FunctionReach) -> tuple[Severity | None, str]:
    if reach.shows == "unknown":
        return "info", "; its body asks for the session's context: see that it does everywhere"
    if reach.excuse == "secret":
        return "info", "; a secret chooses the row: see that it cannot be guessed"
    if reach.excuse == "quiet":
        return "info", "; the app reaches these by no other way, and the body gives nothing back"
    if reach.excuse == "lookup":
        return "info", (
            "; the app reaches these by no other way, and an argument chooses the row: see that "
            "it is one that cannot be guessed"
        )
    return None, ""


def _may_call(subject: Subject, role: int, function: Function) -> bool:
    schema = next(s.oid for s in subject.facts.schemas.values() if s.name == function.schema)
    return subject.facts.may_execute(role, function) and "USAGE" in subject.facts.schema_privileges(
        role, schema
    )


RULE = Rule(
    name="secdef-bypass",
    severity="error",
    group="Code",
    title="A SECURITY DEFINER function reaches every tenant's rows",
    why=(
        "A SECURITY DEFINER function runs as its owner, under the policies that hold for the "
        "owner: none for a superuser, for a role with BYPASSRLS or for the owner of a table that "
        "is not forced. One that takes an id, and not the tenant from the session, serves every "
        "tenant's row to every tenant. Let it run as its caller, or let a role own it that the "
        "tenants' policy binds. It is an info where the body asks for the session's context, or "
        "where the app has no other way to the table and an argument chooses the row (the "
        "lookup of a token by its hash) or nothing comes back: those a person must read. Bodies "
        "that are nothing "
        "but queries in SQL are followed; of others it is seen which tables they name. SQL that a "
        "body puts together (EXECUTE of anything but a constant) may read any table: an error "
        "where an argument gets into it as text or as a table's name, else a warning; a value "
        "handed over by USING, `%L` or quote_literal is none."
    ),
    sources=(
        "https://www.postgresql.org/docs/current/sql-createfunction.html",
        "https://www.postgresql.org/docs/current/ddl-rowsecurity.html",
    ),
    bad="""
CREATE FUNCTION shop.email_of(customer uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = shop, pg_temp AS $$
    SELECT email FROM shop.customers WHERE id = customer
$$;
REVOKE EXECUTE ON FUNCTION shop.email_of(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.email_of(uuid) TO shop_app;
ALTER FUNCTION shop.email_of(uuid) OWNER TO shop_owner;
""",
    good="""
CREATE FUNCTION shop.email_of(customer uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = shop, pg_temp AS $$
    SELECT email FROM shop.customers
    WHERE tenant_id = (SELECT shop.current_tenant()) AND id = customer
$$;
REVOKE EXECUTE ON FUNCTION shop.email_of(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.email_of(uuid) TO shop_app;
ALTER FUNCTION shop.email_of(uuid) OWNER TO shop_owner;
""",
    check=check,
)
