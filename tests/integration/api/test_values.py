"""Values of every type in filters, compared as what they are and never as SQL."""

from __future__ import annotations

from urllib.parse import quote

import pytest


def numbers(response) -> list[str]:
    assert response.status_code == 200, response.text
    return [row["number"] for row in response.json]


def test_boolean_columns_are_tested_for_truth(service) -> None:
    acme = service.acme
    for number, newsletter in (("1", True), ("2", False)):
        customer = acme.customer(number)
        acme.create("customer-profiles", customer_id=customer["id"], newsletter=newsletter)
    for query, expected in (
        ("newsletter=is.true", [True]),
        ("newsletter=is.false", [False]),
        ("newsletter=not.is.true", [False]),
        ("newsletter=eq.true", [True]),
    ):
        rows = acme.get(f"/v1/customer-profiles?{query}").json
        assert [row["newsletter"] for row in rows] == expected, query


def test_typed_values_are_compared_by_value_not_by_text(acme) -> None:
    for number, total, instant in (
        ("1", 9, "2026-01-01T00:00:00+01:00"),
        ("2", 10, "2026-01-01T00:00:00Z"),
    ):
        acme.invoice(number, total=total, issued_at=instant)
    assert numbers(acme.get("/v1/invoices?total=gt.9.5")) == ["2"]
    assert numbers(acme.get("/v1/invoices?issued_at=lt.2026-01-01")) == ["1"]
    assert numbers(acme.get("/v1/invoices?issued_at=eq.2026-01-01T01:00:00%2B01:00")) == ["2"]
    hint = acme.get("/v1/invoices?issued_at=gt.2026-01-01T00:00:00+01:00")
    assert hint.status_code == 400
    assert "%2B" in hint.json["details"]


@pytest.mark.parametrize(
    "value",
    [
        "' OR '1'='1",
        "'; DROP TABLE shop.customers; --",
        "1') OR tenure.set_tenant('x') --",
        "%(a)s %s %",
        '\\"; SELECT 1',
        "$$",
        "\u202e☃ 𝔘",
    ],
)
def test_sql_in_a_value_is_a_value(service, value) -> None:
    acme = service.acme
    acme.customer("1", name=value)
    service.globex.customer("1", name=value)
    encoded = quote(value, safe="")
    quoted = quote('"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"', safe="")
    for query in (
        f"name=eq.{encoded}",
        f"or=(name.eq.{quoted})",
        f"name=in.({quoted})",
    ):
        rows = acme.get(f"/v1/customers?{query}").json
        assert [row["name"] for row in rows] == [value], query


def test_ties_are_broken_by_the_key(acme) -> None:
    ids = [f"00000000-0000-7000-8000-{n:012}" for n in range(9)]
    for n in (7, 2, 8, 0, 4, 6, 1, 5, 3):
        acme.customer(str(n), id=ids[n])
    for query in ("", "order=country", "order=country.desc.nullslast", "order=email"):
        pages = [
            row["id"]
            for offset in range(0, 9, 2)
            for row in acme.get(
                f"/v1/customers?{query}&limit=2&offset={offset}".replace("?&", "?")
            ).json
        ]
        assert pages == ids, query
    backwards = acme.get("/v1/customers?order=country,id.desc").json
    assert [row["id"] for row in backwards] == ids[::-1]
