"""The generator of sample data: the same for a seed, skewed, and partly expired."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from shop.models import Category, Customer, CustomerProfile, Invoice, InvoiceLine, Note, Product
from shop.sample import SHOPS, rows_of

from tenants.models import TenantModel

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
Rows = dict[type[TenantModel], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return rows_of(SHOPS[0], now=NOW, seed=1)


def test_the_same_seed_and_instant_give_the_same_rows(rows: Rows) -> None:
    assert rows == rows_of(SHOPS[0], now=NOW, seed=1)


def test_another_seed_instant_or_shop_gives_others(rows: Rows) -> None:
    assert rows != rows_of(SHOPS[0], now=NOW, seed=2)
    assert rows != rows_of(SHOPS[0], now=NOW + timedelta(days=1), seed=1)
    keys = {row["id"] for row in rows[Invoice]}
    assert keys.isdisjoint(row["id"] for row in rows_of(SHOPS[1], now=NOW, seed=1)[Invoice])


def test_keys_are_version_7_of_the_rows_own_time(rows: Rows) -> None:
    for row in rows[Invoice]:
        assert (row["id"].version, row["id"].variant) == (7, "specified in RFC 4122")
        assert row["id"].int >> 80 == int(row["issued_at"].timestamp() * 1000)


def test_tenants_are_skewed() -> None:
    sizes = [sum(map(len, rows_of(shop, now=NOW, seed=1, scale=0.1).values())) for shop in SHOPS]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sum(sizes) / 2


def test_scale_one_is_about_30_000_rows() -> None:
    total = sum(sum(map(len, rows_of(shop, now=NOW, seed=1).values())) for shop in SHOPS)
    assert 24_000 < total < 36_000


def test_some_of_it_has_expired_and_most_has_not(rows: Rows) -> None:
    def share(model: type[TenantModel], column: str, age: timedelta) -> float:
        old = [row for row in rows[model] if row[column] and row[column] < NOW - age]
        return len(old) / len(rows[model])

    assert 0.02 < share(Invoice, "issued_at", timedelta(days=3653)) < 0.3
    assert 0.02 < share(Customer, "deleted_at", timedelta(days=30)) < 0.3
    assert 0.2 < share(Note, "created_at", timedelta(days=1096)) < 0.9


def test_some_deleted_customers_are_kept_by_invoices_and_some_are_not(rows: Rows) -> None:
    deleted = {row["id"] for row in rows[Customer] if row["deleted_at"]}
    bought = {row["customer_id"] for row in rows[Invoice]}
    assert deleted & bought
    assert deleted - bought


def test_nothing_happens_in_the_wrong_order(rows: Rows) -> None:
    customers = {row["id"]: row for row in rows[Customer]}
    invoices = {row["id"]: row for row in rows[Invoice]}
    for invoice in invoices.values():
        assert invoice["issued_at"] <= NOW
        if invoice["customer_id"] is not None:
            buyer = customers[invoice["customer_id"]]
            assert buyer["created_at"] <= invoice["issued_at"]
            assert buyer["deleted_at"] is None or invoice["issued_at"] <= buyer["deleted_at"]
    for note in rows[Note]:
        subject = (customers if note["subject_type"] == "customer" else invoices)[
            note["subject_id"]
        ]
        assert subject.get("created_at", subject.get("issued_at")) <= note["created_at"] <= NOW


def test_totals_are_the_sums_of_their_lines(rows: Rows) -> None:
    sums: Counter[Any] = Counter()
    for line in rows[InvoiceLine]:
        sums[line["invoice_id"]] += line["quantity"] * line["unit_price"]
    cent = Decimal("0.01")
    assert {row["id"]: row["total"] for row in rows[Invoice]} == {
        key: Decimal(value).quantize(cent, ROUND_HALF_UP) for key, value in sums.items()
    }


def test_every_status_and_both_shapes_of_a_category_occur(rows: Rows) -> None:
    assert {row["status"] for row in rows[Invoice]} == {"draft", "issued", "paid", "cancelled"}
    assert {row["parent_id"] is None for row in rows[Category]} == {True, False}
    assert len({row["sku"] for row in rows[Product]}) == len(rows[Product])
    profiles = [row["customer_id"] for row in rows[CustomerProfile]]
    assert len(set(profiles)) == len(profiles) > 0


def test_a_tiny_scale_still_makes_every_kind_of_row() -> None:
    tiny = rows_of(SHOPS[-1], now=NOW, seed=1, scale=0.001)
    assert len(tiny[Invoice]) == 3
    assert tiny[InvoiceLine]
    assert tiny[Customer]


@pytest.mark.parametrize("scale", [0, -1, float("nan")])
def test_a_scale_that_is_not_above_zero_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be above 0"):
        rows_of(SHOPS[0], now=NOW, seed=1, scale=scale)


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no offset from UTC"):
        rows_of(SHOPS[0], now=datetime(2026, 1, 1), seed=1)  # noqa: DTZ001 - that is the point
