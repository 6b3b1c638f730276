"""Bodies that are refused before any SQL is made of them."""

from __future__ import annotations

import pytest

NEW = {"number": "1", "name": "x", "country": "France"}


@pytest.mark.parametrize(
    ("resource", "body", "errors"),
    [
        ("customers", {}, {"number": "missing", "name": "missing", "country": "missing"}),
        ("customers", {**NEW, "name": 5}, {"name": "string_type"}),
        ("customers", {**NEW, "name": None}, {"name": "string_type"}),
        ("customers", {**NEW, "name": "a\0b"}, {"name": "text"}),
        ("customers", {**NEW, "name": "\ud800"}, {"name": "text"}),
        ("customers", {**NEW, "created_at": "2026-01-01"}, {"created_at": "read_only"}),
        ("customers", {**NEW, "deleted_at": None}, {"deleted_at": "read_only"}),
        ("customers", {**NEW, "f0": 1, "model": 2}, {"f0": "unknown", "model": "unknown"}),
        ("customers", {**NEW, "id": "7"}, {"id": "uuid"}),
        ("customers", {**NEW, "id": None}, {"id": "string_type"}),
        ("products", {"sku": "a", "unit_price": "1.2345"}, {"unit_price": "decimal_max_places"}),
        ("products", {"sku": "a", "unit_price": 1e10}, {"unit_price": "decimal_whole_digits"}),
        ("products", {"sku": "a", "unit_price": "NaN"}, {"unit_price": "decimal_type"}),
        ("products", {"sku": "a", "unit_price": True}, {"unit_price": "number_type"}),
        ("invoices", {"number": "1", "issued_at": "2026-01-01T00:00"}, {"issued_at": "instant"}),
        ("invoices", {"number": "1", "issued_at": 1767225600}, {"issued_at": "string_type"}),
        (
            "invoice-lines",
            {
                "invoice_id": "x",
                "product_id": 1,
                "line_no": "1",
                "quantity": 2**31,
                "unit_price": None,
            },
            {
                "invoice_id": "uuid",
                "product_id": "string_type",
                "line_no": "int_type",
                "quantity": "less_than_equal",
                "unit_price": "number_type",
            },
        ),
        ("customers", 5, {"": "object_type"}),
        ("customers", "x", {"": "object_type"}),
        ("customers", [[]], {"": "object_type"}),
    ],
)
def test_each_thing_wrong_with_a_body_has_an_entry(stocked, resource, body, errors) -> None:
    response = stocked.acme.call("POST", f"/v1/{resource}", json=body)
    assert response.status_code == 422, response.text
    assert {e["field"]: e["code"] for e in response.json["errors"]} == errors
    count = 12 if resource == "customers" else 0
    assert len(stocked.acme.get(f"/v1/{resource}").json) == count


def test_errors_in_an_array_say_which_row(stocked) -> None:
    response = stocked.acme.call("POST", "/v1/customers", json=[NEW, {**NEW, "name": 1}, 5])
    assert [(e["row"], e["field"]) for e in response.json["errors"]] == [(1, "name"), (2, "")]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"", "application/json", 400, "PGRST102"),
        (b"{", "application/json", 400, "PGRST102"),
        (b'{"a": NaN}', "application/json", 400, "PGRST102"),
        (b'{"a": 1, "a": 2}', "application/json", 400, "PGRST102"),
        (b'{"a": 1e99999999999}', "application/json", 400, "PGRST102"),
        (b'{"a": 1e9999999999999999999}', "application/json", 400, "PGRST102"),
        (b'{"a": ' + b"9" * 5000 + b"}", "application/json", 400, "PGRST102"),
        (b"[" * 100_000, "application/json", 400, "PGRST102"),
        (b'"\xff"', "application/json", 400, "PGRST102"),
        (b"a=1", "application/x-www-form-urlencoded", 415, "PGRST102"),
        (b"{}", "text/plain", 415, "PGRST102"),
        (b" " * (1024 * 1024 + 1), "application/json", 413, "too_large"),
    ],
)
def test_what_is_no_json_is_refused(stocked, body, content_type, status, code) -> None:
    response = stocked.acme.client.post(
        "/v1/customers", data=body, content_type=content_type, headers=stocked.acme.headers()
    )
    assert (response.status_code, response.json["code"]) == (status, code)
    assert response.mimetype == "application/problem+json"


def test_columns_are_picked_of_rows_and_not_of_what_is_in_them(stocked) -> None:
    nested = b"[" * 600 + b"]" * 600
    response = stocked.acme.client.post(
        "/v1/customers?columns=name", data=nested, content_type="application/json",
        headers=stocked.acme.headers(),
    )  # fmt: skip
    assert (response.status_code, response.json["code"]) == (422, "invalid_body")
