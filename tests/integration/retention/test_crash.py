"""Killed at any step of a batch: rows gone are rows recorded, and the next run finishes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.wiring import Installation
from api.workshop import workshop_of
from retention.batch import STEPS
from retention.jobs import run_once
from tenants.context import TenantId

from .shop_rows import INVOICES, ROOT, counted, environment_of, plant_invoices, recorded

NOTES = 5


def die_at(installation: Installation, step: str, count: int) -> None:
    """Run retention in a process that kills itself at a step."""
    child = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "crash_child.py"), step, str(count)],
        check=False,
        env=environment_of(installation),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr


@pytest.mark.parametrize(
    ("step", "count"), [*((step, 1) for step in STEPS), ("deleted", 2), ("committed", 2)]
)
def test_killed_at_a_step_nothing_is_gone_that_is_not_recorded(
    installation: Installation,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
    step: str,
    count: int,
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    die_at(installation, step, count)
    committed = count if step == "committed" else count - 1
    gone = counted(owner_sql)
    assert gone == recorded(owner_sql)
    assert gone == {"shop.invoices": 2 * committed, "shop.invoice_lines": 4 * committed}
    assert owner_sql("SELECT state FROM tenure.runs") == [("running",)]

    # The dead worker's lease would run out by itself; the test does not wait for it.
    owner_sql("UPDATE tenure.leases SET lease_until = now()")
    shop = workshop_of(installation, actor="next")
    report = run_once(shop, shop.plan)
    assert report.state == "succeeded", report.detail
    assert counted(owner_sql) == {"shop.invoices": INVOICES, "shop.invoice_lines": 2 * INVOICES}
    assert recorded(owner_sql) == counted(owner_sql)
    states = owner_sql("SELECT state, detail FROM tenure.runs ORDER BY started_at")
    assert states[0][0] == "failed"
    assert "interrupted" in states[0][1]
    assert states[1][0] == "succeeded"


@pytest.mark.parametrize(
    ("step", "count"),
    [
        *((step, 1) for step in STEPS if step != "children_deleted"),
        ("deleted", 2),
        ("committed", 2),
    ],
)
def test_killed_in_a_sweep_nothing_is_gone_that_is_not_recorded(
    installation: Installation,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
    step: str,
    count: int,
) -> None:
    owner_sql(
        "INSERT INTO shop.notes (tenant_id, id, subject_type, subject_id, body, created_at)"
        " SELECT %s, gen_random_uuid(), 'customer', gen_random_uuid(), 'x', '2001-01-01'"
        " FROM generate_series(1, %s)",
        (str(make_tenant("acme")), NOTES),
    )
    owner_sql("CREATE TABLE shop.before AS SELECT id FROM shop.notes")
    # By count and by key: what is gone, less what is recorded, is nothing, both ways.
    gone = (
        "SELECT substr(sha256(uuid_send(id)), 1, 16) FROM shop.before"
        " WHERE id NOT IN (SELECT id FROM shop.notes)"
    )
    keys = (
        "SELECT substr(hashes, at, 16) FROM tenure.deleted_keys,"
        " generate_series(1, octet_length(hashes), 16) at"
    )

    def check(rows: int) -> None:
        assert owner_sql(f"({gone}) EXCEPT ({keys})") == []
        assert owner_sql(f"({keys}) EXCEPT ({gone})") == []
        ((recorded_rows,),) = owner_sql("SELECT coalesce(sum(rows_deleted), 0) FROM tenure.batches")
        assert recorded_rows == rows
        assert len(owner_sql(gone)) == rows

    die_at(installation, step, count)
    check(2 * (count if step == "committed" else count - 1))
    owner_sql("UPDATE tenure.leases SET lease_until = now()")
    shop = workshop_of(installation, actor="next")
    report = run_once(shop, shop.plan)
    assert report.state == "succeeded", report.detail
    check(NOTES)
