"""A policy asks a function that looks for what it names where its caller says."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.paths import makers, path_of
from tenants.posture.records import Function, quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, listed, roles_named


def check(subject: Subject) -> Iterator[Problem]:
    """Yield such functions; an error where the app can make what is found instead."""
    asked: dict[int, Function] = {}
    for policy, _ in subject.policies:
        for function in subject.policies_judged.reads(policy)[1]:
            asked[function.oid] = function
    able = tuple(makers(subject).values())
    for function in asked.values():
        # Definers are secdef-path; of the others one that is fixed is not led astray.
        if function.definer or path_of(function) is not None:
            continue
        bare = subject.reach.names.bare(function) | subject.reach.names.bare_calls(function)
        if not bare:
            continue
        yield Problem(
            function.label,
            f"policies ask it, and it looks for {listed(sorted(bare))} along its caller's"
            " search_path"
            + (f": {roles_named(able)} can make another in its place" if able else ""),
            f"ALTER ROUTINE {function.sql} SET search_path = {quote(function.schema)}, pg_temp;",
            None if able else "warning",
        )


RULE = Rule(
    name="policy-path",
    severity="error",
    group="Tables and policies",
    title="A policy asks a function that its caller can lead astray",
    why=(
        "A policy is bound to what it names when it is made, the body of a function in SQL or "
        "PL/pgSQL is not: a table or a function that it names without a schema is looked up "
        "along `search_path`, which its caller sets. Who can make a table, and be it a temporary "
        "one, answers for the real table of memberships. Write names with their schema, fix "
        "search_path, with `pg_temp` last, or use a body of the SQL standard (`BEGIN ATOMIC`). A "
        "function that has its path fixed is called and not inlined: qualified names are faster."
    ),
    sources=(
        "CVE-2018-1058",
        "https://www.postgresql.org/docs/current/sql-createfunction.html",
    ),
    bad="""
DO $$ BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO shop_app', current_database());
END $$;
CREATE TABLE shop.members (tenant_id uuid NOT NULL, person text NOT NULL);
ALTER TABLE shop.members OWNER TO shop_owner;
ALTER TABLE shop.members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON shop.members TO shop_app
    USING (person = current_setting('app.person', true));
GRANT SELECT ON shop.members TO shop_app;
SET LOCAL search_path = shop;
CREATE FUNCTION shop.is_member(t uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM members m
                   WHERE m.tenant_id = t AND m.person = current_setting('app.person', true))
$$;
ALTER FUNCTION shop.is_member(uuid) OWNER TO shop_owner;
ALTER POLICY app ON shop.invoices USING (shop.is_member(tenant_id));
""",
    good="""
CREATE TABLE shop.members (tenant_id uuid NOT NULL, person text NOT NULL);
ALTER TABLE shop.members OWNER TO shop_owner;
ALTER TABLE shop.members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON shop.members TO shop_app
    USING (person = current_setting('app.person', true));
GRANT SELECT ON shop.members TO shop_app;
CREATE FUNCTION shop.is_member(t uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM shop.members m
                   WHERE m.tenant_id = t AND m.person = current_setting('app.person', true))
$$;
ALTER FUNCTION shop.is_member(uuid) OWNER TO shop_owner;
ALTER POLICY app ON shop.invoices USING (shop.is_member(tenant_id));
""",
    check=check,
)
