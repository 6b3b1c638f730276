"""The shop's first tables: frozen copies of its models, which may change after this."""

from __future__ import annotations

from typing import Any

from tenants.catalog import TableName
from tenants.models import (
    BooleanField,
    DateField,
    DecimalField,
    ForeignKeyField,
    InstantField,
    IntegerField,
    SoftReference,
    TenantModel,
    TextField,
    UUIDField,
)
from tenants.schema import create_tables, drop_tables


class _ShopModel(TenantModel):
    class Meta:
        schema = "shop"


class Customer(_ShopModel):
    number = TextField()
    name = TextField()
    email = TextField(null=True)
    country = TextField()
    created_at = InstantField()
    deleted_at = InstantField(null=True)

    class Meta:
        table_name = "customers"
        indexes = ((("number",), True), (("deleted_at",), False))


class CustomerProfile(_ShopModel):
    customer = ForeignKeyField(Customer, unique=True)
    birthday = DateField(null=True)
    newsletter = BooleanField()
    notes = TextField(null=True)

    class Meta:
        table_name = "customer_profiles"


class Category(_ShopModel):
    parent = ForeignKeyField("self", null=True)
    name = TextField()

    class Meta:
        table_name = "categories"


class Product(_ShopModel):
    sku = TextField()
    name = TextField(null=True)
    unit_price = DecimalField(max_digits=12, decimal_places=3)
    created_at = InstantField()

    class Meta:
        table_name = "products"
        indexes = ((("sku",), True),)


class ProductCategory(_ShopModel):
    product = ForeignKeyField(Product)
    category = ForeignKeyField(Category)

    class Meta:
        table_name = "product_categories"
        indexes = ((("product", "category"), True),)


class Invoice(_ShopModel):
    number = TextField()
    customer = ForeignKeyField(Customer, null=True)
    issued_at = InstantField()
    status = TextField()
    currency = TextField()
    total = DecimalField(max_digits=14, decimal_places=2)

    class Meta:
        table_name = "invoices"
        indexes = ((("number",), True), (("issued_at",), False))
        checks = (
            ("status_check", "status IN ('draft', 'issued', 'paid', 'cancelled')"),
            ("currency_check", "currency ~ '^[A-Z]{3}$'"),
        )


class InvoiceLine(_ShopModel):
    invoice = ForeignKeyField(Invoice)
    product = ForeignKeyField(Product)
    line_no = IntegerField()
    description = TextField(null=True)
    quantity = IntegerField()
    unit_price = DecimalField(max_digits=12, decimal_places=3)

    class Meta:
        table_name = "invoice_lines"
        indexes = ((("invoice", "line_no"), True),)


class Note(_ShopModel):
    subject_type = TextField()
    subject_id = UUIDField()
    body = TextField()
    created_at = InstantField()

    class Meta:
        table_name = "notes"
        indexes = ((("subject_id",), False), (("created_at",), False))
        checks = (("subject_type_check", "subject_type IN ('customer', 'invoice')"),)
        soft_references = (
            SoftReference(
                column="subject_id",
                kind_column="subject_type",
                targets=(
                    ("customer", TableName("shop", "customers")),
                    ("invoice", TableName("shop", "invoices")),
                ),
            ),
        )


class ImportedFile(_ShopModel):
    sha256 = TextField()
    name = TextField()
    through_line = IntegerField()
    lines_imported = IntegerField()
    started_at = InstantField()

    class Meta:
        table_name = "imported_files"
        indexes = ((("sha256",), True),)


MODELS = (
    Customer,
    CustomerProfile,
    Category,
    Product,
    ProductCategory,
    Invoice,
    InvoiceLine,
    Note,
    ImportedFile,
)


def up(migrator: Any, db: Any) -> None:
    """Create the schema `shop` and its tables."""
    create_tables(db, MODELS)


def down(migrator: Any, db: Any) -> None:
    """Drop them again, with all rows in them."""
    drop_tables(db, MODELS)
