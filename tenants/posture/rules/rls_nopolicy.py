"""Row-level security without a policy for the app."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.facts import DML
from tenants.posture.grants import revoke
from tenants.posture.records import quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, roles_named


def check(subject: Subject) -> Iterator[Problem]:
    """Yield tables that are closed to a role of the app which has grants on them."""
    facts = subject.facts
    for table in subject.tenant_tables:
        for role in subject.apps_that(table, *DML):
            if not facts.bound_by(role.oid, table):
                continue
            if any(policy.permissive for policy in facts.policies_for(role.oid, table)):
                continue
            others = [r for r in subject.app_roles if facts.policies_for(r.oid, table)]
            if others:
                # It is closed to this one alone, as a table is that is not for visitors.
                yield Problem(
                    table.label,
                    f"no policy admits {role.name}, as one does {roles_named(tuple(others))}: its"
                    " grants serve nothing",
                    revoke(facts, role, table, DML),
                    "info",
                )
                continue
            usual = subject.policies_judged.usual(table)
            fix = f"CREATE POLICY {quote(f'tenant_{role.name}')} ON {table.sql} TO "
            yield Problem(
                table.label,
                f"no policy admits {role.name}, which has grants: it sees no row",
                f"{fix}{quote(role.name)} USING ({usual});" if usual else None,
            )


RULE = Rule(
    name="rls-nopolicy",
    severity="warning",
    group="Tables and policies",
    title="Row-level security without a policy for the app",
    why=(
        "Without a permissive policy that applies to the role every row is hidden and every "
        "write fails. That is safe, and often ends with somebody switching row-level security "
        "off. Where other roles of the app have a policy it is an info: a grant without a use."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-rowsecurity.html",),
    bad="""\
DROP POLICY app ON shop.invoices;""",
    good="""\
ALTER POLICY app ON shop.invoices USING (tenant_id = (SELECT shop.current_tenant()));""",
    check=check,
)
