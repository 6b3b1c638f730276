"""The UCI Online Retail data set, from file to deletion record, through the front doors.

A country is a tenant. What is right is computed here from the file by plain Python.
"""

from __future__ import annotations

import csv
import gzip
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psycopg2
import pytest

from ..conftest import Cluster
from .conftest import ROOT, serving, tenure

DATA = ROOT.parent / "shared" / "data" / "online_retail_2010-12.csv.gz"
COUNTRY, OTHER = "Germany", "France"
AS_OF = "2020-12-10T00:00:00Z"  # ten years after the 10th: some of December 2010 has expired
CUTOFF = datetime(2010, 12, 10, tzinfo=UTC)
POLICY = "invoices-10-years"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"the data set is not at {DATA}")


@dataclass(frozen=True)
class Line:
    """A line of the file, as plain Python reads it."""

    invoice: str
    sku: str
    quantity: int
    price: Decimal
    issued_at: datetime
    customer: str


@pytest.fixture(scope="module")
def expected() -> dict[str, list[Line]]:
    """Every complete line of the file, by country."""
    lines: dict[str, list[Line]] = {}
    with gzip.open(DATA, "rt", encoding="cp1252", newline="") as stream:
        for row in csv.reader(stream):
            if len(row) != 8 or row[0] == "InvoiceNo" or not row[7]:
                continue
            lines.setdefault(row[7], []).append(
                Line(
                    invoice=row[0],
                    sku=row[1],
                    quantity=int(row[3]),
                    price=Decimal(row[5]),
                    issued_at=datetime.strptime(row[4], "%d/%m/%Y %H:%M")
                    .replace(tzinfo=ZoneInfo("Europe/London"))
                    .astimezone(UTC),
                    customer=row[6],
                )
            )
    return lines


@dataclass(frozen=True)
class Shop:
    """An installation with the file imported, being served."""

    environment: dict[str, str]
    base_url: str
    report: dict[str, Any]

    def headers(self, country: str) -> dict[str, str]:
        """Issue a token of a country's user."""
        slug = country.lower()
        email = f"{uuid.uuid4().hex}@{slug}.example"
        tenure(
            *("users", "create", email, "--tenant", slug, "--role", "owner", "--password-stdin"),
            environment=self.environment,
            stdin="correct horse battery\n",
        )
        done = tenure(
            *("tokens", "issue", "--tenant", slug, "--email", email, "--name", "t"),
            *("--format", "json"),
            environment=self.environment,
        )
        return {"Authorization": f"Bearer {json.loads(done.stdout)['token']}"}

    def rows(self, client: httpx.Client, resource: str) -> list[dict[str, Any]]:
        """Return every row of a listing, page by page."""
        rows: list[dict[str, Any]] = []
        while True:
            page = client.get(
                f"/v1/{resource}", params={"order": "id", "limit": 500, "offset": len(rows)}
            )
            assert page.status_code in (200, 206), page.text
            rows += page.json()
            if len(page.json()) < 500:
                return rows


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("retail")
    name = f"retail_{uuid.uuid4().hex[:12]}"
    cluster.create_database(name)
    environment = {
        **cluster.environment,
        "DATABASE_URL": cluster.url(name),
        "TENURE_DOMAIN": "shop",
        "TENURE_DOMAIN_PATH": str(ROOT / "examples"),
    }
    tenure("migrate", "up", environment=environment)
    done = tenure(
        *("import", "online-retail", str(DATA), "--rejects", str(folder / "rejects.csv")),
        *("--format", "json"),
        environment=environment,
        cwd=folder,
    )
    with serving(environment, folder) as base_url:
        yield Shop(environment, base_url, json.loads(done.stdout))
    cluster.drop_database(name)


RESOURCES = ("customers", "products", "invoices", "invoice-lines")


def test_a_countrys_user_gets_exactly_its_rows(shop: Shop, expected: dict[str, list[Line]]) -> None:
    with httpx.Client(base_url=shop.base_url, headers=shop.headers(COUNTRY)) as client:
        invoices = {row["id"]: row for row in shop.rows(client, "invoices")}
        products = {row["id"]: row["sku"] for row in shop.rows(client, "products")}
        customers = {row["number"] for row in shop.rows(client, "customers")}
        lines = shop.rows(client, "invoice-lines")
    wanted = expected[COUNTRY]
    assert {row["number"] for row in invoices.values()} == {line.invoice for line in wanted}
    assert set(products.values()) == {line.sku for line in wanted}
    assert customers == {line.customer for line in wanted if line.customer}

    def key(number: str, sku: str, quantity: int, price: Any) -> tuple[Any, ...]:
        return number, sku, quantity, Decimal(str(price)).normalize()

    got = Counter(
        key(
            invoices[row["invoice_id"]]["number"],
            products[row["product_id"]],
            row["quantity"],
            row["unit_price"],
        )
        for row in lines
    )
    assert got == Counter(key(n.invoice, n.sku, n.quantity, n.price) for n in wanted)


def test_another_countrys_ids_are_not_found(shop: Shop) -> None:
    mine = httpx.Client(base_url=shop.base_url, headers=shop.headers(COUNTRY))
    theirs = httpx.Client(base_url=shop.base_url, headers=shop.headers(OTHER))
    with mine, theirs:
        for resource in RESOURCES:
            foreign = [row["id"] for row in shop.rows(theirs, resource)]
            own = [row["id"] for row in shop.rows(mine, resource)]
            assert foreign
            assert own
            assert not set(foreign) & set(own)
            missing = mine.get(f"/v1/{resource}/{uuid.uuid4()}")
            assert missing.status_code == 404
            for row_id in foreign:
                answer = mine.get(f"/v1/{resource}/{row_id}")
                assert answer.status_code == 404, f"{resource}/{row_id}"
                assert without_ids(answer.json()) == without_ids(missing.json())
            for row_id in own:
                assert mine.get(f"/v1/{resource}/{row_id}").status_code == 200
            for row_id in foreign[:20]:
                assert mine.get(f"/v1/{resource}?id=eq.{row_id}").json() == []
                assert mine.delete(f"/v1/{resource}/{row_id}").status_code == 404


def without_ids(problem: dict[str, Any]) -> dict[str, Any]:
    """What may differ between two answers is the request's own: its path and trace."""
    return {k: v for k, v in problem.items() if k not in ("instance", "trace_id")}


def test_what_has_expired_goes_and_nothing_else(
    shop: Shop, expected: dict[str, list[Line]]
) -> None:
    """Runs last: it deletes. Every country's policy starts paused, and one stays so."""
    planned = plan_of(shop)
    assert sum(unit["due"] for unit in planned if unit["tenant"] != "") > 0
    paused = run_of(shop)
    assert paused["rows"] == 0, "policies of imported tenants start paused"

    listed = json.loads(
        tenure("tenants", "list", "--format", "json", environment=shop.environment).stdout
    )
    slugs = {row["name"]: row["slug"] for row in listed}
    for country in expected:
        if country != OTHER:
            tenure(
                *("retention", "activate", POLICY, "--tenant", slugs[country]),
                environment=shop.environment,
            )
    before = table_counts(shop)
    report = run_of(shop)
    after = table_counts(shop)

    expired_lines = {
        country: [n for n in lines if n.issued_at < CUTOFF and country != OTHER]
        for country, lines in expected.items()
    }
    gone_lines = sum(map(len, expired_lines.values()))
    gone_invoices = sum(len({n.invoice for n in lines}) for lines in expired_lines.values())
    assert gone_invoices > 100
    assert before["shop.invoices"] - after["shop.invoices"] == gone_invoices
    assert before["shop.invoice_lines"] - after["shop.invoice_lines"] == gone_lines
    for table in ("shop.customers", "shop.products"):
        assert before[table] == after[table]

    # Precisely those: what remains of each country is what has not expired.
    with httpx.Client(base_url=shop.base_url, headers=shop.headers(COUNTRY)) as client:
        remaining = {row["number"] for row in shop.rows(client, "invoices")}
    assert remaining == {n.invoice for n in expected[COUNTRY] if n.issued_at >= CUTOFF}

    # Every deleted row is counted in a record under the run's trace id.
    records = query(
        shop,
        "SELECT t.key, sum((t.value ->> 'rows')::int) FROM tenure.batches b,"
        " jsonb_each(b.counts) t WHERE b.trace_id = %s GROUP BY t.key",
        (report["trace_id"],),
    )
    counted = {table: int(rows) for table, rows in records if rows}
    assert counted == {"shop.invoices": gone_invoices, "shop.invoice_lines": gone_lines}
    [(total,)] = query(
        shop,
        "SELECT sum(rows_deleted) FROM tenure.batches WHERE trace_id = %s",
        (report["trace_id"],),
    )
    assert int(total) == gone_invoices + gone_lines

    tenure("verify", "--as-of", AS_OF, environment=shop.environment)
    assert run_of(shop)["rows"] == 0


def plan_of(shop: Shop) -> list[dict[str, Any]]:
    done = tenure(
        *("retention", "plan", "--as-of", AS_OF, "--format", "json"),
        environment=shop.environment,
    )
    units: list[dict[str, Any]] = json.loads(done.stdout)["units"]
    return units


def run_of(shop: Shop) -> dict[str, Any]:
    done = tenure(
        *("retention", "run", "--as-of", AS_OF, "--format", "json"), environment=shop.environment
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def table_counts(shop: Shop) -> dict[str, int]:
    return {
        table: int(query(shop, f"SELECT count(*) FROM {table}")[0][0])
        for table in ("shop.customers", "shop.products", "shop.invoices", "shop.invoice_lines")
    }


def query(shop: Shop, statement: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Ask as the administrator, who sees everything."""
    connection = psycopg2.connect(shop.environment["DATABASE_URL"])
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, params)
            return cursor.fetchall()
    finally:
        connection.close()
