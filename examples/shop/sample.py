"""Made-up shops for the demo and for benchmarks: years deep, skewed as tenants are.

The same seed, scale and instant give the same rows, keys included. Some of it has expired
under the policies beside this file: invoices older than ten years, customers deleted long
ago (those who bought something are kept by their invoices), notes older than three years.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

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
from tenants.bulk import bulk_insert
from tenants.context import tenant_scope
from tenants.importing import EnsureTenant, SampleTenant
from tenants.models import TenantModel, database

Row = dict[str, Any]

#: Before the models that refer to them.
_ORDER: tuple[type[TenantModel], ...] = (
    Category,
    Product,
    ProductCategory,
    Customer,
    CustomerProfile,
    Invoice,
    InvoiceLine,
    Note,
)

_SPAN = timedelta(days=4565)  # twelve and a half years
_CENT = Decimal("0.01")
_ACTOR = "command:sample"


@dataclass(frozen=True, slots=True)
class Shop:
    """One made-up tenant. `invoices` at scale 1; a row count is about six times that."""

    name: str
    invoices: int
    country: str
    currency: str


SHOPS = (
    Shop("Harbour & Sons", 2900, "United Kingdom", "GBP"),
    Shop("Alpine Bicycles", 900, "Switzerland", "CHF"),
    Shop("Linden Books", 600, "Germany", "EUR"),
    Shop("Copper Kettle", 220, "Ireland", "EUR"),
    Shop("Saltmarsh Ceramics", 110, "United Kingdom", "GBP"),
    Shop("Wren Violins", 40, "Austria", "EUR"),
)

# fmt: off
_FIRST = (
    "Ada", "Ben", "Carla", "Dev", "Elin", "Farah", "Goran", "Hana",
    "Ines", "Jon", "Kemi", "Lars", "Mina", "Noor", "Omar", "Pia",
)
_LAST = (
    "Abel", "Brandt", "Costa", "Doyle", "Egger", "Flynn", "Gross",
    "Huber", "Ito", "Jansen", "Khan", "Lopez", "Marsh", "Novak",
)
_MAKE = (
    "Oak", "Linen", "Copper", "Wool", "Glass", "Walnut",
    "Enamel", "Slate", "Willow", "Brass", "Cork", "Felt",
)
_THING = (
    "Bowl", "Lamp", "Basket", "Tray", "Clock", "Frame", "Stool",
    "Vase", "Hook", "Box", "Mug", "Blanket", "Shelf",
)
# fmt: on
_SIZE = ("small", "medium", "large")
_ROOTS = ("Kitchen", "Living", "Garden", "Study")
_BRANCHES = ("New", "Classic", "Gifts")
_REMARKS = (
    "Asked for a copy of the invoice.",
    "Parcel arrived damaged, replacement sent.",
    "Prefers to be called in the afternoon.",
    "Complained about late delivery.",
    "Agreed on payment in two parts.",
)


def generate(
    ensure_tenant: EnsureTenant,
    *,
    now: datetime,
    trace_id: str,
    seed: int = 1,
    scale: float = 1.0,
) -> tuple[SampleTenant, ...]:
    """Fill the tenants of SHOPS, each in one transaction, and return what was written.

    Requires tenants without rows of the shop; `now` is aware, `scale` above 0 (1 is about
    30,000 rows). Raises peewee.IntegrityError where a tenant has such rows already.
    """
    filled = []
    for shop in SHOPS:
        tenant_id = ensure_tenant(shop.name)
        rows = rows_of(shop, now=now, seed=seed, scale=scale)
        with tenant_scope(tenant_id, actor=_ACTOR, trace_id=trace_id), database.atomic():
            counts = {model: bulk_insert(model, rows[model]) for model in _ORDER}
        named: Mapping[str, int] = {table_of(model): n for model, n in counts.items()}
        filled.append(SampleTenant(shop.name, tenant_id, named))
    return tuple(filled)


def table_of(model: type[TenantModel]) -> str:
    """Return the name of a model's table, without its schema."""
    meta: Any = model._meta
    return str(meta.table_name)


def rows_of(
    shop: Shop, *, now: datetime, seed: int, scale: float = 1.0
) -> dict[type[TenantModel], list[Row]]:
    """Return a shop's rows by model, without the tenant. Pure."""
    if now.utcoffset() is None:
        raise ValueError(f"now ({now.isoformat()}) has no offset from UTC")
    if not scale > 0:
        raise ValueError(f"scale must be above 0, got {scale}")
    return _Maker(shop, now, random.Random(f"{seed} {shop.name}")).rows(  # noqa: S311 - no secret
        max(3, round(shop.invoices * scale))
    )


class _Maker:
    def __init__(self, shop: Shop, now: datetime, rng: random.Random) -> None:
        self._shop = shop
        self._now = now
        self._opened = now - _SPAN
        self._rng = rng

    def rows(self, invoices: int) -> dict[type[TenantModel], list[Row]]:
        categories = self._categories()
        products = self._products(min(400, 12 + invoices // 8))
        customers = self._customers(max(4, invoices // 5))
        invoice_rows, lines = self._invoices(invoices, products, customers)
        return {
            Category: categories,
            Product: products,
            ProductCategory: list(self._product_categories(products, categories)),
            Customer: customers,
            CustomerProfile: list(self._profiles(customers)),
            Invoice: invoice_rows,
            InvoiceLine: lines,
            Note: list(self._notes(customers, invoice_rows)),
        }

    def _id(self, instant: datetime) -> UUID:
        """A key of version 7 (RFC 9562) as if it had been made at that instant."""
        milliseconds = int(instant.timestamp() * 1000)
        high = milliseconds << 80 | 7 << 76 | self._rng.getrandbits(12) << 64
        return UUID(int=high | 2 << 62 | self._rng.getrandbits(62))

    def _between(self, start: datetime, end: datetime) -> datetime:
        moment = start + (end - start) * self._rng.random()
        return moment.replace(microsecond=0)

    def _some_time(self) -> datetime:
        """An instant of the shop's life; business has grown."""
        age: float = self._rng.random() ** 1.4
        return (self._now - _SPAN * age).replace(microsecond=0)

    def _categories(self) -> list[Row]:
        rows: list[Row] = []
        for root in _ROOTS:
            parent = self._id(self._opened)
            rows.append({"id": parent, "parent_id": None, "name": root})
            rows += [
                {"id": self._id(self._opened), "parent_id": parent, "name": f"{branch} {root}"}
                for branch in _BRANCHES
            ]
        return rows

    def _products(self, count: int) -> list[Row]:
        rows = []
        for i in range(count):
            size, rest = _SIZE[i % 3], i // 3
            thing, make = _THING[rest % len(_THING)], _MAKE[rest // len(_THING) % len(_MAKE)]
            rows.append(
                {
                    "id": self._id(self._opened),
                    "sku": f"{thing[:2].upper()}{10000 + i}",
                    "name": f"{make} {thing}, {size}",
                    "unit_price": Decimal(self._rng.randrange(50, 12_000)) / 100,
                    "created_at": self._opened,
                }
            )
        return rows

    def _product_categories(self, products: list[Row], categories: list[Row]) -> Iterable[Row]:
        leaves = [c["id"] for c in categories if c["parent_id"] is not None]
        for product in products:
            for category in self._rng.sample(leaves, self._rng.choice((1, 1, 2))):
                yield {
                    "id": self._id(self._opened),
                    "product_id": product["id"],
                    "category_id": category,
                }

    def _customers(self, count: int) -> list[Row]:
        """By the time they came. One in seven was deleted; some of those never bought."""
        rows = []
        for i, created in enumerate(sorted(self._some_time() for _ in range(count))):
            first, last = self._rng.choice(_FIRST), self._rng.choice(_LAST)
            number = f"C{10001 + i}"
            deleted = self._between(created, self._now) if i % 7 == 3 else None
            rows.append(
                {
                    "id": self._id(created),
                    "number": number,
                    "name": f"{first} {last}",
                    "email": f"{first}.{last}.{number}@example.org".lower(),
                    "country": self._shop.country,
                    "created_at": created,
                    "deleted_at": deleted,
                }
            )
        return rows

    def _profiles(self, customers: list[Row]) -> Iterable[Row]:
        for customer in customers:
            if self._rng.random() < 0.4:
                yield {
                    "id": self._id(customer["created_at"]),
                    "customer_id": customer["id"],
                    "birthday": date(1940, 1, 1) + timedelta(days=self._rng.randrange(23_000)),
                    "newsletter": self._rng.random() < 0.5,
                    "notes": None,
                }

    def _invoices(
        self, count: int, products: list[Row], customers: list[Row]
    ) -> tuple[list[Row], list[Row]]:
        # Every other deleted customer never bought: nothing keeps them once their time is up.
        deleted = [c["id"] for c in customers if c["deleted_at"] is not None]
        never_bought = set(deleted[::2])
        buyers = [c for c in customers if c["id"] not in never_bought]
        since = [c["created_at"] for c in buyers]
        invoices, lines = [], []
        for i, issued in enumerate(sorted(self._some_time() for _ in range(count))):
            invoice_id = self._id(issued)
            own = list(self._lines(invoice_id, issued, products))
            total = sum((line["quantity"] * line["unit_price"] for line in own), Decimal())
            invoices.append(
                {
                    "id": invoice_id,
                    "number": f"{issued.year}-{10001 + i}",
                    "customer_id": self._buyer(buyers[: bisect_right(since, issued)], issued),
                    "issued_at": issued,
                    "status": self._status(issued),
                    "currency": self._shop.currency,
                    "total": total.quantize(_CENT, ROUND_HALF_UP),
                }
            )
            lines += own
        return invoices, lines

    def _buyer(self, known: list[Row], issued: datetime) -> UUID | None:
        if not known or self._rng.random() < 0.07:
            return None
        buyer = self._rng.choice(known)
        if buyer["deleted_at"] is not None and buyer["deleted_at"] < issued:
            return None
        found: UUID = buyer["id"]
        return found

    def _status(self, issued: datetime) -> str:
        if self._now - issued < timedelta(days=30):
            return self._rng.choices(("draft", "issued", "paid"), (1, 5, 4))[0]
        return self._rng.choices(("paid", "cancelled", "issued"), (93, 4, 3))[0]

    def _lines(self, invoice_id: UUID, issued: datetime, products: list[Row]) -> Iterable[Row]:
        # Prices rose by about two percent a year.
        years = (self._now - issued).days // 365
        factor = Decimal(100 - 2 * years) / 100
        for line_no in range(1, self._rng.choice((1, 2, 3, 3, 4, 5, 8)) + 1):
            product = self._rng.choice(products)
            yield {
                "id": self._id(issued),
                "invoice_id": invoice_id,
                "product_id": product["id"],
                "line_no": line_no,
                "description": product["name"],
                "quantity": self._rng.choice((1, 1, 1, 2, 3, 6, 12)),
                "unit_price": (product["unit_price"] * factor).quantize(_CENT, ROUND_HALF_UP),
            }

    def _notes(self, customers: list[Row], invoices: list[Row]) -> Iterable[Row]:
        for kind, rows, since, share in (
            ("customer", customers, "created_at", 0.6),
            ("invoice", invoices, "issued_at", 0.2),
        ):
            for row in rows:
                if self._rng.random() < share:
                    soon = min(self._now, row[since] + timedelta(days=400))
                    written = self._between(row[since], soon)
                    yield {
                        "id": self._id(written),
                        "subject_type": kind,
                        "subject_id": row["id"],
                        "body": self._rng.choice(_REMARKS),
                        "created_at": written,
                    }
