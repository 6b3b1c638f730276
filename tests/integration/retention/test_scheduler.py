"""Ticks: who works, what is done, and what stops it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from api.scheduler import RetentionScheduler
from api.wiring import Installation
from config.trace import new_trace_id
from retention import lease as leases
from retention.executor import Options
from retention.tick import tick
from tenants.context import TenantId

from .shop_rows import counted, plant_invoices, recorded


def test_a_tick_runs_what_is_due_and_verifies_it(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    done = tick(lab.shop())
    assert done.leads
    assert done.run is not None
    assert done.run.rows == 1
    assert done.verification is not None
    assert done.verification.findings == 0
    assert done.verification.trace_id == done.run.trace_id
    assert done.plan is not None
    assert done.verification.as_of == done.plan.as_of


def test_an_idle_tick_makes_no_run_and_no_new_verification(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    lab.case(acme, opened=None)
    tick(lab.shop())
    # Verified a moment ago by the database's clock; the lab's clock may be behind it.
    done = tick(lab.shop())
    assert done.leads
    assert (done.run, done.verification) == (None, None)
    assert lab.sql("SELECT count(*) FROM tenure.runs") == [(1,)]


def test_a_tick_finishes_what_a_dead_worker_left_and_verifies_it(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    shop = lab.shop()
    shop.record()
    shop.open(shop.plan(), trace_id=new_trace_id())
    lab.sql("UPDATE tenure.units SET holder = 'dead', lease_until = now() - interval '1 second'")
    lab.case(acme)
    done = tick(lab.shop())
    # What an open run has to do is not planned again; what came since waits for the next tick.
    assert (done.run, done.slices) == (None, 1)
    assert done.verification is not None
    assert lab.sql("SELECT state FROM tenure.runs") == [("succeeded",)]
    assert lab.ids("cases") == set()
    assert tick(lab.shop()).slices == 0


def test_the_lease_is_free_after_a_tick(lab: Any) -> None:
    tick(lab.shop())
    assert leases.acquire(lab.installation.retention) is not None


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within ten seconds")


def test_schedulers_side_by_side_delete_each_row_once(
    installation: Installation,
    make_tenant: Callable[..., TenantId],
    owner_sql: Callable[..., Any],
) -> None:
    plant_invoices(owner_sql, make_tenant("acme"))
    with (
        RetentionScheduler(installation),
        RetentionScheduler(installation),
    ):
        wait_for(lambda: owner_sql("SELECT count(*) FROM tenure.verifications") == [(1,)])
    assert counted(owner_sql) == recorded(owner_sql) == {
        "shop.invoices": 6,
        "shop.invoice_lines": 12,
    }  # fmt: skip
    assert owner_sql("SELECT state, started_by FROM tenure.runs") == [("succeeded", "scheduler")]


def test_stopping_leaves_no_thread_and_frees_the_lease(installation: Installation) -> None:
    before = set(threading.enumerate())
    scheduler = RetentionScheduler(installation)
    scheduler.start()
    scheduler.stop()
    assert not [t for t in set(threading.enumerate()) - before if t.is_alive()]
    assert leases.acquire(installation.retention) is not None
    assert scheduler.tick() is None


def test_a_tick_that_fails_does_not_end_the_scheduler(
    installation: Installation, owner_sql: Callable[..., Any]
) -> None:
    scheduler = RetentionScheduler(installation)
    owner_sql("REVOKE SELECT ON tenure.tenants FROM tenure_verifier")
    assert scheduler.tick() is None
    owner_sql("GRANT SELECT ON tenure.tenants TO tenure_verifier")
    done = scheduler.tick()
    assert done is not None
    assert done.leads


def test_what_comes_due_beside_a_long_run_is_planned_and_verified_when_all_is_done(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    for _ in range(3):
        lab.case(acme)
    shop = lab.shop(options=Options(batch_size=1, slice_s=0))
    first = tick(shop, work_s=0)
    assert first.run is not None
    assert (first.run.state, first.run.rows) == ("running", 0)
    lab.case(globex)
    second = tick(shop, work_s=0)
    assert second.run is not None
    assert [u.tenant_id for u in second.run.units] == [globex]
    # What is left is not overdue: it is being deleted.
    assert (first.verification, second.verification) == (None, None)
    last = tick(shop)
    assert last.run is None
    assert last.verification is not None
    assert last.verification.findings == 0
    assert lab.sql("SELECT DISTINCT state FROM tenure.runs") == [("succeeded",)]
