"""Whatever is asked, the answer is rows or a problem of the client's, never a fault of ours."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.query.tree import OPERATORS

COLUMNS = {
    "customers": ("id", "number", "name", "email", "country", "created_at", "deleted_at"),
    "invoices": ("id", "number", "customer_id", "issued_at", "status", "currency", "total"),
    "customer-profiles": ("id", "customer_id", "birthday", "newsletter", "notes"),
    "invoice-lines": ("id", "invoice_id", "line_no", "quantity", "unit_price"),
}
KNOWN = tuple(sorted({column for columns in COLUMNS.values() for column in columns}))

values = st.one_of(
    st.sampled_from(
        [
            *("null", "true", "1", "-0", "1e400", "9" * 40, "NaN", "infinity", "2026-02-30"),
            *("0001-01-01", "9999-12-31T23:59:59.999999-12:00", "a" * 300, "😀", "\ud7ff"),
            *("018f3c1e-7b5a-7c3d-9e2f-0123456789ab", "'", '"', "%", "\\", "*", "%(x)s", "(1)"),
        ]
    ),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=12),
)


def quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def column_tests(draw: st.DrawFn) -> tuple[str, str]:
    column = draw(st.sampled_from(KNOWN))
    operator = draw(st.sampled_from(OPERATORS))
    negation = draw(st.sampled_from(["", "not."]))
    if operator == "in":
        value = f"({','.join(map(quoted, draw(st.lists(values, max_size=3))))})"
    elif operator == "is":
        value = draw(st.sampled_from(["null", "not_null", "true", "false"]))
    else:
        value = quoted(draw(values))
    return column, f"{negation}{operator}.{value}"


@st.composite
def parameters(draw: st.DrawFn) -> list[tuple[str, str]]:
    asked = [
        (column, test.replace('"', "") if draw(st.booleans()) else test)
        for column, test in draw(st.lists(column_tests(), max_size=3))
    ]
    group = draw(st.lists(column_tests(), max_size=3))
    if group:
        kind = draw(st.sampled_from(["or", "and", "not.or"]))
        asked.append((kind, f"({','.join(f'{column}.{test}' for column, test in group)})"))
    if draw(st.booleans()):
        asked.append(("order", draw(st.sampled_from(KNOWN)) + draw(st.sampled_from(["", ".desc"]))))
    if draw(st.booleans()):
        asked.append(("limit", draw(st.sampled_from(["0", "3", "99999", "9007199254740992"]))))
        asked.append(("offset", draw(st.sampled_from(["0", "9007199254740992"]))))
    return asked


fuzzed = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@fuzzed
@given(resource=st.sampled_from(sorted(COLUMNS)), asked=parameters())
def test_no_query_makes_the_server_fail(stocked, resource, asked) -> None:
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in asked)
    response = stocked.acme.get(f"/v1/{resource}?{query}", Prefer="count=exact")
    assert response.status_code in (200, 206, 400, 416), (query, response.text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
bodies = st.dictionaries(st.sampled_from([*KNOWN, "tenant_id", "f1"]), json_values, max_size=6)


@fuzzed
@given(resource=st.sampled_from(sorted(COLUMNS)), body=bodies | st.lists(bodies, max_size=2))
def test_no_body_makes_the_server_fail(stocked, resource, body) -> None:
    # A filter that nothing matches: the other tests of the module count rows.
    nothing = "number=eq.none" if "number" in COLUMNS[resource] else "id=is.null"
    for method, path in (
        ("POST", f"/v1/{resource}"),
        ("PATCH", f"/v1/{resource}?{nothing}"),
    ):
        response = stocked.acme.client.open(
            path,
            method=method,
            data=json.dumps(body).encode(errors="replace"),
            content_type="application/json",
            headers=stocked.acme.headers(),
        )
        assert response.status_code in (201, 204, 400, 409, 422), (body, response.text)


@pytest.mark.parametrize("path", ["/v1/customers/%00", "/v1/%00", "/v1/a%2Fb", "/v1/customers/%FF"])
def test_odd_paths_are_not_found(stocked, path) -> None:
    assert stocked.acme.get(path).status_code == 404
