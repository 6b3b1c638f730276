"""A policy compares the tenant by a pattern."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from tenants.policy_sql import parsed
from tenants.posture.policies import alter, label_of
from tenants.posture.records import Policy, Relation
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject

_PATTERNS = (exp.Like, exp.ILike, exp.RegexpLike, exp.RegexpILike, exp.SimilarTo)


def check(subject: Subject) -> Iterator[Problem]:
    """Yield policies that compare the tenant with a pattern that is not constant."""
    for policy, relation in subject.policies:
        clauses = [
            f"{clause} ({usual})"
            for clause, text in (("USING", policy.using), ("WITH CHECK", policy.check))
            if (usual := subject.policies_judged.usual(relation)) and text is not None
        ]
        if _matches(subject, policy, relation):
            yield Problem(
                label_of(policy, relation),
                "it compares the tenant by a pattern: % and _ in the context match other tenants",
                alter(policy, relation, " ".join(clauses)) if clauses else None,
            )


def _matches(subject: Subject, policy: Policy, relation: Relation) -> bool:
    column = subject.tenant_column(relation)
    for text in (policy.using, policy.check):
        tree = parsed(text) if text is not None else None
        for like in tree.find_all(*_PATTERNS) if tree is not None else ():
            named = {found.name for found in like.this.find_all(exp.Column)}
            if column in named and not isinstance(like.expression.unnest(), exp.Literal):
                return True
    return False


RULE = Rule(
    name="policy-like",
    severity="error",
    group="Tables and policies",
    title="A policy compares the tenant by a pattern",
    why=(
        "LIKE and its kin read % and _ in the value as wildcards: tenant `a_b` sees `axb`, "
        "and a context of `%` sees everything. LIKE is not leakproof either, so no index "
        "serves it."
    ),
    sources=("https://www.postgresql.org/docs/current/functions-matching.html",),
    bad="""\
ALTER POLICY app ON shop.invoices USING (
    tenant_id::text LIKE current_setting('app.tenant_id', true)
);""",
    good="""\
ALTER POLICY app ON shop.invoices USING (tenant_id = (SELECT shop.current_tenant()));""",
    check=check,
)
