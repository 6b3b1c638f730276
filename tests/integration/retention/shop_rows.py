"""Rows of the shop, planted and counted; and the shop's installation for another process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.wiring import Installation
from tenants.context import TenantId
from tenants.models import new_id

ROOT = Path(__file__).parents[3]
INVOICES = 6


def environment_of(installation: Installation) -> dict[str, str]:
    """Return the variables under which another process opens the same installation."""
    settings = installation.settings
    assert settings.database_url
    assert settings.context_key
    env = {
        "DATABASE_URL": settings.database_url,
        "TENURE_CONTEXT_KEY": settings.context_key.get_secret_value(),
        "TENURE_DOMAIN": "shop",
        "TENURE_DOMAIN_PATH": str(ROOT / "examples"),
        "PYTHONPATH": str(ROOT),
        "PATH": os.environ["PATH"],
    }
    for role in ("owner", "app", "retention", "verifier", "auditor"):
        password = getattr(settings, f"{role}_password")
        env[f"TENURE_{role.upper()}_PASSWORD"] = password.get_secret_value()
    return env


def plant_invoices(owner_sql: Callable[..., Any], tenant: TenantId) -> None:
    product, tenant_id = str(new_id()), str(tenant)
    owner_sql(
        "INSERT INTO shop.products (tenant_id, id, sku, unit_price, created_at)"
        " VALUES (%s, %s, 'A', 1, now())",
        (tenant_id, product),
    )
    for number in range(INVOICES):
        invoice = str(new_id())
        owner_sql(
            "INSERT INTO shop.invoices (tenant_id, id, number, issued_at, status, currency, total)"
            " VALUES (%s, %s, %s, '2001-01-01', 'paid', 'GBP', 2)",
            (tenant_id, invoice, str(number)),
        )
        for line in range(2):
            owner_sql(
                "INSERT INTO shop.invoice_lines"
                " (tenant_id, id, invoice_id, product_id, line_no, quantity, unit_price)"
                " VALUES (%s, %s, %s, %s, %s, 1, 1)",
                (tenant_id, str(new_id()), invoice, product, line),
            )


def counted(owner_sql: Callable[..., Any]) -> dict[str, int]:
    ((invoices, lines),) = owner_sql(
        "SELECT (SELECT count(*) FROM shop.invoices), (SELECT count(*) FROM shop.invoice_lines)"
    )
    return {"shop.invoices": INVOICES - invoices, "shop.invoice_lines": 2 * INVOICES - lines}


def recorded(owner_sql: Callable[..., Any]) -> dict[str, int]:
    total = {"shop.invoices": 0, "shop.invoice_lines": 0}
    for (counts,) in owner_sql("SELECT counts FROM tenure.batches"):
        for table, entry in counts.items():
            total[table] += entry["rows"]
    return total
