"""Creating, changing and deleting over HTTP."""

from __future__ import annotations

import hashlib
import json
import threading
import uuid

import psycopg2
import pytest

from retention import holds

NEW = {"number": "1", "name": "x", "country": "France"}


def test_a_new_row_takes_defaults_and_is_found_where_location_says(acme) -> None:
    response = acme.call("POST", "/v1/invoices", json={"number": "1", "issued_at": "2026-01-31"})
    assert (response.status_code, response.data) == (201, b"")
    row = acme.get(response.headers["Location"]).json
    assert row == {
        "id": response.headers["Location"].rpartition("/")[2],
        "number": "1",
        "customer_id": None,
        "issued_at": "2026-01-31T00:00:00+00:00",
        "status": "draft",
        "currency": "GBP",
        "total": 0,
    }


def test_decimals_keep_every_digit_both_ways(acme) -> None:
    for number, given in (("1", 999999999999.99), ("2", "0.10"), ("3", 12)):
        acme.invoice(number, total=given)
    text = acme.get("/v1/invoices?select=total&order=number").text
    assert json.loads(text, parse_float=str) == [
        {"total": "999999999999.99"},
        {"total": "0.10"},
        {"total": "12.00"},
    ]


def test_an_array_is_inserted_whole_or_not_at_all(acme) -> None:
    rows = [{**NEW, "number": str(n)} for n in range(3)]
    created = acme.call("POST", "/v1/customers", json=rows, Prefer="return=representation")
    assert [row["number"] for row in created.json] == ["0", "1", "2"]
    assert "Location" not in created.headers
    again = acme.call("POST", "/v1/customers", json=[{**NEW, "number": "9"}, rows[0]])
    assert again.status_code == 409
    assert len(acme.get("/v1/customers").json) == 3


def test_rows_of_an_array_may_leave_out_different_attributes(acme) -> None:
    created = acme.call(
        "POST",
        "/v1/invoices",
        json=[
            {"number": "1", "issued_at": "2026-01-31", "status": "paid"},
            {"number": "2", "issued_at": "2026-01-31", "currency": "EUR"},
        ],
        Prefer="return=representation",
    )
    assert [(r["status"], r["currency"]) for r in created.json] == [
        ("paid", "GBP"),
        ("draft", "EUR"),
    ]


def test_columns_takes_only_those_keys(acme) -> None:
    row = {**NEW, "email": "a@b.example", "ignored": 1}
    created = acme.call(
        "POST",
        "/v1/customers?columns=number,name,%22country%22",
        json=row,
        Prefer="return=representation",
    )
    assert created.json[0]["email"] is None


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_collection_is_not_changed_without_a_filter(acme, method) -> None:
    acme.customer()
    refused = acme.call(method, "/v1/customers", json={"name": "y"})
    assert (refused.status_code, refused.json["code"]) == (400, "21000")
    for query in ("limit=1&id=not.is.null", "order=id&id=not.is.null"):
        refused = acme.call(method, f"/v1/customers?{query}", json={"name": "y"})
        assert (refused.status_code, refused.json["code"]) == (400, "PGRST100")
    assert len(acme.get("/v1/customers?name=neq.y").json) == 1


def test_patch_changes_what_matches_and_shows_what_is_asked(acme) -> None:
    for n in range(3):
        acme.customer(str(n))
    changed = acme.call(
        "PATCH",
        "/v1/customers?number=gte.1&select=no:number,name",
        json={"name": "new"},
        Prefer="return=representation",
    )
    assert sorted(r["no"] for r in changed.json) == ["1", "2"]
    assert {r["name"] for r in changed.json} == {"new"}
    assert changed.headers["Content-Range"] == "0-1/*"
    silent = acme.call("PATCH", "/v1/customers?number=eq.7", json={"name": "new"})
    assert (silent.status_code, silent.data) == (204, b"")
    assert silent.headers["Content-Range"] == "*/*"


@pytest.mark.parametrize(
    "changes", [{}, {"id": str(uuid.uuid4())}, {"created_at": "2026-01-01"}, {"x": 1}, [], 5]
)
def test_a_change_of_nothing_or_of_what_is_read_only_is_422(acme, changes) -> None:
    customer = acme.customer()
    for path in (f"/v1/customers/{customer['id']}", "/v1/customers?id=not.is.null"):
        assert acme.call("PATCH", path, json=changes).status_code == 422
    assert acme.get(f"/v1/customers/{customer['id']}").json == customer


def test_a_write_that_touches_more_than_allowed_is_undone(acme) -> None:
    for n in range(3):
        acme.customer(str(n))
    for method in ("PATCH", "DELETE"):
        refused = acme.call(
            method,
            "/v1/customers?id=not.is.null",
            json={"name": "new"},
            Prefer="handling=strict, max-affected=2",
        )
        assert (refused.status_code, refused.json["code"]) == (400, "PGRST124")
        singular = acme.call(
            method,
            "/v1/customers?id=not.is.null",
            json={"name": "new"},
            Accept="application/vnd.pgrst.object+json",
        )
        assert (singular.status_code, singular.json["code"]) == (406, "PGRST116")
    assert len(acme.get("/v1/customers?name=neq.new").json) == 3


def test_preferences_are_applied_refused_or_ignored(acme) -> None:
    response = acme.call("POST", "/v1/customers", json=NEW, Prefer="return=minimal, x=y")
    assert response.headers["Preference-Applied"] == "return=minimal"
    for prefer in ("handling=strict, x=y", "resolution=merge-duplicates"):
        refused = acme.call("POST", "/v1/customers", json={**NEW, "number": "2"}, Prefer=prefer)
        assert (refused.status_code, refused.json["code"]) == (400, "PGRST122"), prefer
    assert len(acme.get("/v1/customers").json) == 1


def test_a_softly_deleted_row_is_nowhere_but_kept(service, owner_sql) -> None:
    acme = service.acme
    gone, other = acme.customer("1"), acme.customer("2")
    assert acme.call("DELETE", f"/v1/customers/{gone['id']}").status_code == 204
    path = f"/v1/customers/{gone['id']}"
    assert acme.get(path).status_code == 404
    assert acme.call("PATCH", path, json={"name": "x"}).status_code == 404
    assert acme.call("DELETE", path).status_code == 404
    assert [r["id"] for r in acme.get("/v1/customers").json] == [other["id"]]
    assert acme.get("/v1/customers?deleted_at=not.is.null").json == []
    counted = acme.get("/v1/customers", Prefer="count=exact")
    assert counted.headers["Content-Range"] == "0-0/1"
    everywhere = acme.call(
        "PATCH", "/v1/customers?id=not.is.null", json={"name": "x"}, Prefer="count=exact"
    )
    assert everywhere.headers["Content-Range"] == "0-0/1"
    kept = owner_sql("SELECT name, deleted_at IS NULL FROM shop.customers ORDER BY number")
    assert kept == [("Customer 1", False), ("x", True)]


def test_a_softly_deleted_parent_is_referred_to_like_a_missing_one(acme) -> None:
    customer = acme.customer()
    invoice = acme.invoice("1")
    acme.call("DELETE", f"/v1/customers/{customer['id']}")
    row = {"number": "2", "issued_at": "2026-01-01"}
    for parent in (customer["id"], str(uuid.uuid4())):
        for method, path, json_body in (
            ("POST", "/v1/invoices", {**row, "customer_id": parent}),
            ("PATCH", f"/v1/invoices/{invoice['id']}", {"customer_id": parent}),
            ("PATCH", "/v1/invoices?id=not.is.null", {"customer_id": parent}),
        ):
            refused = acme.call(method, path, json=json_body)
            assert (refused.status_code, refused.json["code"]) == (409, "23503"), method
    assert len(acme.get("/v1/invoices?customer_id=is.null").json) == 1


def test_a_hard_delete_removes_the_row_unless_others_refer_to_it(service, owner_sql) -> None:
    acme = service.acme
    parent = acme.create("categories", name="parent")
    child = acme.create("categories", name="child", parent_id=parent["id"])
    refused = acme.call("DELETE", f"/v1/categories/{parent['id']}")
    assert (refused.status_code, refused.json["code"]) == (409, "23503")
    assert acme.call("DELETE", f"/v1/categories/{child['id']}").status_code == 204
    assert acme.call("DELETE", f"/v1/categories/{parent['id']}").status_code == 204
    assert owner_sql("SELECT count(*) FROM shop.categories") == [(0,)]
    # By id and by filter, each removal is recorded, with the keys of the rows that went.
    rows = [acme.create("categories", name=name) for name in ("a", "b", "c")]
    answer = acme.call("DELETE", "/v1/categories?name=in.(a,b)")
    assert answer.status_code == 204
    assert acme.call("DELETE", "/v1/categories?name=eq.nobody").status_code == 204
    recorded = owner_sql(
        "SELECT table_name, hashes, actor LIKE 'login:%%' FROM tenure.removals ORDER BY removed_at"
    )
    assert [(table, bytes(hashes), by) for table, hashes, by in recorded] == [
        ("shop.categories", keys_of(gone), True) for gone in ([child], [parent], rows[:2])
    ]


def keys_of(rows) -> bytes:
    return b"".join(
        sorted(hashlib.sha256(uuid.UUID(row["id"]).bytes).digest()[:16] for row in rows)
    )


def test_a_soft_delete_and_a_refused_one_are_no_removals(service, owner_sql) -> None:
    acme = service.acme
    customer = acme.customer("1")
    assert acme.call("DELETE", f"/v1/customers/{customer['id']}").status_code == 204
    for name in ("a", "b"):
        acme.create("categories", name=name)
    refused = acme.call(
        "DELETE",
        "/v1/categories?name=in.(a,b)",
        Prefer="handling=strict, max-affected=1",
    )
    assert refused.status_code >= 400
    assert owner_sql("SELECT * FROM tenure.removals") == []


def test_a_held_tenants_rows_are_neither_changed_nor_deleted(service) -> None:
    acme, globex = service.acme, service.globex
    customer, invoice = acme.customer(), acme.invoice()
    globex.customer()
    retention = service.installation.retention
    hold = holds.place(retention, acme.id, matter="m-7", reason="secret matter", actor="t")
    for method, path, body in (
        ("PATCH", f"/v1/customers/{customer['id']}", {"name": "x"}),
        ("PATCH", "/v1/customers?id=not.is.null", {"name": "x"}),
        ("DELETE", f"/v1/customers/{customer['id']}", None),
        ("DELETE", f"/v1/invoices/{invoice['id']}", None),
        ("DELETE", "/v1/invoices?id=not.is.null", None),
    ):
        refused = acme.call(method, path, json=body)
        assert (refused.status_code, refused.json["code"]) == (409, "held"), (method, path)
        assert "secret" not in refused.text
        assert str(acme.id) not in refused.text
    assert acme.get(f"/v1/customers/{customer['id']}").json == customer
    acme.customer("2")  # what is new is no evidence yet
    path = "/v1/customers?id=not.is.null"
    assert globex.call("PATCH", path, json={"name": "x"}).status_code == 204
    holds.release(retention, service.installation.verifier, hold, actor="t", grace="P0D")
    assert acme.call("DELETE", f"/v1/invoices/{invoice['id']}").status_code == 204


def test_an_etag_guards_against_lost_updates(acme) -> None:
    customer = acme.customer()
    path = f"/v1/customers/{customer['id']}"
    etag = acme.get(path).headers["ETag"]
    assert acme.get(f"{path}?select=name").headers["ETag"] == etag
    assert acme.get(path, If_None_Match=etag).status_code == 304
    first = acme.call("PATCH", path, json={"name": "first"}, If_Match=etag)
    assert first.status_code == 204
    assert first.headers["ETag"] != etag
    second = acme.call("PATCH", path, json={"name": "second"}, If_Match=etag)
    assert (second.status_code, second.json["code"]) == (412, "stale")
    assert acme.call("DELETE", path, If_Match=etag).status_code == 412
    shown = acme.get(path, If_None_Match=etag)
    assert (shown.status_code, shown.json["name"]) == (200, "first")
    assert shown.headers["ETag"] == first.headers["ETag"]
    assert acme.call("DELETE", path, If_Match=shown.headers["ETag"]).status_code == 204


def test_a_version_is_compared_after_waiting_for_whoever_writes_now(service) -> None:
    acme = service.acme
    customer = acme.customer()
    path = f"/v1/customers/{customer['id']}"
    etag = acme.get(path).headers["ETag"]
    for method in ("PATCH", "DELETE"):
        answers = []
        writing = psycopg2.connect(service.installation.settings.role_url("tenure_owner"))
        try:
            with writing.cursor() as cursor:
                cursor.execute("UPDATE shop.customers SET name = %s", (method,))
            late = threading.Thread(
                target=lambda answers=answers, method=method, etag=etag: answers.append(
                    acme.call(method, path, json={"name": "late"}, If_Match=etag)
                )
            )
            late.start()
            late.join(0.5)
            assert answers == []
            writing.commit()
            late.join(10)
        finally:
            writing.close()
        assert [a.status_code for a in answers] == [412], method
        etag = acme.get(path).headers["ETag"]
        assert acme.get(path).json["name"] == method


def test_what_the_database_refuses_is_answered_without_its_words(acme) -> None:
    acme.customer("1")
    duplicate = acme.call("POST", "/v1/customers", json=NEW)
    assert (duplicate.status_code, duplicate.json["code"]) == (409, "23505")
    row = {"number": "1", "issued_at": "2026-01-01", "status": "stolen"}
    check = acme.call("POST", "/v1/invoices", json=row)
    assert (check.status_code, check.json["code"]) == (422, "23514")
    parent = {"customer_id": str(uuid.uuid4())}
    reference = acme.call("POST", "/v1/customer-profiles", json=parent)
    assert (reference.status_code, reference.json["code"]) == (409, "23503")
    for response in (duplicate, check, reference):
        for word in ("shop", "_key", "_fkey", "check", "constraint", "DETAIL", "tenant_id"):
            assert word not in response.text.replace("/v1/customers", ""), (word, response.text)


def test_methods_that_are_not_there_say_which_are(acme) -> None:
    customer = acme.customer()
    put = acme.call("PUT", f"/v1/customers/{customer['id']}", json={})
    assert (put.status_code, put.json["code"]) == (405, "PGRST117")
    assert put.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
    assert acme.call("POST", "/healthz").status_code == 405
    options = acme.call("OPTIONS", "/v1/customers")
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(options.headers["Allow"].split(", "))


def test_media_types_that_are_not_there_are_406(acme) -> None:
    for accept in ("text/csv", "application/vnd.pgrst.plan+text; options=analyze"):
        response = acme.get("/v1/customers", Accept=accept)
        assert (response.status_code, response.json["code"]) == (406, "PGRST107")
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert acme.get("/v1/customers", Accept=browser).status_code == 200


def test_a_parent_that_is_being_deleted_softly_is_waited_for(service) -> None:
    acme = service.acme
    customer = acme.customer()
    row = {"number": "1", "issued_at": "2026-01-01", "customer_id": customer["id"]}
    answers = []
    deleting = psycopg2.connect(service.installation.settings.role_url("tenure_owner"))
    try:
        with deleting.cursor() as cursor:
            cursor.execute("UPDATE shop.customers SET deleted_at = now()")
        posting = threading.Thread(
            target=lambda: answers.append(acme.call("POST", "/v1/invoices", json=row))
        )
        posting.start()
        posting.join(0.5)
        assert answers == []
        deleting.commit()
        posting.join(10)
    finally:
        deleting.close()
    assert [a.status_code for a in answers] == [409]
    assert acme.get("/v1/invoices").json == []
