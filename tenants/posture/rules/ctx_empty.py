"""An empty context fails instead of hiding rows."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from tenants.policy_sql import parsed
from tenants.policy_sql.trees import bare
from tenants.posture.policies import alter, body, label_of
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject

_TEXTS = exp.DataType.TEXT_TYPES


def check(subject: Subject) -> Iterator[Problem]:
    """Yield policies, and functions that they ask, that cast a setting which may be empty."""
    functions: dict[int, Problem] = {}
    for policy, relation in subject.policies:
        for clause, text in (("USING", policy.using), ("WITH CHECK", policy.check)):
            tree = parsed(text) if text is not None else None
            if tree is not None and _casts(tree):
                yield Problem(
                    label_of(policy, relation),
                    "it casts a setting that is '' after a SET LOCAL: the cast then fails",
                    alter(policy, relation, f"{clause} ({_mended(tree)})"),
                )
        for function in subject.policies_judged.reads(policy)[1]:
            tree = body(function)
            if tree is not None and _casts(tree):
                functions[function.oid] = Problem(
                    function.label,
                    "it casts a setting that is '' after a SET LOCAL: the cast then fails;"
                    " put nullif(.., '') around the setting",
                )
    yield from functions.values()


def _unguarded(node: exp.Expr) -> bool:
    """A cast of a setting to something that '' is no value of."""
    if not isinstance(node, exp.Cast) or node.to.this in _TEXTS:
        return False
    inner = bare(node.this)
    return isinstance(inner, exp.Anonymous) and inner.name.lower() == "current_setting"


def _casts(tree: exp.Expr) -> bool:
    return any(_unguarded(node) for node in tree.find_all(exp.Cast))


def _mended(tree: exp.Expr) -> str:
    def mend(node: exp.Expr) -> exp.Expr:
        if _unguarded(node):
            node.set("this", exp.Nullif(this=node.this, expression=exp.Literal.string("")))
        return node

    return tree.transform(mend, copy=True).sql(dialect="postgres")


RULE = Rule(
    name="ctx-empty",
    severity="warning",
    group="Tables and policies",
    title="An empty context fails instead of hiding rows",
    why=(
        "Once a session has set a custom setting with SET LOCAL, it is '' after the "
        "transaction and not NULL. A cast of '' to uuid or integer raises an error in every "
        "query without a context, and the usual repair, an `OR` that lets the empty setting "
        "pass, opens the table. Write nullif(current_setting(.., true), '')."
    ),
    sources=("https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SET",),
    bad="""\
ALTER POLICY app ON shop.invoices USING (
    tenant_id = current_setting('app.tenant_id', true)::uuid
);""",
    good="""\
ALTER POLICY app ON shop.invoices USING (
    tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid
);""",
    check=check,
)
