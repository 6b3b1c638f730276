"""Logging in and out, sessions, and the CSRF token that guards them."""

from __future__ import annotations

import re
import time
from functools import cache

import pytest
from limits import parse

from api.auth import passwords, views
from api.auth.passwords import hash_password
from api.wiring import owner_of
from tenants import registry

NEW = {"number": "1", "name": "x", "country": "France"}
PASSWORD = "correct horse"


@cache
def password_hash() -> str:
    return hash_password(PASSWORD)


def make_login(service, email: str, *memberships, is_auditor: bool = False):
    settings = service.installation.settings
    with owner_of(settings) as owner, owner.transaction(None) as cursor:
        login = registry.create_login(
            cursor, email=email, password_hash=password_hash(), is_auditor=is_auditor
        )
        for tenant, role in memberships:
            registry.add_member(cursor, tenant_id=tenant.id, login_id=login, role=role)
    return login


def csrf(client) -> str:
    return client.get("/login", headers={"Accept": "application/json"}).json["csrf_token"]


def log_in(client, email: str, password: str = PASSWORD, **more):
    return client.post(
        "/login",
        json={"email": email, "password": password, **more},
        headers={"X-CSRFToken": csrf(client)},
    )


@pytest.fixture
def ann(service):
    """A client logged in as a member of acme."""
    make_login(service, "ann@acme.example", (service.acme, "member"))
    client = service.app.test_client()
    response = log_in(client, "ann@acme.example")
    assert response.status_code == 200, response.text
    client.csrf = response.json["csrf_token"]
    return client


def test_a_session_reads_and_with_the_csrf_token_writes(service, ann) -> None:
    assert ann.get("/v1/customers").json == []
    written = ann.post("/v1/customers", json=NEW, headers={"X-CSRFToken": ann.csrf})
    assert written.status_code == 201
    assert len(service.acme.get("/v1/customers").json) == 1
    assert service.globex.get("/v1/customers").json == []


@pytest.mark.parametrize("token", [None, "", "wrong", "someone else's"])
def test_a_session_does_not_write_without_its_csrf_token(service, ann, token) -> None:
    row = service.acme.customer()
    if token == "someone else's":
        token = csrf(service.app.test_client())
    headers = {} if token is None else {"X-CSRFToken": token}
    for method, path, body in (
        ("POST", "/v1/customers", {**NEW, "number": "2"}),
        ("PATCH", f"/v1/customers/{row['id']}", {"name": "y"}),
        ("DELETE", f"/v1/customers/{row['id']}", None),
        ("DELETE", "/v1/customers?id=not.is.null", None),
    ):
        refused = ann.open(path, method=method, json=body, headers=headers)
        assert (refused.status_code, refused.json["code"]) == (400, "csrf"), method
    assert service.acme.get("/v1/customers").json == [row]


def test_a_token_sent_beside_a_cookie_decides(service, ann) -> None:
    service.globex.customer(name="globex's")
    rows = ann.get("/v1/customers", headers=service.globex.headers()).json
    assert [row["name"] for row in rows] == ["globex's"]
    assert ann.get("/v1/customers", headers={"Authorization": "Bearer x"}).status_code == 401


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(service) -> None:
    make_login(service, "ann@acme.example", (service.acme, "member"))
    for base, secure in (("http://localhost", False), ("http://acme.example", True)):
        client = service.app.test_client()
        token = client.get("/login", base_url=base, headers={"Accept": "application/json"})
        response = client.post(
            "/login",
            base_url=base,
            json={"email": "ann@acme.example", "password": PASSWORD},
            headers={
                "X-CSRFToken": token.json["csrf_token"],
                "Cookie": token.headers["Set-Cookie"].split(";")[0],
            },
        )
        cookies = response.headers.getlist("Set-Cookie") + token.headers.getlist("Set-Cookie")
        assert len(cookies) == 3, response.text
        for cookie in cookies:
            assert "HttpOnly" in cookie
            assert "SameSite=Lax" in cookie
            assert ("Secure" in cookie) is secure, cookie
            # What browsers ask of the prefix, or they drop the cookie.
            assert cookie.startswith("__Host-tenure_") is secure, cookie
            assert "Path=/;" in f"{cookie};"
            assert "Domain" not in cookie


def test_over_https_a_cookie_that_another_host_could_plant_is_not_looked_at(service, ann) -> None:
    secret = ann.get_cookie("tenure_session").value
    site = "https://acme.example"
    for name, status in (("tenure_session", 401), ("__Host-tenure_session", 200)):
        client = service.app.test_client()
        client.set_cookie(name, secret, domain="acme.example", secure=True)
        assert client.get("/v1/customers", base_url=site).status_code == status
    # Nor does one for this very host alone serve where any could be it.
    client = service.app.test_client()
    client.set_cookie("__Host-tenure_session", secret)
    assert client.get("/v1/customers", base_url="http://localhost").status_code == 401


def test_over_https_logging_out_takes_the_cookie_away(service) -> None:
    make_login(service, "ann@acme.example", (service.acme, "member"))
    site = "https://acme.example"
    client = service.app.test_client()
    given = client.get("/login", base_url=site, headers={"Accept": "application/json"}).json
    body = {"email": "ann@acme.example", "password": PASSWORD}
    here = {"Referer": f"{site}/login"}
    headers = here | {"X-CSRFToken": given["csrf_token"]}
    told = client.post("/login", base_url=site, json=body, headers=headers).json
    assert client.get("/v1/customers", base_url=site).status_code == 200
    headers = here | {"X-CSRFToken": told["csrf_token"], "Accept": "application/json"}
    assert client.post("/logout", base_url=site, headers=headers).status_code == 204
    assert client.get_cookie("__Host-tenure_session", domain="acme.example") is None
    assert client.get("/v1/customers", base_url=site).status_code == 401


def test_the_database_keeps_no_secret_of_a_session(ann, owner_sql) -> None:
    secret = ann.get_cookie("tenure_session").value
    assert len(secret) == 43
    ((digest, lifetime),) = owner_sql(
        "SELECT encode(digest, 'escape'), expires_at - created_at FROM tenure.sessions"
    )
    assert secret not in digest
    assert lifetime.total_seconds() == 12 * 3600


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenure.sessions SET expires_at = now() - interval '1 second'",
        "DELETE FROM tenure.memberships WHERE login_id IN"
        " (SELECT id FROM tenure.logins WHERE email = 'ann@acme.example')",
        "UPDATE tenure.logins SET disabled_at = now() WHERE email = 'ann@acme.example'",
    ],
)
def test_a_session_ends_with_its_time_its_membership_or_its_login(
    ann, owner_sql, statement
) -> None:
    assert ann.get("/v1/customers").status_code == 200
    owner_sql(statement)
    assert ann.get("/v1/customers").status_code == 401


def test_a_changed_role_holds_at_once(ann, owner_sql) -> None:
    owner_sql("UPDATE tenure.memberships SET role = 'viewer' WHERE role = 'member'")
    refused = ann.post("/v1/customers", json=NEW, headers={"X-CSRFToken": ann.csrf})
    assert refused.status_code == 403


def test_logging_out_ends_the_session_and_not_only_the_cookie(ann) -> None:
    secret = ann.get_cookie("tenure_session").value
    assert ann.post("/logout").status_code == 400
    assert ann.get("/v1/customers").status_code == 200
    out = ann.post("/logout", headers={"X-CSRFToken": ann.csrf, "Accept": "application/json"})
    assert out.status_code == 204
    ann.set_cookie("tenure_session", secret)
    assert ann.get("/v1/customers").status_code == 401


def test_a_cookie_that_is_none_is_401(service) -> None:
    client = service.app.test_client()
    for value in ("x", "A" * 43, "' OR true --", "é"):
        client.set_cookie("tenure_session", value)
        assert client.get("/v1/customers").status_code == 401


def test_wrong_passwords_and_unknown_addresses_look_and_take_the_same(service) -> None:
    make_login(service, "ann@acme.example", (service.acme, "member"))
    client = service.app.test_client()
    log_in(client, "nobody@acme.example")  # makes what a comparison with nobody needs
    answers, times = [], []
    for email, password in (
        ("ann@acme.example", "wrong"),
        ("nobody@acme.example", PASSWORD),
    ):
        token = csrf(client)
        started = time.process_time()
        response = client.post(
            "/login",
            json={"email": email, "password": password},
            headers={"X-CSRFToken": token},
        )
        times.append(time.process_time() - started)
        assert response.status_code == 401
        answers.append({k: v for k, v in response.json.items() if k != "trace_id"})
    assert answers[0] == answers[1]
    # A lookup takes a hundredth of what the password's hash takes.
    assert min(times) > max(times) / 5, times


def test_addresses_are_compared_without_case(service) -> None:
    make_login(service, "ann@acme.example", (service.acme, "member"))
    assert log_in(service.app.test_client(), " Ann@ACME.example ").status_code == 200


def test_disabled_logins_and_those_without_a_tenant_stay_out(service, owner_sql) -> None:
    make_login(service, "alone@acme.example")
    make_login(service, "gone@acme.example", (service.acme, "member"))
    owner_sql("UPDATE tenure.logins SET disabled_at = now() WHERE email = 'gone@acme.example'")
    client = service.app.test_client()
    assert log_in(client, "alone@acme.example").json["code"] == "no_tenant"
    assert log_in(client, "gone@acme.example").json["code"] == "wrong_login"
    assert client.get_cookie("tenure_session") is None


def test_a_login_with_several_tenants_chooses_one(service) -> None:
    acme, globex = service.acme, service.globex
    make_login(service, "both@x.example", (acme, "viewer"), (globex, "member"))
    client = service.app.test_client()
    asked = log_in(client, "both@x.example")
    assert (asked.status_code, asked.json["code"]) == (422, "choose_tenant")
    assert "acme, globex" in asked.json["details"]
    assert log_in(client, "both@x.example", tenant="initech").status_code == 422
    assert client.get("/v1/customers").status_code == 401
    chosen = log_in(client, "both@x.example", tenant="globex")
    written = client.post(
        "/v1/customers", json=NEW, headers={"X-CSRFToken": chosen.json["csrf_token"]}
    )
    assert written.status_code == 201
    assert len(globex.get("/v1/customers").json) == 1
    assert acme.get("/v1/customers").json == []


def test_tenants_are_named_only_to_who_knows_the_password(service) -> None:
    make_login(service, "both@x.example", (service.acme, "viewer"), (service.globex, "viewer"))
    refused = log_in(service.app.test_client(), "both@x.example", "wrong")
    assert refused.status_code == 401
    assert "globex" not in refused.text


def test_auditors_have_a_session_and_no_tenants_data(service) -> None:
    make_login(service, "audit@x.example", is_auditor=True)
    client = service.app.test_client()
    assert log_in(client, "audit@x.example").status_code == 200
    for path in ("/v1/customers", "/v1/no-such-resource"):
        refused = client.get(path)
        assert (refused.status_code, refused.json["code"]) == (403, "42501")


def form(client, path="/login", **fields):
    page = client.get(path)
    token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]
    return client.post("/login", data={"csrf_token": token, **fields})


def test_the_page_logs_in_and_goes_where_one_wanted_to(service) -> None:
    make_login(service, "ann@acme.example", (service.acme, "member"))
    make_login(service, "audit@x.example", is_auditor=True)
    for email, target, arrives in (
        ("ann@acme.example", None, "/docs"),
        ("audit@x.example", None, "/console"),
        ("ann@acme.example", "/docs?x=1", "/docs?x=1"),
        ("ann@acme.example", "http://localhost/docs", "/docs"),
        ("ann@acme.example", "https://evil.example/", "/docs"),
        ("ann@acme.example", "//evil.example/", "/docs"),
        ("ann@acme.example", "/\\evil.example/", "/docs"),
        ("ann@acme.example", "http://localhost//evil.example/", "/docs"),
        ("ann@acme.example", "/\t/evil.example/", "/docs"),
        ("ann@acme.example", "javascript:alert(1)", "/docs"),
    ):
        fields = {"email": email, "password": PASSWORD} | ({"next": target} if target else {})
        response = form(service.app.test_client(), **fields)
        assert (response.status_code, response.headers["Location"]) == (303, arrives), target


def test_the_page_says_what_was_wrong_and_keeps_no_password(service) -> None:
    make_login(service, "both@x.example", (service.acme, "viewer"), (service.globex, "viewer"))
    client = service.app.test_client()
    wrong = form(client, email="<b>@x", password="hunter2")
    assert wrong.status_code == 401
    assert "wrong" in wrong.text
    assert "hunter2" not in wrong.text
    assert "<b>" not in wrong.text
    choose = form(client, email="both@x.example", password=PASSWORD)
    assert choose.status_code == 422
    assert '<option value="globex">' in choose.text
    old = client.post("/login", data={"email": "x@y", "password": "x", "csrf_token": "old"})
    assert old.status_code == 400
    assert "try again" in old.text
    assert client.get_cookie("tenure_session") is None


def test_the_page_needs_nothing_but_its_own_style_sheet(service) -> None:
    client = service.app.test_client()
    page = client.get("/login")
    assert "'unsafe" not in page.headers["Content-Security-Policy"]
    assert not re.search(r"<script|<style| style=| on\w+=|https?://", page.text)
    sheet = re.search(r'href="(/static/[^"]+)"', page.text)[1]
    with client.get(sheet) as styles:
        assert styles.mimetype == "text/css"


def test_failed_logins_are_limited_per_address(service) -> None:
    make_login(service, "ann@acme.example", (service.acme, "member"))
    client = service.app.test_client()
    token = csrf(client)

    def attempt(password: str, address: str = "10.0.0.1"):
        return client.post(
            "/login",
            json={"email": "ann@acme.example", "password": password},
            headers={"X-CSRFToken": token},
            environ_overrides={"REMOTE_ADDR": address},
        )

    statuses = [attempt("").status_code for _ in range(10)]
    assert 429 not in statuses
    refused = attempt(PASSWORD)
    assert (refused.status_code, refused.json["code"]) == (429, "rate_limited")
    assert refused.headers["Retry-After"]
    assert attempt(PASSWORD, "10.0.0.2").status_code == 200


def test_the_csrf_token_changes_with_the_login(service) -> None:
    make_login(service, "ann@acme.example", (service.acme, "member"))
    client = service.app.test_client()
    before = csrf(client)
    assert log_in(client, "ann@acme.example").status_code == 200
    refused = client.post("/v1/customers", json=NEW, headers={"X-CSRFToken": before})
    assert refused.status_code == 400


def test_over_https_a_write_must_come_from_this_site(service) -> None:
    make_login(service, "ann@acme.example", (service.acme, "member"))
    site = "https://shop.example"
    client = service.app.test_client()
    given = client.get("/login", base_url=site, headers={"Accept": "application/json"}).json

    def post(path: str, token: str, body: dict, referrer: str | None):
        headers = {"X-CSRFToken": token} | ({"Referer": referrer} if referrer else {})
        return client.post(path, base_url=site, json=body, headers=headers)

    credentials = {"email": "ann@acme.example", "password": PASSWORD}
    for referrer in (None, "https://evil.example/", "http://shop.example/"):
        assert post("/login", given["csrf_token"], credentials, referrer).status_code == 400
    login = post("/login", given["csrf_token"], credentials, f"{site}/login")
    assert login.status_code == 200
    token = login.json["csrf_token"]
    assert post("/v1/customers", token, NEW, "https://evil.example/").status_code == 400
    assert post("/v1/customers", token, NEW, f"{site}/").status_code == 201


def test_attempts_at_one_login_are_counted_wherever_they_come_from(service, monkeypatch) -> None:
    monkeypatch.setattr(views, "_OF_ONE_LOGIN", parse("2 per hour"))
    make_login(service, "ann@acme.example", (service.acme, "member"))

    def attempt(email: str, password: str, address: str):
        client = service.app.test_client()
        headers = {"X-CSRFToken": csrf(client)}
        body = {"email": email, "password": password}
        there = {"REMOTE_ADDR": address}
        answer = client.post("/login", json=body, headers=headers, environ_base=there)
        if answer.status_code == 429:
            assert answer.json["code"] == "rate_limited"  # as by address
        return answer.status_code

    assert attempt("ann@acme.example", "wrong", "192.0.2.1") == 401
    # Who gets in begins anew.
    assert attempt("Ann@acme.example", PASSWORD, "192.0.2.2") == 200
    assert attempt("ann@acme.example", "wrong", "192.0.2.3") == 401
    assert attempt("ANN@acme.example ", "wrong", "192.0.2.4") == 401
    assert attempt("ann@acme.example", PASSWORD, "192.0.2.5") == 429
    assert attempt("bob@acme.example", "wrong", "192.0.2.6") == 401


def test_of_ipv6_a_whole_network_is_one_caller(service) -> None:
    client = service.app.test_client()
    headers = {"X-CSRFToken": csrf(client)}

    def attempt(number: int, network: str = "2001:db8:1:2"):
        body = {"email": f"a{number}@acme.example", "password": "wrong"}
        there = {"REMOTE_ADDR": f"{network}::{number:x}"}
        return client.post("/login", json=body, headers=headers, environ_base=there).status_code

    assert [attempt(number) for number in range(11)] == [401] * 10 + [429]
    assert attempt(1, "2001:db8:1:3") == 401


def test_who_would_wait_long_for_a_comparison_is_told_to_come_again(service, monkeypatch) -> None:
    monkeypatch.setattr(passwords, "_WAIT_S", 0.01)
    client = service.app.test_client()
    with passwords._slots, passwords._slots:
        busy = log_in(client, "ann@acme.example")
    assert (busy.status_code, busy.json["code"]) == (503, "busy")
    assert log_in(client, "ann@acme.example").status_code == 401


def test_a_referer_that_is_no_address_is_refused(service, ann) -> None:
    for name in ("tenure_session", "tenure_csrf"):
        ann.set_cookie(f"__Host-{name}", ann.get_cookie(name).value)
    refused = ann.post(
        "/v1/customers",
        base_url="https://localhost",
        json=NEW,
        headers={"X-CSRFToken": ann.csrf, "Referer": "https://["},
    )
    assert (refused.status_code, refused.json["code"]) == (400, "csrf")
