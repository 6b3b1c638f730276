"""Two tenants over HTTP: neither sees, changes, or can tell that there is, what is the other's."""

from __future__ import annotations

import uuid

import pytest

from tenants.context import scope_or_none

RESOURCES = (
    *("customers", "customer-profiles", "categories", "products"),
    *("product-categories", "invoices", "invoice-lines", "notes"),
)


def furnish(tenant) -> dict[str, dict]:
    """Create one row of every resource."""
    customer = tenant.customer()
    product = tenant.create("products", sku="A", unit_price=1)
    category = tenant.create("categories", name="all")
    invoice = tenant.invoice(customer_id=customer["id"])
    return {
        "customers": customer,
        "customer-profiles": tenant.create("customer-profiles", customer_id=customer["id"]),
        "categories": category,
        "products": product,
        "product-categories": tenant.create(
            "product-categories", product_id=product["id"], category_id=category["id"]
        ),
        "invoices": invoice,
        "invoice-lines": tenant.create(
            "invoice-lines",
            invoice_id=invoice["id"],
            product_id=product["id"],
            line_no=1,
            quantity=1,
            unit_price=1,
        ),
        "notes": tenant.create(
            "notes", subject_type="customer", subject_id=customer["id"], body="x"
        ),
    }


CHANGES = {
    "customers": {"name": "theirs"},
    "customer-profiles": {"notes": "theirs"},
    "categories": {"name": "theirs"},
    "products": {"name": "theirs"},
    "product-categories": {},
    "invoices": {"status": "paid"},
    "invoice-lines": {"quantity": 2},
    "notes": {"body": "theirs"},
}


def answer(response) -> tuple:
    """Return an answer without what differs from any request to the next."""
    body = {k: v for k, v in (response.json or {}).items() if k not in ("instance", "trace_id")}
    headers = {k: v for k, v in response.headers.items() if k not in ("traceparent", "X-Trace-Id")}
    length = headers.pop("Content-Length", None)
    return response.status_code, body, headers, length


def test_resources_tested_are_all_there_are(service) -> None:
    assert {r.name for r in service.installation.domain.resources} == set(RESOURCES)


def test_a_foreign_id_is_answered_exactly_as_one_that_is_not_there(service) -> None:
    acme, globex = service.acme, service.globex
    rows = furnish(globex)
    missing = str(uuid.uuid4())
    for name, row in rows.items():
        changes = CHANGES[name] or {"product_id": missing}
        for method, json, headers in (
            ("GET", None, {}),
            ("GET", None, {"If_None_Match": '"x"'}),
            ("PATCH", changes, {}),
            ("PATCH", changes, {"If_Match": '"x"'}),
            ("DELETE", None, {}),
            ("DELETE", None, {"If_Match": '"x"'}),
        ):
            foreign = acme.call(method, f"/v1/{name}/{row['id']}", json=json, **headers)
            nothing = acme.call(method, f"/v1/{name}/{missing}", json=json, **headers)
            assert foreign.status_code == 404, (method, name)
            assert answer(foreign) == answer(nothing), (method, name)
        assert globex.get(f"/v1/{name}/{row['id']}").json == row


def test_no_filter_reaches_another_tenants_rows(service) -> None:
    acme, globex = service.acme, service.globex
    furnish(acme)
    theirs = furnish(globex)
    ids = {row["id"] for row in theirs.values()}
    customer, invoice = theirs["customers"]["id"], theirs["invoices"]["id"]
    for name in RESOURCES:
        own = acme.get(f"/v1/{name}", Prefer="count=exact")
        assert own.headers["Content-Range"] == "0-0/1", name
        listed = ",".join(sorted(ids))
        for query in (f"id=in.({listed})", f"or=(id.eq.{theirs[name]['id']},id.is.null)"):
            assert acme.get(f"/v1/{name}?{query}").json == [], (name, query)
    for path in (
        f"/v1/invoices?customer_id=eq.{customer}",
        f"/v1/invoice-lines?invoice_id=in.({invoice})",
        f"/v1/notes?subject_id=eq.{customer}",
        f"/v1/invoices?or=(customer_id.eq.{customer},customer_id.not.is.null)&customer_id=eq.{customer}",
    ):
        assert acme.get(path).json == [], path


def test_batch_writes_touch_the_callers_rows_alone(service) -> None:
    acme, globex = service.acme, service.globex
    mine, theirs = acme.customer("1"), globex.customer("1")
    changed = acme.call(
        "PATCH",
        "/v1/customers?id=not.is.null",
        json={"name": "new"},
        Prefer="return=representation,count=exact",
    )
    assert [row["id"] for row in changed.json] == [mine["id"]]
    assert changed.headers["Content-Range"] == "0-0/1"
    assert globex.get(f"/v1/customers/{theirs['id']}").json == theirs
    deleted = acme.call(
        "DELETE", f"/v1/customers?id=in.({mine['id']},{theirs['id']})", Prefer="count=exact"
    )
    assert (deleted.status_code, deleted.headers["Content-Range"]) == (204, "*/1")
    assert globex.get(f"/v1/customers/{theirs['id']}").status_code == 200


def test_a_reference_to_another_tenants_row_is_one_to_nothing(service) -> None:
    acme, globex = service.acme, service.globex
    theirs = globex.customer()["id"]
    invoice = acme.invoice("1")
    answers = []
    for customer in (theirs, str(uuid.uuid4())):
        row = {"number": "2", "issued_at": "2026-01-01", "customer_id": customer}
        answers.append(
            (
                answer(acme.call("POST", "/v1/invoices", json=row)),
                answer(
                    acme.call(
                        "PATCH", f"/v1/invoices/{invoice['id']}", json={"customer_id": customer}
                    )
                ),
            )
        )
    assert answers[0] == answers[1]
    assert [a[0] for a in answers[0]] == [409, 409]


def test_the_same_id_and_number_may_be_used_by_both(service) -> None:
    acme, globex = service.acme, service.globex
    shared = str(uuid.uuid4())
    for tenant in (acme, globex):
        tenant.customer("7", id=shared, name=tenant.slug)
    for tenant in (acme, globex):
        assert tenant.get(f"/v1/customers/{shared}").json["name"] == tenant.slug
        assert [r["name"] for r in tenant.get("/v1/customers").json] == [tenant.slug]
    acme.call("PATCH", f"/v1/customers/{shared}", json={"name": "changed"})
    assert acme.call("DELETE", f"/v1/customers/{shared}").status_code == 204
    assert globex.get(f"/v1/customers/{shared}").json["name"] == "globex"


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("mine", [True, False])
def test_a_body_never_names_a_tenant(service, method, mine) -> None:
    acme = service.acme
    customer = acme.customer()
    tenant_id = str(acme.id if mine else service.globex.id)
    row = {"number": "2", "name": "x", "country": "x", "tenant_id": tenant_id}
    path = "/v1/customers" if method == "POST" else f"/v1/customers/{customer['id']}"
    refused = acme.call(method, path, json=row)
    assert refused.status_code == 422
    assert {"field": "tenant_id", "message": "is no attribute of this resource"}.items() <= (
        refused.json["errors"][-1].items()
    )
    assert len(acme.get("/v1/customers").json) == 1


def test_sessions_of_threads_do_not_mix_tenants(service) -> None:
    from concurrent.futures import ThreadPoolExecutor

    acme, globex = service.acme, service.globex
    for tenant in (acme, globex):
        for n in range(5):
            tenant.customer(str(n), name=tenant.slug)

    def read(n: int) -> tuple[str, set[str]]:
        tenant = (acme, globex)[n % 2]
        client = service.app.test_client(use_cookies=False)
        rows = client.get("/v1/customers", headers=tenant.headers()).json
        return tenant.slug, {row["name"] for row in rows}

    with ThreadPoolExecutor(8) as pool:
        for slug, names in pool.map(read, range(80)):
            assert names == {slug}


def test_no_scope_outlives_its_request(service) -> None:
    acme = service.acme
    for path in ("/v1/customers", "/v1/customers/x", "/v1/customers?nothing=eq.1", "/v1/none"):
        acme.get(path)
        assert scope_or_none() is None, path
    acme.call("POST", "/v1/customers", json={})
    assert scope_or_none() is None
