"""A policy that the audit cannot judge."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.facts import DML
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield tables of which it is not known what the app's roles see."""
    facts = subject.facts
    for table in subject.tenant_tables:
        for role in subject.apps_that(table, *DML):
            if not facts.bound_by(role.oid, table):
                continue
            found = subject.admits(role, table, "SELECT")
            if found.kind == "unknown":
                yield Problem(
                    table.label,
                    f"not judged what {role.name} sees of it: {found.reason}",
                )


RULE = Rule(
    name="policy-unjudged",
    severity="info",
    group="Tables and policies",
    title="A policy that the audit cannot judge",
    why=(
        "The policy asks a function whose body is not plain SQL, or uses a construct that is "
        "not followed. It may be right; nothing here shows that it is. A helper function in "
        "LANGUAGE sql is read and judged."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-createpolicy.html",),
    bad="""\
CREATE FUNCTION shop.may_see(tenant uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN tenant = shop.current_tenant();
END $$;
ALTER POLICY app ON shop.invoices USING (shop.may_see(tenant_id));""",
    good="""\
CREATE FUNCTION shop.may_see(tenant uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT tenant = shop.current_tenant()
$$;
ALTER POLICY app ON shop.invoices USING (shop.may_see(tenant_id));""",
    manual=("what is not understood is read by a person"),
    check=check,
)
