"""Permissive policies are ORed."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import Script
from lint.schema.policy import read, stacked, wide


def check(script: Script) -> Iterator[Problem]:
    """Yield permissive policies that open what another one of the same role binds."""
    for table, column in script.tenant_tables():
        for policy in table.policies.values():
            found = read(table, column, policy)
            if found is None or not wide(found):
                continue
            other = stacked(table, column, policy)
            if other is not None:
                yield problem(
                    policy.place,
                    f"policies {other.name} and {policy.name} are both permissive: a row that "
                    f"one of them admits is seen, and {policy.name} does not bind {column}",
                )


RULE = Rule(
    code="TS044",
    name="policy-stacking",
    group="Schema",
    what="A second permissive policy admits rows beside the tenant's.",
    why=(
        "Permissive policies are combined with OR. One more, meant as a further condition, opens "
        "the table to what it admits by itself, in every tenant."
    ),
    bad=(
        "CREATE POLICY tenant ON invoice USING (tenant_id = (SELECT tenure.current_tenant()));\n"
        "CREATE POLICY published ON invoice USING (status = 'published');"
    ),
    good=(
        "CREATE POLICY tenant ON invoice USING (tenant_id = (SELECT tenure.current_tenant()));\n"
        "CREATE POLICY published ON invoice AS RESTRICTIVE USING (status = 'published');"
    ),
    mend="make the further policy AS RESTRICTIVE, or AND its condition into the first.",
    check_script=check,
)
