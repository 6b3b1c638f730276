"""A policy casts the tenant column."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from tenants.policy_sql import parsed
from tenants.posture.policies import alter, casts_of, label_of
from tenants.posture.records import Column
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield policies that cast the tenant column where they compare it."""
    for policy, relation in subject.policies:
        name = subject.tenant_column(relation)
        column = relation.column(name) if name else None
        tree = parsed(policy.using) if policy.using is not None else None
        if column is None or tree is None or not casts_of(tree, column):
            continue
        usual = subject.policies_judged.usual(relation) or _mended(tree, column)
        yield Problem(
            label_of(policy, relation),
            f"it casts {column.name} in every row, so that no index on it serves",
            alter(policy, relation, f"USING ({usual})") if usual else None,
        )


def _mended(tree: exp.Expr, column: Column) -> str | None:
    """The expression with the cast on the other side of `=`; None where it is elsewhere."""
    mended = tree.copy()
    for cast in casts_of(mended, column):
        inside: exp.Expr = cast
        while isinstance(inside.parent, exp.Paren):
            inside = inside.parent
        equal = inside.parent
        if not isinstance(equal, exp.EQ):
            return None
        other = equal.expression if equal.this is inside else equal.this
        other.replace(exp.cast(exp.paren(other.copy()), column.type, dialect="postgres"))
        inside.replace(cast.this.unnest().copy())
    return mended.sql(dialect="postgres")


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
