"""Seeded faults are seen, hostile evidence stays text, and lists stay bounded."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import get_args

import psycopg2
import pytest

from retention.plan import Plan, PlannedPolicy, Unit
from retention.policies import Policy
from retention.verification_report import Kind
from tenants.catalog import TableName
from tenants.context import TenantId
from tenants.models import new_id

from .conftest import NOW, Console

CUTOFF = NOW - timedelta(days=3650)
HOSTILE = """'"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}&lt;"""


def plan_of(*units: tuple[str, object, int, int]) -> dict:
    """Return a plan's JSON of (policy, tenant, due, rows of invoices that go)."""
    names = dict.fromkeys(policy for policy, *_ in units)
    policies = tuple(
        PlannedPolicy(
            Policy(name, TableName("shop", "invoices"), "issued_at", "P10Y", (), "law", "class"),
            1,
            CUTOFF,
            ("shop.invoices",),
        )
        for name in names
    )
    return Plan(
        NOW,
        "cd" * 32,
        policies,
        tuple(
            Unit(policy, TenantId(tenant), "slug", due, (("shop.invoices", rows),), (), 0)
            for policy, tenant, due, rows in units
        ),
    ).to_json()


@pytest.mark.parametrize("kind", [kind for kind in get_args(Kind) if kind != "undated"])
def test_a_finding_of_any_kind_is_a_red_tile(console: Console, kind: str):
    tenant = console.evidence.tenant("umbrella", "Umbrella")
    found = (kind, "something", tenant, 3, 0, None)
    verification = console.evidence.verification(("overdue", "fine", None, 0, 0, None), found)
    for path in ("/console", f"/console/verifications/{verification}"):
        totals = console.pages.json(path)["totals"]
        assert sum(totals[name] for name in totals if name not in ("counted", "adds_up")) == 3
        html = console.pages.html(path)
        assert html.count('class="tile bad"') == 1
        assert kind not in {row["Looked for"].text for row in console.pages.tables(path)["checks"]}


def test_overdue_and_orphaned_rows_are_seen_at_once(console: Console):
    acme = console.evidence.tenant("umbrella", "Umbrella")
    oldest = NOW - timedelta(days=40)
    verification = console.evidence.verification(
        ("overdue", "old-invoices", acme, 12, 3, oldest, 7),
        ("overdue", "fine", None, 0, 0, None),
        ("orphans", "shop.invoice_lines.invoice_id -> shop.invoices", acme, 5, 0, None),
        ("undated", "old-invoices", acme, 100, 0, None),
    )
    html = console.pages.html("/console")
    rows = {row["In"].text + row["Looked for"].text: row
            for row in console.pages.tables("/console")["checks"]}  # fmt: skip
    overdue = rows["old-invoicesOverdue rows"]
    assert overdue["Result"].text == "finding"
    assert (overdue["Rows found"].number, overdue["Past period, held"].number) == (12, 3)
    assert overdue["Past period, paused"].number == 7
    assert "kept by a paused policy alone" in html
    assert overdue["Oldest"].values == ["2026-10-11T12:00:00Z"]
    assert (
        rows["shop.invoice_lines.invoice_id -> shop.invoicesOrphaned rows"]["Result"].text
        == "finding"
    )
    assert rows["fineOverdue rows"]["Result"].text == "none"
    assert rows["old-invoicesRows without a start"]["Result"].text == "shown, no finding"
    assert html.count('class="tile bad"') == 2
    report = console.pages.json("/console")
    assert report["totals"] == {
        "overdue": 12, "orphans": 5, "held_missing": 0, "returned": 0, "records": 0,
        "unreconciled": 0, "erasures": 0, "undated": 100, "held": 3, "undeletable": 0, "paused": 7,
        "counted": 17, "adds_up": True,
    }  # fmt: skip
    page = console.pages.html(f"/console/verifications/{verification}")
    assert "Umbrella" in page
    assert "SELECT count(*) -- old-invoices" in page


def test_latest_verification_is_the_one_shown(console: Console):
    console.evidence.verification(("overdue", "p", None, 9, 0, NOW))
    console.evidence.verification(("overdue", "p", None, 0, 0, None))
    assert console.pages.json("/console")["totals"]["overdue"] == 0
    found = [v["findings"] for v in console.pages.json("/console/verifications")["verifications"]]
    assert found == [0, 9]


def test_findings_that_do_not_add_up_are_an_alarm(console: Console):
    console.evidence.verification(("overdue", "p", None, 0, 0, None), findings=7)
    assert "recorded 7 findings, its results come to 0" in console.pages.html("/console")
    assert console.pages.json("/console")["totals"]["adds_up"] is False


def test_failed_run_shows_its_error(console: Console):
    error = "invoices of acme: OperationalError: server closed the connection"
    _, trace = console.evidence.run(state="failed", detail=error)
    for path in ("/console", "/console/runs", f"/console/runs/{trace}"):
        html = console.pages.html(path)
        assert error in html
        assert 'class="badge bad"' in html
    assert console.pages.json(f"/console/runs/{trace}")["run"]["detail"] == error
    assert console.pages.csv("/console/runs", "runs")[0]["state"] == "failed"


def test_changed_plan_is_an_alarm(console: Console):
    plan = plan_of(("p", new_id(), 5, 5))
    plan["units"][0]["due"] = 500
    _, trace = console.evidence.run(plan=plan)
    assert "digest does not match" in console.pages.html(f"/console/runs/{trace}")
    report = console.pages.json(f"/console/runs/{trace}")
    assert report["plan"] is None
    assert "digest does not match" in report["plan_problem"]


def test_run_without_a_readable_plan_is_shown_all_the_same(console: Console):
    for plan in ([], "x", 1, {}, {"units": [{"goes": [{"rows": "many"}]}]}):
        _, trace = console.evidence.run(plan=plan)
        assert "The recorded plan: this is no plan" in console.pages.html(f"/console/runs/{trace}")
    runs = console.pages.json("/console/runs")["runs"]
    assert [run["planned"] for run in runs] == [0] * 5


def test_executor_that_does_other_than_planned_is_seen(console: Console):
    evidence = console.evidence
    names = ("beyond", "fewer", "fine", "other")
    for name in (*names, "stray"):
        evidence.policy(name)
    tenants = {name: evidence.tenant(name) for name in (*names, "stray")}
    run = evidence.run(
        plan=plan_of(
            ("beyond", tenants["beyond"], 5, 5),
            ("fewer", tenants["fewer"], 8, 8),
            ("fine", tenants["fine"], 4, 4),
            ("other", tenants["other"], 4, 4),
        )
    )
    evidence.batch(run, tenants["beyond"], "beyond", 6)
    evidence.batch(run, tenants["fewer"], "fewer", 3)
    evidence.batch(run, tenants["fine"], "fine", 1)
    evidence.batch(run, tenants["fine"], "fine", 3)
    evidence.batch(run, tenants["other"], "other", 4, cutoff=CUTOFF + timedelta(days=1))
    evidence.batch(run, tenants["stray"], "stray", 2)
    report = console.pages.json(f"/console/runs/{run[1]}")
    assert {unit["policy"]: unit["outcome"] for unit in report["units"]} == {
        "beyond": "beyond due",
        "fewer": "fewer",
        "fine": "as planned",
        "other": "other terms",
        "stray": "not planned",
    }
    assert report["totals"]["unexplained"] == 5
    outcomes = {row["Tenant"].text: row["Outcome"].text.strip()
                for row in console.pages.tables(f"/console/runs/{run[1]}")["units"]}  # fmt: skip
    assert outcomes == {
        "Beyond": "more than was due",
        "Fewer": "fewer than planned",
        "Fine": "as planned",
        "Other": "another version or cutoff",
        "Stray": "not in the plan",
    }


def test_batch_whose_counts_do_not_add_up_is_an_alarm(console: Console):
    evidence = console.evidence
    evidence.policy("p")
    tenant = evidence.tenant("umbrella")
    run = evidence.run(plan=plan_of(("p", tenant, 9, 9)))
    counts = {"shop.invoices": {"rows": 4, "sha256": "00"}, "shop.x": "?", "shop.y": {"rows": "1"}}
    evidence.batch(run, tenant, "p", 9, counts=json.dumps(counts))
    evidence.batch(run, tenant, "p", 0, counts="[]")
    html = console.pages.html(f"/console/runs/{run[1]}")
    assert "The batches recorded 9 rows, their counts per table come to 4." in html
    totals = console.pages.json(f"/console/runs/{run[1]}")["totals"]
    assert (totals["done"], totals["counted"], totals["adds_up"]) == (9, 4, False)


def test_running_run_is_shown_so_far(console: Console):
    evidence = console.evidence
    evidence.policy("p")
    tenant = evidence.tenant("umbrella")
    run = evidence.run(plan=plan_of(("p", tenant, 9, 9)), state="running")
    evidence.batch(run, tenant, "p", 4)
    html = console.pages.html(f"/console/runs/{run[1]}")
    assert "it is running" in html
    assert "so far" in html
    assert "not yet done" in html
    assert console.pages.json(f"/console/runs/{run[1]}")["run"]["seconds"] is None


def test_version_that_was_changed_afterwards_is_seen(console: Console):
    console.evidence.policy("good")
    console.evidence.policy("bad", digest="00" * 32)
    assert "does not match" not in console.pages.html("/console/policies/good")
    assert "does not match" in console.pages.html("/console/policies/bad")


def test_policy_that_the_last_run_left_out_is_marked(console: Console):
    console.evidence.policy("in-force")
    console.evidence.policy("dropped")
    assert {p["in_last_run"] for p in console.pages.json("/console")["policies"]} == {None}
    console.evidence.run(plan=plan_of(("in-force", new_id(), 1, 1)))
    shown = {p["policy"]: p["in_last_run"] for p in console.pages.json("/console")["policies"]}
    assert shown == {"in-force": True, "dropped": False}
    assert console.pages.html("/console").count("not in the last run") == 1


def test_holds_in_force_and_released(console: Console):
    tenant = console.evidence.tenant("umbrella", "Umbrella")
    console.evidence.hold(tenant, matter="open matter")
    released, long_after = NOW + timedelta(days=1), datetime(2999, 1, 1, tzinfo=UTC)
    console.evidence.hold(
        tenant, matter="old matter", released_by="counsel", released_at=released,
        effective_at=released,
    )  # fmt: skip
    console.evidence.hold(
        tenant, matter="ending matter", released_by="counsel", released_at=released,
        effective_at=long_after, placed_at=NOW - timedelta(days=9),
    )  # fmt: skip
    overview = console.pages.html("/console")
    assert "open matter" in overview
    assert "old matter" not in overview
    rows = console.pages.tables("/console/holds")["holds"]
    states = [row["State"].text for row in rows]
    assert states[0].startswith("in forcefor ")
    assert states[1].startswith("in force, released")
    assert "left, until 2999-01-01" in states[1]
    assert states[2].startswith("releasedwas in force for ")
    assert console.pages.json("/console/holds")["in_force"] == 2


def test_held_rows_that_are_missing_are_seen_at_once(console: Console):
    acme = console.evidence.tenant("umbrella", "Umbrella")
    verification = console.evidence.verification(
        ("held_missing", "shop.invoices", acme, 3, 0, NOW), findings=3
    )
    overview = console.pages.html("/console")
    assert "Held rows missing" in overview
    assert overview.count('class="tile bad"') == 1
    assert console.pages.json("/console")["totals"]["adds_up"] is True
    page = console.pages.html(f"/console/verifications/{verification}")
    assert "Rows missing under hold" in page
    assert page.count('class="tile bad"') == 1


def test_what_a_hold_is_on_and_what_became_of_it(console: Console):
    tenant = console.evidence.tenant("umbrella", "Umbrella")
    subject = str(new_id())
    table = {"table_name": "shop.customers"}
    scopes = {
        "rows": table,
        "table": {**table, "condition": "r.country < 'DE'"},
        "subject": {**table, "subject_id": subject, "rows_then": 7, "keys_kept": True},
        "tenant": {"rows_then": 200_000},
    }
    for days, (scope, columns) in enumerate(scopes.items()):
        console.evidence.hold(
            tenant, scope=scope, placed_at=NOW - timedelta(days=9 - days), **columns
        )
    rows = console.pages.tables("/console/holds")["holds"]
    assert [row["On"].text.replace("\n", "") for row in rows] == [
        "all of the tenant200,000 rows when placed, keys not kept",
        f"shop.customers {subject} and all that refers to it7 rows when placed",
        "shop.customers where r.country < 'DE'not counted when placed",
        "rows of shop.customersnot counted when placed",
    ]
    shown = console.pages.json("/console/holds")["holds"]
    assert [hold["scope"] for hold in shown] == list(scopes)[::-1]
    assert shown[1]["subject_id"] == subject


def test_hostile_evidence_is_text_on_every_page(console: Console):
    evidence = console.evidence
    tenant = evidence.tenant("hostile", HOSTILE)
    fields = ("legal_basis", "period", "starts", "table", "state", "class", HOSTILE)
    evidence.policy(HOSTILE, **dict.fromkeys(fields, HOSTILE), **{"with": [HOSTILE]})
    evidence.policy(HOSTILE, 2, legal_basis=[HOSTILE])
    evidence.sql(
        "INSERT INTO tenure.policy_states (policy, tenant_id, state, changed_by)"
        " VALUES (%s, %s, 'paused', %s)",
        (HOSTILE, str(tenant), HOSTILE),
    )
    run = evidence.run(state="failed", detail=HOSTILE, started_by=HOSTILE)
    counts = {HOSTILE: {"rows": 1, "sha256": HOSTILE}}
    evidence.batch(run, tenant, HOSTILE, 1, counts=json.dumps(counts))
    verification = evidence.verification(("overdue", HOSTILE, tenant, 1, 0, NOW))
    evidence.hold(tenant, matter=HOSTILE, reason=HOSTILE, placed_by=HOSTILE)
    evidence.read(actor=HOSTILE, reason=HOSTILE, place=HOSTILE, statement=HOSTILE)
    link = next(part for part in console.pages.html("/console").split('"')
                if part.startswith("/console/policies/"))  # fmt: skip
    paths = [
        "/console",
        "/console/runs",
        f"/console/runs/{run[1]}",
        unescape(link),
        "/console/holds",
        "/console/reads",
        "/console/verifications",
        f"/console/verifications/{verification}",
    ]
    for path in paths:
        html = console.pages.html(path)
        assert "<script" not in html, path
        assert "<img" not in html, path
        assert "{{ 7*7 }}" in html or path == "/console/verifications", path
        if path != "/console/verifications":
            assert "&lt;script&gt;alert(1)" in html, path
    missing = console.pages.client.get(
        "/console/policies/<script>", headers={"Accept": "text/html"}
    )
    assert missing.status_code == 404
    assert "<script" not in missing.text


def test_policy_of_any_name_can_be_opened_from_the_overview(console: Console):
    names = ["a/b", "x.json", "Ω mega", "?a=b&c#d", "100%"]
    for name in names:
        console.evidence.policy(name)
    links = [
        unescape(part)
        for part in console.pages.html("/console").split('"')
        if part.startswith("/console/policies/")
    ]
    opened = [console.pages.client.get(link + "?format=json").get_json() for link in links]
    assert sorted(report["current"]["policy"] for report in opened) == sorted(names)


def test_csv_starts_no_formula(console: Console):
    formulas = [f'{start}HYPERLINK("https://evil.example","x")' for start in "=+-@\t\r\n＝"]
    for formula in formulas:
        console.evidence.run(state="failed", detail=formula, started_by=formula)
    rows = console.pages.csv("/console/runs", "runs")
    assert sorted(row["detail"] for row in rows) == sorted("'" + formula for formula in formulas)
    assert all(row["started_by"].startswith("'") for row in rows)
    shown = {run["detail"] for run in console.pages.json("/console/runs")["runs"]}
    assert shown == set(formulas)


def test_csv_keeps_lines_quotes_and_other_alphabets(console: Console):
    detail = 'line one\r\nline "two", Ωμέγα 日本'
    console.evidence.run(state="failed", detail=detail)
    answer = console.pages.client.get("/console/runs.csv")
    assert answer.content_type == "text/csv; charset=utf-8; header=present"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="tenure-runs-runs.csv"'
    assert console.pages.csv("/console/runs", "runs")[0]["detail"] == detail


def test_lists_are_cut_into_pages(console: Console):
    traces = [
        console.evidence.run(started_at=NOW - timedelta(minutes=n), finished_at=NOW)[1]
        for n in range(5)
    ]
    seen, path = [], "/console/runs?size=2"
    for number in (1, 2, 3):
        report = console.pages.json(path)
        assert report["page"]["number"] == number
        seen += [run["trace_id"] for run in report["runs"]]
        html = console.pages.html(path)
        assert ('rel="prev"' in html) == (number > 1)
        assert ('rel="next"' in html) == (number < 3)
        path = f"/console/runs?page={number + 1}&size=2"
    assert seen == traces
    assert report["page"]["next"] is None
    assert "No run is on this page" in console.pages.html("/console/runs?page=4&size=2")


def test_a_page_is_cut_in_the_database(console: Console):
    tenant = console.evidence.tenant("umbrella")
    console.evidence.policy("p")
    run = console.evidence.run(plan=plan_of(("p", tenant, 12, 12)))
    for n in range(12):
        console.evidence.run(started_at=NOW - timedelta(minutes=n))
        console.evidence.batch(run, tenant, "p", 1)
        console.evidence.hold(tenant)
        console.evidence.read()
        results = [("overdue", f"policy-{m}", tenant, 0, 1, None) for m in range(12)]
        verification = console.evidence.verification(*results[: 12 if n == 11 else 0])
    # Beside the page itself: the database's time, the policy's schedule, sums per unit, per table,
    # per tenant, or per check.
    for path, beside in {
        "/console/runs": 2,
        "/console/holds": 1,
        "/console/reads": 1,
        "/console/verifications": 1,
        f"/console/runs/{run[1]}": 3,
        f"/console/verifications/{verification}": 12,
    }.items():
        before = console.auditor.rows
        console.pages.html(path + "?size=3")
        assert console.auditor.rows - before == 4 + beside, path


def test_csv_of_a_page_names_the_next(console: Console):
    for _ in range(3):
        console.evidence.read()
    answer = console.pages.client.get("/console/reads.csv?table=reads&size=2")
    assert len(answer.text.splitlines()) == 3
    assert answer.headers["Link"] == '</console/reads.csv?table=reads&page=2&size=2>; rel="next"'
    assert (
        len(
            console.pages.client.get(
                "/console/reads.csv?table=reads&page=2&size=2"
            ).text.splitlines()
        )
        == 2
    )


def test_overview_costs_no_more_statements_with_more_evidence(console: Console):
    def statements() -> int:
        before = console.auditor.statements
        console.pages.html("/console")
        return console.auditor.statements - before

    evidence = console.evidence

    def more(count: int, start: int) -> None:
        for n in range(start, start + count):
            tenant = evidence.tenant(f"tenant-{n}")
            evidence.policy(f"policy-{n}")
            run = evidence.run(plan=plan_of((f"policy-{n}", tenant, 1, 1)))
            evidence.batch(run, tenant, f"policy-{n}", 1)
            evidence.hold(tenant)
            evidence.read()
        evidence.verification(*[("overdue", f"policy-{n}", None, 0, 0, None) for n in range(count)])

    more(1, 0)
    few = statements()
    more(12, 1)
    assert statements() == few
    report = console.pages.json("/console")
    assert len(report["policies"]) == 13
    assert len(report["runs"]) == len(report["holds"]) == len(report["reads"]) == 10
    assert report["holds_in_force"] == 13


def test_figures_of_a_page_are_of_one_moment(console: Console):
    """A hold that commits between two of the page's statements is in none of its figures."""
    tenant = console.evidence.tenant("umbrella")
    console.pages.json("/console")
    first = console.auditor.statements + 1
    console.auditor.after[first] = lambda: console.evidence.hold(tenant)
    report = console.pages.json("/console")
    assert not console.auditor.after
    assert (report["holds_in_force"], report["holds"]) == (0, [])
    assert console.pages.json("/console")["holds_in_force"] == 1


def test_pages_are_read_as_a_role_that_can_neither_write_nor_see_a_tenants_rows(console: Console):
    with console.installation.auditor.transaction(None) as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("tenure_auditor",)
    for statement in ("SELECT 1 FROM shop.customers", "DELETE FROM tenure.runs"):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            console.installation.auditor.transaction(None) as cursor,
        ):
            cursor.execute(statement)
