"""A person's data over HTTP: for the tenant's owners, of their own tenant, and on record."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator

from tests.integration.api.test_row_holds import note


def asked(tenant: Any, body: Any, *, role: str = "owner", name: str = "customer") -> Any:
    response = tenant.call("POST", f"/subjects/{name}/export", role=role, json=body)
    response.get_data()
    response.close()
    return response


def test_an_owner_gets_a_zip_of_all_that_there_is(service: Any, acme: Any) -> None:
    ada = acme.customer("1", email="ada@sentinel.example")
    note(acme, "customer", ada["id"])
    acme.customer("2")
    response = asked(acme, {"by": "email", "value": "ada@sentinel.example", "reason": "letter"})
    assert (response.status_code, response.mimetype) == (200, "application/zip")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Content-Disposition"].startswith("attachment; filename=customer-")
    assert int(response.headers["Content-Length"]) == len(response.data)
    archive = zipfile.ZipFile(io.BytesIO(response.data))
    assert [row["id"] for row in json.loads(archive.read("shop.customers.json"))] == [ada["id"]]
    assert len(json.loads(archive.read("shop.notes.json"))) == 1
    (record,) = acme.get("/subjects/exports").json
    assert record["id"] == response.headers["Tenure-Export"]
    assert record["manifest_sha256"] == response.headers["Tenure-Manifest-SHA256"]
    assert (record["state"], record["reason"]) == ("finished", "letter")
    assert record["requested_by"].startswith("login:")
    by_key = asked(acme, {"key": ada["id"]})
    again = zipfile.ZipFile(io.BytesIO(by_key.data))
    assert again.read("shop.notes.json") == archive.read("shop.notes.json")


def test_others_get_nothing(service: Any, acme: Any, globex: Any) -> None:
    ada = acme.customer("1", email="ada@sentinel.example")
    for role in ("member", "viewer"):
        assert asked(acme, {"key": ada["id"]}, role=role).status_code == 403
        assert acme.call("GET", "/subjects/exports", role=role).status_code == 403
    for body in ({"key": ada["id"]}, {"by": "email", "value": "ada@sentinel.example"}):
        response = asked(globex, body)
        assert (response.status_code, response.json["code"]) == (422, "no_person")
    assert service.app.test_client().post("/subjects/customer/export", json={}).status_code == 401
    assert acme.get("/subjects/exports").json == []
    assert {e["state"] for e in globex.get("/subjects/exports").json} == {"failed"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "invalid_body"),
        ([], 422, "invalid_body"),
        ({"by": "email"}, 422, "invalid_body"),
        ({"by": "email", "value": "x", "key": "y"}, 422, "invalid_body"),
        ({"key": "y"}, 422, "invalid_body"),
        ({"key": "y", "more": 1}, 422, "invalid_body"),
        ({"by": "email", "value": {"a": 1}}, 422, "invalid_body"),
        ({"by": "email", "value": "nobody@x"}, 422, "no_person"),
        ({"by": "name", "value": "Customer 1"}, 422, "no_person"),
        ({"by": "number", "value": "a\x00b"}, 422, "invalid_body"),
        ({"by": "number", "value": "1", "reason": "a\x00b"}, 422, "invalid_body"),
        ({"key": str(uuid4()), "tenant_id": str(uuid4())}, 422, "invalid_body"),
        ({"by": "email' OR true --", "value": "x"}, 422, "no_person"),
    ],
)
def test_what_is_wrong_is_said(acme: Any, body: Any, status: int, code: str) -> None:
    acme.customer("1", email="one@x.example")
    response = asked(acme, body)
    assert (response.status_code, response.json["code"]) == (status, code), response.text
    assert acme.get("/subjects/exports").json == []


def test_a_subject_that_is_not_declared_is_not_found(acme: Any) -> None:
    response = asked(acme, {"by": "id", "value": "x"}, name="customers")
    assert (response.status_code, response.json["code"]) == (404, "not_found")


def test_what_was_handed_out_comes_in_pages_as_the_document_says(
    service: Any, acme: Any, globex: Any
) -> None:
    made = [
        asked(acme, {"key": acme.customer(str(number))["id"]}).headers["Tenure-Export"]
        for number in range(3)
    ]
    asked(globex, {"key": globex.customer("1")["id"]})
    page = acme.get("/subjects/exports?limit=2&offset=1")
    assert [one["id"] for one in page.json] == made[1::-1]
    assert (page.status_code, page.headers["Content-Range"]) == (200, "1-2/*")
    counted = acme.get("/subjects/exports", Prefer="count=exact", Range="2-9")
    assert [one["id"] for one in counted.json] == made[:1]
    assert (counted.status_code, counted.headers["Content-Range"]) == (206, "2-2/3")
    assert acme.get("/subjects/exports?kind=eq.tenant").status_code == 400
    schemas = service.app.test_client().get("/openapi.json").json["components"]["schemas"]
    validator = Draft202012Validator({**schemas["Export"], "additionalProperties": False})
    for one in page.json:
        validator.validate(one)
