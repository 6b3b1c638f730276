"""No policy binds a tenant's table to the tenant."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import Script
from lint.schema.policy import for_everybody, read, stacked, wide


def check(script: Script) -> Iterator[Problem]:
    """Yield tables with row-level security and no policy, and policies that admit all tenants."""
    hidden = script.hides("CREATE", "POLICY")
    for table, column in script.tenant_tables():
        if table.created and table.security and not table.policies and not hidden:
            place = table.security_place or table.place
            yield problem(place, f"{table.name} has row-level security and no policy")
        for policy in table.policies.values():
            found = read(table, column, policy)
            alone = for_everybody(policy) and policy.permissive
            # Beside one that binds the tenant it is TS044's.
            alone = alone and stacked(table, column, policy) is None
            if found is not None and alone and wide(found):
                yield problem(
                    policy.place, f"policy {policy.name} does not bind {column}: {found.reason}"
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
