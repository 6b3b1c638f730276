"""A person's data over HTTP: for the tenant's owners, of their own tenant, and on record."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from jsonschema import Draft202012Validator

from retention.exports.records import exports
from retention.seat import Seat
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


def test_the_record_enters_the_ledger(service: Any, acme: Any, owner_sql: Any) -> None:
    asked(acme, {"key": acme.customer("1")["id"]})
    assert owner_sql(
        "SELECT kind, tenant_id::text, body -> 'record' ->> 'state' FROM tenure.ledger_entries"
        " WHERE source = 'exports' ORDER BY recorded_at"
    ) == [("export", str(acme.id), "begun"), ("export-changed", str(acme.id), "finished")]


# -- the application's role, hostile ----------------------------------------------------------

BEGIN = (
    "INSERT INTO tenure.exports (tenant_id, id, kind, subject, subject_hash, requested_by)"
    " VALUES ('{tenant}', gen_random_uuid(), '{kind}', {of}, '{by}')"
)
PERSON = "'customer', '\\x00000000000000000000000000000000'"
FINISH = (
    "UPDATE tenure.exports SET state = 'finished', as_of = now(), counts = '{{}}', bytes = 1,"
    " manifest_sha256 = repeat('0', 64), ended_at = now()"
)


def begun(service: Any, tenant: Any, actor: str) -> None:
    """Begin an export in the name of `actor`, at their seat."""
    seat = Seat(service.installation.app_connections, tenant.id, actor)
    with seat.transaction(None) as cursor:
        cursor.execute(BEGIN.format(tenant=tenant.id, kind="subject", of=PERSON, by=actor))


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT id FROM tenure.exports",
        "SELECT period FROM tenure.policy_periods",
        FINISH + " RETURNING id",
        BEGIN.replace("{of}", PERSON) + " RETURNING id",
    ],
    ids=["exports", "periods", "finish", "begin"],
)
def test_injected_sql_has_no_seat(service: Any, acme: Any, owner_sql: Any, statement: str) -> None:
    begun(service, acme, "login:x")
    owner_sql(
        "INSERT INTO tenure.policy_periods (policy, tenant_id, period, changed_by)"
        " VALUES ('p', %s, 'P1Y', 'x')",
        (str(acme.id),),
    )
    text = statement.format(tenant=acme.id, kind="subject", by="login:x")
    app = service.installation.app_connections
    for before in (
        "SELECT 1",
        "SELECT set_config('tenure.desk', 'login:x|' || repeat('0', 64), true)",
    ):
        try:
            with app.transaction(acme.id) as cursor:
                cursor.execute(before)
                cursor.execute(text)
                assert cursor.fetchall() == []
        except psycopg2.errors.InsufficientPrivilege:
            assert text.startswith("INSERT")
    assert owner_sql("SELECT state FROM tenure.exports") == [("begun",)]


@pytest.mark.parametrize(
    "statement",
    [
        BEGIN.format(tenant="{tenant}", kind="subject", of=PERSON, by="login:another"),
        BEGIN.format(tenant="{tenant}", kind="tenant", of="NULL, NULL", by="login:x"),
        BEGIN.format(tenant="{other}", kind="subject", of=PERSON, by="login:x"),
        "INSERT INTO tenure.exports (tenant_id, id, kind, subject, subject_hash, requested_by,"
        " began_at) VALUES ('{tenant}', gen_random_uuid(), 'subject', " + PERSON + ", 'login:x',"
        " now() - interval '1 year')",
        "UPDATE tenure.exports SET requested_by = 'login:x'",
        "UPDATE tenure.exports SET subject = 'another'",
        "SELECT subject_hash FROM tenure.exports",
        "SELECT changed_by FROM tenure.policy_periods",
        "DELETE FROM tenure.exports",
        "TRUNCATE tenure.exports CASCADE",
    ],
)
def test_even_at_the_seat_nothing_is_forged(
    service: Any, acme: Any, globex: Any, statement: str
) -> None:
    text = statement.format(tenant=acme.id, other=globex.id)
    seat = Seat(service.installation.app_connections, acme.id, "login:x")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), seat.transaction(None) as cursor:
        cursor.execute(text)


def test_nobody_ends_what_another_began_or_sees_another_tenants(
    service: Any, acme: Any, globex: Any, owner_sql: Any
) -> None:
    begun(service, acme, "login:another")
    begun(service, globex, "login:x")
    # Without a copy that an operator made no offboarding begins.
    owner_sql(
        "INSERT INTO tenure.exports (tenant_id, id, kind, requested_by)"
        " VALUES (%s, gen_random_uuid(), 'tenant', 'login:x')",
        (str(acme.id),),
    )
    seat = Seat(service.installation.app_connections, acme.id, "login:x")
    with seat.transaction(None) as cursor:
        assert [one.requested_by for one in exports(cursor)] == ["login:x", "login:another"]
        cursor.execute(FINISH.format())
        assert cursor.rowcount == 0
    assert owner_sql("SELECT DISTINCT state FROM tenure.exports") == [("begun",)]
