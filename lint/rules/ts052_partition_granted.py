"""A partition that is reached past its parent."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import Script


def check(script: Script) -> Iterator[Problem]:
    """Yield grants on partitions of tenants' tables that have no row-level security themselves."""
    for table in script.tables.values():
        parent = table.partition_of
        if parent is None or table.security or script.tenant_of(parent) is None:
            continue
        for roles, place in table.granted:
            yield problem(place, f"{roles} reaches {table.name} past the policies of {parent.name}")


RULE = Rule(
    code="TS052",
    name="partition-granted",
    group="Schema",
    what="A partition of a tenant's table is granted.",
    why=(
        "The policies of a partitioned table hold for statements that name it. A statement that "
        "names the partition is bound by the partition's own, of which it has none."
    ),
    bad=(
        "CREATE TABLE invoice_2027 PARTITION OF invoice FOR VALUES FROM ('2027-01-01') "
        "TO ('2028-01-01');\n"
        "GRANT SELECT ON invoice_2027 TO app;"
    ),
    good=(
        "CREATE TABLE invoice_2027 PARTITION OF invoice FOR VALUES FROM ('2027-01-01') "
        "TO ('2028-01-01');\n"
        "GRANT SELECT ON invoice TO app;"
    ),
    mend="grant the parent alone; its partitions need no grant.",
    check_script=check,
)
