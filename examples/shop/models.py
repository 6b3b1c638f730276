"""The shop's tables. A row of each belongs to one tenant: a shop."""

from __future__ import annotations

from config.clock import utc_now
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


class _ShopModel(TenantModel):
    class Meta:
        schema = "shop"


class Customer(_ShopModel):
    """Known to people by its number. Deleting one through the API sets `deleted_at`."""

    number = TextField()
    name = TextField()
    email = TextField(null=True)
    country = TextField()
    created_at = InstantField(default=utc_now)
    deleted_at = InstantField(null=True)

    class Meta:
        table_name = "customers"
        indexes = ((("number",), True), (("deleted_at",), False))


class CustomerProfile(_ShopModel):
    """What only some customers tell: at most one for each."""

    customer = ForeignKeyField(Customer, backref="profiles", unique=True)
    birthday = DateField(null=True)
    newsletter = BooleanField(default=False)
    notes = TextField(null=True)

    class Meta:
        table_name = "customer_profiles"


class Category(_ShopModel):
    """A tree: a category without a parent is a root."""

    parent = ForeignKeyField("self", backref="children", null=True)
    name = TextField()

    class Meta:
        table_name = "categories"


class Product(_ShopModel):
    """`name` is empty until somebody describes it; `unit_price` is what it costs today."""

    sku = TextField()
    name = TextField(null=True)
    unit_price = DecimalField(max_digits=12, decimal_places=3)
    created_at = InstantField(default=utc_now)

    class Meta:
        table_name = "products"
        indexes = ((("sku",), True),)


class ProductCategory(_ShopModel):
    """A product stands in many categories, a category holds many products."""

    product = ForeignKeyField(Product, backref="product_categories")
    category = ForeignKeyField(Category, backref="product_categories")

    class Meta:
        table_name = "product_categories"
        indexes = ((("product", "category"), True),)


class Invoice(_ShopModel):
    """`total` is the sum over its lines of quantity times price, rounded half up."""

    number = TextField()
    customer = ForeignKeyField(Customer, backref="invoices", null=True)
    issued_at = InstantField()
    status = TextField(default="draft")
    currency = TextField(default="GBP")
    total = DecimalField(max_digits=14, decimal_places=2, default=0)

    class Meta:
        table_name = "invoices"
        indexes = ((("number",), True), (("issued_at",), False))
        checks = (
            ("status_check", "status IN ('draft', 'issued', 'paid', 'cancelled')"),
            ("currency_check", "currency ~ '^[A-Z]{3}$'"),
        )


class InvoiceLine(_ShopModel):
    """Keeps the description and the price of its day; a return has a negative quantity."""

    invoice = ForeignKeyField(Invoice, backref="lines")
    product = ForeignKeyField(Product, backref="invoice_lines")
    line_no = IntegerField()
    description = TextField(null=True)
    quantity = IntegerField()
    unit_price = DecimalField(max_digits=12, decimal_places=3)

    class Meta:
        table_name = "invoice_lines"
        indexes = ((("invoice", "line_no"), True),)


class Note(_ShopModel):
    """Something written down about a customer or an invoice; no constraint holds the two
    together, so the reference is declared."""

    subject_type = TextField()
    subject_id = UUIDField()
    body = TextField()
    created_at = InstantField(default=utc_now)

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
    """How far a file was imported: lines up to `through_line` are there, or were once.

    Written in the transaction that writes the lines. It holds no personal data and stays
    when they expire, so that a second import does not bring them back.
    """

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
