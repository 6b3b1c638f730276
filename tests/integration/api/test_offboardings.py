"""Offboardings over HTTP: owners ask for their own tenant's, and delete nothing by it."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from jsonschema import Draft202012Validator

from api.auth.receipts import new_receipt
from api.workshop import workshop_of
from retention.errors import OffboardingError, SeatError, UnknownOffboardingError
from retention.holds import place
from retention.ledger.certificate import Issuer
from retention.ledger.certificate_evidence import Subject
from retention.ledger.folder import Folder
from retention.ledger.keys import create_key
from retention.ledger.publishing import Ledger, Outside
from retention.ledger.verifier import Trust, VerifierKey, verify_certificate
from retention.offboardings import records
from retention.offboardings.execution import Round, make_round
from retention.seat import Seat
from tests.integration.api.conftest import Service, Tenant
from tests.integration.api.test_erasures import _auditors_session

ROOT = "/v1/offboardings"
WHY = {"reason": "S3ntinel: the contract ends"}
STAYS = {"reason": "S3ntinel: they stay"}


def post(tenant: Tenant, path: str, body: Any, role: str = "owner") -> Any:
    return tenant.client.post(path, json=body, headers=tenant.headers(role))


def asked(tenant: Tenant) -> str:
    response = post(tenant, ROOT, WHY)
    assert response.status_code == 201, response.text
    assert response.headers["Location"] == f"{ROOT}/{response.json['id']}"
    return str(response.headers["Location"])


def tick(service: Service) -> Round:
    return make_round(workshop_of(service.installation, actor="worker").offboardings())


def exported(service: Service, tenant: Tenant) -> None:
    """Make the operator's copy."""
    shop = workshop_of(service.installation, actor="command:ann")
    with service.installation.verifier.transaction(None, read_only=True) as cursor:
        one = records.latest_of(cursor, tenant.id)
    made = shop.exporter.of_tenant(io.BytesIO(), tenant.id, actor=shop.actor)
    records.note_export(shop.retention, one, made.id)


@pytest.fixture
def over(owner_sql: Any) -> Any:
    """`over()` has the grace of all that were asked for end now."""
    return lambda: owner_sql("UPDATE tenure.offboardings SET deletes_at = requested_at")


def rows(owner_sql: Any, tenant: Tenant) -> int:
    found = owner_sql("SELECT count(*) FROM shop.customers WHERE tenant_id = %s", (str(tenant.id),))
    return int(found[0][0])


def test_it_is_asked_for_shown_and_taken_back(service: Service, acme: Tenant) -> None:
    acme.customer("1")
    path = asked(acme)
    shown = acme.get(path).json
    assert "receipt" not in shown
    assert (shown["state"], shown["reason"], shown["grace"]) == (
        "requested", WHY["reason"], "P30D",
    )  # fmt: skip
    assert shown["requested_by"].startswith("login:")
    assert shown["waits_for"] == ["grace", "export"]
    assert acme.get(ROOT).json == [shown]
    again = post(acme, ROOT, WHY)
    assert (again.status_code, again.json["code"]) == (409, "offboarding")
    assert again.json["message"] == "an offboarding of this tenant is open already"
    back = post(acme, f"{path}/take-back", STAYS)
    assert back.status_code == 200
    assert (back.json["state"], back.json["taken_back_reason"], back.json["waits_for"]) == (
        "taken back", STAYS["reason"], [],
    )  # fmt: skip
    assert back.json["taken_back_by"] == shown["requested_by"]
    assert back.json["ended_at"] is not None
    late = post(acme, f"{path}/take-back", STAYS)
    assert (late.status_code, late.json["code"]) == (409, "offboarding")
    assert acme.get(path).json == back.json
    assert acme.get("/v1/customers").status_code == 200
    # They may change their minds.
    assert asked(acme) != path
    assert [one["state"] for one in acme.get(ROOT).json] == ["requested", "taken back"]


def test_an_operator_sees_and_finishes_what_was_asked_for_here(
    service: Service, acme: Tenant, globex: Tenant, owner_sql: Any, over: Any
) -> None:
    acme.customer("1")
    globex.customer("1")
    path = asked(acme)
    assert tick(service).done == ()
    exported(service, acme)
    assert acme.get(path).json["waits_for"] == ["grace"]
    over()
    (done,) = tick(service).done
    assert done.offboarding.state == "completed"
    assert done.offboarding.requested_by.startswith("login:")
    assert rows(owner_sql, acme) == 0
    assert rows(owner_sql, globex) == 1
    # Whoever asked for it has no access any more.
    assert acme.get(path).status_code == 401


def test_no_token_deletes_a_tenant_by_itself(
    service: Service, acme: Tenant, owner_sql: Any, over: Any
) -> None:
    acme.customer("1")
    path = asked(acme)
    over()
    done = tick(service)
    assert [result.why for result in done.done] == ["waits for an export that is finished"]
    assert [alert.kind for alert in done.alerts] == ["offboarding"]
    assert acme.get(path).json["waits_for"] == ["export"]
    assert rows(owner_sql, acme) == 1
    # Nor is an export of the tenant's own what is waited for: it is an operator's.
    assert post(acme, f"{path}/export", {}).status_code == 404
    assert post(acme, f"{path}/take-back", STAYS).json["state"] == "taken back"


def test_a_hold_is_told_and_its_matter_is_not(
    service: Service, acme: Tenant, owner_sql: Any, over: Any
) -> None:
    acme.customer("1")
    path = asked(acme)
    exported(service, acme)
    over()
    place(
        service.installation.retention,
        acme.id,
        matter="Secret v. Acme",
        reason="r",
        actor="counsel",
    )
    tick(service)
    shown = acme.get(path)
    assert (shown.json["state"], shown.json["waits_for"]) == ("deferred", ["legal hold"])
    assert "Secret" not in shown.text + acme.get(ROOT).text
    assert post(acme, f"{path}/take-back", STAYS).json["state"] == "taken back"
    assert rows(owner_sql, acme) == 1


def test_what_an_operator_began_is_taken_back_here_too(service: Service, acme: Tenant) -> None:
    retention = service.installation.retention
    made = records.request(retention, acme.id, actor="command:ann", reason="r", grace="P1D")
    back = post(acme, f"{ROOT}/{made}/take-back", STAYS).json
    assert (back["requested_by"], back["grace"], back["state"]) == (
        "command:ann", "P1D", "taken back",
    )  # fmt: skip


def test_what_has_begun_is_not_taken_back(
    service: Service, acme: Tenant, owner_sql: Any, over: Any
) -> None:
    """Access ends when it begins; so does every seat, which has no other way in."""
    asked(acme)
    exported(service, acme)
    seat = Seat(service.installation.app_connections, acme.id, "login:x")
    with seat.transaction(None, read_only=True) as cursor:
        one = records.latest_of(cursor, acme.id)
    over()
    tick(service)
    with pytest.raises(OffboardingError, match="its deletion has begun"):
        records.take_back(seat, one, actor="login:x", reason="too late")
    with pytest.raises(psycopg2.Error), seat.transaction(None) as cursor:
        cursor.execute(
            "UPDATE tenure.offboardings SET state = 'taken back', taken_back_by = 'login:x',"
            " taken_back_reason = 'x', ended_at = clock_timestamp()"
        )


# -- receipts: when nobody of the tenant has access any more -----------------------------------


def with_receipt(
    service: Service, receipt: str, path: str, method: str = "GET", **more: Any
) -> Any:
    headers = {"Authorization": f"Bearer {receipt}", **more.pop("headers", {})}
    return service.app.test_client().open(path, method=method, headers=headers, **more)


def left(service: Service, tenant: Tenant) -> tuple[str, str]:
    """Have a tenant leave without a grace, which the API has not; its offboarding, the receipt."""
    receipt, digest = new_receipt()
    made = records.request(
        service.installation.retention, tenant.id,
        actor="login:x", reason="S3ntinel", grace="P0D", receipt=digest,
    )  # fmt: skip
    exported(service, tenant)
    (done,) = tick(service).done
    assert done.offboarding.state == "completed"
    return f"{ROOT}/{made}", receipt


@pytest.fixture
def issuer(service: Service, tmp_path: Path) -> Issuer:
    create_key(tmp_path / "key", "ledger.example")
    (tmp_path / "notes").mkdir()
    outside = Outside("ledger.example", tmp_path / "key", Folder(tmp_path / "notes"))
    installation = service.installation
    return Issuer(Ledger(installation.retention, outside, "ops"), installation.auditor, "ops")


def test_a_receipt_shows_what_became_of_it_and_the_certificate(
    service: Service, acme: Tenant, globex: Tenant, issuer: Issuer
) -> None:
    acme.customer("1")
    path, receipt = left(service, acme)
    assert acme.get(path).status_code == 401
    shown = with_receipt(service, receipt, path)
    assert (shown.status_code, shown.json["state"]) == (200, "completed")
    assert shown.json["deleted"]["shop.customers"] == {"delete": 1}
    assert "the ledger is append-only" in shown.json["stays"]["tenure.ledger_entries"]["why"]
    none = with_receipt(service, receipt, f"{path}/certificate")
    assert (none.status_code, none.json["code"]) == (404, "no_certificate")
    id_ = UUID(path.rpartition("/")[2])
    issued = issuer.issue(Subject("tenant", id_, acme.id))
    answer = with_receipt(service, receipt, f"{path}/certificate")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    # It is the same for whoever asks, and verifies by the key alone.
    with service.installation.verifier.transaction(None, read_only=True) as cursor:
        cursor.execute("SELECT vkey FROM tenure.ledger_key_steps")
        trust = Trust(tuple(VerifierKey.parse(row[0]) for row in cursor.fetchall()))
    found = verify_certificate(answer.data, trust)
    assert found.statement["offboarding"]["id"] == str(id_)
    assert found.statement == verify_certificate(issued.content, trust).statement
    for text in ("text/plain", "application/pdf"):
        paper = with_receipt(service, receipt, f"{path}/certificate", headers={"Accept": text})
        assert (paper.status_code, paper.mimetype) == (200, text)
    assert globex.get("/v1/customers").status_code == 200


def test_a_receipt_serves_for_nothing_else(
    service: Service, acme: Tenant, globex: Tenant, owner_sql: Any
) -> None:
    customer = acme.customer("1")["id"]
    asked_for = post(acme, ROOT, WHY).json
    receipt, path = asked_for.pop("receipt"), f"{ROOT}/{asked_for['id']}"
    assert with_receipt(service, receipt, path).json == asked_for == acme.get(path).json
    for method, url, body in (
        ("GET", ROOT, None),
        ("POST", ROOT, WHY),
        ("POST", f"{path}/take-back", STAYS),
        ("GET", "/v1/customers", None),
        ("GET", f"/v1/customers/{customer}", None),
        ("DELETE", f"/v1/customers/{customer}", None),
        ("GET", "/v1/erasures", None),
        ("GET", "/subjects/exports", None),
        ("POST", "/subjects/customer/export", {"key": customer}),
    ):
        refused = with_receipt(service, receipt, url, method, json=body)
        assert (refused.status_code, refused.json["code"]) == (401, "PGRST301"), url
    assert with_receipt(service, receipt, "/console/offboardings.json").status_code == 401
    # Not even another's of the same tenant, nor another tenant's.
    assert post(acme, f"{path}/take-back", STAYS).status_code == 200
    for other in (acme, globex):
        id_ = post(other, ROOT, WHY).json["id"]
        for url in (f"{ROOT}/{id_}", f"{ROOT}/{id_}/certificate"):
            theirs = with_receipt(service, receipt, url)
            nobodys = with_receipt(service, receipt, url.replace(id_, str(uuid4())))
            assert theirs.status_code == nobodys.status_code == 404
            assert theirs.json["message"] == nobodys.json["message"]
    for made_up in ("tnc_" + "a" * 43, "tnc_", receipt[:-1], receipt + "a", receipt.upper()):
        assert with_receipt(service, made_up, path).status_code == 401, made_up
    # What is kept of it is a digest, which the application cannot read.
    digests = owner_sql("SELECT o::text, receipt_digest FROM tenure.offboardings o")
    assert hashlib.sha256(receipt.encode()).digest() in {bytes(row[1]) for row in digests}
    assert not [row for row, _ in digests if receipt in row]
    app = service.installation.app_connections
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        app.transaction(acme.id) as cursor,
    ):
        cursor.execute("SELECT receipt_digest FROM tenure.offboardings")


def test_no_text_is_opened_but_what_a_certificate_says(
    service: Service, acme: Tenant, globex: Tenant, owner_sql: Any, issuer: Issuer
) -> None:
    place(service.installation.retention, globex.id, matter="S3ntinel", reason="r", actor="counsel")
    path, _ = left(service, acme)
    issuer.issue(Subject("tenant", UUID(path.rpartition("/")[2]), acme.id))
    kept = dict(owner_sql("SELECT field, count(*) FROM tenure.ledger_texts GROUP BY field"))
    assert {"reason", "matter", "slug", "requested_by", "begun_by", "issued_by"} <= set(kept)
    app = service.installation.app_connections
    with app.transaction(acme.id, read_only=True) as cursor:
        cursor.execute(
            "SELECT e.source, x.field, x.tenant_id FROM tenure.ledger_texts x"
            " JOIN tenure.ledger_entries e ON e.id = x.entry_id"
        )
        seen = cursor.fetchall()
    assert {(source, field) for source, field, _ in seen} == {
        ("offboardings", "requested_by"), ("tenants", "slug"), ("tenants", "name"),
        ("exports", "requested_by"), ("purges", "begun_by"), ("certificates", "issued_by"),
    }  # fmt: skip
    assert {str(tenant) for _, _, tenant in seen} == {str(acme.id)}
    with app.transaction(None, read_only=True) as cursor:
        cursor.execute("SELECT field FROM tenure.ledger_texts")
        assert cursor.fetchall() == []
        cursor.execute("SELECT size FROM tenure.ledger_attestations")
        assert cursor.fetchall() == []


@pytest.mark.parametrize("by", ["owner", "receipt"])
def test_a_revoked_receipt_serves_for_nothing(
    service: Service, acme: Tenant, globex: Tenant, owner_sql: Any, by: str
) -> None:
    asked_for = post(acme, ROOT, WHY).json
    receipt, path = asked_for["receipt"], f"{ROOT}/{asked_for['id']}"
    others = post(globex, ROOT, WHY).json
    url = f"{path}/revoke-receipt"
    assert with_receipt(service, others["receipt"], url, "POST", json=STAYS).status_code == 404
    assert post(globex, url, STAYS).status_code == 404
    assert post(acme, url, {"reason": " "}).status_code == 422
    assert with_receipt(service, receipt, path).status_code == 200
    if by == "owner":
        answer = post(acme, url, {"reason": "it was mailed to the wrong one"})
    else:
        answer = with_receipt(service, receipt, url, "POST", json={"reason": "it was read"})
    assert answer.status_code == 204, answer.text
    for gone in (path, f"{path}/certificate"):
        assert with_receipt(service, receipt, gone).status_code == 401
    assert with_receipt(service, receipt, url, "POST", json=STAYS).status_code == 401
    assert post(acme, url, STAYS).status_code == 204, "it is revoked; the first word is kept"
    ((who,),) = owner_sql("SELECT revoked_by FROM tenure.receipt_revocations")
    assert who.startswith("login:" if by == "owner" else f"receipt:{asked_for['id']}")
    assert with_receipt(service, others["receipt"], f"{ROOT}/{others['id']}").status_code == 200


# -- who gets in -----------------------------------------------------------------------------


def operations(service: Service) -> list[tuple[str, str]]:
    document = service.app.test_client().get("/openapi.json").json
    return [
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item.keys() - {"parameters"}
        if path.startswith(ROOT)
    ]


def test_every_route_is_documented(service: Service) -> None:
    rules = {
        (method, re.sub(r"<[^>]*>", "{id}", rule.rule))
        for rule in service.app.url_map.iter_rules()
        if rule.rule.startswith(ROOT)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert rules == set(operations(service))
    assert len(rules) == 6


@pytest.mark.parametrize("role", ["member", "viewer", "auditor", "installation", "nobody"])
def test_nobody_but_owners_gets_in(service: Service, acme: Tenant, role: str) -> None:
    path = asked(acme)
    before = acme.get(path).json
    status = 401 if role == "nobody" else 403
    headers = acme.headers(role) if role in acme.tokens else {}
    client = service.app.test_client()
    if role == "installation":
        client.set_cookie("tenure_session", _auditors_session(service))
    for method, documented in operations(service):
        url = documented.replace(f"{ROOT}/{{id}}", path)
        more = {"json": STAYS} if method == "POST" else {}
        response = client.open(url, method=method, headers=headers, **more)
        # A session's POST without a CSRF token is refused before anything else.
        expected = 400 if (role, method) == ("installation", "POST") else status
        assert response.status_code == expected, (method, url)
        assert before["id"] not in response.text.replace(path, "")
        assert "S3ntinel" not in response.text
    assert acme.get(path).json == before


def test_a_stolen_id_is_as_good_as_none(service: Service, acme: Tenant, globex: Tenant) -> None:
    path = asked(acme)
    before = acme.get(path).json
    for method, documented in operations(service):
        if "{id}" not in documented:
            continue
        answers = []
        for root in (path, f"{ROOT}/{uuid4()}", f"{ROOT}/no-uuid"):
            url = documented.replace(f"{ROOT}/{{id}}", root)
            response = globex.call(method, url, json=STAYS if method == "POST" else None)
            assert response.status_code == 404, (method, url, response.text)
            answers.append(
                {k: v for k, v in response.json.items() if k not in ("instance", "trace_id")}
            )
        assert answers[0] == answers[1] == answers[2]
    assert globex.get(ROOT).json == []
    # That another leaves is not told by what this one may do.
    assert post(globex, ROOT, WHY).status_code == 201
    assert acme.get(path).json == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ([], "body"),
        ({"reason": " "}, "reason"),
        ({"reason": "x\0y"}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
        ({"reason": 1}, "reason"),
        ({"reason": "x", "grace": "P0D"}, "grace"),
        ({"reason": "x", "tenant_id": str(uuid4())}, "tenant_id"),
        ({"reason": "x", "requested_by": "login:another"}, "requested_by"),
    ],
)
def test_a_wrong_body_is_told_by_its_member(acme: Tenant, body: Any, field: str) -> None:
    response = post(acme, ROOT, body)
    assert (response.status_code, response.json["code"]) == (422, "invalid_body"), response.text
    assert field in {e["field"] for e in response.json["errors"]}
    assert acme.get(ROOT).json == []


def test_answers_are_what_the_document_says(service: Service, acme: Tenant) -> None:
    path = asked(acme)
    document = service.app.test_client().get("/openapi.json").json
    schema = document["components"]["schemas"]["Offboarding"]
    validator = Draft202012Validator({**schema, "additionalProperties": False})
    validator.validate(acme.get(path).json)
    validator.validate(post(acme, f"{path}/take-back", STAYS).json)
    for one in acme.get(ROOT).json:
        validator.validate(one)


# -- the application's role, hostile ---------------------------------------------------------

ENTER = (
    "INSERT INTO tenure.offboardings"
    " (tenant_id, id, requested_by, reason, grace, requested_at, deletes_at) VALUES"
    " ({tenant}, gen_random_uuid(), {by}, 'x', {grace}, {at}, {at} + {until})"
)
FAIR = {
    "tenant": "tenure.current_tenant()", "by": "'login:x'", "grace": "'P30D'",
    "at": "clock_timestamp()", "until": "interval '30 days'",
}  # fmt: skip
BACK = (
    "UPDATE tenure.offboardings SET state = {state}, taken_back_by = {by},"
    " taken_back_reason = 'x', ended_at = {at}"
)
FAIR_BACK = {"state": "'taken back'", "by": "'login:x'", "at": "clock_timestamp()"}


def enter(**changed: str) -> str:
    return ENTER.format(**{**FAIR, **changed})


def back(**changed: str) -> str:
    return BACK.format(**{**FAIR_BACK, **changed})


@pytest.mark.parametrize(
    "before",
    [
        None,
        "SELECT set_config('tenure.desk', 'login:x|' || repeat('0', 64), true)",
        "SELECT set_config('tenure.desk', 'login:x', true)",
        "SELECT set_config('tenure.desk', NULL, true)",
    ],
    ids=["nothing", "made-up", "no-seal", "empty"],
)
def test_injected_sql_has_no_seat(
    service: Service, acme: Tenant, globex: Tenant, before: str | None
) -> None:
    path = asked(acme)
    was = acme.get(path).json
    app = service.installation.app_connections
    first = before or "SELECT"
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        app.transaction(globex.id) as cursor,
    ):
        cursor.execute(f"{first}; {enter()}")
    with app.transaction(acme.id) as cursor:
        cursor.execute(f"{first}; {back()} RETURNING id")
        assert cursor.fetchall() == []
        cursor.execute("SELECT id FROM tenure.offboardings FOR UPDATE")
        assert cursor.fetchall() == []
    assert acme.get(path).json == was


def test_the_statements_that_are_forged_below_are_fair_without_the_forgery(
    service: Service, acme: Tenant
) -> None:
    seat = Seat(service.installation.app_connections, acme.id, "login:x")
    with seat.transaction(None) as cursor:
        cursor.execute(enter())
        cursor.execute(back())
        assert cursor.rowcount == 1
    with pytest.raises(SeatError), seat.transaction(service.globex.id):
        pass


@pytest.mark.parametrize(
    "statement",
    [
        enter(by="'login:another'"),
        enter(tenant="'{other}'"),
        enter(until="interval '29 days'"),
        enter(until="interval '0'"),
        enter(at="clock_timestamp() - interval '31 days'"),
        enter(at="clock_timestamp() + interval '1 day'"),
        back(by="'login:another'"),
        back(state="'completed'"),
        back(state="'deferred'"),
        back(at="clock_timestamp() - interval '1 day'"),
        "UPDATE tenure.offboardings SET state = 'running'",
        "UPDATE tenure.offboardings SET deletes_at = now()",
        "UPDATE tenure.offboardings SET requested_at = now() - interval '40 days'",
        "UPDATE tenure.offboardings SET requested_by = 'login:another'",
        "UPDATE tenure.offboardings SET reason = 'another'",
        "UPDATE tenure.offboardings SET grace = 'P0D'",
        "UPDATE tenure.offboardings SET export_id = gen_random_uuid()",
        "UPDATE tenure.offboardings SET started_at = now()",
        "UPDATE tenure.offboardings SET purge_id = gen_random_uuid()",
        "UPDATE tenure.offboardings SET access = '{{}}'",
        "UPDATE tenure.offboardings SET counts = '{{}}'",
        "DELETE FROM tenure.offboardings",
        "INSERT INTO tenure.offboardings (tenant_id, id, requested_by, reason, grace, deletes_at,"
        " export_id) VALUES ('{tenant}', gen_random_uuid(), 'login:x', 'x', 'P30D',"
        " now() + interval '40 days', gen_random_uuid())",
        "INSERT INTO tenure.purges (tenant_id, id, kind, cause, trace_id, begun_by) VALUES"
        " ('{tenant}', gen_random_uuid(), 'offboarding', '{{}}', repeat('0', 32), 'login:x')",
        "INSERT INTO tenure.exports (tenant_id, id, kind, requested_by)"
        " VALUES ('{tenant}', gen_random_uuid(), 'tenant', 'login:x')",
        "UPDATE tenure.exports SET kind = 'tenant'",
        "DELETE FROM tenure.purged_keys",
        "SELECT subject_hash FROM tenure.exports",
        "SELECT issued_by FROM tenure.certificates",
    ],
)
def test_even_at_the_seat_nothing_is_forged(
    service: Service, acme: Tenant, globex: Tenant, statement: str
) -> None:
    if not statement.startswith("INSERT INTO tenure.offboardings"):
        asked(acme)
    text = statement.format(tenant=acme.id, other=globex.id)
    seat = Seat(service.installation.app_connections, acme.id, "login:x")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), seat.transaction(None) as cursor:
        cursor.execute(text)


def test_another_tenants_is_not_there_for_the_role(
    service: Service, acme: Tenant, globex: Tenant, owner_sql: Any
) -> None:
    asked(acme)
    exported(service, acme)
    purge = str(uuid4())
    owner_sql(
        "INSERT INTO tenure.purges (tenant_id, id, kind, cause, trace_id, begun_by) VALUES"
        " (%s, %s, 'replay', '{}', repeat('a', 32), 'ops')",
        (str(acme.id), purge),
    )
    for tenant, there in ((acme, 1), (globex, 0)):
        with service.installation.app_connections.transaction(tenant.id) as cursor:
            for table in ("offboardings", "purges", "exports"):
                cursor.execute(f"SELECT id FROM tenure.{table}")
                assert len(cursor.fetchall()) == there, (table, tenant.slug)
    seat = Seat(service.installation.app_connections, globex.id, "login:x")
    with seat.transaction(None) as cursor:
        cursor.execute(back())
        assert cursor.rowcount == 0
    with pytest.raises(UnknownOffboardingError), seat.transaction(None) as cursor:
        records.find_offboarding(cursor, UUID(acme.get(ROOT).json[0]["id"]))


# -- pages -----------------------------------------------------------------------------------


def test_the_list_comes_in_pages(service: Service, acme: Tenant, globex: Tenant) -> None:
    made = []
    for _ in range(5):
        made.insert(0, asked(acme).rpartition("/")[2])
        assert post(acme, f"{ROOT}/{made[0]}/take-back", STAYS).status_code == 200
    asked(globex)
    page = acme.get(f"{ROOT}?limit=2&offset=1")
    assert [one["id"] for one in page.json] == made[1:3]
    assert (page.status_code, page.headers["Content-Range"]) == (200, "1-2/*")
    counted = acme.get(ROOT, Prefer="count=exact", Range="3-9")
    assert [one["id"] for one in counted.json] == made[3:]
    assert (counted.status_code, counted.headers["Content-Range"]) == (206, "3-4/5")
    beyond = acme.get(f"{ROOT}?offset=6", Prefer="count=exact")
    assert (beyond.status_code, beyond.json["code"]) == (416, "PGRST103")
    for query in ("state=eq.requested", "select=id", "order=id", "limit=x", "tenant=globex"):
        assert acme.get(f"{ROOT}?{query}").status_code == 400, query
