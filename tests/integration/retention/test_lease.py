"""One executor at a time, and a stale one cannot commit."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import pytest

from config.trace import new_trace_id
from retention import lease as leases
from retention.errors import LeaseLostError
from retention.executor import Options
from retention.jobs import run_once, tick
from tenants.context import TenantId


def expire(lab: Any) -> None:
    lab.sql("UPDATE tenure.leases SET lease_until = now() - interval '1 second'")


def test_a_lease_has_one_holder_until_it_is_released_or_runs_out(lab: Any) -> None:
    retention = lab.installation.retention
    first = leases.acquire(retention)
    assert first is not None
    assert leases.acquire(retention) is None
    assert leases.acquire(retention, "another") is not None
    leases.release(retention, first)
    second = leases.acquire(retention)
    assert second is not None
    assert second.fence == first.fence + 1
    expire(lab)
    third = leases.acquire(retention)
    assert third is not None
    assert third.fence == second.fence + 1
    with pytest.raises(LeaseLostError, match="fence 2"):
        leases.renew(retention, second)
    leases.release(retention, second)  # not ours any more: nothing happens
    leases.renew(retention, third)
    assert leases.acquire(retention) is None


def test_a_stale_fence_cannot_commit_a_batch(lab: Any, acme: TenantId) -> None:
    cases = {lab.case(acme) for _ in range(6)}
    shop = lab.shop()
    shop.record()
    plan = shop.plan()
    stale = leases.acquire(shop.retention)
    assert stale is not None
    expire(lab)
    assert leases.acquire(shop.retention) is not None
    with pytest.raises(LeaseLostError):
        shop.run(plan, stale, trace_id=new_trace_id())
    assert lab.ids("cases") == cases
    assert lab.sql("SELECT count(*) FROM tenure.runs") == [(0,)]


def test_a_lease_lost_during_the_run_ends_it(lab: Any, acme: TenantId) -> None:
    for _ in range(6):
        lab.case(acme)
    taken: list[Any] = []

    def take_over(_progress: Any) -> None:
        expire(lab)
        taken.append(leases.acquire(lab.installation.retention))

    shop = lab.shop(options=Options(batch_size=2, on_progress=take_over))
    with pytest.raises(LeaseLostError):
        lab.run(shop)
    assert len(lab.ids("cases")) == 4
    assert lab.recorded() == {"lab.cases": 2}
    ((state, detail),) = lab.sql("SELECT state, detail FROM tenure.runs")
    assert state == "failed"
    assert "another took over" in detail


def test_a_takeover_waits_for_the_open_batch(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    begun, taken = threading.Event(), threading.Event()
    done = threading.Event()

    def take_over() -> None:
        assert begun.wait(10)
        assert leases.acquire(lab.installation.retention) is not None
        taken.set()

    thread = threading.Thread(target=take_over)
    thread.start()

    def on_step(step: str) -> None:
        if step == "checked" and not done.is_set():
            done.set()
            begun.set()
            time.sleep(0.2)
            assert not taken.is_set(), "the lease was taken under an open batch"

    shop = lab.shop(options=Options(on_step=on_step, lock_timeout_ms=5000))
    shop.record()
    plan = shop.plan()
    lease = leases.acquire(shop.retention, ttl_s=0.05)
    assert lease is not None
    # It may be taken over after its batch, before its end: as it must be.
    with contextlib.suppress(LeaseLostError):
        assert shop.run(plan, lease, trace_id=new_trace_id()).rows == 1
    thread.join(10)
    assert taken.is_set()
    assert lab.recorded() == {"lab.cases": 1}


def test_a_heartbeat_keeps_the_lease_and_leaving_releases_it(lab: Any) -> None:
    retention = lab.installation.retention
    lease = leases.acquire(retention, ttl_s=0.3)
    assert lease is not None
    with leases.kept(retention, lease):
        time.sleep(0.7)
        assert leases.acquire(retention) is None
    assert leases.acquire(retention) is not None


def test_a_run_beside_another_executor_is_refused_and_a_tick_passes(
    lab: Any, acme: TenantId
) -> None:
    lab.case(acme)
    assert leases.acquire(lab.installation.retention) is not None
    shop = lab.shop()
    with pytest.raises(LeaseLostError, match="another executor"):
        run_once(shop, shop.plan, wait_s=0.2)
    assert tick(shop).leads is False
    assert len(lab.ids("cases")) == 1


def test_a_run_waits_for_a_tick_to_end(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    other = leases.acquire(lab.installation.retention)
    assert other is not None
    timer = threading.Timer(0.2, leases.release, (lab.installation.retention, other))
    timer.start()
    shop = lab.shop()
    assert run_once(shop, shop.plan).rows == 1
    timer.join()
