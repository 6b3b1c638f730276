"""A reference that can lead into another tenant."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, problem
from lint.schema.ddl_script import Script


def check(script: Script) -> Iterator[Problem]:
    """Yield foreign keys between tenants' tables that lack the tenant column."""
    for table, column in script.tenant_tables():
        for key in table.foreign_keys:
            if column in key.columns:
                continue
            target = script.tenant_of(key.target)
            if target is not None:
                yield problem(
                    key.place,
                    f"{', '.join(key.columns)} may refer to another tenant's {key.target.name}: "
                    f"the key lacks {column}",
                )


RULE = Rule(
    code="TS048",
    name="foreign-key-without-tenant",
    group="Schema",
    what="A foreign key between tenants' tables lacks the tenant column.",
    why=(
        "Foreign keys are checked past row-level security: a row can refer to another tenant's, "
        "joins over the key then leave the tenant, and an error or its absence tells which ids "
        "exist elsewhere."
    ),
    bad=(
        "ALTER TABLE invoice ADD CONSTRAINT of_customer\n"
        "    FOREIGN KEY (customer_id) REFERENCES customer (id)"
    ),
    good=(
        "ALTER TABLE invoice ADD CONSTRAINT of_customer\n"
        "    FOREIGN KEY (tenant_id, customer_id) REFERENCES customer (tenant_id, id)"
    ),
    mend=(
        "make the key `(tenant_id, x_id)` to a unique `(tenant_id, id)`. With a nullable x_id use "
        "ON DELETE SET NULL (x_id), so that the tenant stays."
    ),
    check_script=check,
)
