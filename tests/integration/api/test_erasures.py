"""Erasures over HTTP: for a tenant's owners, of their own tenant, in nobody else's name."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from jsonschema import Draft202012Validator

from api.auth.sessions import open_session
from api.wiring import owner_of
from api.workshop import workshop_of
from retention.erasures.execution import Executor
from retention.erasures.rounds import Round, make_round
from retention.errors import SeatError
from retention.seat import Seat
from tenants import registry
from tests.integration.api.conftest import Service, Tenant
from tests.integration.api.test_row_holds import note
from tests.unit.retention.test_pdf import text_of

STEPS: dict[str, dict[str, Any]] = {
    "confirm": {"how": "S3ntinel-Passport"},
    "plan": {},
    "approve": {"plan": 1},
    "extend": {"months": 1, "reason": "number"},
    "refuse": {"ground": "identity"},
    "withdraw": {},
}


@pytest.fixture
def second(service: Service) -> str:
    """Another owner of acme's: their token."""
    with owner_of(service.installation.settings) as owner, owner.transaction(None) as cursor:
        login = registry.create_login(cursor, email="second@acme.example", password_hash="none")
        registry.add_member(cursor, tenant_id=service.acme.id, login_id=login, role="owner")
        _, token = registry.issue_token(
            cursor, tenant_id=service.acme.id, login_id=login, name="second"
        )
    return token


def executor(service: Service) -> Executor:
    shop = workshop_of(service.installation, actor="worker")
    return replace(shop.erasures(), settle_s=1.0)


def tick(service: Service) -> Round:
    return make_round(executor(service))


def post(tenant: Tenant, path: str, body: Any, token: str | None = None) -> Any:
    headers = tenant.headers() if token is None else {"Authorization": f"Bearer {token}"}
    return tenant.client.post(path, json=body, headers=headers)


def entered(tenant: Tenant, key: str) -> str:
    body = {"subject": "customer", "key": key, "requester": "S3ntinel-Asker"}
    response = post(tenant, "/v1/erasures", body)
    assert response.status_code == 201, response.text
    assert response.headers["Location"] == f"/v1/erasures/{response.json['id']}"
    return str(response.json["id"])


def planned(service: Service, tenant: Tenant, key: str) -> str:
    path = f"/v1/erasures/{entered(tenant, key)}"
    assert post(tenant, f"{path}/confirm", STEPS["confirm"]).status_code == 200
    assert post(tenant, f"{path}/plan", {}).status_code == 202
    tick(service)
    return path


def test_from_the_request_to_the_letter(service: Service, acme: Tenant, second: str) -> None:
    ada = acme.customer("1", email="s3ntinel@example.org")
    note(acme, "customer", ada["id"])
    body = {"subject": "customer", "by": "email", "value": "s3ntinel@example.org",
            "requester": "S3ntinel-Asker", "received_at": "2026-01-31T12:00:00+01:00"}  # fmt: skip
    response = post(acme, "/v1/erasures", body)
    assert response.status_code == 201
    path = response.headers["Location"]
    assert response.json["due_at"] == "2026-02-28T11:00:00Z"
    assert response.json["overdue"] is True
    assert "received your request" in acme.get(f"{path}/letter", Accept="text/plain").text
    assert post(acme, f"{path}/confirm", STEPS["confirm"]).json["state"] == "confirmed"
    wanted = post(acme, f"{path}/plan", {})
    assert (wanted.status_code, wanted.json["state"]) == (202, "confirmed")
    assert wanted.json["plan_wanted_by"] == wanted.json["entered_by"]
    assert acme.get(path).json["current_plan"] is None
    tick(service)
    shown = acme.get(path).json
    assert (shown["state"], shown["plan"], shown["plan_wanted_by"]) == ("planned", 1, None)
    assert shown["key"] == ada["id"]
    assert {t["table"]: t["going"] for t in shown["current_plan"]["tables"]}["shop.notes"] == 1
    alone = post(acme, f"{path}/approve", {"plan": 1})
    assert (alone.status_code, alone.json["code"]) == (409, "erasure")
    assert "another person approves it" in alone.json["message"]
    stale = post(acme, f"{path}/approve", {"plan": 2}, second)
    assert (stale.status_code, stale.json["code"]) == (409, "erasure")
    assert post(acme, f"{path}/approve", {"plan": 1}, second).json["state"] == "approved"
    assert len(acme.get("/v1/erasures").json) == 1
    tick(service)
    assert acme.get("/v1/erasures").json == []
    (ended,) = acme.get("/v1/erasures?ended=true").json
    assert ended["state"] == "completed"
    shown = acme.get(path)
    assert shown.json["erased"]["shop.customers"] == {"anonymise": 1}
    assert shown.json["key"] is None
    assert "entinel" not in shown.text
    actors = {e["event"]: e["actor"] for e in shown.json["events"]}
    assert actors["received"] == actors["planned"] == ended["entered_by"]
    assert actors["approved"].startswith("login:")
    assert actors["approved"] != actors["received"]
    assert actors["completed"] == "worker"
    assert "has been erased" in str(acme.get(f"{path}/letter").json)
    pdf = acme.get(f"{path}/letter", Accept="application/pdf")
    assert pdf.mimetype == "application/pdf"
    assert "has been erased" in text_of(pdf.data)


def test_who_asks_is_taken_and_not_given_back(service: Service, acme: Tenant) -> None:
    path = planned(service, acme, acme.customer("1")["id"])
    for asked in (path, f"{path}/letter", "/v1/erasures"):
        assert "S3ntinel" not in acme.get(asked).text
    with service.installation.verifier.transaction(None, read_only=True) as cursor:
        cursor.execute("SELECT requester, identity FROM tenure.erasure_subjects")
        assert cursor.fetchall() == [("S3ntinel-Asker", "S3ntinel-Passport")]


def test_it_can_be_put_off_refused_and_withdrawn(service: Service, acme: Tenant) -> None:
    path = planned(service, acme, acme.customer("1")["id"])
    assert post(acme, f"{path}/extend", STEPS["extend"]).json["extended_months"] == 1
    more = post(acme, f"{path}/extend", {"months": 2, "reason": "number"})
    assert (more.status_code, more.json["code"]) == (409, "erasure")
    assert post(acme, f"{path}/refuse", STEPS["refuse"]).json["state"] == "refused"
    assert acme.get(path).json["key"] is None
    late = post(acme, f"{path}/withdraw", {})
    assert late.status_code == 409
    assert "is refused for good" in late.json["message"]
    second = f"/v1/erasures/{entered(acme, acme.customer('2')['id'])}"
    assert post(acme, f"{second}/withdraw", {}).json["state"] == "withdrawn"


def test_a_plan_that_is_being_made_is_waited_for(
    service: Service, acme: Tenant, second: str
) -> None:
    path = planned(service, acme, acme.customer("1")["id"])
    post(acme, f"{path}/plan", {})
    refused = post(acme, f"{path}/approve", {"plan": 1}, second)
    assert "a new plan" in refused.json["message"]
    tick(service)
    assert acme.get(path).json["plan"] == 2
    assert post(acme, f"{path}/approve", {"plan": 2}, second).status_code == 200


def test_what_cannot_be_planned_is_told_as_trouble(service: Service, acme: Tenant) -> None:
    path = f"/v1/erasures/{entered(acme, acme.customer('1')['id'])}"
    early = post(acme, f"{path}/plan", {})
    assert (early.status_code, early.json["code"]) == (409, "erasure")
    post(acme, f"{path}/confirm", STEPS["confirm"])
    post(acme, f"{path}/plan", {})
    nothing_declared = replace(executor(service), subjects=())
    (trouble,) = make_round(nothing_declared).troubles.values()
    assert "there is no subject 'customer' any more" in trouble
    assert acme.get(path).json["plan_wanted_by"] is not None
    tick(service)
    assert acme.get(path).json["plan"] == 1


def operations(service: Service) -> list[tuple[str, str]]:
    document = service.app.test_client().get("/openapi.json").json
    return [
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item.keys() - {"parameters"}
        if path.startswith("/v1/erasures")
    ]


def test_every_route_is_documented(service: Service) -> None:
    rules = {
        (method, re.sub(r"<[^>]*>", "{id}", rule.rule))
        for rule in service.app.url_map.iter_rules()
        if rule.rule.startswith("/v1/erasures")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert rules == set(operations(service))
    assert len(rules) == 10


@pytest.mark.parametrize("role", ["member", "viewer", "auditor", "nobody"])
def test_nobody_but_owners_gets_in(service: Service, acme: Tenant, role: str) -> None:
    path = planned(service, acme, acme.customer("1")["id"])
    before = acme.get(path).json
    status = 401 if role == "nobody" else 403
    headers = acme.headers(role) if role in ("member", "viewer") else {}
    client = service.app.test_client()
    if role == "auditor":
        client.set_cookie("tenure_session", _auditors_session(service))
    for method, asked in operations(service):
        url = asked.replace("/v1/erasures/{id}", path)
        body = STEPS.get(asked.rpartition("/")[2], {})
        more = {"json": body} if method == "POST" else {}
        response = client.open(url, method=method, headers=headers, **more)
        # A session's POST without a CSRF token is refused before anything else.
        expected = 400 if (role, method) == ("auditor", "POST") else status
        assert response.status_code == expected, asked
        assert before["key"] not in response.text
    assert acme.get(path).json == before


def _auditors_session(service: Service) -> str:
    with owner_of(service.installation.settings) as owner, owner.transaction(None) as cursor:
        login = registry.create_login(
            cursor, email="auditor@example.org", password_hash="none", is_auditor=True
        )
    session = open_session(service.installation.app_connections, login, None)
    assert session is not None
    return session


def test_anothers_erasure_is_not_there(service: Service, acme: Tenant, globex: Tenant) -> None:
    customer = acme.customer("1", email="s3ntinel@example.org")
    path = planned(service, acme, customer["id"])
    before = acme.get(path).json
    nowhere = f"/v1/erasures/{uuid4()}"
    for method, asked in operations(service):
        if "{id}" not in asked:
            continue
        answers = []
        for root in (path, nowhere, "/v1/erasures/no-uuid"):
            url = asked.replace("/v1/erasures/{id}", root)
            body = STEPS.get(asked.rpartition("/")[2], {})
            response = globex.call(method, url, json=body if method == "POST" else None)
            assert response.status_code == 404, (method, url, response.text)
            said = {k: v for k, v in response.json.items() if k not in ("instance", "trace_id")}
            answers.append(said)
        assert answers[0] == answers[1] == answers[2]
    assert globex.get("/v1/erasures?ended=true").json == []
    by_lookup = {"subject": "customer", "requester": "x", "by": "email"}
    found = post(globex, "/v1/erasures", {**by_lookup, "value": "s3ntinel@example.org"})
    missing = post(globex, "/v1/erasures", {**by_lookup, "value": "nobody@example.org"})
    assert (found.status_code, found.json["code"]) == (422, "no_person")
    assert found.json["message"].replace("s3ntinel", "nobody") == missing.json["message"]
    assert acme.get(path).json == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "subject"),
        ([], "body"),
        ({"subject": "customer", "requester": "x"}, "body"),
        ({"subject": "customer", "requester": " ", "key": str(uuid4())}, "requester"),
        ({"subject": "customer", "requester": "x\0y", "key": str(uuid4())}, "requester"),
        ({"subject": "customer", "requester": "x", "key": "1"}, "key"),
        ({"subject": "customer", "requester": "x", "key": 1}, "key"),
        ({"subject": "customer", "requester": "x", "by": "email"}, "body"),
        ({"subject": "customer", "requester": "x", "key": str(uuid4()), "more": 1}, "more"),
        (
            {"subject": "customer", "requester": "x", "key": str(uuid4()), "received_at": 5},
            "received_at",
        ),
        (
            {"subject": "customer", "requester": "x", "key": str(uuid4()),
             "received_at": "0001-01-01T00:00:00+14:00"},
            "received_at",
        ),
        (
            {"subject": "customer", "requester": "x", "key": str(uuid4()),
             "received_at": "2026-01-01T00:00:00"},
            "received_at",
        ),
    ],
)  # fmt: skip
def test_a_wrong_request_is_told_by_its_member(acme: Tenant, body: Any, field: str) -> None:
    response = post(acme, "/v1/erasures", body)
    assert (response.status_code, response.json["code"]) == (422, "invalid_body"), response.text
    assert field in {e["field"] for e in response.json["errors"]}
    assert acme.get("/v1/erasures?ended=true").json == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"subject": "nobody", "key": str(uuid4())}, 422, "no_person"),
        ({"subject": "customer", "by": "email", "value": "x@y"}, 422, "no_person"),
        ({"subject": "customer", "by": "name", "value": "x"}, 422, "no_person"),
        ({"subject": "customer", "by": "email' OR true --", "value": "x"}, 422, "no_person"),
        ({"subject": "customer", "by": "id", "value": "x"}, 422, "no_person"),
        ({"subject": "customer", "key": str(uuid4()), "received_at": "2999-01-01T00:00:00Z"},
         409, "erasure"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_refused(
    acme: Tenant, body: Any, status: int, code: str
) -> None:
    response = post(acme, "/v1/erasures", {"requester": "x", **body})
    assert (response.status_code, response.json["code"]) == (status, code), response.text
    assert "tenure erasure" not in response.text


def test_a_person_is_asked_about_once_at_a_time(acme: Tenant) -> None:
    customer = acme.customer("1")["id"]
    entered(acme, customer)
    again = post(acme, "/v1/erasures", {"subject": "customer", "key": customer, "requester": "x"})
    assert (again.status_code, again.json["code"]) == (409, "erasure")
    assert again.json["message"] == "an erasure of this customer is open already"


def test_answers_are_what_the_document_says(service: Service, acme: Tenant) -> None:
    path = planned(service, acme, acme.customer("1")["id"])
    document = service.app.test_client().get("/openapi.json").json
    for name, shown in (
        ("Erasure", acme.get("/v1/erasures").json[0]), ("ErasureFile", acme.get(path).json),
    ):  # fmt: skip
        schema = {**document["components"]["schemas"][name], "additionalProperties": False}
        Draft202012Validator(schema).validate(shown)


@pytest.mark.parametrize(
    "query",
    ["tenant=x", "tenant=eq.x", "state=eq.received", "select=id", "order=id", "columns=id",
     "ended=maybe", "ended=true&ended=false", "limit=ten", "limit=1&limit=2", "and=(id.is.null)"],
)  # fmt: skip
def test_unknown_parameters_are_refused(acme: Tenant, query: str) -> None:
    response = acme.get(f"/v1/erasures?{query}")
    assert (response.status_code, response.json["code"]) == (400, "PGRST100"), response.text


def test_the_list_comes_in_pages(acme: Tenant, globex: Tenant, owner_sql: Any) -> None:
    made = [entered(acme, acme.customer(str(number))["id"]) for number in range(5)]
    entered(globex, globex.customer("1")["id"])
    owner_sql(
        "UPDATE tenure.erasures SET due_at = received_at + interval '1 day'"
        " * array_position(%s::uuid[], id) WHERE tenant_id = %s",
        (made[::-1], str(acme.id)),
    )
    first, *rest = made[::-1]
    post(acme, f"/v1/erasures/{first}/withdraw", {})
    assert [one["id"] for one in acme.get("/v1/erasures").json] == rest
    page = acme.get("/v1/erasures?limit=2&offset=1")
    assert [one["id"] for one in page.json] == rest[1:3]
    assert (page.status_code, page.headers["Content-Range"]) == (200, "1-2/*")
    page = acme.get("/v1/erasures?ended=true&limit=2", Prefer="count=exact", Range="3-9")
    assert [one["id"] for one in page.json] == made[::-1][3:5]
    assert (page.status_code, page.headers["Content-Range"]) == (206, "3-4/5")
    assert page.headers["Preference-Applied"] == "count=exact"
    beyond = acme.get("/v1/erasures?offset=5", Prefer="count=exact")
    assert (beyond.status_code, beyond.json["code"]) == (416, "PGRST103")
    none = acme.get("/v1/erasures?offset=9")
    assert (none.status_code, none.json, none.headers["Content-Range"]) == (200, [], "*/*")
    assert acme.get("/v1/erasures", Accept="text/csv").status_code == 406


# -- the application's role, hostile ----------------------------------------------------------

FORGED = {
    "plans": "SELECT plan FROM tenure.erasure_plans",
    "enter": "INSERT INTO tenure.erasure_events (tenant_id, id, erasure_id, event, actor)"
    " SELECT tenant_id, gen_random_uuid(), id, 'approved', 'login:x' FROM tenure.erasures"
    " RETURNING id",
    "approve": "UPDATE tenure.erasures SET state = 'approved' RETURNING id",
    "forget": "DELETE FROM tenure.erasure_subjects RETURNING erasure_id",
    "identity": "UPDATE tenure.erasure_subjects SET identity = 'x' RETURNING erasure_id",
}


def injected(service: Service, statement: str, before: str | None = None) -> list[Any]:
    """Run SQL as it would be injected under the application's role, in acme's context."""
    with service.installation.app_connections.transaction(service.acme.id) as cursor:
        if before is not None:
            cursor.execute(before)
        cursor.execute(statement)
        return cursor.fetchall()


@pytest.mark.parametrize("statement", FORGED.values(), ids=FORGED)
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
    service: Service, acme: Tenant, statement: str, before: str | None
) -> None:
    path = planned(service, acme, acme.customer("1")["id"])
    was = acme.get(path).json
    try:
        assert injected(service, statement, before) == []
    except psycopg2.errors.InsufficientPrivilege:
        assert statement == FORGED["enter"]
    assert acme.get(path).json == was


@pytest.mark.parametrize("column", ["asked_by", "requester", "identity"])
def test_who_asks_is_not_to_be_selected(service: Service, acme: Tenant, column: str) -> None:
    planned(service, acme, acme.customer("1")["id"])
    for statement in (
        f"SELECT {column} FROM tenure.erasure_subjects",
        "SELECT subject_hash FROM tenure.erasures",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            injected(service, statement)


def test_a_seal_that_was_seen_serves_in_no_other_transaction(
    service: Service, acme: Tenant, globex: Tenant
) -> None:
    planned(service, acme, acme.customer("1")["id"])
    app = service.installation.app_connections
    seat = Seat(app, acme.id, "login:x")
    with seat.transaction(None) as cursor:
        cursor.execute("SELECT current_setting('tenure.desk'), tenure.desk_actor()")
        ((seal, actor),) = cursor.fetchall()
    assert actor == "login:x"
    replay = f"SELECT set_config('tenure.desk', '{seal}', true)"
    assert injected(service, "SELECT tenure.desk_actor()", replay) == [(None,)]
    with seat.transaction(None) as cursor:
        cursor.execute("SELECT current_setting('tenure.desk')")
        ((fresh,),) = cursor.fetchall()
        other = fresh.replace("login:x", "login:y")
        cursor.execute("SELECT set_config('tenure.desk', %s, true)", (other,))
        cursor.execute("SELECT tenure.desk_actor()")
        assert cursor.fetchall() == [(None,)]
    with pytest.raises(SeatError), seat.transaction(globex.id):
        pass


AT_THE_DESK = {
    "running": "UPDATE tenure.erasures SET state = 'running'",
    "deferred": "UPDATE tenure.erasures SET state = 'deferred'",
    "back": "UPDATE tenure.erasures SET state = 'received'",
    "confirmed again": "UPDATE tenure.erasures SET state = 'confirmed'",
    "a plan for another": "UPDATE tenure.erasures SET plan_wanted_by = 'login:another'",
    "approved without a word": "UPDATE tenure.erasures SET state = 'approved'",
    "approved as by another": "UPDATE tenure.erasures SET state = 'approved';"
    " INSERT INTO tenure.erasure_events (tenant_id, id, erasure_id, event, actor, facts)"
    " SELECT tenant_id, gen_random_uuid(), id, 'approved', entered_by,"
    ' \'{"plan": 1, "alone": false}\' FROM tenure.erasures',
}


@pytest.mark.parametrize("statement", AT_THE_DESK.values(), ids=AT_THE_DESK)
def test_at_the_seat_only_steps_of_people_are_taken(
    service: Service, acme: Tenant, statement: str
) -> None:
    path = planned(service, acme, acme.customer("1")["id"])
    before = acme.get(path).json
    seat = Seat(service.installation.app_connections, acme.id, before["entered_by"])
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), seat.transaction(None) as cursor:
        cursor.execute(statement)
    assert acme.get(path).json == before


def test_at_the_seat_nobody_is_forgotten_who_is_being_erased(
    service: Service, acme: Tenant, second: str
) -> None:
    path = planned(service, acme, acme.customer("1")["id"])
    seat = Seat(service.installation.app_connections, acme.id, "login:x")
    with seat.transaction(None) as cursor:
        cursor.execute("UPDATE tenure.erasure_subjects SET identity = 'another'")
        assert cursor.rowcount == 0
    assert post(acme, f"{path}/approve", {"plan": 1}, second).status_code == 200
    # As the worker has it: rows may go.
    with service.installation.retention.transaction(acme.id) as cursor:
        cursor.execute("UPDATE tenure.erasures SET state = 'running'")
    with seat.transaction(None) as cursor:
        for table in ("erasure_subjects", "erasure_rows"):
            cursor.execute(f"DELETE FROM tenure.{table}")
            assert cursor.rowcount == 0
    assert acme.get(path).json["key"] is not None


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO tenure.erasures (tenant_id, id, subject, subject_hash, entered_by,"
        " received_at, due_at) VALUES ('{tenant}', gen_random_uuid(), 'customer',"
        " '\\x00000000000000000000000000000000', 'login:another', now(), now() + '1 day')",
        "INSERT INTO tenure.erasure_events (tenant_id, id, erasure_id, event, actor)"
        " VALUES ('{tenant}', gen_random_uuid(), '{erasure}', 'approved', 'login:another')",
        "INSERT INTO tenure.erasure_events (tenant_id, id, erasure_id, event, actor)"
        " VALUES ('{tenant}', gen_random_uuid(), '{erasure}', 'verified', 'login:x')",
        "INSERT INTO tenure.erasure_events (tenant_id, id, erasure_id, event, actor)"
        " VALUES ('{other}', gen_random_uuid(), '{erasure}', 'approved', 'login:x')",
        "INSERT INTO tenure.erasure_plans (tenant_id, erasure_id, number, digest, plan, made_by)"
        " VALUES ('{tenant}', '{erasure}', 2, repeat('0', 64), '{{}}', 'login:x')",
        "UPDATE tenure.erasures SET plan = 2",
        "UPDATE tenure.erasures SET definition = '{{}}'",
        "UPDATE tenure.erasures SET entered_by = 'login:another'",
        "UPDATE tenure.erasures SET state = 'completed', ended_at = now()",
        "SELECT requester FROM tenure.erasure_subjects",
        "DELETE FROM tenure.erasures",
        "DELETE FROM tenure.erasure_events",
    ],
)
def test_even_at_the_seat_nothing_is_forged(
    service: Service, acme: Tenant, globex: Tenant, statement: str
) -> None:
    path = planned(service, acme, acme.customer("1")["id"])
    text = statement.format(tenant=acme.id, other=globex.id, erasure=UUID(path.rpartition("/")[2]))
    seat = Seat(service.installation.app_connections, acme.id, "login:x")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), seat.transaction(None) as cursor:
        cursor.execute(text)
