"""An exclusion constraint over all tenants."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import Script


def check(script: Script) -> Iterator[Problem]:
    """Yield exclusion constraints of tenants' tables that do not compare the tenant by `=`."""
    for table, column in script.tenant_tables():
        if script.one_row_each(table, column):
            continue
        for key in table.keys:
            if key.kind == "exclude" and column not in key.columns:
                yield problem(
                    key.place,
                    f"rows of different tenants exclude each other: {column} is not compared by =",
                )


RULE = Rule(
    code="TS047",
    name="exclusion-without-tenant",
    group="Schema",
    what="An exclusion constraint of a tenant's table does not hold the tenant apart.",
    why=(
        "It is checked past row-level security: one tenant's booking keeps another from the "
        "same hour, and tells that it exists."
    ),
    bad=("ALTER TABLE invoice ADD CONSTRAINT one_number EXCLUDE USING gist (number WITH =)"),
    good=(
        "ALTER TABLE invoice ADD CONSTRAINT one_number\n"
        "    EXCLUDE USING gist (tenant_id WITH =, number WITH =)"
    ),
    mend="add `tenant_id WITH =` (for `gist` the extension btree_gist has the operators).",
    check_script=check,
)
