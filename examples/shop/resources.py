"""What of the shop the API shows, and under which path."""

from __future__ import annotations

from shop.models import (
    Category,
    Customer,
    CustomerProfile,
    Invoice,
    InvoiceLine,
    Note,
    Product,
    ProductCategory,
)
from tenants.resource import Resource

RESOURCES = (
    Resource(Customer, "customers", read_only=("created_at", "deleted_at"), soft_delete=True),
    Resource(CustomerProfile, "customer-profiles"),
    Resource(Category, "categories"),
    Resource(Product, "products", read_only=("created_at",)),
    Resource(ProductCategory, "product-categories"),
    Resource(Invoice, "invoices"),
    Resource(InvoiceLine, "invoice-lines"),
    Resource(Note, "notes", read_only=("created_at",)),
)
