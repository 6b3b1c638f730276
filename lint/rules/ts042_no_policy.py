"""No policy binds a tenant's table to the tenant."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import MadePolicy, MadeTable, Script
from lint.schema.policy import for_everybody, read, stacked, wide


def check(script: Script) -> Iterator[Problem]:
    """Yield tables with row-level security and no policy, and policies that admit all tenants."""
    for table, column, _ in script.owned_tables():
        hidden = script.hides(table.name, "CREATE", "POLICY")
        if table.created and table.security and not table.policies and not hidden:
            place = table.security_place or table.place
            yield problem(place, f"{table.name} has row-level security and no policy")
        for policy in table.policies.values():
            if column is None:
                yield from _through_parent(table, policy)
                continue
            found = read(table, column, policy)
            alone = for_everybody(policy) and policy.permissive
            # Beside one that binds the tenant it is TS044's.
            alone = alone and stacked(table, column, policy) is None
            if found is not None and alone and wide(found):
                yield problem(
                    policy.place, f"policy {policy.name} does not bind {column}: {found.reason}"
                )


def _through_parent(table: MadeTable, policy: MadePolicy) -> Iterator[Problem]:
    """Of a table without the column it is only known whether a policy asks for anything at all."""
    open_to_all = policy.using is not None and policy.using.strip("() ").lower() == "true"
    if open_to_all and policy.permissive and for_everybody(policy):
        yield problem(
            policy.place, f"policy {policy.name} does not bind {table.name} to its parent"
        )


RULE = Rule(
    code="TS042",
    name="no-policy",
    group="Schema",
    what="A tenant's table has row-level security without a policy that binds its tenant.",
    why=(
        "With none nobody but exempt roles reads the table, so sooner or later somebody becomes "
        "exempt. With one that does not ask for the tenant every tenant reads all rows."
    ),
    bad="CREATE POLICY everybody ON invoice FOR SELECT USING (status <> 'draft')",
    good=(
        "CREATE POLICY tenant ON invoice USING (tenant_id = (SELECT tenure.current_tenant()))\n"
        "    WITH CHECK (tenant_id = (SELECT tenure.current_tenant()))"
    ),
    mend="compare the tenant column with the current tenant; make other conditions RESTRICTIVE.",
    check_script=check,
)
