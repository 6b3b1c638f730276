"""A policy that lets rows be written into other tenants."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import Script
from lint.schema.policy import for_everybody, read, wide, written


def check(script: Script) -> Iterator[Problem]:
    """Yield permissive policies whose check on new rows is wider than the tenant."""
    for table, column in script.tenant_tables():
        for policy in table.policies.values():
            found = written(table, column, policy)
            if found is None or not wide(found) or not policy.permissive:
                continue
            reading = read(table, column, policy)
            # One as wide for reading is TS042's or TS044's, or a role's declared power.
            narrower = reading is not None and not wide(reading)
            if narrower or (policy.command == "INSERT" and for_everybody(policy)):
                yield problem(
                    policy.place,
                    f"policy {policy.name} admits new rows of any tenant: {found.reason}",
                )


RULE = Rule(
    code="TS043",
    name="no-with-check",
    group="Schema",
    what="A policy restricts what is read to the tenant, and not what is written.",
    why=(
        "A session can put rows into another tenant, or move its own there. (Without WITH CHECK "
        "the USING expression also decides about new rows, which is in order.)"
    ),
    bad=(
        "CREATE POLICY tenant ON invoice USING (tenant_id = (SELECT tenure.current_tenant()))\n"
        "    WITH CHECK (true)"
    ),
    good=(
        "CREATE POLICY tenant ON invoice USING (tenant_id = (SELECT tenure.current_tenant()))\n"
        "    WITH CHECK (tenant_id = (SELECT tenure.current_tenant()))"
    ),
    mend="say the same in WITH CHECK as in USING.",
    check_script=check,
)
