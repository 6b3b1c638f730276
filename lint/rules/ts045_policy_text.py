"""A policy that looks for the tenant in a text."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import Script
from tenants.policy_sql import parsed

_TRICKS = (
    exp.Like,
    exp.ILike,
    exp.SimilarTo,
    exp.RegexpLike,
    exp.RegexpILike,
    exp.StrPosition,
    exp.StartsWith,
    exp.Substring,
    exp.Left,
    exp.Right,
    exp.DPipe,
    exp.Concat,
    exp.Lower,
    exp.Upper,
    exp.Trim,
)


def check(script: Script) -> Iterator[Problem]:
    """Yield policies that search, cut or fold the tenant column as a text."""
    for table, column in script.tenant_tables():
        for policy in table.policies.values():
            for text in (policy.using, policy.check):
                tree = None if text is None else parsed(text)
                if tree is not None and _tricks(tree, column):
                    yield problem(
                        policy.place, f"policy {policy.name} compares {column} as part of a text"
                    )
                    break


def _tricks(tree: exp.Expr, column: str) -> bool:
    return any(
        used.name == column
        for node in tree.find_all(*_TRICKS)
        for used in node.find_all(exp.Column)
    )


RULE = Rule(
    code="TS045",
    name="policy-text",
    group="Schema",
    what="A policy searches for the tenant in a text, or compares a part of it.",
    why=(
        "`LIKE`, `position`, concatenation and folding match more than the one tenant: `12` "
        "stands in `112`, `%` matches all, and `A` is not `a`. They use no index either."
    ),
    bad=(
        "CREATE POLICY tenant ON invoice\n"
        "    USING (current_setting('app.tenants') LIKE '%' || tenant_id || '%')"
    ),
    good=(
        "CREATE POLICY tenant ON invoice\n"
        "    USING (tenant_id = ANY (string_to_array(current_setting('app.tenants'), ',')::uuid[]))"
    ),
    mend="compare whole values, by `=` or `= ANY`, in the column's own type.",
    check_script=check,
)
