"""What every answer carries, and what is there for operators."""

from __future__ import annotations

import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.app import create_app

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_a_trace_is_continued_or_begun(stocked) -> None:
    parent = f"00-{TRACE}-b7ad6b7169203331-01"
    continued = stocked.acme.get("/v1/customers", traceparent=parent)
    assert continued.headers["X-Trace-Id"] == TRACE
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", continued.headers["traceparent"])
    assert continued.headers["traceparent"] != parent
    for wrong in ("", "x", parent.upper(), f"00-{'0' * 32}-b7ad6b7169203331-01"):
        begun = stocked.acme.get("/v1/customers", traceparent=wrong).headers["X-Trace-Id"]
        assert re.fullmatch(r"[0-9a-f]{32}", begun)
        assert begun not in (TRACE, "0" * 32)


def test_a_problem_names_its_trace_and_itself(stocked) -> None:
    response = stocked.acme.get("/v1/customers/x", traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    assert response.mimetype == "application/problem+json"
    assert (
        response.json.items()
        >= {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "instance": "/v1/customers/x",
            "trace_id": TRACE,
            "hint": None,
        }.items()
    )


def test_every_answer_is_hardened(stocked) -> None:
    for path in (
        *("/v1/customers", "/v1/customers/x", "/nothing", "/healthz", "/openapi.json"),
        *("/docs", "/login"),
    ):
        headers = stocked.acme.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] in ("no-referrer", "same-origin")
        assert headers["Cache-Control"] in ("no-store", "private, no-cache")
        assert "Strict-Transport-Security" not in headers
    secure = stocked.app.test_client().get("/healthz", base_url="https://acme.example")
    assert "max-age" in secure.headers["Strict-Transport-Security"]


def test_an_error_of_ours_tells_nothing_and_is_logged(stocked, capsys) -> None:
    app = stocked.app
    failing = create_app(stocked.installation, write_guard=_explode)
    response = failing.test_client().delete(
        "/v1/customers?id=not.is.null", headers=stocked.acme.headers()
    )
    assert (response.status_code, response.json["code"]) == (500, "internal")
    assert "SELECT secret" not in response.text
    assert "Traceback" not in response.text
    logged = capsys.readouterr()
    assert "SELECT secret" in logged.out + logged.err
    assert app.test_client().get("/healthz").status_code == 200


def _explode(_write: object = None, /) -> None:
    raise RuntimeError("SELECT secret FROM internals")


def test_the_openapi_document_is_valid_and_complete(stocked) -> None:
    document = stocked.app.test_client().get("/openapi.json").json
    OpenAPIV31SpecValidator(document).validate()
    names = {r.name for r in stocked.installation.domain.resources}
    beside = ("/v1/erasures", "/v1/offboardings", "/subjects")
    assert {path for path in document["paths"] if not path.startswith(beside)} == {
        path for name in names for path in (f"/v1/{name}", f"/v1/{name}/{{id}}")
    }
    assert "tenant_id" not in str(document)
    create = document["components"]["schemas"]["InvoicesCreate"]
    assert set(create["required"]) == {"number", "issued_at"}
    assert create["additionalProperties"] is False
    assert "created_at" not in document["components"]["schemas"]["CustomersCreate"]["properties"]


# Routes that are no tenant's API, and why.
UNDOCUMENTED = {
    "auth": "logging in, of people in a browser",
    "console": "auditors' pages",
    "documents": "the document itself",
    "health": "operators'",
    "hooks": "connectors', known by their signature alone",
    "static": "style sheets",
}


def test_every_route_is_documented_or_has_a_reason_not_to_be(stocked) -> None:
    document = stocked.app.test_client().get("/openapi.json").json
    names = "|".join(r.name for r in stocked.installation.domain.resources)
    documented = {
        (method.upper(), re.sub(rf"^/v1/({names})(?=/|$)", "/v1/{name}", path))
        for path, item in document["paths"].items()
        for method in item.keys() - {"parameters"}
    }
    served = {
        (method, re.sub(r"<[^>]*_id>", "{id}", rule.rule).replace("<name>", "{name}"))
        for rule in stocked.app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] not in UNDOCUMENTED
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert served == documented


def test_rows_are_what_the_openapi_document_says(stocked) -> None:
    from jsonschema import Draft202012Validator

    document = stocked.app.test_client().get("/openapi.json").json
    schema = {**document["components"]["schemas"]["Customers"], "additionalProperties": False}
    validator = Draft202012Validator(schema)
    rows = stocked.acme.get("/v1/customers").json
    assert len(rows) == 12
    for row in rows:
        validator.validate(row)


def test_the_page_of_the_api_names_every_resource_and_loads_nothing_foreign(stocked) -> None:
    page = stocked.app.test_client().get("/docs")
    for resource in stocked.installation.domain.resources:
        assert f"/v1/{resource.name}/{{id}}" in page.text
    assert not re.search(r"<script|<style| style=|src=|href=\"https?:", page.text)


@pytest.mark.parametrize(
    ("address", "forwarded", "status"),
    [
        ("127.0.0.1", None, 200),
        ("::1", None, 200),
        ("10.0.0.1", None, 403),
        ("127.0.0.1", "10.0.0.1", 403),
    ],
)
def test_metrics_without_a_token_are_for_this_machine(stocked, address, forwarded, status) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    response = stocked.app.test_client().get(
        "/metrics", headers=headers, environ_overrides={"REMOTE_ADDR": address}
    )
    assert response.status_code == status
