"""Certificates over HTTP: ordered by a tenant's owners, made by whoever ticks, fetched by them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from jsonschema import Draft202012Validator

from api.workshop import workshop_of
from config.trace import new_trace_id
from retention.jobs import run_once
from retention.ledger.certificate_evidence import Subject
from retention.ledger.folder import Folder
from retention.ledger.keys import create_key
from retention.ledger.orders import make_orders, order
from retention.ledger.publishing import Ledger, Outside
from retention.ledger.verifier import Trust, VerifierKey, verify_certificate
from retention.seat import Seat
from tests.integration.api.conftest import Service, Tenant
from tests.integration.api.test_offboardings import left, with_receipt

ROOT = "/v1/certificates"


@pytest.fixture
def ledger(service: Service, tmp_path: Path) -> Ledger:
    create_key(tmp_path / "key", "ledger.example")
    (tmp_path / "notes").mkdir()
    outside = Outside("ledger.example", tmp_path / "key", Folder(tmp_path / "notes"))
    return Ledger(service.installation.retention, outside, "scheduler")


def made(service: Service, ledger: Ledger) -> int:
    return make_orders(ledger, service.installation.verifier, backups_kept_days=35)


def trust(service: Service) -> Trust:
    with service.installation.verifier.transaction(None, read_only=True) as cursor:
        cursor.execute("SELECT vkey FROM tenure.ledger_key_steps")
        return Trust(tuple(VerifierKey.parse(row[0]) for row in cursor.fetchall()))


def ran(service: Service, tenants: tuple[Tenant, ...]) -> tuple[str, str]:
    """A run by which an old invoice of each tenant went: its trace id, and its id."""
    for tenant in tenants:
        tenant.invoice("old", issued_at="2001-01-31T12:00:00Z")
    shop = workshop_of(service.installation, actor="command:ann")
    trace = new_trace_id()
    report = run_once(replace(shop, ledger=None), shop.plan, trace_id=trace)
    assert report.state == "succeeded", report
    with service.installation.verifier.transaction(None, read_only=True) as cursor:
        cursor.execute("SELECT id::text FROM tenure.runs WHERE trace_id = %s", (trace,))
        return str(trace), cursor.fetchall()[0][0]


def ordered(tenant: Tenant, of: str) -> str:
    response = tenant.call("POST", ROOT, json={"of": of})
    assert response.status_code == 202, response.text
    return str(response.headers["Location"])


def test_one_of_a_run_is_ordered_made_and_fetched(
    service: Service, acme: Tenant, globex: Tenant, ledger: Ledger
) -> None:
    trace, run = ran(service, (acme, globex))
    path = ordered(acme, trace)
    shown = acme.get(path).json
    assert (shown["kind"], shown["subject_id"], shown["state"]) == ("run", run, "wanted")
    assert shown["ordered_by"].startswith("login:")
    early = acme.get(f"{path}/document")
    assert (early.status_code, early.json["code"]) == (404, "no_certificate")
    assert early.headers["Retry-After"]
    # Asked for again meanwhile, it is the same order.
    assert ordered(acme, run) == path
    assert made(service, ledger) == 1
    done = acme.get(path).json
    assert (done["state"], done["problem"]) == ("issued", None)
    assert acme.get(ROOT).json == [done]
    answer = acme.get(f"{path}/document")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    found = verify_certificate(answer.data, trust(service)).statement
    assert (found["tenant"], found["issued"]["id"]) == (str(acme.id), done["certificate_id"])
    assert str(globex.id) not in answer.text
    assert acme.get(f"{path}/document", Accept="application/pdf").data.startswith(b"%PDF")
    assert "shop.invoices" in acme.get(f"{path}/document", Accept="text/plain").text
    assert made(service, ledger) == 0
    # Nothing has changed: it is the same certificate.
    again = ordered(acme, trace)
    made(service, ledger)
    assert acme.get(again).json["certificate_id"] == done["certificate_id"]


def test_one_of_who_left_is_made_unasked_for_the_receipt(
    service: Service, acme: Tenant, ledger: Ledger
) -> None:
    acme.customer("1")
    path, receipt = left(service, acme)
    assert make_orders(ledger, service.installation.verifier, backups_kept_days=None) == 1
    answer = with_receipt(service, receipt, f"{path}/certificate")
    assert answer.status_code == 200, answer.text
    found = verify_certificate(answer.data, trust(service)).statement
    assert found["offboarding"]["id"] == path.rpartition("/")[2]
    assert make_orders(ledger, service.installation.verifier, backups_kept_days=None) == 0


def test_what_has_not_ended_has_none(service: Service, acme: Tenant) -> None:
    customer = acme.customer("1")["id"]
    body = {"subject": "customer", "key": customer, "requester": "x"}
    erasure = acme.call("POST", "/v1/erasures", json=body).json["id"]
    refused = acme.call("POST", ROOT, json={"of": erasure})
    assert (refused.status_code, refused.json["code"]) == (409, "not_ended")


def test_foreign_is_answered_as_missing(
    service: Service, acme: Tenant, globex: Tenant, ledger: Ledger
) -> None:
    trace, run = ran(service, (acme,))
    path = ordered(acme, trace)
    made(service, ledger)
    body = {"subject": "customer", "key": acme.customer("1")["id"], "requester": "x"}
    erasure = acme.call("POST", "/v1/erasures", json=body).json["id"]

    def told(response: Any) -> Any:
        assert response.status_code == 404, response.text
        return {k: v for k, v in response.json.items() if k not in ("instance", "trace_id")}

    missing = told(globex.call("POST", ROOT, json={"of": str(uuid4())}))
    for of in (trace, run, erasure, "0" * 32, "no-id"):
        assert told(globex.call("POST", ROOT, json={"of": of})) == missing
    for end in ("", "/document"):
        nobodys = told(globex.get(f"{ROOT}/{uuid4()}{end}"))
        assert told(globex.get(f"{path}{end}")) == nobodys == told(globex.get(f"{ROOT}/x{end}"))
    assert globex.get(ROOT).json == []
    for role in ("member", "viewer", "auditor"):
        for method, url in (
            ("GET", ROOT),
            ("POST", ROOT),
            ("GET", path),
            ("GET", f"{path}/document"),
        ):
            more = {"json": {"of": trace}} if method == "POST" else {}
            assert acme.call(method, url, role=role, **more).status_code == 403


def test_an_order_is_of_the_tenant_that_gave_it_whatever_it_names(
    service: Service, acme: Tenant, globex: Tenant, ledger: Ledger
) -> None:
    """As if the application were made to write another tenant's id down."""
    _, run = ran(service, (acme,))
    seat = Seat(service.installation.app_connections, globex.id, "login:x")
    forged = order(seat, globex.id, Subject("run", UUID(run), globex.id), "login:x")
    made(service, ledger)
    shown = globex.get(f"{ROOT}/{forged}").json
    assert (shown["state"], shown["certificate_id"]) == ("refused", None)
    assert globex.get(f"{ROOT}/{forged}/document").status_code == 404


def test_the_application_makes_none_itself_and_orders_in_nobodys_name(
    service: Service, acme: Tenant, globex: Tenant
) -> None:
    app = service.installation.app_connections
    enter = (
        "INSERT INTO tenure.certificate_orders (tenant_id, id, kind, subject_id, ordered_by)"
        " VALUES (%s, %s, 'run', %s, %s)"
    )
    seat = Seat(app, acme.id, "login:x")
    for at, tenant, actor in (
        (seat, acme.id, "login:another"),
        (seat, globex.id, "login:x"),
        (app, acme.id, "login:x"),
    ):
        with pytest.raises(psycopg2.Error), at.transaction(acme.id) as cursor:
            cursor.execute(enter, (str(tenant), str(uuid4()), str(uuid4()), actor))
    with pytest.raises(psycopg2.Error), seat.transaction(None) as cursor:
        cursor.execute("UPDATE tenure.certificate_orders SET content = 'x'")
    with pytest.raises(psycopg2.Error), seat.transaction(None) as cursor:
        cursor.execute("DELETE FROM tenure.certificate_orders")


def test_copies_go_after_thirty_days_and_an_unsigned_ledger_refuses(
    service: Service, acme: Tenant, ledger: Ledger, owner_sql: Any
) -> None:
    trace, _ = ran(service, (acme,))
    path = ordered(acme, trace)
    made(service, replace(ledger, outside=None))
    shown = acme.get(path).json
    assert shown["state"] == "refused"
    assert "not signed" in shown["problem"]
    made(service, ledger)
    assert acme.get(path).status_code == 200
    owner_sql("ALTER TABLE tenure.certificate_orders DISABLE TRIGGER order_stays")
    owner_sql("UPDATE tenure.certificate_orders SET ended_at = now() - interval '31 days'")
    made(service, ledger)
    assert acme.get(path).status_code == 404


def test_answers_are_what_the_document_says(service: Service, acme: Tenant) -> None:
    trace, _ = ran(service, (acme,))
    document = service.app.test_client().get("/openapi.json").json
    schema = document["components"]["schemas"]["CertificateOrder"]
    validator = Draft202012Validator({**schema, "additionalProperties": False})
    validator.validate(acme.get(ordered(acme, trace)).json)
    assert json.dumps(document).count("/v1/certificates") >= 3
