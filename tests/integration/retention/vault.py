"""A domain whose rows are archived: customers, their invoices, lines, and notes about either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import peewee
import psycopg2
from psycopg2 import sql

from api.lint_catalog import lint_catalog
from api.wiring import Installation
from lint.row_condition import make_row_check
from retention import holds
from retention.hold_scopes import TENANT, Ground, Scope
from retention.policies import Policy
from retention.policy_file import parse_policies
from retention.restoring import Wish, archived_batches, restore
from tenants.archive import archive_of, create_archives, restorable_statements
from tenants.catalog import SoftReference, TableName, catalog_of
from tenants.context import TenantId
from tenants.models import ForeignKeyField, InstantField, TenantModel, TextField, UUIDField, new_id
from tenants.schema import create_tables, execute

from .conftest import LATELY, LONG_AGO, Lab


class _Firm(TenantModel):
    class Meta:
        schema = "firm"


class Customer(_Firm):
    left_at = InstantField(null=True)

    class Meta:
        table_name = "customers"
        indexes = ((("left_at",), False),)


class Invoice(_Firm):
    customer = ForeignKeyField(Customer)
    issued_at = InstantField(null=True)

    class Meta:
        table_name = "invoices"
        indexes = ((("issued_at",), False),)


class Line(_Firm):
    invoice = ForeignKeyField(Invoice)
    made_at = InstantField(null=True)

    class Meta:
        table_name = "lines"
        indexes = ((("made_at",), False),)


class Note(_Firm):
    about = TextField()
    subject_id = UUIDField()
    written_at = InstantField(null=True)

    class Meta:
        table_name = "notes"
        indexes = ((("subject_id",), False), (("written_at",), False))
        soft_references = (
            SoftReference(
                column="subject_id",
                kind_column="about",
                targets=(
                    ("customer", TableName("firm", "customers")),
                    ("invoice", TableName("firm", "invoices")),
                ),
            ),
        )


MODELS = (Customer, Invoice, Line, Note)
ARCHIVES = tuple(archive_of(model, schema="vault") for model in MODELS)
CATALOG = catalog_of((*MODELS, *ARCHIVES))
GROUND = Ground(CATALOG, make_row_check(lint_catalog(CATALOG)))

_POLICY = """
[[policy]]
name = "{name}"
table = "{table}"
starts = "{starts}"
period = "P1Y"
legal_basis = "test"
class = "test"
"""
ARCHIVING = (
    _POLICY.format(name="invoices", table="firm.invoices", starts="issued_at")
    + 'action = "archive"\narchive = "vault"\nwith = ["firm.lines", "firm.notes"]\n'
)
DELETING = {
    name: _POLICY.format(name=name, table=f"firm.{name}", starts=starts)
    for name, starts in (("notes", "written_at"), ("lines", "made_at"), ("customers", "left_at"))
}
OF_ARCHIVES = "".join(
    _POLICY.format(name=f"vault-{name}", table=f"vault.{name}", starts="archived_at")
    for name in ("customers", "invoices", "lines", "notes")
)


def policies(*texts: str) -> tuple[Policy, ...]:
    return parse_policies("".join(texts), CATALOG)


def table(name: str) -> TableName:
    return TableName.parse(name)


def create_firm(installation: Installation) -> Iterator[Lab]:
    """Yield the lab's ways to arrange rows, on these tables."""
    db = peewee.PostgresqlDatabase(installation.settings.role_url("tenure_owner"))
    with db.atomic():
        create_tables(db, MODELS)
        create_archives(db, ARCHIVES)
        execute(db, *restorable_statements(MODELS))
    db.close()
    owner = psycopg2.connect(installation.settings.role_url("tenure_owner"))
    try:
        yield Lab(installation, owner, catalog=CATALOG)
    finally:
        owner.close()


def add(firm: Lab, tenant: TenantId, name: str, **values: Any) -> str:
    """Insert a row into `schema.table`; return its id. Archived rows came long ago."""
    row = {"id": str(new_id()), "tenant_id": str(tenant), **values}
    if name.startswith("vault."):
        row = {"archived_at": LONG_AGO, "archived_batch": str(new_id()), **row}
    with firm.owner, firm.owner.cursor() as cursor:
        cursor.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(*name.split(".")),
                sql.SQL(", ").join(map(sql.Identifier, row)),
                sql.SQL(", ").join(map(sql.Literal, row.values())),
            )
        )
    return str(row["id"])


def archived(firm: Lab, tenant: TenantId) -> dict[str, str]:
    """Add a customer whose invoice a policy archived with line and note; return their ids."""
    customer = add(firm, tenant, "firm.customers")
    invoice = add(firm, tenant, "firm.invoices", customer_id=customer, issued_at=LONG_AGO)
    line = add(firm, tenant, "firm.lines", invoice_id=invoice, made_at=LATELY)
    note = add(firm, tenant, "firm.notes", about="invoice", subject_id=invoice, written_at=LATELY)
    assert firm.run(firm.shop(policies=policies(ARCHIVING))).rows == 3
    firm.sql("UPDATE vault.invoices SET archived_at = %s", (LONG_AGO,))
    firm.sql("UPDATE vault.lines SET archived_at = %s", (LONG_AGO,))
    firm.sql("UPDATE vault.notes SET archived_at = %s", (LONG_AGO,))
    return {"customer": customer, "invoice": invoice, "line": line, "note": note}


def ids(firm: Lab, name: str) -> set[str]:
    query = sql.SQL("SELECT id::text FROM {}").format(sql.Identifier(*name.split(".")))
    return {row[0] for row in firm.sql(query)}  # type: ignore[arg-type]  # Composable is fine


def hold(firm: Lab, tenant: TenantId, scope: Scope = TENANT) -> UUID:
    return holds.place(
        firm.installation.retention, tenant, scope,
        matter="M-1", reason="litigation", actor="test", ground=GROUND,
    )  # fmt: skip


def bring_back(firm: Lab, trace_id: str, tenant: TenantId, *, days: int = 30) -> dict[str, int]:
    """Restore all that a run archived of a tenant, for so many days; return rows per table."""
    with firm.installation.verifier.transaction(None, read_only=True) as cursor:
        batches = archived_batches(cursor, trace_id, tenant)
    back: Counter[str] = Counter()
    wish = Wish("ticket", "ann", datetime.now(UTC) + timedelta(days=days))
    for batch in batches:
        back += Counter(restore(firm.installation.retention, CATALOG, batch, wish))
    return dict(back)


def subject(name: str, row_id: str) -> Scope:
    return Scope("subject", table(name), subject=UUID(row_id))
