"""`tenure worker` as a process: told to stop, it ends with its open batch, and another goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.wiring import Installation
from tenants.context import TenantId

from .shop_rows import INVOICES, ROOT, counted, environment_of, plant_invoices, recorded

TENURE = str(Path(sys.executable).with_name("tenure"))


def test_sigterm_ends_a_worker_with_its_open_batch_and_the_next_one_finishes_its_run(
    installation: Installation,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    owner_sql(
        "CREATE FUNCTION shop.slow() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN PERFORM pg_sleep(0.5); RETURN OLD; END $$;"
        "GRANT EXECUTE ON FUNCTION shop.slow() TO tenure_retention;"
        "CREATE TRIGGER slow BEFORE DELETE ON shop.invoices FOR EACH ROW"
        " EXECUTE FUNCTION shop.slow()"
    )
    env = environment_of(installation) | {"TENURE_BATCH_SIZE": "1", "TENURE_LOG_LEVEL": "error"}
    with subprocess.Popen([TENURE, "worker"], env=env, cwd=ROOT) as worker:
        for _ in range(6000):
            if recorded(owner_sql)["shop.invoices"]:
                break
            time.sleep(0.01)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    gone = counted(owner_sql)
    assert gone == recorded(owner_sql)
    assert 0 < gone["shop.invoices"] < INVOICES
    assert owner_sql("SELECT state FROM tenure.runs") == [("running",)]
    assert owner_sql("SELECT holder, attempts FROM tenure.units WHERE state = 'open'") == [
        (None, 0)
    ]
    done = subprocess.run([TENURE, "worker", "--idle-exit"], env=env, cwd=ROOT, check=False)
    assert done.returncode == 0
    assert counted(owner_sql) == recorded(owner_sql) == {
        "shop.invoices": INVOICES,
        "shop.invoice_lines": 2 * INVOICES,
    }  # fmt: skip
    assert owner_sql("SELECT state FROM tenure.runs") == [("succeeded",)]
