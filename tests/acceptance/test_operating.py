"""An installation as its operator meets it: processes of their own, with what each needs."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from uuid import uuid4

import httpx

from api.wiring import Installation
from tests.conftest import make_tenant_in, run_as_owner
from tests.integration.retention.shop_rows import environment_of, plant_invoices

from .conftest import serving, tenure


def test_an_orphan_that_a_worker_found_is_seen_on_the_page_that_alarms_read(
    installation: Installation, tmp_path: Path
) -> None:
    settings = installation.settings
    environment = environment_of(installation) | {
        "TENURE_SECRET_KEY": "s" * 32,
        "TENURE_METRICS_TOKEN": "t" * 32,
    }
    acme = make_tenant_in(settings, "acme")
    plant_invoices(lambda *asked: run_as_owner(settings, *asked), acme)
    tenure("worker", "--once", environment=environment, cwd=tmp_path)
    run_as_owner(
        settings, "ALTER TABLE shop.invoice_lines DROP CONSTRAINT invoice_lines_invoice_id_fkey"
    )
    run_as_owner(
        settings,
        "INSERT INTO shop.invoice_lines"
        " (tenant_id, id, invoice_id, product_id, line_no, quantity, unit_price)"
        " SELECT tenant_id, %s, %s, id, 1, 1, 1 FROM shop.products",
        (str(uuid4()), str(uuid4())),
    )
    tenure("verify", environment=environment, cwd=tmp_path, expect=1)
    scraper = {"Authorization": f"Bearer {'t' * 32}"}
    with serving(environment, tmp_path) as base_url:
        shown = httpx.get(f"{base_url}/metrics", headers=scraper).text.splitlines()
    assert "tenure_orphan_rows 1.0" in shown
    assert 'tenure_retention_rows_deleted_total{policy="invoices-10-years"} 18.0' in shown


def test_a_port_in_use_is_said_at_once(installation: Installation, tmp_path: Path) -> None:
    environment = environment_of(installation) | {"TENURE_SECRET_KEY": "s" * 32}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        began = time.monotonic()
        done = tenure("serve", "--port", str(port), environment=environment, cwd=tmp_path, expect=2)
        assert time.monotonic() - began < 15
    assert f"Error: cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    done = tenure(
        *("serve", "--host", "nowhere.invalid"), environment=environment, cwd=tmp_path, expect=2
    )
    assert "Error: cannot listen on nowhere.invalid:8000: " in done.stderr
