"""The statement of a period, from books that were kept over several accounts."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from api.workshop import workshop_of
from config.clock import FixedClock
from config.trace import new_trace_id
from retention.holds import place
from retention.jobs import run_once
from retention.status import read_status
from tenants.context import TenantId
from tenants.models import new_id

from .conftest import NOW, Console
from .test_of_a_period import paper_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "auditor.md"
FLOWS = ("newly_due", "deleted", "deleted_along", "removed", "no_longer_due", "vanished")


class Books:
    """Notes of two tenants over days; `look(day)` verifies, `run(day)` runs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.shop = workshop_of(console.installation, actor="tester")
        self.umbrella = TenantId(console.evidence.tenant("umbrella"))
        self.initech = TenantId(console.evidence.tenant("initech"))
        for tenant in (self.umbrella, self.initech):
            console.evidence.sql(
                "INSERT INTO shop.customers (tenant_id, id, number, name, country, created_at)"
                " VALUES (%s, %s, '1', 'A', 'DE', now())",
                (str(tenant), str(new_id())),
            )

    def at(self, day: int) -> Any:
        return replace(self.shop, clock=FixedClock(NOW + timedelta(days=day)))

    def note(self, tenant: TenantId, day: int) -> str:
        """Add a note that becomes due on a day; return its id."""
        note, due = str(new_id()), NOW + timedelta(days=day)
        self.console.evidence.sql(
            "INSERT INTO shop.notes (tenant_id, id, subject_type, subject_id, body, created_at)"
            " SELECT tenant_id, %s, 'customer', id, 'x', %s FROM shop.customers"
            " WHERE tenant_id = %s",
            (note, due - timedelta(days=3 * 366), str(tenant)),
        )
        return note

    def run(self, day: int) -> Any:
        return run_once(self.at(day), self.at(day).plan)

    def look(self, day: int) -> Any:
        return self.at(day).verify(trace_id=new_trace_id())

    def turn_the_clock(self) -> None:
        """Have each account have been made when it looked; it is told by the database's clock."""
        self.console.evidence.sql(
            "ALTER TABLE tenure.verifications DISABLE TRIGGER append_only;"
            " UPDATE tenure.verifications SET started_at = as_of, finished_at = as_of"
            " WHERE account IS NOT NULL;"
            " ALTER TABLE tenure.verifications ENABLE TRIGGER append_only"
        )

    def statement(self, **asked: int) -> Any:
        ends = "&".join(
            f"{name}={(NOW + timedelta(days=day)).strftime('%Y-%m-%dT%H:%M:%SZ')}"
            for name, day in asked.items()
        )
        return self.console.pages.json(f"/console/reconciliation?{ends}")


@pytest.fixture
def books(console: Console) -> Books:
    return Books(console)


def notes_of(statement: Any) -> dict[str, int]:
    found = next(b for b in statement["balances"] if b["policy"] == "old-notes")
    return {key: value for key, value in found.items() if isinstance(value, int) and value}


def test_periods_add_up_and_each_comes_out(books: Books):
    place(books.console.installation.retention, books.initech, matter="m", reason="r", actor="c")
    for day in range(-3, 3):
        for tenant in (books.umbrella, books.initech):
            books.note(tenant, day)
    for day in range(4):
        if day != 1:
            books.run(day)
        books.look(day)
    whole = books.statement()
    assert whole["even"] is True
    assert notes_of(whole) == {
        "tenants": 2, "newly_due": 12, "deleted": 6, "held": 6,
    }  # fmt: skip
    assert whole["period"]["accounts"] == 4
    parts = [
        books.statement(until=1),
        books.statement(**{"from": 1, "until": 2}),
        books.statement(**{"from": 2}),
    ]
    assert [part["even"] for part in parts] == [True, True, True]
    for flow in FLOWS:
        total = sum(notes_of(part).get(flow, 0) for part in parts)
        assert notes_of(whole).get(flow, 0) == total, flow
    # What one period closes with is what the next one opens with.
    for before, after in pairwise(parts):
        closing = ("held", "undeletable", "paused", "still_due")
        assert notes_of(after)["opening"] == sum(notes_of(before).get(key, 0) for key in closing)
    assert notes_of(parts[0])["still_due"] > 0, "no run on day 1"
    nothing = books.statement(until=-1)  # nobody had looked by then
    assert (nothing["period"]["closing"], nothing["balances"]) == (None, [])


def test_a_night_without_a_verification_is_a_gap_and_loses_nothing(books: Books):
    books.look(0)
    books.note(books.umbrella, 3)
    books.run(9)
    books.look(9)
    books.turn_the_clock()
    statement = books.statement(**{"from": 0, "until": 9})
    assert statement["period"]["longest_gap_s"] == timedelta(days=9).total_seconds()
    assert notes_of(statement) == {"tenants": 1, "newly_due": 1, "deleted": 1}
    # Asked for with ends at which nobody looked, the time to the nearest account counts.
    assert books.statement(until=9)["period"]["longest_gap_s"] > 0


def test_nights_that_are_filled_in_with_another_clock_are_a_gap_all_the_same(books: Books):
    """Of an account it counts when it was made, and not as of when it looked."""
    books.look(-20)
    books.turn_the_clock()
    for day in range(-19, 1):
        books.look(day)  # each of them today
    statement = books.statement(**{"from": -20, "until": 0})
    assert statement["period"]["accounts"] == 20
    assert statement["period"]["longest_gap_s"] > timedelta(days=19).total_seconds()


def test_a_look_back_is_not_the_last_verification(books: Books):
    books.shop.record()
    books.note(books.umbrella, -5)
    last = books.look(0)
    past = books.at(0).verify(as_of=NOW - timedelta(days=2000), trace_id=new_trace_id())
    assert (last.findings, past.findings) == (1, 0)
    overview = books.console.pages.json("/console")
    assert (overview["verification"]["id"], overview["totals"]["overdue"]) == (str(last.id), 1)
    policy = books.console.pages.json("/console/policies/old-notes")
    assert policy["verification"]["id"] == str(last.id)
    assert [point["overdue"] for point in policy["trend"]] == [1]
    daily = books.console.pages.json("/console/verifications?every=day")["verifications"]
    assert [line["id"] for line in daily] == [str(last.id)]
    listed = books.console.pages.json("/console/verifications")["verifications"]
    assert [line["account"] for line in listed] == [None, 1]
    status = read_status(books.console.installation.auditor, now=NOW, tick=timedelta(minutes=1))
    assert status.verification is not None
    assert status.verification.trace_id == last.trace_id


def test_differences_that_cancel_each_other_are_seen_all_the_same(books: Books):
    evidence = books.console.evidence
    place(books.console.installation.retention, books.umbrella, matter="m", reason="r", actor="c")
    gone = books.note(books.umbrella, -1)
    books.look(0)
    evidence.sql("DELETE FROM shop.notes WHERE id = %s", (gone,))
    books.look(1)
    evidence.sql("ALTER TABLE tenure.reconciliations DISABLE TRIGGER append_only")
    evidence.sql(
        "UPDATE tenure.reconciliations SET tenant_id = %s, newly_due = 0, held = 1"
        " WHERE account = 1",
        (str(books.initech),),
    )
    statement = books.statement()
    (balance,) = statement["balances"]
    assert balance["uneven"] > 0
    assert statement["even"] is False
    html = books.console.pages.html("/console/reconciliation")
    assert "does not come out" in html


def test_differences_of_two_nights_that_cancel_each_other_are_seen_all_the_same(books: Books):
    for day in range(3):
        books.look(day)
    for account, due, deleted in ((2, 1, 0), (3, 0, 1)):
        books.console.evidence.sql(
            "INSERT INTO tenure.reconciliations (account, tenant_id, policy, table_name, opening,"
            " newly_due, deleted, deleted_along, removed, no_longer_due, held, undeletable, paused,"
            " still_due, vanished)"
            " VALUES (%s, %s, 'old-notes', 'shop.notes', 0, %s, %s, 0, 0, 0, 0, 0, 0, 0, 0)",
            (account, str(books.umbrella), due, deleted),
        )
    statement = books.statement()
    (balance,) = statement["balances"]
    assert (balance["difference"], balance["vanished"], balance["uneven"]) == (0, 0, 1)
    assert statement["even"] is False
    (book,) = statement["books"]
    assert (book["difference"], book["uneven_accounts"]) == (0, [2, 3])
    for text in forms(books, "/console/reconciliation"):
        assert "does not come out" in text
        assert "2, 3" in text
    # What was uneven before the period is none of its accounts.
    assert books.statement(**{"from": 2})["even"] is None


def forms(books: Books, path: str) -> list[str]:
    """The page, and the paper, as text."""
    pdf = books.console.pages.client.get(path.replace("reconciliation", "reconciliation.pdf"))
    return [books.console.pages.html(path), paper_of(pdf.data)]


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils is not installed")
def test_where_nobody_looked_it_is_not_said_to_come_out_even(books: Books):
    def told(path: str) -> None:
        assert books.console.pages.json(path)["even"] is None
        for text in forms(books, path):
            assert "not known: nobody looked" in text
            assert "comes out even" not in text
            assert "Nothing was due" not in text

    told("/console/reconciliation")
    for day in (0, 1):
        books.look(day)
    books.turn_the_clock()
    # A quarter without any account, between two that have some or after all of them.
    told("/console/reconciliation?from=2027-01-01&until=2027-04-01")
    told("/console/reconciliation?until=2020-01-01")
    assert books.statement()["even"] is True
    for text in forms(books, "/console/reconciliation?until=2026-11-21T12:00:00Z"):
        assert "comes out even" in text
        assert "Nothing was due" in text
        assert "Longest time between two" in text
        assert re.search(r"\b1 ?d\b", text)


def test_vanished_rows_are_red_on_the_pages(books: Books):
    books.shop.record()
    place(books.console.installation.retention, books.umbrella, matter="m", reason="r", actor="c")
    gone = books.note(books.umbrella, -1)
    books.look(0)
    books.console.evidence.sql("DELETE FROM shop.notes WHERE id = %s", (gone,))
    books.look(1)
    assert "does not come out" in books.console.pages.html("/console/reconciliation")
    rows = books.console.pages.tables("/console/reconciliation")["books"]
    assert rows[0]["Tenant"].text.startswith("Umbrella")
    assert rows[0]["Difference"].values == ["1", "1"]
    totals = books.console.pages.json("/console")["totals"]
    assert (totals["unreconciled"], totals["counted"], totals["adds_up"]) == (1, 1, True)
    assert "rows or records that do not come out" in books.console.pages.html("/console")
    trend = books.console.pages.json("/console/policies/old-notes")["trend"]
    assert [point["unreconciled"] for point in trend] == [1, 0]


def test_of_each_day_the_last_verification(books: Books):
    evidence = books.console.evidence
    for _ in range(3):
        evidence.verification()
    evidence.sql("ALTER TABLE tenure.verifications DISABLE TRIGGER append_only")
    evidence.sql(
        "UPDATE tenure.verifications SET finished_at = x.at FROM (SELECT id,"
        " timestamptz '2026-11-20 23:00+00' + interval '50 min' * (row_number() OVER (ORDER BY id))"
        " AS at FROM tenure.verifications) x WHERE x.id = verifications.id"
    )

    def ends(path: str) -> list[str]:
        report = books.console.pages.json(path)
        return [v["finished_at"][:16] for v in report["verifications"]]

    whole = ["2026-11-21T01:30", "2026-11-21T00:40", "2026-11-20T23:50"]
    assert ends("/console/verifications") == whole
    assert ends("/console/verifications?every=day") == [whole[0], whole[2]]
    csv = books.console.pages.client.get("/console/verifications.csv?every=day&size=1")
    assert "every=day" in csv.headers["Link"]
    assert books.console.pages.client.get("/console/verifications?every=hour").status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "until=2026-13-01",
        "from=2026-02-01&until=2026-02-01",
        "from=2026-01-01T00:00:00",
    ],
)
def test_a_period_that_is_none_is_refused(console: Console, query: str):
    answer = console.pages.client.get(f"/console/reconciliation.json?{query}")
    assert answer.status_code == 400
    assert "instant" in answer.get_json()["message"] or "2026" in answer.get_json()["message"]


def test_links_to_other_forms_and_pages_keep_the_period(books: Books):
    for tenant in (books.umbrella, books.initech):
        books.note(tenant, -1)
    books.run(0)
    books.look(0)
    html = books.console.pages.html("/console/reconciliation?from=2001-01-01&size=1")
    assert "/console/reconciliation.csv?table=books&amp;from=2001-01-01&amp;size=1" in html
    assert "/console/reconciliation?from=2001-01-01&amp;page=2&amp;size=1" in html
