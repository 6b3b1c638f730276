"""Files like the Online Retail one, importing them, and what a database holds afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from shop.online_retail import import_online_retail

from config.clock import utc_now
from config.trace import new_trace_id
from tenants.context import TenantId
from tenants.importing import ImportJob, ImportSummary, Reject
from tenants.registry import slug_of

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
COUNTRIES = ("United Kingdom", "France", "EIRE", "Channel Islands")


def dirty_lines(count: int, seed: int = 7) -> list[str]:
    """Return `count` records as the shop wrote them: every kind of dirt that is whole."""
    rng = random.Random(seed)
    lines = []
    for i in range(count):
        number = 536365 + (i // 4 if rng.random() < 0.8 else rng.randrange(max(1, i // 4 + 1)))
        fields = (
            f"{'C' if number % 17 == 0 else ''}{number}",
            rng.choice(("85123A", "71053", "POST", "15056BL", "15056bl", f"{rng.randrange(40)}")),
            rng.choice(("", "HOLDER", "WHITE LANTERN ", '"A, ""B"""', "??")),
            str(rng.choice((1, 6, 48, -1, -12))),
            f"{1 + number % 20:02}/12/2010 08:{i % 60:02}",
            rng.choice(("0", "0.85", "2.55", "12.005", "7")),
            rng.choice(("", "", "17850", "12583")),
            rng.choices(COUNTRIES, (90, 5, 4, 1))[0],
        )
        lines.append(",".join(fields) + "\n")
        if rng.random() < 0.05:
            lines.append(lines[-1])
    return lines[:count]


@dataclass
class World:
    """One set of tenants, a tenant per country, apart from other worlds in the same database."""

    make: Callable[[str], TenantId]
    prefix: str
    tenants: dict[str, TenantId] = field(default_factory=dict)

    def ensure(self, name: str) -> TenantId:
        """Return the country's tenant in this world."""
        if name not in self.tenants:
            self.tenants[name] = self.make(f"{self.prefix}-{slug_of(name)}")
        return self.tenants[name]

    def run(self, path: Path, batch_lines: int = 5000) -> tuple[ImportSummary, list[Reject]]:
        """Import a file."""
        rejects: list[Reject] = []
        summary = import_online_retail(
            ImportJob(
                source=path,
                ensure_tenant=self.ensure,
                reject=rejects.append,
                actor="user:test",
                trace_id=new_trace_id(),
                now=utc_now(),
                batch_lines=batch_lines,
            )
        )
        assert summary.adds_up
        assert summary.rejected == len(rejects)
        return summary, rejects


@pytest.fixture
def world(make_tenant: Callable[..., TenantId]) -> Callable[[], World]:
    """`world()` makes a new, empty one."""
    made = iter(range(1000))
    return lambda: World(make_tenant, f"world{next(made)}")


@pytest.fixture
def holds(owner_sql: Callable[..., list[tuple[Any, ...]]]) -> Callable[[World], dict[str, Any]]:
    """`holds(world)` returns everything of the shop in it, by country, without keys."""

    def look(world: World) -> dict[str, Any]:
        return {
            country: [owner_sql(query, (str(tenant),)) for query in _EVERYTHING]
            for country, tenant in world.tenants.items()
        }

    return look


_EVERYTHING = (
    "SELECT number, name, email, country, created_at, deleted_at FROM shop.customers"
    " WHERE tenant_id = %s ORDER BY 1",
    "SELECT sku, name, unit_price, created_at FROM shop.products WHERE tenant_id = %s ORDER BY 1",
    "SELECT i.number, c.number, issued_at, status, currency, total FROM shop.invoices i"
    " LEFT JOIN shop.customers c ON c.tenant_id = i.tenant_id AND c.id = i.customer_id"
    " WHERE i.tenant_id = %s ORDER BY 1",
    "SELECT i.number, line_no, sku, description, quantity, l.unit_price"
    " FROM shop.invoice_lines l"
    " JOIN shop.invoices i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id"
    " JOIN shop.products p ON p.tenant_id = l.tenant_id AND p.id = l.product_id"
    " WHERE l.tenant_id = %s ORDER BY 1, 2",
    "SELECT sha256, through_line, lines_imported FROM shop.imported_files"
    " WHERE tenant_id = %s ORDER BY 1",
)


@pytest.fixture
def dirty_file(tmp_path: Path) -> Callable[..., Path]:
    """`dirty_file(lines, name)` writes a file with the data set's header."""

    def write(lines: Iterable[str], name: str = "retail.csv") -> Path:
        path = tmp_path / name
        path.write_text(HEADER + "".join(lines), encoding="utf-8")
        return path

    return write
