"""A foreign key between tenant tables does not carry the tenant."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.keys import composite, may_set, tenantless_foreign_keys
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield such keys where the app may set them; those that pass on changes are fk-cascade."""
    for key in tenantless_foreign_keys(subject):
        if key.effect is None and may_set(
            subject, key.child, key.constraint.columns, "INSERT", "UPDATE"
        ):
            names = ", ".join(key.child.names(key.constraint.columns))
            yield Problem(
                key.label,
                f"{names} may refer to another tenant's row in {key.target.label}",
                composite(subject, key),
            )


RULE = Rule(
    name="fk-single",
    severity="error",
    group="Constraints",
    title="A foreign key lets a row refer to another tenant's row",
    why=(
        "PostgreSQL checks foreign keys against all rows, whatever the policies say. With a key "
        "on the id alone a tenant can link its row to one of another tenant's, which that tenant "
        "can then not delete, and by trying learns which ids exist. With the tenant in the key "
        "on both sides, another tenant's row and a missing one look alike. Columns that hold "
        "NULL are not checked, so the tenant column must be NOT NULL. The fix takes a lock while "
        "it checks the rows, and fails where links across tenants exist already."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-rowsecurity.html",),
    bad="""
CREATE TABLE shop.notes (
    tenant_id uuid NOT NULL REFERENCES shop.tenants,
    id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE shop.notes OWNER TO shop_owner;
ALTER TABLE shop.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.notes TO shop_app
    USING (tenant_id = (SELECT shop.current_tenant()));
GRANT SELECT, INSERT, DELETE ON shop.notes TO shop_app;

CREATE UNIQUE INDEX invoices_id ON shop.invoices (id);
ALTER TABLE shop.notes ADD FOREIGN KEY (invoice_id) REFERENCES shop.invoices (id);
""",
    good="""
CREATE TABLE shop.notes (
    tenant_id uuid NOT NULL REFERENCES shop.tenants,
    id uuid NOT NULL,
    invoice_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES shop.invoices (tenant_id, id)
);
ALTER TABLE shop.notes OWNER TO shop_owner;
ALTER TABLE shop.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.notes TO shop_app
    USING (tenant_id = (SELECT shop.current_tenant()));
GRANT SELECT, INSERT, DELETE ON shop.notes TO shop_app;
""",
    check=check,
)
