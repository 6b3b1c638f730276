"""A person who is being erased, over HTTP: nothing of theirs is moved away meanwhile."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from shop.models import Note

from api.workshop import ground_of, workshop_of
from config.trace import new_trace_id
from retention.erasures import requests
from retention.erasures.execution import Executor
from retention.erasures.planning import make_plan
from retention.erasures.records import find_erasure
from retention.errors import ErasingError
from retention.hold_scopes import Scope
from retention.holds import pass_gate, place
from tenants.catalog import TableName
from tenants.context import tenant_scope
from tenants.writes import Write
from tests.integration.api.test_row_holds import DONE, line_of, note, of

ERASING = (409, "erasing")


def executor_of(service: Any) -> Executor:
    shop = workshop_of(service.installation, actor="t")
    return replace(shop.erasures(), settle_s=1.0)


def approve(service: Any, tenant: Any, customer: str) -> UUID:
    """Enter, plan and approve the erasure of a customer."""
    shop = workshop_of(service.installation, actor="t")
    now = shop.clock.now()

    def at() -> Any:
        with shop.verifier.transaction(None, read_only=True) as cursor:
            return find_erasure(cursor, erasure_id)

    request = requests.Request(tenant.id, "customer", UUID(customer), "they", now)
    erasure_id = requests.enter(shop.retention, request, actor="ann", now=now)
    requests.confirm(shop.retention, at(), how="letter", actor="ann")
    plan = make_plan(
        shop.verifier, erasure_id, shop.subjects,
        catalog=shop.catalog, policies=shop.policies, now=now,
    )  # fmt: skip
    requests.keep_plan(shop.retention, at(), plan, actor="ann")
    requests.approve(shop.retention, at(), actor="bob")
    return erasure_id


def hold_row(service: Any, table: str, row: str) -> None:
    scope = Scope("rows", TableName("shop", table), rows=(UUID(row),))
    place(
        service.installation.retention, service.acme.id, scope,
        matter="m", reason="r", actor="t", ground=ground_of(service.installation),
    )  # fmt: skip


def test_a_persons_rows_change_no_more_once_their_erasure_has_started(
    service: Any, acme: Any
) -> None:
    one, other = acme.customer("1", email="a@example.org"), acme.customer("2")
    profile = acme.create("customer-profiles", customer_id=one["id"], notes="x")
    invoice = acme.invoice("I-1", customer_id=one["id"])
    free = acme.invoice("I-2", customer_id=other["id"])
    line = line_of(acme, invoice["id"])
    hold_row(service, "customer_profiles", profile["id"])
    erasure_id = approve(service, acme, one["id"])
    moved = {"customer_id": other["id"]}
    assert of(acme, "PATCH", f"/v1/customers/{one['id']}", {"country": "Peru"}) == DONE
    assert executor_of(service).run(erasure_id).erasure.state == "deferred"
    assert of(acme, "PATCH", f"/v1/customers/{one['id']}", {"country": "Chile"}) == ERASING
    # Kept on a legal basis: an invoice can be paid, and not become somebody else's.
    assert of(acme, "PATCH", f"/v1/invoices/{invoice['id']}", {"status": "paid"}) == DONE
    assert of(acme, "PATCH", f"/v1/invoices/{invoice['id']}", moved) == ERASING
    assert of(acme, "DELETE", f"/v1/invoice-lines/{line['id']}") == ERASING
    # Everybody else's can be written as ever.
    assert of(acme, "PATCH", f"/v1/customers/{other['id']}", {"country": "Peru"}) == DONE
    assert of(acme, "PATCH", f"/v1/invoices/{free['id']}", {"customer_id": None}) == DONE


def test_the_answer_names_the_erasure_and_not_the_person(service: Any, acme: Any) -> None:
    one = acme.customer("1", email="sentinel@example.org")
    profile = acme.create("customer-profiles", customer_id=one["id"], notes="x")
    hold_row(service, "customer_profiles", profile["id"])
    executor_of(service).run(approve(service, acme, one["id"]))
    response = acme.call("PATCH", f"/v1/customers/{one['id']}", json={"name": "n"})
    assert response.status_code == 409
    assert response.json["code"] == "erasing"
    assert "sentinel" not in response.text


def test_starting_waits_for_open_writes(service: Any, acme: Any) -> None:
    """Whoever moves a row away before it has started has done it before."""
    one, other = acme.customer("1"), acme.customer("2")
    written = note(acme, "customer", one["id"])
    erasure_id = approve(service, acme, one["id"])
    app: Any = service.installation.app
    done: list[Any] = []
    runner = threading.Thread(
        target=lambda: done.append(executor_of(service).run(erasure_id)), daemon=True
    )
    write = Write(
        TableName("shop", "notes"), lambda: [UUID(written["id"])], frozenset(["subject_id"])
    )
    guard = partial(pass_gate, app)
    with tenant_scope(acme.id, actor="t", trace_id=new_trace_id()), app.atomic():
        guard(write)
        runner.start()
        runner.join(0.5)
        assert runner.is_alive(), "it went past an open write"
        Note.update(subject_id=other["id"]).where(Note.id == written["id"]).execute()
    runner.join(30)
    assert done[0].erasure.state == "completed"
    assert acme.get(f"/v1/notes/{written['id']}").status_code == 200


def test_a_write_that_does_not_say_which_rows_is_refused_while_an_erasure_runs(
    service: Any, acme: Any
) -> None:
    erasure_id = approve(service, acme, acme.customer("1")["id"])
    app: Any = service.installation.app
    seen: list[bool] = []

    def try_to_write(step: str) -> None:
        if step != "started":
            return
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(30)

    def write() -> None:
        with (
            tenant_scope(acme.id, actor="t", trace_id=new_trace_id()),
            pytest.raises(ErasingError, match=f"a person is being erased: .*{erasure_id}"),
            app.atomic(),
        ):
            pass_gate(app)
        seen.append(True)

    replace(executor_of(service), on_step=try_to_write).run(erasure_id)
    assert seen
    with tenant_scope(acme.id, actor="t", trace_id=new_trace_id()), app.atomic():
        pass_gate(app)
