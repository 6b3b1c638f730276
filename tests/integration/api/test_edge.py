"""What every answer carries, and what is there for operators."""

from __future__ import annotations

import json
import logging
import re
import uuid
from io import StringIO

import pytest
import structlog
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.app import create_app
from config.logging import configure_logging

TRACE = "0af7651916cd43dd8448eb211c80319c"


PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_every_request_is_a_trace_of_its_own(stocked) -> None:
    traces = set()
    for sent in (PARENT, PARENT, "", "x", PARENT.upper(), f"00-{'0' * 32}-b7ad6b7169203331-01"):
        headers = stocked.acme.get("/v1/customers", traceparent=sent).headers
        assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Trace-Id"])
        trace = headers["X-Trace-Id"]
        assert re.fullmatch(rf"00-{trace}-[0-9a-f]{{16}}-01", headers["traceparent"])
        traces.add(trace)
    assert len(traces) == 6
    assert not traces & {TRACE, "0" * 32}


def test_a_callers_trace_is_a_link_in_the_log_and_not_in_evidence(
    service, owner_sql, request
) -> None:
    """Whoever chooses the id under which a deletion is recorded could name another's trace."""
    root, log = logging.getLogger(), StringIO()
    before = list(root.handlers), root.level
    request.addfinalizer(lambda: (setattr(root, "handlers", before[0]), root.setLevel(before[1])))
    request.addfinalizer(structlog.reset_defaults)
    configure_logging("json", "info", log)
    note = service.acme.create(
        "notes", subject_type="customer", subject_id=str(uuid.uuid4()), body="x"
    )
    path = f"/v1/notes/{note['id']}"
    answer = service.acme.call("DELETE", path, traceparent=PARENT)
    assert answer.status_code == 204
    trace = answer.headers["X-Trace-Id"]
    assert service.acme.call("DELETE", path).status_code == 404
    first, second = [json.loads(line) for line in log.getvalue().splitlines() if "DELETE" in line]
    assert (first["trace_id"], first["caller_trace_id"]) == (trace, TRACE)
    assert "caller_trace_id" not in second
    found = owner_sql("SELECT trace_id FROM tenure.removals ORDER BY removed_at DESC LIMIT 1")
    assert found == [(trace,)]


def test_a_problem_names_its_trace_and_itself(stocked) -> None:
    response = stocked.acme.get("/v1/customers/x")
    assert response.mimetype == "application/problem+json"
    assert (
        response.json.items()
        >= {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "instance": "/v1/customers/x",
            "trace_id": response.headers["X-Trace-Id"],
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
    beside = ("/v1/certificates", "/v1/erasures", "/v1/offboardings", "/subjects")
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


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1"])
@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}]
)
def test_metrics_without_a_token_are_for_nobody(stocked, address, headers) -> None:
    """Behind a proxy on this machine, which need not say so, everybody's address is this one's."""
    response = stocked.app.test_client().get(
        "/metrics", headers=headers, environ_overrides={"REMOTE_ADDR": address}
    )
    assert (response.status_code, response.json["code"]) == (403, "metrics")
