"""Pause, resume, cancel, stop, start: once the call returns, no batch that it forbids commits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from config.trace import new_trace_id
from retention.batch import STEPS
from retention.errors import RunError
from retention.executor import Options
from retention.interventions import find_run, intervene, start, stop, stopped
from retention.jobs import run_once
from retention.runs import report_of
from retention.tick import tick
from retention.workshop import Workshop
from tenants.context import TenantId

from .crash import units_agree_with_batches

WAIT_S = 10.0


def opened(shop: Workshop) -> UUID:
    shop.record()
    return shop.open(shop.plan(), trace_id=new_trace_id())


def act(lab: Any, what: str, run_id: UUID, **more: Any) -> None:
    retention = lab.installation.retention
    if what == "stop":
        stop(retention, actor="op", reason="a fire", **more)
    else:
        intervene(retention, run_id, what, actor="op", reason="a fire", **more)


ENDS = {"pause": "paused", "cancel": "cancelled", "stop": "running"}


@pytest.mark.parametrize("step", [step for step in STEPS if step != "committed"])
@pytest.mark.parametrize("what", ENDS)
def test_it_waits_for_the_open_batch_and_then_nothing_more_goes(
    lab: Any, acme: TenantId, what: str, step: str
) -> None:
    for _ in range(6):
        lab.case(acme, files=1)
    reached, proceed, done = threading.Event(), threading.Event(), threading.Event()
    at_return: list[int] = []

    def on_step(now_at: str) -> None:
        if now_at == step and not reached.is_set():
            reached.set()
            assert proceed.wait(WAIT_S)

    shop = lab.shop(options=Options(batch_size=2, lock_timeout_ms=5000, on_step=on_step))
    run_id = opened(shop)
    worker = threading.Thread(target=shop.worker().work, args=(run_id,))
    worker.start()
    assert reached.wait(WAIT_S)

    def interfere() -> None:
        act(lab, what, run_id)
        at_return.append(len(lab.ids("cases")))
        done.set()

    actor = threading.Thread(target=interfere)
    actor.start()
    # A batch that has not looked yet may not go on, and is not waited for.
    looked = step != "gate"
    if looked:
        lab.wait_for_a_waiter()
        assert not done.is_set(), "it went past an open batch"
    else:
        assert done.wait(WAIT_S)
    proceed.set()
    actor.join(WAIT_S)
    worker.join(WAIT_S)
    assert not worker.is_alive()
    assert at_return == [4 if looked else 6]
    assert len(lab.ids("cases")) == at_return[0], "a batch committed after it had returned"
    assert report_of(shop.verifier, run_id).state == ENDS[what]
    assert units_agree_with_batches(lab)


def test_a_paused_run_is_resumed_where_it_was(lab: Any, acme: TenantId) -> None:
    for _ in range(6):
        lab.case(acme)
    run: list[UUID] = []

    def pause(_progress: Any) -> None:
        thread = threading.Thread(target=act, args=(lab, "pause", run[0]))
        thread.start()
        thread.join(WAIT_S)

    shop = lab.shop(options=Options(batch_size=2, on_progress=pause))
    run.append(opened(shop))
    shop.worker().work(run[0])
    report = report_of(shop.verifier, run[0])
    assert (report.state, report.rows) == ("paused", 2)
    # Neither a worker nor a tick goes round it.
    assert lab.shop().worker().work() == 0
    assert tick(lab.shop()).run is None
    assert len(lab.ids("cases")) == 4
    act(lab, "resume", run[0])
    shop = lab.shop()
    shop.worker().work(run[0])
    report = report_of(shop.verifier, run[0])
    assert (report.state, report.rows) == ("succeeded", 6)
    assert lab.sql("SELECT action, actor, reason FROM tenure.interventions ORDER BY number") == [
        ("pause", "op", "a fire"),
        ("resume", "op", "a fire"),
    ]


def test_a_cancelled_run_says_who_and_why_and_is_planned_again(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    shop = lab.shop()
    run_id = opened(shop)
    act(lab, "cancel", run_id)
    report = report_of(shop.verifier, run_id)
    assert (report.state, report.detail) == ("cancelled", "cancelled by op: a fire")
    assert [u.state for u in report.units] == ["cancelled"]
    assert shop.worker().work() == 0
    done = tick(shop)
    assert done.run is not None
    assert (done.run.state, done.run.rows) == ("succeeded", 1)


def test_while_all_is_stopped_nothing_begins_anywhere(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    for tenant in (acme, globex):
        for _ in range(3):
            lab.case(tenant)
    shop = lab.shop()
    run_id = opened(shop)
    stop(shop.retention, actor="op", reason="a fire")
    shop.worker().work(run_id)
    assert shop.worker().work() == 0
    assert tick(shop).run is None
    with pytest.raises(RunError, match="retention is stopped"):
        run_once(shop, shop.plan)
    assert len(lab.ids("cases")) == 6
    with shop.retention.transaction(None) as cursor:
        found = stopped(cursor)
    assert found is not None
    assert (found.actor, found.reason) == ("op", "a fire")
    start(shop.retention, actor="op", reason="it is out")
    assert shop.worker().work() == 2
    assert lab.ids("cases") == set()
    assert report_of(shop.verifier, run_id).state == "succeeded"


def test_a_stop_reaches_every_worker(lab: Any, make_tenant: Callable[..., TenantId]) -> None:
    for number in range(4):
        tenant = make_tenant(f"shop-{number}")
        for _ in range(200):
            lab.case(tenant)
    shop = lab.shop(options=Options(batch_size=1, slice_s=60, lock_timeout_ms=2000))
    run_id = opened(shop)
    threads = [threading.Thread(target=shop.worker().work, args=(run_id,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    while not lab.sql("SELECT 1 FROM tenure.batches LIMIT 1"):
        pass
    stop(lab.installation.retention, actor="op", reason="a fire")
    at_return = len(lab.ids("cases"))
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert 0 < at_return < 800
    assert len(lab.ids("cases")) == at_return
    assert lab.recorded() == {"lab.cases": 800 - at_return}


def test_one_that_is_not_heeded_in_time_is_in_force_all_the_same(lab: Any, acme: TenantId) -> None:
    for _ in range(2):
        lab.case(acme)
    failed: list[BaseException] = []
    run: list[UUID] = []

    def on_step(step: str) -> None:
        if step == "locked" and not failed:
            with pytest.raises(RunError, match="in force, but a batch") as caught:
                act(lab, "pause", run[0], patience_s=0.1)
            failed.append(caught.value)

    shop = lab.shop(options=Options(batch_size=1, on_step=on_step))
    run.append(opened(shop))
    shop.worker().work(run[0])
    assert failed
    assert len(lab.ids("cases")) == 1
    assert report_of(shop.verifier, run[0]).state == "paused"


def test_what_cannot_be_is_refused(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    shop = lab.shop()
    run_id = opened(shop)
    trace = report_of(shop.verifier, run_id).trace_id
    assert find_run(shop.retention, trace[:8]) == find_run(shop.retention, trace) == run_id
    for wrong in (trace[:7], "0" * 32, ""):
        with pytest.raises(RunError, match="no run with"):
            find_run(shop.retention, wrong)
    with pytest.raises(RunError, match="is not paused; it cannot resume"):
        act(lab, "resume", run_id)
    with pytest.raises(RunError, match="needs a reason"):
        intervene(shop.retention, run_id, "pause", actor="op", reason=" ")
    with pytest.raises(RunError, match="is not running"):
        act(lab, "pause", uuid4())
    with pytest.raises(RunError, match="not stopped"):
        start(shop.retention, actor="op", reason="r")
    assert report_of(shop.verifier, run_id).state == "running"
    assert lab.sql("SELECT count(*) FROM tenure.interventions") == [(0,)]
    stop(shop.retention, actor="op", reason="r")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        lab.sql("DELETE FROM tenure.interventions")
