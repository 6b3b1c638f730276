"""The lease: one process plans at a time, and a stale one opens no run."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from config.trace import new_trace_id
from retention import lease as leases
from retention.errors import LeaseLostError, RunError
from retention.heartbeat import LONGEST_TTL_S
from retention.jobs import run_once
from retention.tick import tick
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


def test_a_lease_from_before_the_clock_was_set_back_is_taken_over(lab: Any) -> None:
    retention = lab.installation.retention
    first = leases.acquire(retention)
    assert first is not None
    lab.sql("UPDATE tenure.leases SET lease_until = now() + interval '10 years'")
    second = leases.acquire(retention, ttl_s=LONGEST_TTL_S)
    assert second is not None
    assert second.fence == first.fence + 1
    with pytest.raises(LeaseLostError):
        leases.renew(retention, first)
    assert leases.acquire(retention) is None, "one of the longest is another's all the same"
    with pytest.raises(RunError, match="600 s"):
        leases.acquire(retention, "another", ttl_s=LONGEST_TTL_S + 1)


def test_a_stale_fence_cannot_open_a_run(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    shop = lab.shop()
    shop.record()
    plan = shop.plan()
    stale = leases.acquire(shop.retention)
    assert stale is not None
    expire(lab)
    assert leases.acquire(shop.retention) is not None
    with pytest.raises(LeaseLostError):
        shop.open(plan, trace_id=new_trace_id(), lease=stale)
    assert lab.sql("SELECT count(*) FROM tenure.runs") == [(0,)]
    assert lab.sql("SELECT count(*) FROM tenure.units") == [(0,)]


def test_a_takeover_waits_for_a_run_that_is_being_opened(lab: Any) -> None:
    retention = lab.installation.retention
    lease = leases.acquire(retention, ttl_s=0.05)
    assert lease is not None
    taken: list[Any] = []
    with retention.transaction(None) as cursor:
        leases.check_fence(cursor, lease)
        time.sleep(0.1)
        thread = threading.Thread(target=lambda: taken.append(leases.acquire(retention)))
        thread.start()
        lab.wait_for_a_waiter()
        assert taken == []
    thread.join(10)
    assert [after.fence for after in taken] == [lease.fence + 1]


def test_a_heartbeat_keeps_the_lease_and_leaving_releases_it(lab: Any) -> None:
    retention = lab.installation.retention
    lease = leases.acquire(retention, ttl_s=0.3)
    assert lease is not None
    with leases.kept(retention, lease):
        time.sleep(0.7)
        assert leases.acquire(retention) is None
    assert leases.acquire(retention) is not None


def test_a_run_needs_no_lease_and_a_tick_beside_the_leader_only_helps(
    lab: Any, acme: TenantId
) -> None:
    lab.case(acme)
    assert leases.acquire(lab.installation.retention) is not None
    shop = lab.shop()
    beside = tick(shop)
    assert (beside.leads, beside.plan, beside.verification, beside.slices) == (False, None, None, 0)
    shop.record()
    shop.open(shop.plan(), trace_id=new_trace_id())
    assert tick(shop).slices == 1
    assert lab.ids("cases") == set()
    lab.case(acme)
    assert run_once(shop, shop.plan).rows == 1
