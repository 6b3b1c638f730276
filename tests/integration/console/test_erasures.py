"""Erasures and connectors on the auditors' pages: clocks, what defers them, what went."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest

from api.workshop import desk_of, ground_of, workshop_of
from retention.connectors.declarations import parse_connectors
from retention.erasures.desk import Desk
from retention.hold_scopes import Scope
from retention.holds import place
from tenants.catalog import TableName
from tenants.context import TenantId
from tenants.models import new_id
from tests.unit.retention.test_pdf import text_of

from .conftest import Console

CONNECTORS = """
[connectors.archive]
kind = "files"
root = "files"
prefix = "{tenant}/{key}"
subjects = ["customer"]
deadline = "P7D"
"""
SENTINELS = ("s3ntinel@example.org", "S3ntinel", "Secret v. Acme")


class Case:
    """A tenant of the shop, its customers, and the desk for their erasures."""

    def __init__(self, console: Console, slug: str = "umbrella") -> None:
        self.console = console
        self.tenant = TenantId(console.evidence.tenant(slug))
        shop = workshop_of(console.installation, actor="worker")
        self.desk = desk_of(console.installation, shop)
        self.customers = 0

    def by(self, actor: str) -> Desk:
        return replace(self.desk, executor=replace(self.desk.executor, actor=actor))

    def customer(self) -> UUID:
        self.customers += 1
        key = new_id()
        self.console.evidence.sql(
            "INSERT INTO shop.customers (tenant_id, id, number, name, email, country, created_at)"
            " VALUES (%s, %s, %s, 'S3ntinel', 's3ntinel@example.org', 'Peru', now())",
            (str(self.tenant), str(key), str(self.customers)),
        )
        self.console.evidence.sql(
            "INSERT INTO shop.notes (tenant_id, id, subject_type, subject_id, body, created_at)"
            " VALUES (%s, %s, 'customer', %s, 'S3ntinel', now())",
            (str(self.tenant), str(new_id()), str(key)),
        )
        self.console.evidence.sql(
            "INSERT INTO shop.invoices (tenant_id, id, number, customer_id, issued_at, status,"
            " currency, total) VALUES (%s, %s, %s, %s, '2024-05-06', 'paid', 'GBP', 2)",
            (str(self.tenant), str(new_id()), str(self.customers), str(key)),
        )
        return key

    def hold(self, key: UUID) -> UUID:
        return place(
            self.console.installation.retention,
            self.tenant,
            Scope("subject", TableName("shop", "customers"), subject=key),
            matter="Secret v. Acme",
            reason="r",
            actor="counsel",
            ground=ground_of(self.console.installation),
        )

    def asked(self, key: UUID, days: int = 0) -> UUID:
        return (
            self.by("ann")
            .request(
                self.tenant, "customer", requester="S3ntinel", key=key,
                received_at=datetime.now(UTC) - timedelta(days=days),
            )
            .id
        )  # fmt: skip

    def approved(self, key: UUID, days: int = 0) -> UUID:
        erasure = self.asked(key, days)
        self.by("ann").confirm(erasure, how="S3ntinel")
        self.by("ann").plan(erasure)
        self.by("bob").approve(erasure)
        return erasure


@pytest.fixture
def case(console: Console) -> Case:
    return Case(console)


def report(case: Case, name: str = "erasures", **query: Any) -> Any:
    return case.console.pages.json(f"/console/{name}?{urlencode(query)}")


def test_a_deferred_erasure_says_what_it_waits_for_and_what_went(case: Case) -> None:
    key = case.customer()
    hold = case.hold(key)
    erasure = case.approved(key)
    assert case.desk.run(erasure).erasure.state == "deferred"
    found = report(case)
    assert (found["open"], found["overdue"], found["deferred"]) == (1, 0, 1)
    (line,) = found["erasures"]
    assert (line["state"], line["outcome"]) == ("deferred", "in time")
    assert (line["entered_by"], line["approved_by"]) == ("ann", "bob")
    assert line["waits_for"] == [f"hold {hold}"]
    assert 28 * 86400 - 60 < line["left_s"] <= 31 * 86400
    assert line["took_s"] is None
    waits = {w["table"]: (w["rows"], w["hold"]) for w in found["waiting"]}
    assert waits == {"shop.customers": (1, str(hold)), "shop.notes": (1, str(hold))}
    case.console.evidence.sql(
        "UPDATE tenure.holds SET released_by = 'c', released_at = now(), effective_at = now()"
    )
    assert case.desk.run(erasure).erasure.state == "completed"
    found = report(case)
    assert (found["open"], found["waiting"]) == (0, [])
    (line,) = found["erasures"]
    assert (line["state"], line["outcome"], line["waits_for"]) == (
        "completed", "answered in time", [],
    )  # fmt: skip
    assert (line["rows"], line["batches"], line["left_s"]) == (2, 1, None)
    assert {(e["table"], e["action"], e["rows"]) for e in found["erased"]} == {
        ("shop.customers", "anonymise", 1), ("shop.notes", "delete", 1),
    }  # fmt: skip
    (kept,) = found["kept"]
    assert (kept["table"], kept["rows"]) == ("shop.invoices", 1)
    assert "§ 147 AO" in kept["basis"]
    assert kept["ends"] == ["invoices-10-years until 2034-05-06"]
    events = [e["event"] for e in reversed(found["events"])]
    assert events == [
        "received", "confirmed", "planned", "approved", "started", "deferred", "resumed",
        "verified", "completed",
    ]  # fmt: skip


def test_a_key_that_an_erasure_took_is_traced_to_it(case: Case) -> None:
    key = case.customer()
    erasure = case.approved(key)
    assert case.desk.run(erasure).erasure.state == "completed"
    found = report(case, "samples", key=str(key))
    (line,) = found["erased"]
    assert (line["erasure_id"], line["tenant"]) == (str(erasure), "umbrella")
    assert (line["table"], line["action"]) == ("shop.customers", "anonymise")
    assert found["samples"] == []
    assert report(case, "samples", key=str(key), of="shop.notes")["erased"] == []
    assert report(case, "samples", key=str(new_id()))["erased"] == []
    page = case.console.pages.html(f"/console/samples?key={key}")
    assert str(erasure) in page


def test_the_overdue_come_first_and_are_counted(case: Case) -> None:
    late = case.asked(case.customer(), days=40)
    soon = case.asked(case.customer(), days=20)
    later = case.asked(case.customer())
    refused = case.asked(case.customer(), days=50)
    case.by("ann").refuse(refused, ground="identity")
    found = report(case)
    assert (found["open"], found["overdue"], found["deferred"]) == (3, 1, 0)
    outcomes = [(UUID(e["id"]), e["outcome"]) for e in found["erasures"]]
    assert outcomes == [
        (late, "overdue"), (soon, "in time"), (later, "in time"), (refused, "answered late"),
    ]  # fmt: skip
    assert found["erasures"][0]["left_s"] < -8 * 86400
    assert found["erasures"][3]["took_s"] > 49 * 86400
    page = case.console.pages.html("/console/erasures")
    assert "overdue" in page
    assert "answered late" in page
    rows = case.console.pages.tables("/console/erasures")["erasures"]
    assert rows[0]["Erasure"].text.strip().startswith(str(late))


def test_a_period_and_a_tenant_choose_what_was_open_then(console: Console, case: Case) -> None:
    other = Case(console, "initech")
    mine = case.asked(case.customer(), days=40)
    theirs = other.asked(other.customer(), days=10)
    case.by("ann").withdraw(mine)

    def of(**query: Any) -> set[UUID]:
        return {UUID(e["id"]) for e in report(case, **query)["erasures"]}

    def day(ago: int) -> str:
        return (datetime.now(UTC) - timedelta(days=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")

    assert of() == {mine, theirs}
    assert of(tenant="umbrella") == {mine}
    assert of(tenant="initech") == {theirs}
    assert of(until=day(20)) == {mine}
    assert of(until=day(50)) == set()
    assert of(**{"from": day(5)}) == {mine, theirs}
    assert of(**{"from": day(-1), "until": day(-2)}) == {theirs}
    assert report(case, tenant="umbrella")["open"] == 0
    assert report(case, tenant="initech")["open"] == 1


def test_no_form_says_whom_it_is_about(case: Case) -> None:
    key = case.customer()
    case.hold(key)
    erasure = case.approved(key)
    case.desk.run(erasure)
    pages = case.console.pages
    pdf = pages.client.get("/console/erasures.pdf")
    assert pdf.mimetype == "application/pdf"
    texts = [pages.html("/console/erasures"), json.dumps(report(case)), text_of(pdf.data)]
    texts += [
        pages.client.get(f"/console/erasures.csv?table={table}").text
        for table in ("erasures", "waiting", "erased", "kept", "events")
    ]
    for text in texts:
        assert str(key) not in text
        assert not [one for one in SENTINELS if one in text]
        assert text
    assert str(erasure) in texts[0]


def test_connectors_have_their_clocks(case: Case, tmp_path: Any) -> None:
    connectors = parse_connectors(CONNECTORS, folder=tmp_path)
    shop = replace(workshop_of(case.console.installation, actor="worker"), connectors=connectors)
    case.desk = desk_of(case.console.installation, shop)
    erasure = case.approved(case.customer())
    assert case.desk.run(erasure).erasure.state == "deferred"
    (line,) = report(case)["erasures"]
    assert line["waits_for"] == ["connector archive"]
    found = report(case, "connectors")
    assert (found["open"], found["overdue"]) == (1, 0)
    (account,) = found["connectors"]
    assert (account["connector"], account["requests"], account["open"]) == ("archive", 1, 1)
    (asked,) = found["requests"]
    assert (asked["state"], asked["outcome"]) == ("open", "in time")
    assert (asked["cause"], asked["cause_id"]) == ("erasure", str(erasure))
    assert 6 * 86400 < asked["left_s"] <= 7 * 86400
    case.console.evidence.sql(
        "UPDATE tenure.connector_requests SET requested_at = now() - interval '9 days',"
        " due_at = now() - interval '2 days'"
    )
    found = report(case, "connectors")
    assert (found["overdue"], found["connectors"][0]["overdue"]) == (1, 1)
    assert found["requests"][0]["outcome"] == "overdue"
    assert [e["event"] for e in found["events"]] == ["requested"]
    assert report(case, "connectors", tenant="umbrella")["open"] == 1
    page = case.console.pages.html("/console/connectors")
    assert "overdue" in page
    assert "s3ntinel@example.org" not in page
