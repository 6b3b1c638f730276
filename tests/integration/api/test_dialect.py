"""PostgREST's dialect over HTTP: filters, order, pages, select, preferences."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from api.query.tree import OPERATORS

ROOT = Path(__file__).parents[3]


def numbers(response) -> list[str]:
    assert response.status_code in (200, 206), response.text
    return [row["number"] for row in response.json]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("number=eq.003", ["003"]),
        ("number=neq.003&number=lt.005", ["001", "002", "004"]),
        ("number=gt.010", ["011", "012"]),
        ("number=gte.011&number=lte.012", ["011", "012"]),
        ("name=like.acme 1*", ["001", "010", "011", "012"]),
        ("name=like.ACME*", []),
        ("name=ilike.ACME 1_", ["010", "011", "012"]),
        ('number=in.(001,"003",999)', ["001", "003"]),
        ("number=in.()", []),
        ("number=not.in.()&number=lt.002", ["001"]),
        ("email=is.null", ["003", "006", "009", "012"]),
        ("email=is.not_null&number=lt.003", ["001", "002"]),
        ("email=not.is.null&number=lt.003", ["001", "002"]),
        ("number=not.gt.001", ["001"]),
        ("or=(number.eq.001,and(number.gt.010,email.is.null))", ["001", "012"]),
        ("not.or=(number.gt.002,number.eq.001)", ["002"]),
        ("and=(number.gt.001,not.or(number.gt.003,number.eq.002))", ["003"]),
        ('or=(number.in.(001,002),name.eq."acme 5")', ["001", "002", "005"]),
    ],
)
def test_a_filter_returns_exactly_the_rows_it_describes(stocked, query, expected) -> None:
    path = f"/v1/customers?{quote(query, safe='=&')}&order=number"
    assert numbers(stocked.acme.get(path)) == expected


def test_pages_in_any_order_neither_overlap_nor_leave_out(stocked) -> None:
    for order in ("country.desc", "email.nullsfirst", "email.desc.nullslast", "name"):
        seen = []
        for offset in range(0, 12, 5):
            page = stocked.acme.get(f"/v1/customers?order={order}&limit=5&offset={offset}")
            seen += [row["id"] for row in page.json]
        assert len(seen) == len(set(seen)) == 12, order


def test_nulls_stand_where_they_are_asked_to(stocked) -> None:
    first = stocked.acme.get("/v1/customers?order=email.asc.nullsfirst&limit=4").json
    last = stocked.acme.get("/v1/customers?order=email.desc.nullslast&limit=4").json
    assert [row["email"] for row in first] == [None] * 4
    assert None not in [row["email"] for row in last]


def test_select_picks_and_renames(stocked) -> None:
    row = stocked.acme.get("/v1/customers?select=no:number,name&number=eq.004").json
    assert row == [{"no": "004", "name": "acme 4"}]
    everything = stocked.acme.get("/v1/customers?select=*&limit=1").json[0]
    assert "tenant_id" not in everything
    assert {"id", "number", "created_at"} <= set(everything)


@pytest.mark.parametrize(
    ("query", "headers", "status", "content_range", "rows"),
    [
        ("", {}, 200, "0-11/*", 12),
        ("limit=5", {}, 200, "0-4/*", 5),
        ("limit=5&offset=10", {}, 200, "10-11/*", 2),
        ("limit=5", {"Prefer": "count=exact"}, 206, "0-4/12", 5),
        ("", {"Prefer": "count=exact"}, 200, "0-11/12", 12),
        ("limit=0", {"Prefer": "count=exact"}, 206, "*/12", 0),
        ("number=eq.999", {"Prefer": "count=exact"}, 200, "*/0", 0),
        ("offset=50", {}, 200, "*/*", 0),
        ("", {"Range": "2-4"}, 200, "2-4/*", 3),
        ("", {"Range": "10-"}, 200, "10-11/*", 2),
        ("limit=2", {"Range": "3-9"}, 200, "3-4/*", 2),
        ("", {"Range": "nonsense"}, 200, "0-11/*", 12),
    ],
)
def test_content_range_says_which_rows_of_how_many(
    stocked, query, headers, status, content_range, rows
) -> None:
    response = stocked.acme.get(f"/v1/customers?{query}", **headers)
    assert (response.status_code, response.headers["Content-Range"], len(response.json)) == (
        status,
        content_range,
        rows,
    )


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("offset=13", {"Prefer": "count=exact"}),
        ("limit=-1", {}),
        ("offset=-1", {}),
        ("", {"Range": "5-4"}),
    ],
)
def test_a_range_that_cannot_be_is_416(stocked, query, headers) -> None:
    response = stocked.acme.get(f"/v1/customers?{query}", **headers)
    assert (response.status_code, response.json["code"]) == (416, "PGRST103")


def test_head_has_the_figures_and_no_body(stocked) -> None:
    response = stocked.acme.call("HEAD", "/v1/customers", Prefer="count=exact")
    assert response.headers["Content-Range"] == "0-11/12"
    assert response.data == b""


def test_singular_is_an_object_or_406(stocked) -> None:
    singular = {"Accept": "application/vnd.pgrst.object+json"}
    one = stocked.acme.get("/v1/customers?number=eq.001", **singular)
    assert one.json["number"] == "001"
    assert one.mimetype == "application/vnd.pgrst.object+json"
    for query, details in (("limit=2", "2 rows"), ("number=eq.999", "0 rows")):
        none = stocked.acme.get(f"/v1/customers?{query}", **singular)
        assert (none.status_code, none.json["code"]) == (406, "PGRST116")
        assert details in none.json["details"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("number=equals.1", "PGRST100"),
        ("number", "PGRST100"),
        ("number=fts.x", "PGRST100"),
        ("or=(number.eq.1", "PGRST100"),
        ("or=()", "PGRST100"),
        ("order=number.upwards", "PGRST100"),
        ("limit=ten", "PGRST100"),
        ("limit=1&limit=2", "PGRST100"),
        ("select=id::text", "PGRST100"),
        ("select=*,name", "PGRST100"),
        ("columns=id", "PGRST100"),
        ("on_conflict=id", "PGRST100"),
        ("name=like.x%5C", "22P02"),
        ("id=eq.1", "22P02"),
        ("id=eq.null", "22P02"),
        ("id=like.0*", "22P02"),
        ("name=is.true", "22P02"),
        ("created_at=gt.yesterday", "22P02"),
        ("name=eq.%00", "22P02"),
        ("name=eq.%FF", "PGRST100"),
        ("select=nothing", "PGRST204"),
        ("nothing=eq.1", "PGRST204"),
        ("order=nothing", "PGRST204"),
        ("tenant_id=not.is.null", "PGRST204"),
        ("select=tenant_id", "PGRST204"),
        ("order=tenant_id", "PGRST204"),
        ("or=(tenant_id.is.null,id.not.is.null)", "PGRST204"),
        ("tenant_id=in.()", "PGRST204"),
        ("select=id,invoices(*)", "PGRST200"),
        ("select=invoices!inner(id)", "PGRST200"),
    ],
)
def test_what_is_not_understood_is_400_and_says_so(stocked, query, code) -> None:
    response = stocked.acme.get(f"/v1/customers?{query}")
    assert (response.status_code, response.json["code"]) == (400, code), response.json
    assert response.json["message"]


def test_sql_in_a_columns_name_is_an_unknown_column(stocked) -> None:
    for name in ('"id\\" OR true --"', "id;select", '"number\\"::text"'):
        encoded = quote(name, safe="")
        for query in (f"{encoded}=eq.1", f"order={encoded}", f"select={encoded}"):
            assert stocked.acme.get(f"/v1/customers?{query}").status_code == 400, query


def documented(section: str) -> list[str]:
    """Return the queries in the code column of a table in docs/api.md."""
    text = (ROOT / "docs" / "api.md").read_text()
    body = text.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    return [query.replace("\\|", "|") for query in re.findall(r"^\| `([^`]+)` \|", body, re.M)]


def test_every_documented_query_works(stocked) -> None:
    queries = documented("Filters") + documented("Order, pages, columns")
    assert len(queries) >= 20
    for query in queries:
        response = stocked.acme.get("/v1/invoices?" + quote(query.lstrip("?"), safe="=&%"))
        assert response.status_code == 200, (query, response.text)


def test_every_operator_is_documented() -> None:
    queries = " ".join(documented("Filters"))
    for operator in OPERATORS:
        assert f"={operator}." in queries, operator
