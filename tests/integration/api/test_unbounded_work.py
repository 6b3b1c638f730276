"""What one request of a tenant's user may make the server do: little asked, little done."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import pytest

from tenants import repository

from .conftest import Tenant
from .test_row_holds import hold  # noqa: F401 - a fixture

NOBODY = "00000000-0000-7000-8000-000000000000"


def post_text(tenant: Tenant, path: str, body: str):
    headers = tenant.headers(Content_Type="application/json")
    return tenant.client.post(path, data=body, headers=headers)


def note(tenant: Tenant, body: str) -> None:
    tenant.create("notes", subject_type="customer", subject_id=NOBODY, body=body)


def test_a_body_of_empty_rows_is_not_answered_with_an_error_for_each(acme: Tenant) -> None:
    response = post_text(acme, "/v1/invoices", "[" + ",".join(["{}"] * 5_000) + "]")
    assert response.status_code == 422
    assert len(response.json["errors"]) == 100
    assert "10000 errors" in response.json["details"]


def test_a_body_of_unknown_keys_is_not_answered_with_an_error_for_each(acme: Tenant) -> None:
    body = "{" + ",".join(f'"k{n}":1' for n in range(5_000)) + "}"
    response = post_text(acme, "/v1/invoices", body)
    assert response.status_code == 422
    assert len(response.data) < 50_000


def test_a_body_holds_so_many_rows_and_no_more(acme: Tenant) -> None:
    rows = [{"sku": str(n), "unit_price": 1} for n in range(10_001)]
    response = acme.call("POST", "/v1/products", json=rows)
    assert (response.status_code, response.json["code"]) == (413, "too_many_rows")
    assert acme.call("POST", "/v1/products", json=rows[:-1]).status_code == 201


def test_a_column_is_shown_once_and_not_under_two_thousand_labels(acme: Tenant) -> None:
    note(acme, "x" * 10_000)
    many = ",".join(f"a{n}:body" for n in range(1_500))
    response = acme.get(f"/v1/notes?select={many}")
    assert (response.status_code, response.json["code"]) == (400, "PGRST100")
    assert acme.get("/v1/notes?select=id,text:body").status_code == 200


@pytest.fixture
def small_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "MAX_JSON", 10_000)


@pytest.mark.usefixtures("small_answers")
def test_an_answer_that_would_be_too_large_is_refused(acme: Tenant) -> None:
    for _ in range(3):
        note(acme, "ß" * 4_000)
    response = acme.get("/v1/notes")
    assert (response.status_code, response.json["code"]) == (400, "too_much")
    assert len(acme.get("/v1/notes?limit=2").json) == 2


@pytest.mark.usefixtures("small_answers")
def test_a_write_whose_answer_would_be_too_large_is_undone(acme: Tenant) -> None:
    for _ in range(3):
        note(acme, "x" * 10)
    path = "/v1/notes?id=not.is.null"
    large = {"body": "y" * 4_000}
    response = acme.call("PATCH", path, json=large, Prefer="return=representation")
    assert response.json["code"] == "too_much"
    assert {row["body"] for row in acme.get("/v1/notes").json} == {"x" * 10}
    assert acme.call("PATCH", path, json=large).status_code == 204


@pytest.mark.usefixtures("small_answers")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/notes?limit=1000"),
        ("GET", "/v1/notes?limit=1000&select=x:body,id"),
        ("PATCH", "/v1/notes?id=not.is.null"),
        ("DELETE", "/v1/notes?id=not.is.null"),
    ],
)
def test_rows_are_weighed_before_the_server_puts_them_together(
    service: Any, acme: Tenant, method: str, path: str
) -> None:
    """Beyond a gigabyte PostgreSQL cannot, and up to there it would keep all of it in memory."""
    app = service.installation.app
    sent: list[Any] = []
    app.query_hooks.append(sent.append)

    def asked(body: str) -> tuple[Any, str]:
        sent.clear()
        change = {"body": body} if method == "PATCH" else None
        answer = acme.call(method, path, json=change, Prefer="return=representation")
        [event] = [e for e in sent if "json_agg" in e.sql]
        statement, _, _ = event.sql.rpartition("/*")
        with (
            suppress(_UndoneError),
            service.installation.app_connections.transaction(acme.id) as cursor,
        ):
            cursor.execute(f"EXPLAIN ANALYZE {statement.rpartition('; ')[2]}", event.params)
            plan = "\n".join(line for (line,) in cursor.fetchall())
            raise _UndoneError
        return answer, plan

    for _ in range(3):
        note(acme, "x" * 4_000)
    answer, plan = asked("y" * 4_000)
    assert (answer.status_code, answer.json["code"]) == (400, "too_much")
    assert "never executed" in plan
    acme.call("PATCH", "/v1/notes?id=not.is.null", json={"body": "short"})
    answer, plan = asked("still short")
    assert answer.status_code == 200
    assert len(answer.json) == 3
    if method != "DELETE":
        assert "never executed" not in plan


class _UndoneError(Exception):
    """What was explained is taken back."""


def test_a_text_too_long_for_its_index_is_the_clients_error(acme: Tenant) -> None:
    number = random.Random(1).randbytes(8_000).hex()
    row = {"number": number, "name": "n", "country": "c"}
    response = acme.call("POST", "/v1/customers", json=row)
    assert (response.status_code, response.json["code"]) == (400, "54000")


def test_one_write_changes_so_many_rows_and_no_more(
    acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "MAX_WRITTEN", 2)
    for _ in range(3):
        note(acme, "x")
    path = "/v1/notes?id=not.is.null"
    for method, body in (("PATCH", {"body": "y"}), ("DELETE", None)):
        response = acme.call(method, path, json=body)
        assert (response.status_code, response.json["code"]) == (400, "too_much")
    assert [row["body"] for row in acme.get("/v1/notes").json] == ["x"] * 3
    ids = ",".join(row["id"] for row in acme.get("/v1/notes?limit=2").json)
    assert acme.call("DELETE", f"/v1/notes?id=in.({ids})").status_code == 204


def test_of_rows_that_are_to_be_judged_for_a_hold_so_many_are_locked_and_no_more(
    acme: Tenant,
    hold: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(repository, "MAX_WRITTEN", 2)
    hold("table", "notes", condition="r.body = 'kept'")
    for _ in range(3):
        note(acme, "x")
    response = acme.call("PATCH", "/v1/notes?id=not.is.null", json={"body": "y"})
    assert (response.status_code, response.json["code"]) == (400, "too_much")
