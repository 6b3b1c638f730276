"""A second policy opens what the first one bounds."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.policies import label_of
from tenants.posture.records import quote
from tenants.posture.rule import Problem, Rule, Severity
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield policies that open again what another permissive policy bounds."""
    judged = subject.policies_judged
    for policy, relation, role, found in judged.wide():
        beside = judged.beside(policy, relation, role)
        if beside:
            severity: Severity = "error" if found.kind == "open" else "warning"
            yield Problem(
                label_of(policy, relation),
                f"permissive policies add up: {found.reason}, whatever {beside.name} says",
                f"DROP POLICY {quote(policy.name)} ON {relation.sql};",
                severity,
            )


RULE = Rule(
    name="policy-stack",
    severity="error",
    group="Tables and policies",
    title="A second policy opens what the first one bounds",
    why=(
        "Permissive policies are joined by OR: a row that one of them admits is visible, "
        "however strict the others are. Conditions that all have to hold are policies AS "
        "RESTRICTIVE."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-createpolicy.html",),
    bad="""\
CREATE POLICY numbered ON shop.invoices FOR SELECT TO PUBLIC USING (number IS NOT NULL);""",
    good="""\
CREATE POLICY numbered ON shop.invoices AS RESTRICTIVE FOR SELECT TO PUBLIC
    USING (number <> '');""",
    check=check,
)
