"""A tenant column that may be NULL."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import Script


def check(script: Script) -> Iterator[Problem]:
    """Yield tenant columns that are made nullable, or created so."""
    for table, column in script.tenant_tables():
        made = table.columns.get(column)
        if made is not None and made.nullable and table.partition_of is None:
            yield problem(made.place, f"{table.name.name}.{column} may be NULL")


RULE = Rule(
    code="TS049",
    name="tenant-nullable",
    group="Schema",
    what="The tenant column may be NULL.",
    why=(
        "A row without a tenant is nobody's: no policy shows it, unique and foreign keys with a "
        "NULL in them hold nothing, and `OR tenant_id IS NULL` gets written to find it again."
    ),
    bad="ALTER TABLE invoice ALTER COLUMN tenant_id DROP NOT NULL",
    good="ALTER TABLE invoice ALTER COLUMN tenant_id SET NOT NULL",
    mend="make it NOT NULL. Rows that all tenants share go to a table of their own.",
    check_script=check,
)
