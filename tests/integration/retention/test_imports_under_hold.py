"""An import adds to rows that are there (names, customers, totals): the gate is before it, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.wiring import Installation
from api.workshop import ground_of
from config.trace import new_trace_id
from retention import holds
from retention.errors import HeldError
from retention.hold_scopes import Scope
from tenants.catalog import TableName
from tenants.context import TenantId, tenant_scope

from .conftest import Tenure

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
FIRST = "536365,22423,,1,1/12/2010 08:26,2.50,,France\n"
MORE = "536365,22423,CAKESTAND,2,1/12/2010 08:26,2.50,12583,France\n"
STATE = (
    "SELECT p.name, i.total, i.customer_id IS NULL, count(*) FROM shop.products p"
    " JOIN shop.invoice_lines l ON l.product_id = p.id JOIN shop.invoices i ON i.id = l.invoice_id"
    " GROUP BY 1, 2, 3"
)


def file_of(tmp_path: Path, name: str, *lines: str) -> str:
    path = tmp_path / name
    path.write_text(HEADER + "".join(lines))
    return str(path)


def test_an_import_changes_no_row_of_a_tenant_under_hold(
    tenure: Tenure,
    installation: Installation,
    tmp_path: Path,
    owner_sql: Callable[..., Any],
) -> None:
    first = tenure("import", "online-retail", file_of(tmp_path, "first.csv", FIRST))
    assert first.exit_code == 0, first.output
    before = owner_sql(STATE)
    [(tenant,)] = owner_sql("SELECT id FROM tenure.tenants")
    hold = holds.place(
        installation.retention, TenantId(tenant), matter="S v. F", reason="r", actor="test"
    )
    more = file_of(tmp_path, "more.csv", MORE)
    refused = tenure("import", "online-retail", more)
    assert owner_sql(STATE) == before
    assert refused.exit_code == 2
    assert "S v. F" in refused.stderr
    holds.release(installation.retention, installation.verifier, hold, actor="test", grace="P0D")
    assert tenure("import", "online-retail", more).exit_code == 0
    [(name, total, anonymous, lines)] = owner_sql(STATE)
    assert (name, float(total), anonymous, lines) == ("CAKESTAND", 7.5, False, 2)


def test_an_import_past_a_held_row_changes_the_others(
    tenure: Tenure,
    installation: Installation,
    tmp_path: Path,
    owner_sql: Callable[..., Any],
) -> None:
    """Held by key: the invoice to which the file adds, or another."""
    other = "536366,22424,LANTERN,1,1/12/2010 08:28,2.50,,France\n"
    first = tenure("import", "online-retail", file_of(tmp_path, "first.csv", FIRST, other))
    assert first.exit_code == 0, first.output
    [(tenant, added, apart)] = owner_sql(
        "SELECT a.tenant_id, a.id, b.id FROM shop.invoices a JOIN shop.invoices b"
        " USING (tenant_id) WHERE a.number = '536365' AND b.number = '536366'"
    )

    def hold(table: str, row: Any) -> Any:
        return holds.place(
            installation.retention, TenantId(tenant),
            Scope("rows", TableName("shop", table), rows=(row,)),
            matter="S v. F", reason="r", actor="test", ground=ground_of(installation),
        )  # fmt: skip

    before = owner_sql("SELECT number, total FROM shop.invoices ORDER BY 1")
    hold("invoices", apart)
    on_it = hold("invoices", added)
    more = file_of(tmp_path, "more.csv", MORE)
    refused = tenure("import", "online-retail", more)
    assert refused.exit_code == 2
    assert "S v. F" in refused.stderr
    assert owner_sql("SELECT number, total FROM shop.invoices ORDER BY 1") == before
    assert owner_sql("SELECT count(*) FROM shop.invoice_lines") == [(2,)]

    holds.release(installation.retention, installation.verifier, on_it, actor="test", grace="P0D")
    [(product,)] = owner_sql("SELECT id FROM shop.products WHERE sku = '22423'")
    on_product = hold("products", product)
    assert tenure("import", "online-retail", more).exit_code == 2
    holds.release(
        installation.retention, installation.verifier, on_product, actor="test", grace="P0D"
    )
    assert tenure("import", "online-retail", more).exit_code == 0
    assert owner_sql("SELECT total FROM shop.invoices ORDER BY number")[0] != before[0][1:]


def test_a_guard_that_is_told_of_no_write_refuses_wherever_anything_is_held(
    installation: Installation, make_tenant: Callable[..., TenantId]
) -> None:
    """An importer of a domain that says nothing is on the safe side."""
    acme = make_tenant("acme")
    holds.place(
        installation.retention, acme,
        Scope("table", TableName("shop", "notes"), condition="false"),
        matter="S v. F", reason="r", actor="test", ground=ground_of(installation),
    )  # fmt: skip
    with (
        tenant_scope(acme, actor="test", trace_id=new_trace_id()),
        installation.app.atomic(),
        pytest.raises(HeldError, match=r"S v\. F"),
    ):
        holds.pass_gate(installation.app)
