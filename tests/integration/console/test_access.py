"""Who may open the pages, under which headers, and what is answered to all else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.wiring import owner_of
from tenants import registry

from .conftest import AUDITOR, MEMBER, PASSWORD, Console, console_app, log_in, open_console

PAGES = (
    "/console", "/console/", "/console/runs", "/console/verifications", "/console/holds",
    "/console/reads",
)  # fmt: skip
NOTHING = "0" * 32


@pytest.fixture(scope="module")
def opened(installed) -> Iterator[Console]:
    with open_console(installed) as console:
        yield console


@pytest.fixture(scope="module")
def member(opened):
    return log_in(opened.app, MEMBER)


@pytest.mark.parametrize("path", [*PAGES, "/console/runs?page=2", "/console/policies/a b"])
def test_stranger_is_sent_to_log_in_and_back(opened, path):
    answer = opened.app.test_client().get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 302
    assert answer.location.startswith("/login?next=")
    login = opened.app.test_client().get(answer.location)
    quoted = path.replace(" ", "%20").replace("&", "&amp;")
    assert f'name="next" value="{quoted}"' in login.text


@pytest.mark.parametrize("path", ["/console.json", "/console/runs.csv", "/console?format=json"])
def test_stranger_without_a_browser_is_told_401(opened, path):
    answer = opened.app.test_client().get(path)
    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"
    assert answer.get_json()["code"] == "login_required"


@pytest.mark.parametrize("path", [*PAGES, f"/console/runs/{NOTHING}", "/console/nothing"])
def test_tenants_member_is_refused(member, path):
    answer = member.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 403
    assert "These pages are for auditors" in answer.text
    assert "Log out" not in answer.text
    answer = member.get(path, headers={"Accept": "application/json"})
    assert answer.status_code == 403
    assert answer.get_json()["code"] == "auditors_only"


def test_tenants_token_opens_no_page(opened):
    with opened.installation.auditor.transaction(None) as cursor:
        tenant_id = registry.find_tenant(cursor, "acme").id

    with owner_of(opened.installation.settings) as owner, owner.transaction(None) as cursor:
        login_id = registry.find_login(cursor, MEMBER)
        _, token = registry.issue_token(
            cursor, tenant_id=tenant_id, login_id=login_id, name="a token"
        )
    client = opened.app.test_client()
    assert (
        client.get("/console.json", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    )


def test_auditor_logs_in_with_the_form_and_comes_back(opened):
    client = opened.app.test_client()
    start = client.get("/console/holds", headers={"Accept": "text/html"})
    form = client.get(start.location).text
    token = form.split('name="csrf_token" value="')[1].split('"')[0]
    done = client.post(
        "/login",
        data={
            "email": AUDITOR,
            "password": PASSWORD,
            "csrf_token": token,
            "next": "/console/holds",
        },
        headers={"Referer": "https://localhost/login"},
    )
    assert (done.status_code, done.location) == (303, "/console/holds")
    assert "Legal holds" in client.get("/console/holds").text


def test_logging_out_ends_it(opened):
    client = log_in(opened.app, AUDITOR)
    page = client.get("/console").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    client.post(
        "/logout", data={"csrf_token": token}, headers={"Referer": "https://localhost/console"}
    )
    assert client.get("/console", headers={"Accept": "text/html"}).status_code == 302


@pytest.mark.parametrize("path", PAGES)
def test_pages_allow_neither_scripts_nor_inline_styles(opened, path):
    answer = opened.pages.client.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "style-src 'self'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script" not in answer.text
    assert "style=" not in answer.text


def test_style_sheet_is_there_for_everybody(opened):
    with opened.app.test_client().get("/console/static/console.css") as answer:
        assert answer.status_code == 200
        assert answer.mimetype == "text/css"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/console/nothing", 404),
        ("/console/runs/", 404),
        (f"/console/runs/{NOTHING}", 404),
        (f"/console/runs/{NOTHING}.json", 404),
        ("/console/runs/not-a-trace-id", 404),
        ("/console/policies/unknown", 404),
        ("/console/policies/nul%00", 404),
        ("/console/verifications/01a1f8bc-b2b1-7760-8700-76ccfd58b296", 404),
        ("/console/runs?page=0", 400),
        ("/console/runs?page=-1", 400),
        ("/console/runs?page=x", 400),
        ("/console/runs?page=100001", 400),
        ("/console/runs?size=0", 400),
        ("/console/runs?size=1001", 400),
        ("/console/runs?size=99999999999999999999", 400),
        ("/console?format=xml", 400),
        ("/console.csv?table=logins", 400),
    ],
)
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_what_is_not_there_or_wrong_is_said_in_the_form_asked_for(opened, path, status, accept):
    answer = opened.pages.client.get(path, headers={"Accept": accept})
    assert answer.status_code == status
    page = accept == "text/html" and not path.partition("?")[0].endswith((".json", ".csv"))
    assert answer.mimetype == ("text/html" if page else "application/problem+json")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_pages_change_nothing(opened, method):
    assert opened.pages.client.open("/console/runs", method=method).status_code == 405


def test_form_of_the_answer_follows_suffix_then_format_then_accept(opened):
    client = opened.pages.client

    def form(path: str, accept: str) -> str:
        return client.get(path, headers={"Accept": accept}).mimetype

    assert form("/console/runs", "text/html,*/*;q=0.8") == "text/html"
    assert form("/console/runs", "*/*") == "text/html"
    assert form("/console/runs", "application/json") == "application/json"
    assert form("/console/runs", "text/csv") == "text/csv"
    assert form("/console/runs", "image/png") == "text/html"
    assert form("/console/runs.csv", "text/html") == "text/csv"
    assert form("/console/runs?format=json", "text/html") == "application/json"
    assert form("/console.json", "text/html") == "application/json"
    assert client.get("/console/runs").vary.as_set() >= {"accept", "cookie"}


def test_auditor_inside_a_tenant_is_a_member_like_others(installed, opened):

    with owner_of(installed.settings) as owner, owner.transaction(None) as cursor:
        login_id = registry.find_login(cursor, AUDITOR)
        tenant_id = registry.find_tenant(cursor, "acme").id
        registry.add_member(cursor, tenant_id=tenant_id, login_id=login_id, role="viewer")
    client = console_app(installed).test_client()
    token = client.get("/login", headers={"Accept": "application/json"}).get_json()["csrf_token"]
    client.post(
        "/login",
        json={"email": AUDITOR, "password": PASSWORD, "tenant": "acme"},
        headers={"X-CSRFToken": token, "Referer": "https://localhost/"},
    )
    assert client.get("/console.json").status_code == 403
