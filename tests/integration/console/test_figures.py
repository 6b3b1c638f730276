"""After real runs and verifications: page, JSON and CSV say the same, and the sums come out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from api.wiring import Installation, owner_of
from api.workshop import workshop_of
from config.trace import new_trace_id
from retention.executor import Options, RunReport
from retention.holds import place
from retention.jobs import run_once
from retention.policy_records import set_state
from retention.verification import VerificationReport
from tenants.importing import generator_of
from tenants.registry import ensure_tenant, slug_of

from .conftest import Console, open_console


@dataclass(frozen=True)
class Audited:
    """The console after retention did its work on the shop's sample data."""

    console: Console
    first: RunReport
    last: RunReport
    verified: VerificationReport

    @property
    def pages(self):
        return self.console.pages

    @property
    def run(self) -> str:
        return f"/console/runs/{self.last.trace_id}"

    def path(self, path: str) -> str:
        """Return a path, with the names of the last run and verification filled in."""
        verification = f"/console/verifications/{self.verified.id}"
        return {"RUN": self.run, "VERIFICATION": verification}.get(path, path)


@pytest.fixture(scope="module")
def audited(installed) -> Iterator[Audited]:
    with open_console(installed) as console:
        yield _audited(installed, console)


def _audited(installed: Installation, console: Console) -> Audited:
    ids = {}
    with owner_of(installed.settings) as owner:

        def ensure(name):
            ids[name] = ensure_tenant(owner, slug_of(name), name)
            return ids[name]

        now = installed.clock.now()
        generator_of(installed.domain)(ensure, now=now, trace_id=new_trace_id(), scale=0.1)
    workshop = workshop_of(installed, actor="tester", options=Options(batch_size=10))
    first = run_once(workshop, lambda: workshop.plan(as_of=now - timedelta(days=700)))
    place(installed.retention, ids["Linden Books"], matter="A v. B", reason="keep", actor="counsel")
    set_state(installed.retention, ids["Alpine Bicycles"], "old-notes", "paused", actor="tester")
    last = run_once(workshop, workshop.plan)
    shorter = tuple(
        replace(p, period="P1Y", legal_basis="another basis") if p.name == "old-notes" else p
        for p in workshop.policies
    )
    changed = replace(workshop, policies=shorter)
    changed.record()
    return Audited(console, first, last, changed.verify(trace_id=new_trace_id()))


def test_the_data_puts_every_figure_to_work(audited):
    assert audited.first.rows > 100
    assert audited.last.rows > 50
    assert audited.last.state == "succeeded_with_skips"
    assert sum(audited.verified.overdue().values()) > 0


SUMS = {
    "Opening due": "opening", "Newly due": "newly_due", "Done by batches": "deleted",
    "Done along": "deleted_along", "Removed by users": "removed",
    "No longer due": "no_longer_due", "Held": "held", "Undeletable": "undeletable",
    "Paused": "paused", "Still due": "still_due", "Difference": "difference",
}  # fmt: skip
SAME = {
    "runs": ("/console", "runs", {"Rows planned": "planned", "Rows done": "done",
                                  "Batches": "batches", "Took": "seconds"}),
    "all runs": ("/console/runs", "runs", {"Rows planned": "planned", "Rows done": "done",
                                           "Batches": "batches", "Took": "seconds"}),
    "policies": ("/console", "policies", {"Version": "version"}),
    "checks": ("/console", "checks", {"Rows found": "found", "In tenants": "tenants",
                                      "Past period, held": "held",
                                      "undeletable": "undeletable",
                                      "Past period, paused": "paused"}),
    "holds": ("/console/holds", "holds", {"Placed": "placed_at"}),
    "events": ("/console/holds", "events", {"When": "happened_at"}),
    "units": ("RUN", "units", {"Due": "due", "of it done": "due_done",
                               "of it kept": "due_left", "All rows planned": "planned",
                               "All rows done": "done"}),
    "tables": ("RUN", "tables", {"Planned": "planned", "Done": "done"}),
    "batches": ("RUN", "batches", {"Rows": "rows", "Took": "seconds", "Recorded": "recorded_at",
                                   "Cutoff": "cutoff"}),
    "versions": ("/console/policies/old-notes", "versions", {"Version": "version",
                                                             "Recorded": "recorded_at"}),
    "exceptions": ("/console/policies/old-notes", "exceptions", {"Since": "changed_at"}),
    "results": ("VERIFICATION", "results", {"Rows found": "found", "Past period, held": "held",
                                            "undeletable": "undeletable",
                                            "Past period, paused": "paused"}),
    "verifications": ("/console/verifications", "verifications",
                      {"Findings": "findings", "Ended": "finished_at", "Overdue": "overdue",
                       "Back": "returned", "Orphans": "orphans", "Past period, held": "held",
                       "undeletable": "undeletable", "paused": "paused"}),
    "balances": ("/console/reconciliation", "balances", {**SUMS}),
    "books": ("/console/reconciliation", "books", {**SUMS}),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_page_json_and_csv_say_the_same(audited, case):
    path, name, columns = SAME[case]
    path = {
        "RUN": audited.run,
        "VERIFICATION": f"/console/verifications/{audited.verified.id}",
    }.get(path, path)
    tables = audited.pages.tables(path)
    shown = tables[name] + tables.get(f"{name}-silent", [])
    as_json = audited.pages.json(path)[name]
    as_csv = audited.pages.csv(path, name)
    assert len(shown) == len(as_json) == len(as_csv) > 0
    for label, key in columns.items():
        expected = Counter(str(row[key]) for row in as_json)
        assert Counter(row[label].values[0] for row in shown) == expected, label
        assert Counter(row[key] for row in as_csv) == expected, label


def test_run_shows_what_the_engine_reported(audited):
    report = audited.pages.json(audited.run)
    assert report["run"]["done"] == audited.last.rows
    assert report["run"]["state"] == audited.last.state
    assert report["run"]["detail"] == audited.last.detail
    deleted = {row["table"]: row["done"] for row in report["tables"] if row["done"]}
    assert deleted == audited.last.deleted()
    assert report["plan"]["digest"]
    assert report["plan_problem"] is None


def test_statement_of_a_run_comes_out_even(audited):
    report = audited.pages.json(audited.run)
    totals, units = report["totals"], report["units"]
    assert totals["adds_up"] is True
    assert totals["due"] == totals["due_done"] + totals["due_left"]
    assert totals["due_left"] == totals["held"] + totals["paused"] + totals["referenced"]
    assert totals["held"] > 0
    assert totals["paused"] > 0
    assert totals["unexplained"] == 0
    for key in ("due", "due_done", "due_left", "planned", "done", "undated", "batches"):
        assert totals[key] == sum(unit[key] for unit in units), key
    batches = audited.pages.json(audited.run + "?size=1000")["batches"]
    assert totals["batches"] == len(batches)
    assert totals["done"] == totals["counted"] == sum(b["rows"] for b in batches)
    assert totals["done"] == sum(c["rows"] for b in batches for c in b["counts"])
    assert {unit["outcome"] for unit in units} == {"as planned", "kept"}


def test_digest_of_a_batch_is_over_the_keys_that_went(audited):
    batch = audited.pages.json(audited.run)["batches"][0]
    rows = audited.pages.csv(audited.run, "batch_tables")
    assert rows[0]["batch"] == batch["id"]
    assert rows[0]["sha256"] == batch["counts"][0]["sha256"]
    assert len(rows[0]["sha256"]) == len(hashlib.sha256().hexdigest())
    assert batch["counts"][0]["sha256"][:12] in audited.pages.html(audited.run)


def test_batches_over_all_pages_are_all_the_batches(audited):
    run = f"/console/runs/{audited.first.trace_id}"
    whole = audited.pages.json(run + "?size=1000")["batches"]
    assert len(whole) > 8
    path, seen = run + ".json?size=4", []
    while path:
        answer = audited.pages.client.get(path)
        seen += answer.get_json()["batches"]
        link = answer.headers.get("Link", "")
        path = link.partition(">")[0].removeprefix("<")
    assert seen == whole


def test_overdue_rows_and_their_oldest_are_on_the_overview(audited):
    overdue = sum(audited.verified.overdue().values())
    report = audited.pages.json("/console")
    assert report["totals"]["overdue"] == overdue
    assert report["totals"]["adds_up"] is True
    row = next(
        r for r in audited.pages.tables("/console")["checks"] if "finding" in r["Result"].text
    )
    assert row["In"].text == "old-notes"
    assert row["Rows found"].number == overdue
    oldest = min(r.oldest for r in audited.verified.results if r.kind == "overdue" and r.found)
    assert row["Oldest"].values[0] == oldest.isoformat().replace("+00:00", "Z")


def test_policy_shows_what_a_version_changed(audited):
    report = audited.pages.json("/console/policies/old-notes")
    newest, first = report["versions"]
    assert first["changes"] is None
    assert newest["changes"] == [
        {
            "field": "legal_basis",
            "before": first["definition"]["legal_basis"],
            "after": "another basis",
        },
        {"field": "period", "before": "P3Y", "after": "P1Y"},
    ]
    assert newest["digest_matches"] is True
    assert report["current"]["period_words"] == "1 year"
    assert report["current"]["exception_tenants"] == ["Alpine Bicycles"]
    assert "paused for 1 tenant: Alpine Bicycles" in " ".join(
        audited.pages.tables("/console")["policies"][2]["State"].text.split()
    )


def test_statement_comes_out_and_agrees_with_the_verification(audited):
    report = audited.pages.json("/console/reconciliation")
    assert report["even"] is True
    assert report["period"]["opening"] is None
    assert report["period"]["accounts"] == 1
    balances = {b["policy"]: b for b in report["balances"]}
    for b in balances.values():
        came = b["opening"] + b["newly_due"]
        went = b["deleted"] + b["deleted_along"] + b["removed"] + b["no_longer_due"]
        assert came == went + b["held"] + b["undeletable"] + b["paused"] + b["still_due"]
    for policy, overdue in audited.verified.overdue().items():
        assert balances.get(policy, {"still_due": 0})["still_due"] == overdue
    deleted = Counter()
    for run in (audited.first, audited.last):
        for unit in run.units:
            deleted[unit.policy] += dict(unit.deleted).get(balances[unit.policy]["table"], 0)
    assert {p: b["deleted"] for p, b in balances.items()} == dict(deleted)
    per_tenant = Counter()
    for book in audited.pages.json("/console/reconciliation?size=1000")["books"]:
        per_tenant[book["policy"]] += book["newly_due"]
    assert {p: b["newly_due"] for p, b in balances.items()} == dict(per_tenant)


def test_query_of_the_statement_gives_its_figures_again(audited):
    report = audited.pages.json("/console/reconciliation")
    with audited.console.installation.auditor.transaction(None, read_only=True) as cursor:
        cursor.execute(report["query"].replace("%", "%%"), ())
        again = cursor.fetchall()
    assert [row[0] for row in again] == [b["policy"] for b in report["balances"]]
    assert [row[3] for row in again] == [b["newly_due"] for b in report["balances"]]
    for population in report["populations"]:
        with audited.console.installation.verifier.transaction(None, read_only=True) as cursor:
            cursor.execute(population["query"].replace("%", "%%"), ())
            # What had entered, or come due and gone, since the account before has done so still;
            # the books have moved on to it since.
            assert {row[1] for row in cursor.fetchall()} <= {"entered", "passed"}


def test_query_of_each_result_can_be_read(audited):
    html = audited.pages.html(f"/console/verifications/{audited.verified.id}")
    report = audited.pages.json(f"/console/verifications/{audited.verified.id}")
    assert all("SELECT" in result["query"] for result in report["results"])
    assert "FROM &#34;shop&#34;.&#34;notes&#34;" in html
    assert {r["tenant_name"] for r in report["results"] if r["kind"] == "overdue" and r["found"]}


def test_no_tenants_data_is_shown(audited):
    owner = audited.console.evidence
    names = [name for (name,) in owner.sql("SELECT DISTINCT name FROM shop.customers LIMIT 50")]
    assert len(names) > 20
    for path in ("/console", audited.run, "/console/policies/old-notes"):
        html = audited.pages.html(path)
        assert not [name for name in names if name in html]


@pytest.mark.parametrize(
    ("path", "most"),
    # A register asks the database what time it is.
    [("/console", 7), ("RUN", 8), ("/console/policies/old-notes", 6), ("/console/runs", 7),
     ("/console/verifications", 2), ("VERIFICATION", 3), ("/console/holds", 4),
     ("/console/reads", 2), ("/console/reconciliation", 5)],
)  # fmt: skip
def test_page_takes_few_statements(audited, path, most):
    path = {
        "RUN": audited.run,
        "VERIFICATION": f"/console/verifications/{audited.verified.id}",
    }.get(path, path)
    before = audited.console.auditor.statements
    audited.pages.html(path)
    assert audited.console.auditor.statements - before == most
