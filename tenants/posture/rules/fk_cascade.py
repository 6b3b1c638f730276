"""Deleting or changing a row changes rows of another tenant that refer to it."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.keys import composite, may_set, tenantless_foreign_keys
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield foreign keys without the tenant whose actions the app can set off."""
    for key in tenantless_foreign_keys(subject):
        if key.effect is None:
            continue
        command, what = key.effect
        linked = may_set(subject, key.child, key.constraint.columns, "INSERT", "UPDATE")
        yield Problem(
            key.label,
            f"a tenant's {command} on {key.target.label} {what} rows of {key.child.label} that "
            "refer to it, whose ever they are",
            composite(subject, key),
            None if linked else "warning",
        )


RULE = Rule(
    name="fk-cascade",
    severity="error",
    group="Constraints",
    title="A cascade reaches rows of another tenant",
    why=(
        "ON DELETE and ON UPDATE actions run as the owner of the table that refers, and their "
        "check of rows is exempt from policies. Where the key does not carry the tenant, one "
        "tenant's row can refer to another's, and deleting the one removes the other: rows are "
        "gone that the deleting tenant never saw. A warning where the app cannot write the "
        "referring columns, so that no such link can come about through it."
    ),
    sources=(
        "https://www.postgresql.org/docs/current/ddl-rowsecurity.html",
        "https://www.postgresql.org/docs/current/ddl-constraints.html",
    ),
    bad="""
CREATE UNIQUE INDEX customers_id ON shop.customers (id);
ALTER TABLE shop.invoices DROP CONSTRAINT invoices_tenant_id_customer_id_fkey;
ALTER TABLE shop.invoices ADD FOREIGN KEY (customer_id)
    REFERENCES shop.customers (id) ON DELETE CASCADE;
""",
    good="""
ALTER TABLE shop.invoices DROP CONSTRAINT invoices_tenant_id_customer_id_fkey;
ALTER TABLE shop.invoices ADD FOREIGN KEY (tenant_id, customer_id)
    REFERENCES shop.customers (tenant_id, id) ON DELETE CASCADE;
""",
    check=check,
)
