"""What a constraint refuses names the fields, and nothing of anybody's data."""

from __future__ import annotations

import uuid

import pytest

from api.constraints import Constraints
from api.resources import views_of
from tests.integration.api.test_isolation import answer

MISSING = str(uuid.uuid4())


def fields(response) -> list[tuple[str, str]]:
    return [(e["field"], e["code"]) for e in response.json.get("errors", [])]


def test_each_kind_of_constraint_names_its_fields(acme) -> None:
    customer = acme.customer("1")
    invoice = acme.invoice("1")
    product = acme.create("products", sku="A", unit_price=1)
    line = {"invoice_id": invoice["id"], "product_id": product["id"], "line_no": 1}
    line |= {"quantity": 1, "unit_price": 1}
    acme.create("invoice-lines", **line)
    row = {"number": "2", "issued_at": "2026-01-01"}
    new = {"number": "9", "name": "x", "country": "x"}
    for method, path, body, status, named in (
        ("POST", "customers", {**new, "number": "1"}, 409, "number 23505"),
        ("POST", "customers", {**new, "id": customer["id"]}, 409, "id 23505"),
        ("POST", "invoice-lines", line, 409, "invoice_id 23505, line_no 23505"),
        ("POST", "invoice-lines", {**line, "product_id": MISSING, "line_no": 2}, 409,
         "product_id 23503"),
        ("POST", "invoices", {**row, "customer_id": MISSING}, 409, "customer_id 23503"),
        ("PATCH", f"invoices/{invoice['id']}", {"customer_id": MISSING}, 409, "customer_id 23503"),
        ("POST", "invoices", {**row, "status": "lost"}, 422, "status 23514"),
        ("PATCH", "invoices?number=eq.1", {"currency": "gbp"}, 422, "currency 23514"),
    ):  # fmt: skip
        refused = acme.call(method, f"/v1/{path}", json=body)
        assert refused.status_code == status, (path, refused.text)
        assert ", ".join(" ".join(f) for f in fields(refused)) == named, refused.text


def test_a_row_that_is_referred_to_has_no_field_that_is_wrong(acme) -> None:
    product = acme.create("products", sku="A", unit_price=1)
    category = acme.create("categories", name="all")
    acme.create("product-categories", product_id=product["id"], category_id=category["id"])
    acme.create("categories", name="below", parent_id=category["id"])
    for path in (f"products/{product['id']}", f"categories/{category['id']}"):
        refused = acme.call("DELETE", f"/v1/{path}")
        assert (refused.status_code, refused.json["code"]) == (409, "23503")
        assert "errors" not in refused.json


def test_foreign_missing_and_softly_deleted_parents_look_alike(acme, globex) -> None:
    theirs, gone = globex.customer("1")["id"], acme.customer("1")["id"]
    assert acme.call("DELETE", f"/v1/customers/{gone}").status_code == 204
    answers = [
        answer(
            acme.call(
                "POST",
                "/v1/invoices",
                json={"number": "1", "issued_at": "2026-01-01", "customer_id": customer},
            )
        )
        for customer in (MISSING, theirs, gone)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][1]["errors"][0]["field"] == "customer_id"


def test_a_key_that_another_tenant_uses_is_free(acme, globex) -> None:
    theirs = globex.customer("1")
    row = {"id": theirs["id"], "number": "1", "name": "x", "country": "x"}
    assert acme.call("POST", "/v1/customers", json=row).status_code == 201


@pytest.mark.parametrize("name", ["unknown", None])
def test_what_is_no_resource_has_no_fields(service, name) -> None:
    views = views_of(service.installation.domain.resources)
    assert Constraints(views).errors(name, RuntimeError()) == ()
    assert Constraints(views).errors("customers", RuntimeError()) == ()


def test_every_constraint_of_the_database_is_known(service, owner_sql) -> None:
    views = views_of(service.installation.domain.resources)
    known = Constraints(views)._columns
    found = owner_sql(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint"
        " WHERE connamespace = 'shop'::regnamespace AND contype IN ('p', 'f', 'c')"
        " UNION ALL SELECT indrelid::regclass::text, c.relname FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE c.relnamespace = 'shop'::regnamespace AND indisunique"
    )
    tables = {f"shop.{v.resource.model._meta.table_name}": name for name, v in views.items()}
    checked = [(tables[table], constraint) for table, constraint in found if table in tables]
    assert len(checked) > 25
    for resource, constraint in checked:
        assert constraint in known[resource], constraint
