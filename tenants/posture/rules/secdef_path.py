"""A SECURITY DEFINER function finds what it names where its caller says."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.records import Function, Role, quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, listed, roles_named


def check(subject: Subject) -> Iterator[Problem]:
    """Yield such functions without a safe search_path; an error where the app can make objects."""
    facts = subject.facts
    set_off = {trigger.function for trigger in facts.triggers if trigger.enabled}
    creators = {
        schema.name: tuple(
            role
            for role in subject.app_roles
            if "CREATE" in facts.schema_privileges(role.oid, schema.oid)
        )
        for schema in facts.schemas.values()
    }
    temporary = tuple(role for role in subject.app_roles if _may_make_temporary(subject, role))
    makers = {role.oid: role for roles in (*creators.values(), temporary) for role in roles}
    for function in facts.functions.values():
        if not function.definer or function.language in ("c", "internal") or _is_bound(function):
            continue
        callers = tuple(
            role
            for role in subject.app_roles
            if function.owner not in facts.acts_as(role.oid)
            and (function.oid in set_off or facts.may_execute(role.oid, function))
        )
        path = _path(function)
        able = [role for role in callers if role.oid in makers]
        if not callers:
            continue
        if path is None:
            message = "it looks for what it names along its caller's search_path"
        elif any(able_ in creators.get(schema, ()) for schema in path for able_ in able):
            message = f"{roles_named(tuple(able))} can make objects in a schema of its search_path"
        elif temporary and path[-1:] != ["pg_temp"] and (bare := subject.reach.bare(function)):
            message = f"a caller's temporary table stands in for {listed(sorted(bare))}"
        else:
            continue
        safe = [s for s in path or [function.schema] if s != "pg_temp" and not creators.get(s)]
        names = ", ".join(quote(schema) for schema in (*(safe or ["pg_catalog"]), "pg_temp"))
        yield Problem(
            function.label,
            message,
            f"ALTER ROUTINE {function.sql} SET search_path = {names};",
            None if able else "warning",
        )


def _is_bound(function: Function) -> bool:
    """Whether its names were looked up when it was made (a body of the SQL standard)."""
    return function.language == "sql" and function.body.lstrip().startswith(
        ("BEGIN ATOMIC", "RETURN ")
    )


def _path(function: Function) -> list[str] | None:
    text = function.settings.get("search_path")
    if text is None:
        return None
    return [part for part in (p.strip().strip('"') for p in text.split(",")) if part]


def _may_make_temporary(subject: Subject, role: Role) -> bool:
    facts = subject.facts
    acting = facts.acts_as(role.oid)
    return (
        role.superuser
        or facts.server.database_owner in acting
        or any(
            "TEMPORARY" in grant.privileges and (grant.grantee == 0 or grant.grantee in acting)
            for grant in facts.grants
            if grant.object_class == "database"
        )
    )


RULE = Rule(
    name="secdef-path",
    severity="error",
    group="Code",
    title="A SECURITY DEFINER function can be led to its caller's objects",
    why=(
        "A function looks up what it names along `search_path`, which its caller sets unless the "
        "function does. Who can make a table, a function or an operator anywhere, and be it a "
        "temporary table, puts it before the real one, and the function uses it with its owner's "
        "rights. Fix the path to schemas that only owners write, with `pg_temp` last: where it "
        "is not named, it comes first, which is reported for bodies that name a table without "
        "its schema. A warning while the app's roles can make no objects. "
        "Bodies of the SQL standard (`BEGIN ATOMIC`) are looked up when they are made."
    ),
    sources=(
        "CVE-2018-1058",
        "CVE-2007-2138",
        "https://www.postgresql.org/docs/current/sql-createfunction.html",
    ),
    bad="""
SET LOCAL search_path = shop, public;
DO $$ BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO shop_app', current_database());
END $$;
CREATE TABLE shop.words (word text);
ALTER TABLE shop.words OWNER TO shop_owner;
CREATE FUNCTION shop.note(text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    INSERT INTO words VALUES ($1)
$$;
ALTER FUNCTION shop.note(text) OWNER TO shop_owner;
""",
    good="""
CREATE TABLE shop.words (word text);
ALTER TABLE shop.words OWNER TO shop_owner;
CREATE FUNCTION shop.note(text) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = shop, pg_temp AS $$
    INSERT INTO words VALUES ($1)
$$;
REVOKE EXECUTE ON FUNCTION shop.note(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.note(text) TO shop_app;
ALTER FUNCTION shop.note(text) OWNER TO shop_owner;
""",
    check=check,
)
