"""A policy that does not keep the app to one tenant."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.policies import alter, label_of
from tenants.posture.rule import Problem, Rule, Severity
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield policies by which the app reads more than its tenant's rows, and no other is there."""
    judged = subject.policies_judged
    for policy, relation, role, found in judged.wide():
        if judged.beside(policy, relation, role) or relation.oid == subject.registry:
            continue  # policy-stack, tenants-open
        usual = judged.usual(relation)
        severity: Severity = "error" if found.kind == "open" else "warning"
        yield Problem(
            label_of(policy, relation),
            f"it does not keep {role.name} to one tenant: {found.reason}",
            alter(policy, relation, f"USING ({usual})") if usual else None,
            severity,
        )


RULE = Rule(
    name="policy-true",
    severity="error",
    group="Tables and policies",
    title="A policy that does not keep the app to one tenant",
    why=(
        "The policy is there and lets every row pass: it is constant, a condition is joined "
        "by OR, the row is compared with itself, or a missing context opens it (`setting IS "
        "NULL OR ..`). Judged by what the expression means, and for the app's roles alone: a "
        "policy for a role that checks all tenants is meant so. Rows chosen by something "
        "other than the tenant, and a condition on the session that opens all, are warnings."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-createpolicy.html",),
    bad="""\
ALTER POLICY app ON shop.invoices USING (
    coalesce(current_setting('app.tenant_id', true), '') = ''
    OR tenant_id = shop.current_tenant()
);""",
    good="""\
ALTER POLICY app ON shop.invoices USING (tenant_id = shop.current_tenant());
CREATE ROLE shop_checker LOGIN;
CREATE POLICY checker ON shop.invoices FOR SELECT TO shop_checker USING (true);""",
    check=check,
)
