"""Units: who may work on which, in what order, and what becomes of them when a worker dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import psycopg2
import pytest

from config.trace import new_trace_id
from retention import heartbeat, units
from retention.batch import Attempt, run_batch
from retention.errors import LeaseLostError
from retention.executor import Options, task_of
from retention.jobs import run_once
from retention.plan import catalog_digest
from retention.runs import close_done, plan_of, report_of
from retention.tick import tick
from retention.windows import Window
from retention.worker import Worker
from retention.workshop import Workshop
from tenants.context import TenantId

from .crash import units_agree_with_batches

WAIT_S = 10.0


def opened(shop: Workshop) -> UUID:
    shop.record()
    return shop.open(shop.plan(), trace_id=new_trace_id())


def claimant(shop: Workshop, name: str = "one", ttl_s: float = 60.0) -> units.Claimant:
    return units.Claimant(name, catalog_digest(shop.catalog), ttl_s)


def claim(shop: Workshop, name: str = "one", ttl_s: float = 60.0) -> units.Claim | None:
    with shop.retention.transaction(None) as cursor:
        return units.claim(cursor, claimant(shop, name, ttl_s))


def expire(lab: Any) -> None:
    lab.sql("UPDATE tenure.units SET lease_until = now() WHERE holder IS NOT NULL")


def served(lab: Any) -> list[str]:
    """The tenants of all batches, in the order of their commits."""
    rows = lab.sql(
        "SELECT t.slug FROM tenure.batches b JOIN tenure.tenants t ON t.id = b.tenant_id"
        " ORDER BY b.recorded_at"
    )
    return [slug for (slug,) in rows]


def test_who_works_on_a_policy_is_counted(lab: Any, acme: TenantId, globex: TenantId) -> None:
    for tenant in (acme, globex):
        lab.node(tenant)
    shop = lab.shop()
    opened(shop)
    retention = shop.retention
    assert units.workers_on(retention, "nodes") == 0
    assert claim(shop, "one")
    assert units.workers_on(retention, "nodes") == 1
    assert claim(shop, "two")
    assert units.workers_on(retention, "nodes") == 2
    assert units.workers_on(retention, "cases") == 0


def test_a_unit_has_one_worker_and_so_has_a_tenant(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    for tenant in (acme, globex):
        lab.case(tenant)
        lab.node(tenant)
    shop = lab.shop()
    opened(shop)
    first, second = claim(shop), claim(shop, "two")
    assert first is not None
    assert second is not None
    assert {first.tenant_id, second.tenant_id} == {acme, globex}
    # Two units are left, of tenants that others work on.
    assert claim(shop, "three") is None
    with pytest.raises(psycopg2.errors.UniqueViolation):
        lab.sql(
            "UPDATE tenure.units SET holder = 'x', lease_until = now() WHERE tenant_id = %s",
            (str(acme),),
        )


def test_a_tenants_policies_go_in_the_plans_order_whatever_the_slices(
    lab: Any, acme: TenantId
) -> None:
    for _ in range(3):
        case = lab.case(acme, files=1)
        lab.node(acme)
    ((page,),) = lab.sql("SELECT id::text FROM lab.pages ORDER BY id LIMIT 1")
    lab.add("citations", acme, page_id=page, cited_at=lab.long_ago)
    turns: list[Any] = []

    def look(_progress: Any) -> None:
        turns.extend(
            lab.sql("SELECT count(DISTINCT served_at) FROM tenure.units WHERE state = 'open'")
        )

    shop = lab.shop(options=Options(batch_size=1, slice_s=0, on_progress=look))
    report = lab.run(shop)
    assert report.state == "succeeded", report.detail
    assert set(turns) == {(1,)}, "they do not wait in one place"
    assert case not in lab.ids("cases")
    done = [p for (p,) in lab.sql("SELECT policy FROM tenure.batches ORDER BY recorded_at")]
    order = [p.policy.name for p in shop.plan().policies]
    assert done == sorted(done, key=order.index)


def test_a_small_tenant_is_not_starved_by_a_large_one(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    for _ in range(12):
        lab.case(acme)
    lab.case(globex)
    lab.run(lab.shop(options=Options(batch_size=1, slice_s=0)))
    assert served(lab).index("globex") == 1
    assert len(served(lab)) == 13


def test_a_slice_that_is_not_over_goes_on(lab: Any, acme: TenantId, globex: TenantId) -> None:
    for _ in range(4):
        lab.case(acme)
    lab.case(globex)
    lab.run(lab.shop(options=Options(batch_size=1, slice_s=60)))
    assert served(lab) == ["acme"] * 4 + ["globex"]


def test_the_tenant_served_longest_ago_is_next_over_all_runs(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    for _ in range(6):
        lab.case(acme)
    shop = lab.shop(options=Options(batch_size=1, slice_s=0, stop=lambda: len(served(lab)) >= 2))
    opened(shop)
    shop.worker().work()
    assert served(lab) == ["acme", "acme"]
    lab.case(globex)
    opened(replace(shop, policies=lab.policies))
    lab.shop(options=Options(batch_size=1, slice_s=0)).worker().work()
    assert served(lab)[2] == "globex"
    assert lab.ids("cases") == set()
    assert units_agree_with_batches(lab)


def batch_of(shop: Workshop, claimed: units.Claim | None, steps: list[str]) -> None:
    """Run a batch of a claimed unit."""
    assert claimed is not None
    plan = plan_of(shop.retention, claimed.run_id)
    options = Options(on_step=steps.append)
    task = task_of(plan, plan.units[claimed.number - 1], claimed, shop.catalog, options)
    run_batch(shop.retention, task, Attempt(1, waiting=False, after=None))


def test_a_stale_worker_looks_at_no_row(lab: Any, acme: TenantId) -> None:
    lab.node(acme)
    shop = lab.shop()
    opened(shop)
    stale = claim(shop)
    expire(lab)
    assert units.reap(shop.retention) == 1
    steps: list[str] = []
    with pytest.raises(LeaseLostError, match="another took over"):
        batch_of(shop, stale, steps)
    assert steps == ["gate"]


def test_a_lease_from_before_the_clock_was_set_back_is_taken(lab: Any, acme: TenantId) -> None:
    lab.node(acme)
    shop = lab.shop()
    opened(shop)
    claim(shop, ttl_s=heartbeat.LONGEST_TTL_S)
    assert units.reap(shop.retention) == 0
    lab.sql("UPDATE tenure.units SET lease_until = now() + interval '1 day'")
    assert units.reap(shop.retention) == 1


def test_who_cannot_lock_the_unit_deletes_nothing(lab: Any, acme: TenantId) -> None:
    # Without the UPDATE policy a row lock locks nothing, and says nothing.
    node = lab.node(acme)
    shop = lab.shop()
    opened(shop)
    claimed = claim(shop)
    lab.sql("DROP POLICY tenure_retention_update ON tenure.units")
    with pytest.raises(LeaseLostError):
        batch_of(shop, claimed, [])
    assert lab.ids("nodes") == {node}
    assert lab.recorded() == {}


def test_a_stale_worker_cannot_commit_and_the_next_one_goes_on_where_it_was(
    lab: Any, acme: TenantId
) -> None:
    for _ in range(6):
        lab.case(acme)
    others: list[Any] = []

    def take_over(_progress: Any) -> None:
        if not others:
            expire(lab)
            assert units.reap(lab.installation.retention) == 1
            others.append(claim(lab.shop(), "another", ttl_s=0.3))

    shop = lab.shop(options=Options(batch_size=2, on_progress=take_over))
    run_id = opened(shop)
    began = time.monotonic()
    shop.worker().work(run_id)
    # The other was given the unit with what the first had committed, and did nothing; when
    # its lease had run out, the first one was allowed again.
    assert others[0].rows == 2
    assert others[0].progress["id"]
    assert time.monotonic() - began >= 0.3
    report = report_of(shop.verifier, run_id)
    assert (report.state, report.rows) == ("succeeded", 6)
    assert lab.recorded() == {"lab.cases": 6}
    assert units_agree_with_batches(lab)
    # Claimed, reaped, claimed, reaped, claimed.
    assert lab.sql("SELECT fence FROM tenure.units") == [(5,)]


def test_a_unit_is_not_taken_away_under_an_open_batch(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    taken: list[int] = []

    def on_step(step: str) -> None:
        if step == "deleted":
            lab.sql("UPDATE tenure.leases SET lease_until = now()")
            taken.append(units.reap(lab.installation.retention))

    shop = lab.shop(options=Options(on_step=on_step), lease_ttl_s=0.01)
    run_id = opened(shop)
    shop.worker().work(run_id)
    assert taken == [0]
    assert lab.recorded() == {"lab.cases": 1}


def test_expiry_alone_takes_nothing_from_a_worker(lab: Any, acme: TenantId) -> None:
    for _ in range(4):
        lab.case(acme)
    shop = lab.shop(options=Options(batch_size=1, on_progress=lambda _p: expire(lab)))
    assert lab.run(shop).rows == 4
    assert lab.sql("SELECT fence FROM tenure.units") == [(1,)]


def test_a_heartbeat_keeps_what_a_worker_holds(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    shop = lab.shop()
    opened(shop)
    held = claim(shop, "one", ttl_s=1.5)
    assert held is not None
    with units.kept(shop.retention, claimant(shop, "one", 1.5)):
        time.sleep(2.5)
        assert units.reap(shop.retention) == 0
    time.sleep(1.6)
    assert units.reap(shop.retention) == 1


def test_a_unit_that_costs_every_worker_its_life_is_given_up(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    shop = lab.shop()
    run_id = opened(shop)
    for number in range(10):
        assert claim(shop, f"worker {number}") is not None
        expire(lab)
        units.reap(shop.retention)
    shop.worker().work(run_id)
    report = report_of(shop.verifier, run_id)
    assert report.state == "failed"
    assert "10 attempts came to nothing: its workers died" in report.detail
    assert len(lab.ids("cases")) == 1


def test_a_run_ends_though_its_last_worker_died_before_it_could_say_so(
    lab: Any, acme: TenantId
) -> None:
    lab.case(acme)
    report = lab.run()
    lab.sql("UPDATE tenure.runs SET state = 'running', finished_at = NULL")
    assert close_done(lab.installation.retention) == {report.run_id: "succeeded"}
    assert close_done(lab.installation.retention) == {}


def test_a_run_for_another_catalog_is_left_alone_and_ended_by_the_next_tick(
    lab: Any, acme: TenantId
) -> None:
    lab.case(acme)
    shop = lab.shop()
    run_id = opened(shop)
    lab.sql("UPDATE tenure.runs SET catalog_digest = 'of another release'")
    assert claim(shop) is None
    shop.worker().work(run_id)
    assert len(lab.ids("cases")) == 1
    done = tick(shop)
    assert done.run is not None
    assert (done.run.state, done.run.rows) == ("succeeded", 1)
    outdated = report_of(shop.verifier, run_id)
    assert outdated.state == "failed"
    assert "catalog of tables has changed" in outdated.detail
    assert [u.state for u in outdated.units] == ["cancelled"]


def test_a_plan_that_was_changed_in_the_database_deletes_nothing(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme, opened=lab.lately)
    old = lab.case(acme)
    shop = lab.shop()
    run_id = opened(shop)
    lab.sql("UPDATE tenure.runs SET plan = replace(plan::text, '\"P1Y\"', '\"P1D\"')::jsonb")
    shop.worker().work(run_id)
    report = report_of(shop.verifier, run_id)
    assert report.state == "failed"
    assert "changed after it was made" in report.detail
    assert lab.ids("cases") == {case, old}


# -- windows --------------------------------------------------------------------------------


def windowed(lab: Any, *, opens_in_min: int, closes_in_min: int) -> Workshop:
    """The policy of cases, with a window around the database's now."""
    now = datetime.now(UTC)
    window = Window(
        (now + timedelta(minutes=opens_in_min)).time().replace(second=0, microsecond=0),
        (now + timedelta(minutes=closes_in_min)).time().replace(second=0, microsecond=0),
    )
    policies = tuple(replace(p, window=window) if p.name == "cases" else p for p in lab.policies)
    shop: Workshop = lab.shop(policies=policies)
    return shop


def test_outside_of_its_window_a_unit_waits_and_others_do_not(lab: Any, acme: TenantId) -> None:
    case, node = lab.case(acme), lab.node(acme)
    shop = windowed(lab, opens_in_min=60, closes_in_min=120)
    report = run_once(shop, shop.plan)
    assert report.state == "running"
    assert lab.ids("cases") == {case}
    assert node not in lab.ids("nodes")
    states = lab.sql("SELECT policy, state FROM tenure.units ORDER BY policy")
    assert states == [("cases", "open"), ("nodes", "succeeded")]
    # What waits is not planned once more.
    again = tick(shop)
    assert again.run is None
    assert lab.sql("SELECT count(*) FROM tenure.runs") == [(1,)]
    # Its time has come.
    lab.sql("UPDATE tenure.units SET opens = '00:00', closes = '23:59:59.9'")
    assert tick(shop).slices == 1
    assert lab.ids("cases") == set()
    assert report_of(shop.verifier, report.run_id).state == "succeeded"


@pytest.mark.parametrize(("opens", "closes"), [(-60, 60), (-1, 720), (-720, 2)])
def test_inside_of_its_window_it_is_worked_on_also_over_midnight(
    lab: Any, acme: TenantId, opens: int, closes: int
) -> None:
    lab.case(acme)
    shop = windowed(lab, opens_in_min=opens, closes_in_min=closes)
    assert run_once(shop, shop.plan).state == "succeeded"


def test_a_window_that_closes_ends_the_work_after_the_open_batch(lab: Any, acme: TenantId) -> None:
    for _ in range(4):
        lab.case(acme)

    def close(_progress: Any) -> None:
        now = datetime.now(UTC)
        later = [(now + timedelta(hours=h)).time() for h in (1, 2)]
        lab.sql("UPDATE tenure.units SET opens = %s, closes = %s", later)

    report = lab.run(lab.shop(options=Options(batch_size=1, on_progress=close)))
    assert (report.state, report.rows) == ("running", 1)
    assert lab.sql("SELECT holder, attempts, state FROM tenure.units") == [(None, 0, "open")]


# -- several at once ------------------------------------------------------------------------


def test_workers_share_a_run_and_delete_each_row_once(
    lab: Any, make_tenant: Callable[..., TenantId]
) -> None:
    for number in range(6):
        tenant = make_tenant(f"shop-{number}")
        for _ in range(4):
            lab.case(tenant, files=1)
            lab.node(tenant)
    shop = lab.shop(options=Options(batch_size=1, slice_s=0, lock_timeout_ms=2000))
    run_id = opened(shop)
    workers = [shop.worker() for _ in range(3)]
    threads = [threading.Thread(target=w.work, args=(run_id,)) for w in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    report = report_of(shop.verifier, run_id)
    assert report.state == "succeeded", report.detail
    assert report.deleted() == lab.recorded() == {
        "lab.cases": 24, "lab.files": 24, "lab.pages": 48, "lab.nodes": 24,
    }  # fmt: skip
    assert sum(w.deleted for w in workers) == 120
    assert all(w.deleted for w in workers), "one of them had nothing to do"
    assert units_agree_with_batches(lab)
    assert lab.verify().findings == 0


def test_a_claim_whose_commit_was_never_heard_of_is_given_up(
    lab: Any, acme: TenantId, globex: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its worker keeps it alive, and works on another tenant."""
    for tenant in (acme, globex):
        lab.node(tenant)
    shop = lab.shop()
    shop.record()
    run_id = shop.open(shop.plan(), trace_id=new_trace_id())
    claim, lost = units.claim, list[bool]()

    class Lossy:
        def __getattr__(self, name: str) -> Any:
            return getattr(shop.retention, name)

        @contextmanager
        def transaction(self, *arguments: Any, **more: Any) -> Iterator[Any]:
            with shop.retention.transaction(*arguments, **more) as cursor:
                yield cursor
            if lost == [False]:
                lost[:] = [True]
                raise psycopg2.OperationalError("the connection is gone")

    def claimed(*arguments: Any) -> Any:
        if not lost:
            lost.append(False)
        return claim(*arguments)

    monkeypatch.setattr(units, "claim", claimed)
    worker = Worker(cast(Any, Lossy()), shop.verifier, shop.catalog, shop.options, 30.0)
    worker.work()
    assert lost == [True]
    assert lab.ids("nodes") == set()
    assert lab.sql("SELECT state FROM tenure.runs WHERE id = %s", (str(run_id),)) == [
        ("succeeded",)
    ]
