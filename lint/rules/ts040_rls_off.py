"""A tenant's table without row-level security."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import Script


def check(script: Script) -> Iterator[Problem]:
    """Yield tenants' tables that are created without it, or lose it."""
    for table, _, owned in script.owned_tables():
        hidden = script.hides(table.name, "ENABLE", "ROW LEVEL SECURITY")
        if table.security is False and table.security_place is not None:
            yield problem(
                table.security_place, f"row-level security of {table.name} is switched off"
            )
        elif table.created and not table.security and not hidden and table.partition_of is None:
            yield problem(table.place, f"{table.name} {owned} no row-level security in this file")


RULE = Rule(
    code="TS040",
    name="rls-off",
    group="Schema",
    what="A tenant's table is created without row-level security, or loses it.",
    why="Nothing in the database keeps a statement that forgot its WHERE from all tenants' rows.",
    bad=(
        "CREATE TABLE note (\n"
        "    tenant_id uuid NOT NULL REFERENCES tenants,\n"
        "    id uuid NOT NULL,\n"
        "    PRIMARY KEY (tenant_id, id)\n"
        ")"
    ),
    good=(
        "CREATE TABLE note (\n"
        "    tenant_id uuid NOT NULL REFERENCES tenants,\n"
        "    id uuid NOT NULL,\n"
        "    PRIMARY KEY (tenant_id, id)\n"
        ");\n"
        "ALTER TABLE note ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\n"
        "CREATE POLICY tenant ON note USING (tenant_id = (SELECT tenure.current_tenant()))\n"
        "    WITH CHECK (tenant_id = (SELECT tenure.current_tenant()));"
    ),
    mend="enable and force it, and give the table its policy, in the file that creates it.",
    check_script=check,
)
