"""An import adds to rows that are there (names, customers, totals): the gate is before it, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.wiring import Installation
from retention import holds
from tenants.context import TenantId

from .test_cli import Tenure, tenure  # noqa: F401 - a fixture

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
    tenure: Tenure,  # noqa: F811 - a fixture
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
