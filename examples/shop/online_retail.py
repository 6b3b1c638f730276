"""Imports the UCI Online Retail file: a country is a tenant.

Every record becomes an invoice line, returns, zero prices, empty descriptions and exact
duplicates included. Within a tenant, a customer, product or invoice is known by its number:

- A product takes its price from its first line and its name from the first description that
  is not empty; a line keeps its own. A customer is named after its number, for the file has
  no names.
- An invoice takes its time from its first line and its customer from the first that has one.
  It is cancelled when its number begins with C, else issued; its total is the sum of its lines.

The file is read in portions; each portion is written per tenant, in one transaction that also
notes how far the file is there (`ImportedFile`). So a run that was killed goes on where it
stopped, a second run adds nothing, and the outcome does not depend on the size of portions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

import peewee

from shop.models import Customer, ImportedFile, Invoice, InvoiceLine, Product
from shop.retail_file import RetailReader, Sale, fingerprint, opened
from tenants.bulk import bulk_insert
from tenants.context import TenantId, tenant_scope
from tenants.errors import RegistryError
from tenants.importing import ImportJob, ImportSummary, Reject, TenantCount
from tenants.models import TenantModel, database, new_id
from tenants.writes import Write

_CENT = Decimal("0.01")
_KEYS_PER_QUERY = 1000


def import_online_retail(job: ImportJob) -> ImportSummary:
    """Import the job's file.

    Raises ImportFileError when the file is unreadable, damaged or another kind of file, and
    whatever the job's guard raises; what was committed before stays, and the next run goes on
    from there.
    """
    sha256 = fingerprint(job.source)
    size = job.source.stat().st_size
    tenants = _Tenants(job, sha256)
    rejected = 0
    with opened(job.source) as (content, raw):
        reader = RetailReader(content)
        for record in reader:
            reject = record if isinstance(record, Reject) else tenants.add(record)
            if reject is not None:
                job.reject(reject)
                rejected += 1
            elif tenants.waiting >= job.batch_lines:
                tenants.flush()
                job.progress(raw.tell(), size)
        tenants.flush()
        job.progress(size, size)
    counts = reader.counts
    return ImportSummary(
        file=job.source.name,
        sha256=sha256,
        lines=counts.lines,
        header=counts.header,
        blank=counts.blank,
        continued=counts.continued,
        rejected=rejected,
        unfinished=counts.unfinished,
        tenants=tenants.counts(),
    )


@dataclass(slots=True)
class _Tenant:
    id: TenantId
    waiting: list[Sale] = field(default_factory=list)
    imported: int = 0
    already_there: int = 0


class _Tenants:
    """The countries met so far, and the sales that wait to be written."""

    def __init__(self, job: ImportJob, sha256: str) -> None:
        self._job = job
        self._sha256 = sha256
        self._known: dict[str, _Tenant] = {}
        self._refused: dict[str, str] = {}
        self.waiting = 0

    def add(self, sale: Sale) -> Reject | None:
        """Put a sale to its tenant's others; a Reject when its country can be no tenant."""
        tenant = self._known.get(sale.country)
        if tenant is None:
            if sale.country not in self._refused:
                try:
                    tenant = _Tenant(self._job.ensure_tenant(sale.country))
                except RegistryError as error:
                    self._refused[sale.country] = str(error)
            if tenant is None:
                return Reject(sale.line, self._refused[sale.country], sale.country)
            self._known[sale.country] = tenant
        tenant.waiting.append(sale)
        self.waiting += 1
        return None

    def flush(self) -> None:
        """Write what waits, each tenant's in one transaction under its own scope."""
        job = self._job
        for tenant in self._known.values():
            if not tenant.waiting:
                continue
            with (
                tenant_scope(tenant.id, actor=job.actor, trace_id=job.trace_id),
                database.atomic(),
            ):
                written = _write(job, self._sha256, tenant.waiting)
            tenant.imported += written
            tenant.already_there += len(tenant.waiting) - written
            tenant.waiting.clear()
        self.waiting = 0

    def counts(self) -> tuple[TenantCount, ...]:
        return tuple(
            TenantCount(name, tenant.id, tenant.imported, tenant.already_there)
            for name, tenant in sorted(self._known.items())
        )


def _write(job: ImportJob, sha256: str, sales: list[Sale]) -> int:
    """Write those of one tenant's sales that are not there yet; return how many."""
    # The gate comes first in a transaction; which rows are changed is known further on.
    job.guard(Write.changing(ImportedFile, (), ()))
    file = _locked_file(job, sha256)
    fresh = [sale for sale in sales if sale.line > file.through_line]
    if not fresh:
        return 0
    job.guard(Write.changing(ImportedFile, (file.id,), ("through_line", "lines_imported")))
    products = _products(job, fresh)
    customers = _customers(fresh)
    invoices = _invoices(job, fresh, customers)
    bulk_insert(InvoiceLine, _lines(fresh, products, invoices))
    for invoice in invoices.values():
        if not invoice.is_new:
            _recompute_total(invoice.id)
    ImportedFile.update(
        through_line=fresh[-1].line, lines_imported=ImportedFile.lines_imported + len(fresh)
    ).where(ImportedFile.id == file.id).execute()
    return len(fresh)


def _locked_file(job: ImportJob, sha256: str) -> ImportedFile:
    """Return the note on this file, locked: a second import of it waits here."""
    row = {
        "sha256": sha256,
        "name": job.source.name,
        "through_line": 0,
        "lines_imported": 0,
        "started_at": job.now,
    }
    bulk_insert(ImportedFile, [row], skip_existing=("sha256",))
    found = ImportedFile.select().where(ImportedFile.sha256 == sha256).for_update().get()
    assert isinstance(found, ImportedFile)  # noqa: S101 - narrows what peewee types as Any
    return found


def _products(job: ImportJob, sales: list[Sale]) -> dict[str, UUID]:
    first: dict[str, Sale] = {}
    names: dict[str, str] = {}
    for sale in sales:
        first.setdefault(sale.sku, sale)
        if sale.description is not None:
            names.setdefault(sale.sku, sale.description.strip())

    def row(sku: str) -> dict[str, Any]:
        sale = first[sku]
        return {
            "sku": sku,
            "name": names.get(sku),
            "unit_price": sale.unit_price,
            "created_at": sale.issued_at,
        }

    found, _ = _ensure(Product, Product.sku, first, row, Product.name)
    nameless = {sku: i for sku, (i, name) in found.items() if name is None and sku in names}
    job.guard(Write.changing(Product, nameless.values(), ("name",)))
    for sku, product_id in nameless.items():
        Product.update(name=names[sku]).where(Product.id == product_id).execute()
    return {sku: product_id for sku, (product_id, _) in found.items()}


def _customers(sales: list[Sale]) -> dict[str, UUID]:
    first: dict[str, Sale] = {}
    for sale in sales:
        if sale.customer is not None:
            first.setdefault(sale.customer, sale)

    def row(number: str) -> dict[str, Any]:
        sale = first[number]
        return {
            "number": number,
            "name": f"Customer {number}",
            "country": sale.country,
            "created_at": sale.issued_at,
        }

    found, _ = _ensure(Customer, Customer.number, first, row, Customer.name)
    return {number: customer_id for number, (customer_id, _) in found.items()}


@dataclass(slots=True)
class _OpenInvoice:
    id: UUID
    is_new: bool
    next_line_no: int


def _invoices(
    job: ImportJob, sales: list[Sale], customers: dict[str, UUID]
) -> dict[str, _OpenInvoice]:
    first: dict[str, Sale] = {}
    buyers: dict[str, UUID] = {}
    totals: dict[str, Decimal] = {}
    for sale in sales:
        first.setdefault(sale.invoice, sale)
        if sale.customer is not None:
            buyers.setdefault(sale.invoice, customers[sale.customer])
        totals[sale.invoice] = totals.get(sale.invoice, Decimal()) + sale.quantity * sale.unit_price

    def row(number: str) -> dict[str, Any]:
        sale = first[number]
        return {
            "number": number,
            "customer_id": buyers.get(number),
            "issued_at": sale.issued_at,
            "status": "cancelled" if sale.cancelled else "issued",
            "total": totals[number].quantize(_CENT, ROUND_HALF_UP),
        }

    found, created = _ensure(Invoice, Invoice.number, first, row, Invoice.customer)
    older = [invoice_id for number, (invoice_id, _) in found.items() if number not in created]
    job.guard(Write.changing(Invoice, older, ("total", "customer_id")))
    last_line_no = dict(
        InvoiceLine.select(InvoiceLine.invoice, peewee.fn.MAX(InvoiceLine.line_no))
        .where(InvoiceLine.invoice.in_(older))
        .group_by(InvoiceLine.invoice)
        .tuples()
        if older
        else ()
    )
    for number, (invoice_id, buyer) in found.items():
        if number not in created and buyer is None and number in buyers:
            Invoice.update(customer=buyers[number]).where(Invoice.id == invoice_id).execute()
    return {
        number: _OpenInvoice(invoice_id, number in created, last_line_no.get(invoice_id, 0) + 1)
        for number, (invoice_id, _) in found.items()
    }


def _lines(
    sales: list[Sale], products: dict[str, UUID], invoices: dict[str, _OpenInvoice]
) -> Iterable[dict[str, Any]]:
    for sale in sales:
        invoice = invoices[sale.invoice]
        yield {
            "id": new_id(),
            "invoice_id": invoice.id,
            "product_id": products[sale.sku],
            "line_no": invoice.next_line_no,
            "description": sale.description,
            "quantity": sale.quantity,
            "unit_price": sale.unit_price,
        }
        invoice.next_line_no += 1


def _recompute_total(invoice_id: UUID) -> None:
    amount = InvoiceLine.quantity * InvoiceLine.unit_price
    total = (
        InvoiceLine.select(peewee.fn.ROUND(peewee.fn.SUM(amount), 2))
        .where(InvoiceLine.invoice == invoice_id)
        .scalar()
    )
    Invoice.update(total=total).where(Invoice.id == invoice_id).execute()


def _ensure(
    model: type[TenantModel],
    key: Any,
    keys: Iterable[str],
    row: Callable[[str], dict[str, Any]],
    also: Any,
) -> tuple[dict[str, tuple[UUID, Any]], set[str]]:
    """Return id and `also` for every key, inserting rows that are missing, and the new keys.

    Another transaction may insert the same key meanwhile: its row is taken. Keys are inserted
    in order, so that two imports cannot wait for each other.
    """
    found = _find(model, key, sorted(keys), also)
    missing = [k for k in sorted(keys) if k not in found]
    created = {k: row(k) | {"id": new_id()} for k in missing}
    bulk_insert(model, created.values(), skip_existing=(key.name,))
    found |= _find(model, key, missing, also)
    return found, {k for k in missing if found[k][0] == created[k]["id"]}


def _find(
    model: type[TenantModel], key: Any, keys: list[str], also: Any
) -> dict[str, tuple[UUID, Any]]:
    found: dict[str, tuple[UUID, Any]] = {}
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        portion = keys[start : start + _KEYS_PER_QUERY]
        query = model.select(key, model.id, also).where(key.in_(portion))
        found |= {k: (i, value) for k, i, value in query.tuples()}
    return found
