"""The importer: nothing lost, nothing doubled, every country its own rows."""

from __future__ import annotations

import csv
import gzip
import itertools
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
import shop.online_retail
from shop.models import MODELS, Customer, Invoice, InvoiceLine, Product

from tenants.errors import ImportFileError, TenantError

from .conftest import World, dirty_lines

Worlds = Callable[[], World]
Holds = Callable[[World], dict[str, Any]]
OwnerSql = Callable[..., list[tuple[Any, ...]]]
Write = Callable[..., Path]

REAL = Path(__file__).parents[4] / "shared" / "data" / "online_retail_2010-12.csv.gz"
LINE = "{0},85123A,HOLDER,{1},01/12/2010 08:26,{2},{3},{4}\n"


def line(
    invoice: str = "1",
    quantity: int = 1,
    price: str = "2.00",
    customer: str = "",
    country: str = "France",
) -> str:
    return LINE.format(invoice, quantity, price, customer, country)


def test_counts_add_up_and_every_country_gets_exactly_its_lines(
    world: Worlds, dirty_file: Write, holds: Holds
) -> None:
    broken = ["1,2\n", "\n", line(price="dear"), line().replace("HOLDER", '"TWO\nLINES"')]
    path = dirty_file([*dirty_lines(400), *broken, "536365,8"])
    here = world()
    summary, rejects = here.run(path, batch_lines=64)
    assert (summary.lines, summary.header, summary.blank, summary.continued) == (407, 1, 1, 1)
    assert (summary.imported, summary.already_there, summary.unfinished) == (401, 0, 1)
    assert [(r.line, r.reason.split(" ")[0]) for r in rejects] == [
        (402, "the"),
        (404, "UnitPrice"),
        (407, "the"),
    ]
    expected: dict[str, Counter[Any]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.reader(file):
            if len(row) == 8 and row[5] not in ("UnitPrice", "dear"):
                key = (row[0], row[1], row[2] if row[2].strip() else None, int(row[3]))
                expected.setdefault(row[7], Counter())[(*key, Decimal(row[5]))] += 1
    found = {
        country: Counter((n, sku, text, q, price) for n, _, sku, text, q, price in tables[3])
        for country, tables in holds(here).items()
    }
    assert found == expected
    assert {c.tenant: c.imported for c in summary.tenants} == {
        country: counts.total() for country, counts in expected.items()
    }


def test_a_second_run_finds_everything_there(
    world: Worlds, dirty_file: Write, holds: Holds
) -> None:
    path = dirty_file([*dirty_lines(150), "cut,off"])
    here = world()
    first, _ = here.run(path)
    before = holds(here)
    second, rejects = here.run(path, batch_lines=7)
    assert (second.imported, second.already_there) == (0, first.imported)
    assert [r.line for r in rejects] == [152]
    assert holds(here) == before


def test_the_outcome_does_not_depend_on_the_size_of_batches(
    world: Worlds, dirty_file: Write, holds: Holds
) -> None:
    path = dirty_file(dirty_lines(120))
    outcomes = []
    for batch_lines in (1, 3, 50, 5000):
        here = world()
        here.run(path, batch_lines=batch_lines)
        outcomes.append(holds(here))
    assert outcomes[0]["United Kingdom"][3]
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_a_run_that_dies_anywhere_is_made_good_by_the_next(
    world: Worlds, dirty_file: Write, holds: Holds, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = dirty_file(dirty_lines(45))
    whole = world()
    whole.run(path)
    expected = holds(whole)
    deaths = 0
    for fatal_call in itertools.count(1):
        here = world()
        with monkeypatch.context() as patch:
            _let_die(patch, fatal_call)
            try:
                here.run(path, batch_lines=20)
                break
            except KeyboardInterrupt:
                deaths += 1
        summary, _ = here.run(path, batch_lines=20)
        assert summary.imported + summary.already_there == 45
        assert holds(here) == expected, f"after dying at step {fatal_call}"
    assert deaths > 20


def _let_die(patch: pytest.MonkeyPatch, fatal_call: int) -> None:
    """Make the importer stop at its n-th step that writes."""
    calls = itertools.count(1)

    def dying(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == fatal_call:
                raise KeyboardInterrupt
            return step(*args, **kwargs)

        return run

    for name in ("bulk_insert", "_recompute_total"):
        patch.setattr(shop.online_retail, name, dying(getattr(shop.online_retail, name)))


def test_two_runs_at_once_double_nothing(world: Worlds, dirty_file: Write, holds: Holds) -> None:
    path = dirty_file(dirty_lines(300))
    whole = world()
    whole.run(path)
    here = world()
    for country in whole.tenants:
        here.ensure(country)
    summaries = []

    def run() -> None:
        summaries.append(here.run(path, batch_lines=20)[0])

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(s.imported for s in summaries) == 300
    assert sum(s.already_there for s in summaries) == 300
    assert holds(here) == holds(whole)


def test_gzip_and_plain_are_the_same_file_under_any_name(
    world: Worlds, dirty_file: Write, tmp_path: Path, holds: Holds
) -> None:
    plain = dirty_file(dirty_lines(80))
    packed = tmp_path / "other.bin"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    here, there = world(), world()
    here.run(plain)
    there.run(packed)
    assert holds(here) == holds(there)
    assert here.run(packed)[0].already_there == 80


def test_the_same_invoice_number_and_customer_in_two_countries_are_two(
    world: Worlds, dirty_file: Write, holds: Holds
) -> None:
    here = world()
    here.run(dirty_file([line(customer="12583"), line(customer="12583", country="EIRE")]))
    for country, (customers, _, invoices, lines, _) in holds(here).items():
        assert [(c[0], c[3]) for c in customers] == [("12583", country)]
        assert [i[:2] for i in invoices] == [("1", "12583")]
        assert len(lines) == 1


def test_an_invoice_that_goes_on_later_is_one_invoice_with_the_right_total(
    world: Worlds, dirty_file: Write, holds: Holds
) -> None:
    path = dirty_file(
        [
            line("7", 3, "0.005"),
            line("8", 1, "1"),
            line("7", 1, "0.01", customer="5").replace("08:26", "23:59"),
            line("7", -2, "10"),
        ]
    )
    here = world()
    here.run(path, batch_lines=1)
    invoice = holds(here)["France"][2][0]
    at = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    # 0.015 + 0.01 - 20 = -19.975: rounded half up, away from zero, once.
    assert invoice == ("7", "5", at, "issued", "GBP", Decimal("-19.98"))
    assert [row[:2] for row in holds(here)["France"][3]] == [("7", 1), ("7", 2), ("7", 3), ("8", 1)]


def test_every_total_is_the_sum_of_its_lines(
    world: Worlds, dirty_file: Write, holds: Holds
) -> None:
    here = world()
    here.run(dirty_file(dirty_lines(300)), batch_lines=11)
    for _, _, invoices, lines, _ in holds(here).values():
        sums: Counter[str] = Counter()
        for number, _, _, _, quantity, price in lines:
            sums[number] += quantity * price
        assert {i[0]: i[5] for i in invoices} == {
            number: Decimal(s).quantize(Decimal("0.01"), ROUND_HALF_UP)
            for number, s in sums.items()
        }


def test_a_product_takes_the_first_description_that_is_not_empty(
    world: Worlds, dirty_file: Write, holds: Holds
) -> None:
    texts = ("", "  ", " LANTERN ", "damaged")
    path = dirty_file(line(price=f"{i}").replace("HOLDER", t) for i, t in enumerate(texts, 1))
    for batch_lines in (1, 10):
        here = world()
        here.run(path, batch_lines=batch_lines)
        _, products, _, lines, _ = holds(here)["France"]
        assert [p[:3] for p in products] == [("85123A", "LANTERN", Decimal(1))]
        assert [row[3] for row in lines] == [None, None, " LANTERN ", "damaged"]
        assert [row[5] for row in lines] == [1, 2, 3, 4]


def test_a_cancelled_invoice_is_cancelled(world: Worlds, dirty_file: Write, holds: Holds) -> None:
    here = world()
    here.run(dirty_file([line("C9", -4, "2.5"), line("9", 4, "2.5")]))
    assert [(i[0], i[3], i[5]) for i in holds(here)["France"][2]] == [
        ("9", "issued", 10),
        ("C9", "cancelled", -10),
    ]


def test_a_second_import_does_not_bring_back_what_was_deleted_since(
    world: Worlds, dirty_file: Write, owner_sql: OwnerSql
) -> None:
    path = dirty_file(dirty_lines(40))
    here = world()
    here.run(path)
    owner_sql("DELETE FROM shop.invoice_lines")
    owner_sql("DELETE FROM shop.invoices")
    summary, _ = here.run(path)
    assert (summary.imported, summary.already_there) == (0, 40)
    assert owner_sql("SELECT count(*) FROM shop.invoices") == [(0,)]


def test_another_file_adds_to_the_same_products_and_invoices(
    world: Worlds, dirty_file: Write, holds: Holds
) -> None:
    here = world()
    here.run(dirty_file([line("1", 1, "2")]))
    here.run(dirty_file([line("1", 2, "3")], "more.csv"))
    _, products, invoices, lines, files = holds(here)["France"]
    assert [p[0] for p in products] == ["85123A"]
    assert [(i[0], i[5]) for i in invoices] == [("1", 8)]
    assert [row[1] for row in lines] == [1, 2]
    assert len(files) == 2


def test_a_country_that_can_be_no_tenant_costs_its_own_lines_alone(
    world: Worlds, dirty_file: Write
) -> None:
    here = world()
    summary, rejects = here.run(dirty_file([line(country="日本"), line(), line(country="日本")]))
    assert summary.imported == 1
    assert [(r.line, "no slug can be made of '日本'" in r.reason) for r in rejects] == [
        (2, True),
        (4, True),
    ]


def test_a_damaged_file_changes_nothing(world: Worlds, tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress("".join(dirty_lines(500)).encode())[:-30])
    here = world()
    with pytest.raises(ImportFileError, match="damaged"):
        here.run(path)
    assert here.tenants == {}


def test_rows_are_read_under_their_own_tenant_alone(world: Worlds, dirty_file: Write) -> None:
    here = world()
    here.run(dirty_file(dirty_lines(20)))
    for model in MODELS:
        with pytest.raises(TenantError):
            model.select().count()


@pytest.mark.skipif(not REAL.exists(), reason=f"the real data set is not at {REAL}")
def test_the_real_file(world: Worlds, owner_sql: OwnerSql) -> None:
    with gzip.open(REAL, "rt", encoding="latin-1", newline="") as file:
        rows = list(csv.reader(file))
    whole = [row for row in rows[1:] if len(row) == 8]
    here = world()
    summary, rejects = here.run(REAL)
    assert (summary.lines, summary.imported, summary.rejected) == (39_531, 39_529, 1)
    assert [(r.line, r.text) for r in rejects] == [(39_531, "539650,84347,R")]
    assert summary.unfinished == 1

    def by_country(query: str) -> dict[str, Any]:
        names = {str(tenant): country for country, tenant in here.tenants.items()}
        return {names[t]: value for t, value in owner_sql(query)}

    def table(model: Any) -> str:
        return f"shop.{model._meta.table_name}"

    def distinct(*columns: int) -> dict[str, int]:
        keys = {(row[7], *(row[c] for c in columns)) for row in whole if row[columns[0]]}
        return dict(Counter(country for country, *_ in keys))

    count = "SELECT tenant_id::text, count(*) FROM {} GROUP BY 1"
    assert by_country(count.format(table(InvoiceLine))) == dict(Counter(r[7] for r in whole))
    assert by_country(count.format(table(Invoice))) == distinct(0)
    assert by_country(count.format(table(Product))) == distinct(1)
    assert by_country(count.format(table(Customer))) == distinct(6)
    amounts: Counter[str] = Counter()
    for row in whole:
        amounts[row[7]] += int(row[3]) * Decimal(row[5])  # type: ignore[assignment]  # exact sums
    assert by_country("SELECT tenant_id::text, sum(total) FROM shop.invoices GROUP BY 1") == amounts
    assert owner_sql(
        "SELECT count(*) FILTER (WHERE i.customer_id IS NULL),"
        " count(*) FILTER (WHERE status = 'cancelled'),"
        " count(*) FILTER (WHERE description LIKE '%%Voucher £40%%')"
        " FROM shop.invoice_lines l"
        " JOIN shop.invoices i ON i.tenant_id = l.tenant_id AND i.id = l.invoice_id",
        None,
    ) == [
        (
            sum(not row[6] for row in whole),
            sum(row[0].startswith("C") for row in whole),
            1,
        )
    ]
    again, _ = here.run(REAL)
    assert (again.imported, again.already_there) == (0, 39_529)
    assert owner_sql("SELECT count(*) FROM shop.invoice_lines") == [(39_529,)]
