"""A SECURITY DEFINER function finds what it names where its caller says."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.paths import creators, is_bound, makers, path_of, temporary
from tenants.posture.records import quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, listed, roles_named


def check(subject: Subject) -> Iterator[Problem]:
    """Yield such functions without a safe search_path; an error where the app can make objects."""
    facts = subject.facts
    set_off = {trigger.function for trigger in facts.triggers if trigger.enabled}
    creating, temporarily, able_at_all = creators(subject), temporary(subject), makers(subject)
    for function in facts.functions.values():
        if not function.definer or function.language in ("c", "internal") or is_bound(function):
            continue
        callers = tuple(
            role
            for role in subject.app_roles
            if function.owner not in facts.acts_as(role.oid)
            and (function.oid in set_off or facts.may_execute(role.oid, function))
        )
        path = path_of(function)
        able = [role for role in callers if role.oid in able_at_all]
        if not callers:
            continue
        if path is None:
            message = "it looks for what it names along its caller's search_path"
        elif any(able_ in creating.get(schema, ()) for schema in path for able_ in able):
            message = f"{roles_named(tuple(able))} can make objects in a schema of its search_path"
        elif (
            temporarily
            and path[-1:] != ["pg_temp"]
            and (bare := subject.reach.names.bare(function))
        ):
            message = f"a caller's temporary table stands in for {listed(sorted(bare))}"
        else:
            continue
        safe = [s for s in path or [function.schema] if s != "pg_temp" and not creating.get(s)]
        names = ", ".join(quote(schema) for schema in (*(safe or ["pg_catalog"]), "pg_temp"))
        yield Problem(
            function.label,
            message,
            f"ALTER ROUTINE {function.sql} SET search_path = {names};",
            None if able else "warning",
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
