"""Holds against deletes and writes, in the interleavings that lose rows elsewhere."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import peewee
import psycopg2
import pytest

from config.clock import utc_now
from config.trace import new_trace_id
from retention import holds
from retention.errors import HeldError, HoldError, NoTenantError
from retention.executor import Options
from retention.hold_records import holds as list_holds
from retention.jobs import run_once
from tenants.context import TenantId, tenant_scope

WAIT_S = 10.0


def place(lab: Any, tenant: TenantId) -> Any:
    return holds.place(
        lab.installation.retention, tenant, matter="M-1", reason="litigation", actor="test"
    )


def test_a_held_tenant_keeps_everything_and_others_do_not(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    kept = lab.case(acme)
    lab.case(globex)
    place(lab, acme)
    report = lab.run()
    assert lab.ids("cases") == {kept}
    assert report.state == "succeeded_with_skips"
    assert report.detail == "cases of acme: held (1 rows)"
    found = next(r for r in lab.verify().results if r.kind == "overdue" and r.held)
    assert (found.found, found.held, found.tenant) == (0, 1, "acme")


def test_a_released_hold_lets_the_purge_resume(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    first, second = place(lab, acme), place(lab, acme)
    installation = lab.installation
    holds.release(installation.retention, installation.verifier, first, actor="judge", grace="P0D")
    assert lab.run().rows == 0
    hold = holds.release(
        installation.retention, installation.verifier, second, actor="judge", grace="P0D"
    )
    assert hold.released_by == "judge"
    assert lab.run().rows == 1
    with pytest.raises(HoldError, match="released before"):
        holds.release(
            installation.retention, installation.verifier, second, actor="judge", grace="P0D"
        )


def test_a_hold_placed_between_plan_and_run_is_respected(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme)
    shop = lab.shop()
    shop.record()
    plan = shop.plan()
    place(lab, acme)
    report = run_once(shop, lambda: plan)
    assert lab.ids("cases") == {case}
    assert report.state == "succeeded_with_skips"


@pytest.mark.parametrize("step", ["gate", "checked", "selected", "deleted", "recorded"])
def test_a_hold_waits_for_the_open_batch_and_then_nothing_more_goes(
    lab: Any, acme: TenantId, step: str
) -> None:
    for _ in range(9):
        lab.case(acme, files=1)
    reached, proceed, placed = threading.Event(), threading.Event(), threading.Event()
    steps: list[str] = []

    def on_step(now_at: str) -> None:
        steps.append(now_at)
        if now_at == step and not reached.is_set():
            reached.set()
            assert proceed.wait(WAIT_S)
        if now_at == "committed" and steps.count("committed") == 1:
            # Row locks know no queue: let the hold go before the next batch.
            assert placed.wait(WAIT_S)

    reports: list[Any] = []
    shop = lab.shop(options=Options(batch_size=3, lock_timeout_ms=5000, on_step=on_step))
    runner = threading.Thread(target=lambda: reports.append(lab.run(shop)))
    runner.start()
    assert reached.wait(WAIT_S)

    def hold() -> None:
        place(lab, acme)
        placed.set()

    placer = threading.Thread(target=hold)
    placer.start()
    lab.wait_for_a_waiter()
    assert not placed.is_set(), "the hold went past an open batch"
    assert len(lab.ids("cases")) == 9
    proceed.set()
    placer.join(WAIT_S)
    runner.join(WAIT_S)
    assert placed.is_set()
    assert len(lab.ids("cases")) == 6
    assert lab.recorded() == {"lab.cases": 3, "lab.files": 3, "lab.pages": 6}
    assert reports[0].state == "succeeded_with_skips"
    ((late,),) = lab.sql(
        "SELECT count(*) FROM tenure.batches b, tenure.holds h WHERE b.recorded_at > h.placed_at"
    )
    assert late == 0


def test_a_batch_waits_for_a_hold_that_is_being_placed(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme)
    connection = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
    reports: list[Any] = []
    try:
        with connection.cursor() as cursor:
            # What `holds.place` does, stopped before its commit.
            cursor.execute(
                "SELECT 1 FROM tenure.gates WHERE tenant_id = %s FOR UPDATE", (str(acme),)
            )
            cursor.execute(
                "INSERT INTO tenure.holds (tenant_id, id, matter, reason, placed_by)"
                " VALUES (%s, %s, 'm', 'r', 'test')",
                (str(acme), str(uuid4())),
            )
            shop = lab.shop(options=Options(lock_timeout_ms=5000))
            runner = threading.Thread(target=lambda: reports.append(lab.run(shop)))
            runner.start()
            lab.wait_for_a_waiter()
            connection.commit()
            runner.join(WAIT_S)
    finally:
        connection.close()
    assert lab.ids("cases") == {case}
    assert reports[0].detail == "cases of acme: held"


# -- the API's side of the gate -------------------------------------------------------------


def customer_of(lab: Any, tenant: TenantId) -> Any:
    from shop.models import Customer

    with tenant_scope(tenant, actor="test", trace_id=new_trace_id()):
        return Customer.create(number="1", name="A", country="DE", created_at=utc_now())


def rename(lab: Any, tenant: TenantId, customer: Any, isolation: str | None = None) -> int:
    from shop.models import Customer

    app = lab.installation.app
    with (
        tenant_scope(tenant, actor="test", trace_id=new_trace_id()),
        app.atomic(isolation) if isolation else app.atomic(),
    ):
        if isolation:
            list(Customer.select())  # a snapshot from before the gate
            place(lab, tenant)
        holds.pass_gate(app)
        return int(Customer.update(name="B").where(Customer.id == customer.id).execute())


def test_a_write_of_a_held_tenant_is_refused_and_of_others_it_is_not(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    ours, theirs = customer_of(lab, acme), customer_of(lab, globex)
    place(lab, acme)
    with pytest.raises(HeldError, match="M-1"):
        rename(lab, acme, ours)
    assert rename(lab, globex, theirs) == 1
    assert dict(lab.sql("SELECT tenant_id::text, name FROM shop.customers")) == {
        str(acme): "A",
        str(globex): "B",
    }


def test_a_hold_waits_for_an_open_write(lab: Any, acme: TenantId) -> None:
    customer = customer_of(lab, acme)
    app = lab.installation.app
    placed = threading.Event()
    with tenant_scope(acme, actor="test", trace_id=new_trace_id()), app.atomic():
        holds.pass_gate(app)
        placer = threading.Thread(target=lambda: (place(lab, acme), placed.set()))
        placer.start()
        lab.wait_for_a_waiter()
        assert not placed.is_set()
    placer.join(WAIT_S)
    assert placed.is_set()
    with pytest.raises(HeldError):
        rename(lab, acme, customer)


def test_a_stricter_transaction_cannot_slip_past_a_hold_it_does_not_see(
    lab: Any, acme: TenantId
) -> None:
    customer = customer_of(lab, acme)
    with pytest.raises((peewee.OperationalError, HeldError)):
        rename(lab, acme, customer, "REPEATABLE READ")
    assert lab.sql("SELECT name FROM shop.customers") == [("A",)]


def test_the_gate_protects_nothing_outside_of_a_transaction(lab: Any, acme: TenantId) -> None:
    with (
        tenant_scope(acme, actor="test", trace_id=new_trace_id()),
        pytest.raises(HoldError, match="outside of a transaction"),
    ):
        holds.pass_gate(lab.installation.app)


def test_holds_are_listed_and_wrong_ones_are_refused(lab: Any, acme: TenantId) -> None:
    installation = lab.installation
    first, second = place(lab, acme), place(lab, acme)
    holds.release(installation.retention, installation.verifier, first, actor="judge", grace="P0D")
    with installation.verifier.transaction(None) as cursor:
        assert [h.id for h in list_holds(cursor)] == [second]
        assert [h.id for h in list_holds(cursor, released=True)] == [first, second]
        assert list_holds(cursor, tenant_id=TenantId(uuid4())) == []
    with pytest.raises(HoldError, match="there is no hold"):
        holds.release(
            installation.retention, installation.verifier, uuid4(), actor="judge", grace="P0D"
        )
    with pytest.raises(HoldError, match="matter"):
        holds.place(installation.retention, acme, matter=" ", reason="r", actor="a")
    with pytest.raises(NoTenantError, match="no tenant"):
        place(lab, TenantId(uuid4()))
