"""Holds on less than a tenant, over HTTP: what is held stays as it is, the rest can be written."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from api.app import create_app
from api.workshop import ground_of
from retention import holds
from retention.hold_scopes import Scope
from tenants.catalog import TableName


@pytest.fixture
def hold(service: Any) -> Any:
    """`hold("table", "invoices", condition="..")` places a hold on acme's rows."""

    def place(kind: Any, table: str, **how: Any) -> UUID:
        return holds.place(
            service.installation.retention,
            service.acme.id,
            Scope(kind, TableName("shop", table), **how),
            matter="S v. A",
            reason="r",
            actor="t",
            ground=ground_of(service.installation),
        )

    return place


def of(tenant: Any, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    response = tenant.call(method, path, json=body)
    code = response.json.get("code") if response.status_code >= 400 else None
    return response.status_code, code


def note(tenant: Any, kind: str, subject: str) -> Any:
    return tenant.create("notes", subject_type=kind, subject_id=subject, body="b")


def line_of(tenant: Any, invoice: str) -> Any:
    product = tenant.create("products", sku="S", unit_price="1.000")
    return tenant.create(
        "invoice-lines", invoice_id=invoice, product_id=product["id"], line_no=1, quantity=1,
        unit_price="1.000",
    )  # fmt: skip


HELD = (409, "held")
DONE = (204, None)


@pytest.mark.parametrize("how", ["rows", "table", "subject"])
def test_a_held_row_is_neither_changed_nor_deleted_and_others_are(
    acme: Any, hold: Any, how: str
) -> None:
    held, other = acme.invoice("H-1"), acme.invoice("F-1")
    if how == "rows":
        hold("rows", "invoices", rows=(UUID(held["id"]),))
    elif how == "table":
        hold("table", "invoices", condition="r.number LIKE 'H-%'")
    else:
        hold("subject", "invoices", subject=UUID(held["id"]))
    before = acme.get(f"/v1/invoices/{held['id']}").json
    assert of(acme, "PATCH", f"/v1/invoices/{held['id']}", {"currency": "EUR"}) == HELD
    assert of(acme, "DELETE", f"/v1/invoices/{held['id']}") == HELD
    # One of many is enough: all or nothing.
    assert of(acme, "PATCH", "/v1/invoices?id=not.is.null", {"currency": "EUR"}) == HELD
    assert of(acme, "DELETE", "/v1/invoices?id=not.is.null") == HELD
    assert acme.get(f"/v1/invoices/{held['id']}").json == before
    assert of(acme, "PATCH", "/v1/invoices?number=like.F*", {"currency": "EUR"}) == DONE
    assert of(acme, "DELETE", f"/v1/invoices/{other['id']}") == DONE


def test_a_refusal_tells_neither_matter_nor_row(acme: Any, hold: Any) -> None:
    held = acme.invoice()
    hold("rows", "invoices", rows=(UUID(held["id"]),))
    refused = acme.call("DELETE", "/v1/invoices?id=not.is.null")
    assert refused.status_code == 409
    assert "S v. A" not in refused.text
    assert held["id"] not in refused.text


def test_a_row_cannot_be_changed_out_of_the_condition_that_holds_it(acme: Any, hold: Any) -> None:
    invoice = acme.invoice("H-1", status="issued")
    hold("table", "invoices", condition="r.status = 'issued'")
    assert of(acme, "PATCH", f"/v1/invoices/{invoice['id']}", {"status": "draft"}) == HELD
    assert of(acme, "PATCH", "/v1/invoices?status=eq.issued", {"status": "draft"}) == HELD


def test_a_row_that_is_changed_into_a_condition_is_held_from_then_on(acme: Any, hold: Any) -> None:
    invoice = acme.invoice("H-1", status="draft")
    hold("table", "invoices", condition="r.status = 'issued'")
    path = f"/v1/invoices/{invoice['id']}"
    assert of(acme, "PATCH", path, {"status": "issued"}) == DONE
    assert of(acme, "PATCH", path, {"status": "draft"}) == HELD


def test_a_row_cannot_be_moved_away_from_the_subject_that_holds_it(acme: Any, hold: Any) -> None:
    held, other = acme.customer("1"), acme.customer("2")
    theirs, ours = (
        acme.invoice("H-1", customer_id=held["id"]),
        acme.invoice("F-1", customer_id=other["id"]),
    )
    noted = note(acme, "customer", held["id"])
    hold("subject", "customers", subject=UUID(held["id"]))
    for to in (other["id"], None):
        moved = {"customer_id": to}
        assert of(acme, "PATCH", f"/v1/invoices/{theirs['id']}", moved) == HELD
    turned = {"subject_type": "invoice", "subject_id": ours["id"]}
    assert of(acme, "PATCH", f"/v1/notes/{noted['id']}", turned) == HELD
    assert of(acme, "DELETE", f"/v1/notes/{noted['id']}") == HELD
    assert of(acme, "PATCH", f"/v1/customers/{held['id']}", {"name": "x"}) == HELD
    assert of(acme, "DELETE", f"/v1/customers/{held['id']}") == HELD
    # To the subject is no way out; from then on it is held.
    path = f"/v1/invoices/{ours['id']}"
    assert of(acme, "PATCH", path, {"customer_id": held["id"]}) == DONE
    assert of(acme, "PATCH", path, {"customer_id": other["id"]}) == HELD
    assert of(acme, "PATCH", f"/v1/customers/{other['id']}", {"name": "x"}) == DONE


def test_what_a_held_row_refers_to_is_not_deleted_softly_either_but_may_change(
    acme: Any, hold: Any
) -> None:
    """A soft deletion is an UPDATE: no foreign key keeps the customer of a held line's invoice."""
    customer = acme.customer("1")
    invoice = acme.invoice("H-1", customer_id=customer["id"])
    line = line_of(acme, invoice["id"])
    hold("rows", "invoice_lines", rows=(UUID(line["id"]),))
    assert of(acme, "DELETE", f"/v1/customers/{customer['id']}") == HELD
    assert of(acme, "DELETE", "/v1/customers?number=eq.1") == HELD
    assert of(acme, "DELETE", f"/v1/invoices/{invoice['id']}") == HELD
    assert of(acme, "DELETE", f"/v1/products/{line['product_id']}") == HELD
    # Cut loose, the customer could be deleted: what ties them stays.
    assert of(acme, "PATCH", f"/v1/invoices/{invoice['id']}", {"customer_id": None}) == HELD
    assert of(acme, "PATCH", f"/v1/invoices/{invoice['id']}", {"currency": "EUR"}) == DONE
    assert of(acme, "PATCH", f"/v1/customers/{customer['id']}", {"name": "x"}) == DONE
    assert of(acme, "DELETE", f"/v1/customers/{acme.customer('2')['id']}") == DONE


def test_what_a_held_row_refers_to_softly_is_not_deleted(acme: Any, hold: Any) -> None:
    invoice = acme.invoice()
    noted = note(acme, "invoice", invoice["id"])
    hold("rows", "notes", rows=(UUID(noted["id"]),))
    assert of(acme, "DELETE", f"/v1/invoices/{invoice['id']}") == HELD
    assert of(acme, "DELETE", f"/v1/invoices/{acme.invoice('2')['id']}") == DONE


def test_other_tenants_are_not_concerned(acme: Any, globex: Any, hold: Any) -> None:
    ours, theirs = acme.invoice(), globex.invoice()
    hold("table", "invoices", condition="true")
    assert of(acme, "DELETE", f"/v1/invoices/{ours['id']}") == HELD
    assert of(globex, "DELETE", f"/v1/invoices/{theirs['id']}") == DONE


def test_a_stale_version_and_a_missing_row_are_told_as_without_holds(acme: Any, hold: Any) -> None:
    held, other = acme.invoice("H-1"), acme.invoice("F-1")
    hold("rows", "invoices", rows=(UUID(held["id"]),))
    path = f"/v1/invoices/{other['id']}"
    stale = acme.call("PATCH", path, json={"currency": "EUR"}, If_Match='"x"')
    assert stale.status_code == 412
    assert of(acme, "DELETE", path) == DONE
    assert of(acme, "DELETE", path)[0] == 404
    assert of(acme, "PATCH", "/v1/invoices?number=eq.none", {"currency": "EUR"}) == DONE


def test_what_is_new_can_come_and_a_release_frees(acme: Any, hold: Any, service: Any) -> None:
    hold_id = hold("table", "invoices", condition="true")
    invoice = acme.invoice()
    path = f"/v1/invoices/{invoice['id']}"
    assert of(acme, "DELETE", path) == HELD
    installation = service.installation
    for grace, expected in (("P1D", HELD), ("P0D", DONE)):
        if grace == "P0D":
            holds.take_back(installation.retention, installation.verifier, hold_id, actor="t")
        holds.release(
            installation.retention, installation.verifier, hold_id, actor="t", grace=grace
        )
        assert of(acme, "DELETE", path) == expected


def test_a_row_that_comes_to_match_after_it_was_asked_which_are_held_is_left_alone(
    acme: Any, hold: Any, service: Any
) -> None:
    """Between the question and the write a held row comes that the write would match."""
    acme.invoice("F-1")
    hold("table", "invoices", condition="r.number LIKE 'H-%'")
    app = service.installation.app
    came: list[Any] = []

    def guard(write: Any = None, /) -> Any:
        judged = holds.pass_gate(app, write)
        if not came:
            came.append(acme.invoice("H-1"))
        return judged

    late = create_app(service.installation, write_guard=guard).test_client(use_cookies=False)
    changed = late.patch(
        "/v1/invoices?id=not.is.null", json={"currency": "EUR"}, headers=acme.headers()
    )
    assert changed.status_code == 204
    shown = acme.get("/v1/invoices?select=number,currency&order=number").json
    assert shown == [
        {"number": "F-1", "currency": "EUR"},
        {"number": "H-1", "currency": "GBP"},
    ]
