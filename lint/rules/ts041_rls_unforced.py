"""Row-level security does not bind the owner."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import Script


def check(script: Script) -> Iterator[Problem]:
    """Yield tenants' tables with row-level security that is not forced."""
    for table, _, _ in script.owned_tables():
        hidden = script.hides(table.name, "FORCE", "ROW LEVEL SECURITY")
        if table.forced is False and table.security_place is not None:
            yield problem(table.security_place, f"policies of {table.name} no more bind its owner")
        elif table.created and table.security and not table.forced and not hidden:
            place = table.security_place or table.place
            yield problem(
                place, f"policies of {table.name} do not bind its owner: FORCE is missing"
            )


RULE = Rule(
    code="TS041",
    name="rls-unforced",
    group="Schema",
    what="Row-level security of a tenant's table is enabled and not forced.",
    why=(
        "Policies do not hold for the owner of a table, nor for its views and SECURITY DEFINER "
        "functions, unless the table is forced. Many applications connect as the owner."
    ),
    bad="ALTER TABLE invoice NO FORCE ROW LEVEL SECURITY",
    good="ALTER TABLE invoice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    mend="add FORCE ROW LEVEL SECURITY; give the owner a policy of its own if it needs one.",
    check_script=check,
)
