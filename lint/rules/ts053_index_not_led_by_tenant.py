"""An index that does not begin with the tenant."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import Script


def check(script: Script) -> Iterator[Problem]:
    """Yield B-tree indexes of tenants' tables that another column leads."""
    for table, column in script.tenant_tables():
        if script.one_row_each(table, column):
            continue
        for key in table.keys:
            if key.kind == "index" and key.method == "btree" and key.columns[0] != column:
                yield problem(key.place, f"the index does not begin with {column}")


RULE = Rule(
    code="TS053",
    name="index-not-led-by-tenant",
    group="Schema",
    what="An index of a tenant's table does not begin with the tenant column.",
    why=(
        "Every statement restricts the tenant. An index led by another column reads all tenants' "
        "entries and throws the others away: the small tenant pays for the large one."
    ),
    bad="CREATE INDEX invoice_status ON invoice (status)",
    good="CREATE INDEX invoice_status ON invoice (tenant_id, status)",
    mend=(
        "put the tenant column first. An index that serves work across tenants on purpose is "
        "allowed with that reason."
    ),
    check_script=check,
)
