"""Reports of a period and of one tenant: what is in, what is out, the same in every form."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import unicodedata
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from retention.policy_records import set_period, set_state
from retention.reports.index import REPORTS
from tenants.models import new_id

from . import test_report_command
from .conftest import NOW, Console
from .test_purges import replayed

tenure = test_report_command.tenure

__all__ = ["tenure"]

DAY = timedelta(days=1)


def rfc(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def asked(console: Console, name: str, **query: Any) -> Any:
    told = {k.rstrip("_"): rfc(v) if isinstance(v, datetime) else v for k, v in query.items()}
    return console.pages.json(f"/console/{name}?{urlencode(told)}")


def test_a_schedule_is_as_of_its_periods_end(console: Console):
    evidence = console.evidence
    umbrella = evidence.tenant("umbrella")
    evidence.policy("p", period="P10Y")
    [(first,)] = evidence.sql("SELECT recorded_at FROM tenure.policy_versions")
    evidence.policy("p", version=2, period="P6Y")
    set_state(console.installation.retention, umbrella, "p", "paused", actor="counsel")
    now = asked(console, "schedule")
    assert [(x["version"], x["period"], x["own_terms"]) for x in now["schedule"]] == [(2, "P6Y", 1)]
    assert [(x["tenant"], x["what"], x["value"]) for x in now["own_terms"]] == [
        ("umbrella", "state", "paused")
    ]
    then = (first + timedelta(microseconds=1)).isoformat()
    before = console.pages.json(f"/console/schedule?{urlencode({'until': then})}")
    assert [(x["version"], x["period"], x["own_terms"]) for x in before["schedule"]] == [
        (1, "P10Y", 0)
    ]
    assert asked(console, "schedule", until=NOW - DAY * 36500)["schedule"] == []


def test_a_tenants_schedule_has_its_own_terms(console: Console):
    from retention.policies import Policy

    evidence = console.evidence
    umbrella, initech = evidence.tenant("umbrella"), evidence.tenant("initech")
    evidence.policy("p", period="P10Y", minimum="P5Y", maximum="P20Y")
    [(definition,)] = evidence.sql("SELECT definition FROM tenure.policy_versions")
    policy = Policy.from_definition(definition)
    set_period(console.installation.retention, umbrella, policy, "P6Y", actor="counsel")
    [own] = asked(console, "schedule", tenant="umbrella")["schedule"]
    assert (own["period"], own["period_words"], own["own"]) == ("P6Y", "6 years", ["period"])
    [other] = asked(console, "schedule", tenant="initech")["schedule"]
    assert (other["period"], other["own"], other["own_terms"]) == ("P10Y", [], 0)
    # Given back: no term of its own is left, and the change stays on record.
    set_period(console.installation.retention, umbrella, policy, None, actor="counsel")
    assert asked(console, "schedule")["own_terms"] == []
    terms = [c for c in asked(console, "changes", tenant="umbrella")["changes"]
             if c["kind"] == "own terms"]  # fmt: skip
    assert [(c["before"], c["after"]) for c in terms] == [("P6Y", None), (None, "P6Y")]
    assert initech


def test_a_tenants_schedule_is_the_same_on_each_page_and_in_each_form(
    console: Console, tenure: Any
) -> None:
    """More of its own terms than a page has: the lines have them all the same."""
    from retention.policies import Policy

    evidence = console.evidence
    umbrella = evidence.tenant("umbrella")
    names = [f"p{number}" for number in range(3)]
    for name in names:
        evidence.policy(name, period="P10Y", minimum="P5Y", maximum="P20Y")
        [(definition,)] = evidence.sql(
            "SELECT definition FROM tenure.policy_versions WHERE policy = %s", (name,)
        )
        policy = Policy.from_definition(definition)
        set_period(console.installation.retention, umbrella, policy, "P6Y", actor="counsel")
    for query in ({}, {"size": 1}, {"size": 1, "page": 2}, {"page": 9}):
        found = asked(console, "schedule", tenant="umbrella", **query)
        assert [line["period"] for line in found["schedule"]] == ["P6Y"] * 3, query
    said = tenure(
        "report", "schedule", "--tenant", "umbrella", "--format", "csv", "--size", "1"
    ).stdout.splitlines()
    assert [line.split(",")[1] for line in said[1:]] == names


def test_what_was_archived_or_changed_is_not_called_deleted(console: Console) -> None:
    evidence = console.evidence
    acme = evidence.tenant("umbrella")
    evidence.policy("p")
    evidence.policy("q", action="archive")
    run = evidence.run()
    evidence.batch(run, acme, "p", 3)
    evidence.batch(run, acme, "q", 5, action="archive")
    evidence.batch(run, acme, "q", 2, action="anonymise")
    did = {"anonymise": 2, "archive": 5, "delete": 3}
    for of in ({}, {"tenant": "umbrella"}):
        [line] = asked(console, "runs", **of)["runs"]
        assert (line["done"], line["actions"]) == (10, did), of
    one = f"/console/runs/{run[1]}"
    found = console.pages.json(one)
    assert found["run"]["actions"] == found["totals"]["actions"] == did
    assert [(u["policy"], u["action"], u["done"]) for u in found["units"]] == [
        ("p", "delete", 3), ("q", "anonymise, archive", 7),
    ]  # fmt: skip
    assert [(t["table"], t["actions"]) for t in found["tables"]] == [("shop.invoices", did)]
    assert [(b["policy"], b["action"]) for b in found["batches"]] == [
        ("p", "delete"), ("q", "archive"), ("q", "anonymise"),
    ]  # fmt: skip
    assert [row["action"] for row in console.pages.csv(one, "batch_tables")] == [
        "delete", "archive", "anonymise",
    ]  # fmt: skip
    for page in (one, "/console/runs", "/console"):
        said = console.pages.html(page)
        assert "2 made anonymous, 5 archived, 3 deleted" in said, page
        assert "10 rows deleted" not in said, page


def test_a_withdrawn_policy_is_said_to_be_in_the_schedule_and_comes_next_no_more(
    console: Console,
) -> None:
    evidence = console.evidence
    evidence.policy("p", schedule="0 2 * * *", period="P10Y")
    evidence.policy("q", schedule="0 2 * * *", period="P10Y")
    evidence.sql(
        "INSERT INTO tenure.policy_withdrawals (policy, number, event, version, recorded_by)"
        " VALUES ('p', 1, 'withdrawn', 1, 'command:ann')"
    )
    [(at,)] = evidence.sql("SELECT recorded_at FROM tenure.policy_withdrawals")
    schedule = {line["policy"]: line for line in asked(console, "schedule")["schedule"]}
    assert schedule["p"]["state"] == "withdrawn"
    assert datetime.fromisoformat(schedule["p"]["withdrawn_at"]) == at
    assert (schedule["q"]["state"], schedule["q"]["withdrawn_at"]) == ("active", None)
    assert [n["what"] for n in asked(console, "runs")["next"]] == ["policy q", "verification"]
    lines = {line["policy"]: line for line in console.pages.json("/console")["policies"]}
    assert lines["p"]["withdrawn_at"]
    assert "withdrawn" in console.pages.html("/console")
    assert "withdrawn" in console.pages.html("/console/policies/p")
    # Before, it was in force; put in again, it is.
    then = asked(console, "schedule", until=at - DAY)
    assert [line["policy"] for line in then["schedule"]] == []
    evidence.sql(
        "INSERT INTO tenure.policy_withdrawals (policy, number, event, version, recorded_by)"
        " VALUES ('p', 2, 'returned', 1, 'command:ann')"
    )
    assert asked(console, "schedule")["schedule"][0]["state"] == "active"
    assert "policy p" in [n["what"] for n in asked(console, "runs")["next"]]


def test_runs_show_the_nights_in_which_nobody_was_there(console: Console):
    evidence = console.evidence
    assert asked(console, "runs")["watched_since"] is None
    assert "Nobody has ticked yet" in console.pages.html("/console/runs")
    for began, ended in ((-9, -7), (-5, -3)):
        evidence.sql(
            "INSERT INTO tenure.watches (id, began_at, last_at, ticks) VALUES (%s, %s, %s, 9)",
            (str(new_id()), NOW + DAY * began, NOW + DAY * ended),
        )
    evidence.sql(
        "INSERT INTO tenure.scheduled (name, due_at, taken_at, missed) VALUES"
        " ('policy p', %(a)s, %(a)s, 2), ('policy p', %(b)s, %(b)s, 0)",
        {"a": NOW - DAY * 5, "b": NOW - DAY * 4},
    )
    evidence.policy("p", schedule="0 2 * * *")
    found = asked(console, "runs")
    assert found["watched_since"] == rfc(NOW - DAY * 9)
    assert [(g["since"], g["until"]) for g in found["gaps"]] == [
        (rfc(NOW - DAY * 3), None),  # nobody ticks in this test
        (rfc(NOW - DAY * 7), rfc(NOW - DAY * 5)),
    ]
    assert [(m["schedule"], m["missed"]) for m in found["missed"]] == [("policy p", 2)]
    upcoming = {n["what"]: n for n in found["next"]}
    assert upcoming["policy p"]["next_at"].endswith("T02:00:00Z")
    assert upcoming["policy p"]["last_at"] == rfc(NOW - DAY * 4)
    assert upcoming["verification"]["next_at"] is None
    earlier = asked(console, "runs", from_=NOW - DAY * 9, until=NOW - DAY * 4)
    assert [g["until"] for g in earlier["gaps"]] == [rfc(NOW - DAY * 5)]
    assert asked(console, "runs", until=NOW - DAY * 8)["gaps"] == []
    assert "Gaps: nobody was there" in console.pages.html("/console/runs")


def test_stops_of_all_retention_are_no_runs_own(console: Console):
    evidence = console.evidence
    run, _ = evidence.run()
    for run_id, action in ((None, "stop"), (None, "start"), (run, "pause")):
        evidence.sql(
            "INSERT INTO tenure.interventions (run_id, action, actor, reason, taken_at)"
            " VALUES (%s, %s, 'ops', 'because', %s)",
            (run_id, action, NOW),
        )
    assert [s["action"] for s in asked(console, "runs")["stops"]] == ["start", "stop"]
    assert asked(console, "runs", from_=NOW + DAY)["stops"] == []
    assert asked(console, "runs", until=NOW)["stops"] == []


def test_changes_and_reads_outside_of_the_period_are_out(console: Console):
    evidence = console.evidence
    evidence.policy("p")
    evidence.read(read_at=NOW)
    ((recorded,),) = evidence.sql("SELECT recorded_at FROM tenure.policy_versions")
    for name, rows, at in (("changes", "changes", recorded), ("reads", "reads", NOW)):
        inside = {"from_": at - DAY, "until": at + DAY}
        assert asked(console, name, **inside)[rows], name
        assert asked(console, name, from_=at + DAY, until=at + 2 * DAY)[rows] == [], name
        assert asked(console, name, until=at - DAY)[rows] == [], name


def test_a_tenants_runs_are_its_part_of_them(console: Console):
    evidence = console.evidence
    umbrella, initech = evidence.tenant("umbrella"), evidence.tenant("initech")
    evidence.policy("p")
    both, alone = evidence.run(), evidence.run(started_at=NOW + DAY)
    for run, tenant, rows in ((both, umbrella, 3), (both, initech, 40), (alone, initech, 5)):
        evidence.batch(run, tenant, "p", rows)
        evidence.sql(
            "INSERT INTO tenure.units (run_id, number, policy, policy_version, tenant_id, planned,"
            " state, detail, finished_at) VALUES (%s, %s, 'p', 1, %s, %s, 'succeeded_with_skips',"
            " %s, now())",
            (run[0], rows, str(tenant), rows + 1, f"of {tenant}"),
        )
    found = asked(console, "runs", tenant="umbrella")["runs"]
    assert [(r["trace_id"], r["planned"], r["done"], r["batches"]) for r in found] == [
        (both[1], 4, 3, 1)
    ]
    assert found[0]["detail"] == f"of {umbrella}"
    assert len(asked(console, "runs", tenant="initech")["runs"]) == 2
    assert len(asked(console, "runs", from_=NOW + DAY)["runs"]) == 1
    assert len(asked(console, "runs", until=NOW + DAY)["runs"]) == 1


def test_alerts_of_a_period_are_those_that_were_open_in_it(console: Console):
    for subject, raised, resolved in (("old", -9, -8), ("past", -5, -3), ("open", -4, None)):
        console.evidence.sql(
            "INSERT INTO tenure.alerts (id, kind, subject, detail, raised_at, last_seen_at,"
            " resolved_at) VALUES (%s, 'overdue', %s, 'rows', %s, %s, %s)",
            (str(new_id()), subject, NOW + DAY * raised, NOW,
             None if resolved is None else NOW + DAY * resolved),
        )  # fmt: skip
    found = asked(console, "alerts")
    assert found["open"] == 1
    assert [(a["subject"], a["state"]) for a in found["alerts"]] == [
        ("open", "open"), ("past", "resolved"), ("old", "resolved"),
    ]  # fmt: skip
    assert found["alerts"][1]["lasted_s"] == 2 * 86_400
    between = asked(console, "alerts", from_=NOW - DAY * 6, until=NOW - DAY * 4.5)
    assert [a["subject"] for a in between["alerts"]] == ["past"]


def test_holds_of_a_period_are_those_that_were_in_force_in_it(console: Console):
    umbrella, initech = console.evidence.tenant("umbrella"), console.evidence.tenant("initech")
    ended = {"released_by": "c", "released_at": NOW - DAY * 8, "effective_at": NOW - DAY * 7}
    console.evidence.hold(umbrella, matter="old", placed_at=NOW - DAY * 9, **ended)
    console.evidence.hold(initech, matter="new", placed_at=NOW - DAY * 2)
    assert [h["matter"] for h in asked(console, "holds", until=NOW - DAY * 6)["holds"]] == ["old"]
    assert [h["matter"] for h in asked(console, "holds", from_=NOW - DAY * 6)["holds"]] == ["new"]
    [old] = asked(console, "holds", tenant="umbrella")["holds"]
    assert (old["in_force_s"], old["ends_in_s"]) == (2 * 86_400, None)
    assert asked(console, "holds", tenant="umbrella")["in_force"] == 0


def test_changes_name_what_was_and_what_is(console: Console):
    evidence = console.evidence
    evidence.policy("p", period="P10Y")
    evidence.sql(
        "INSERT INTO tenure.policy_versions (policy, version, definition, digest, recorded_by,"
        " changes) VALUES ('p', 2, '{}', 'd', 'ada', %s)",
        (json.dumps({"period": ["P10Y", "P6Y"], "with": [None, ["shop.notes"]]}),),
    )
    evidence.sql(
        "INSERT INTO tenure.interventions (action, actor, reason) VALUES ('stop', 'ada', 'fire')"
    )
    found = asked(console, "changes")["changes"]
    policy = [(c["what"], c["before"], c["after"]) for c in found
              if c["kind"] == "policy" and c["actor"] == "ada"]  # fmt: skip
    assert sorted(policy) == [("period", "P10Y", "P6Y"), ("with", None, '["shop.notes"]')]
    assert [c["what"] for c in found if c["actor"] == "somebody"] == ["version 1"]
    assert [(c["what"], c["reason"]) for c in found if c["kind"] == "retention"] == [
        ("stop", "fire")
    ]
    # The fixture's logins: an auditor, and a member of acme.
    access = {(c["what"], c["after"], c["tenant"]) for c in found if c["kind"] == "access"}
    assert access == {
        ("login", "enabled", None), ("auditor", "auditor", None),
        ("membership", "owner", "acme"),
    }  # fmt: skip
    evidence.tenant("umbrella")
    others = asked(console, "changes", tenant="umbrella")["changes"]
    assert "membership" not in {c["what"] for c in others}
    assert {"period", "stop"} <= {c["what"] for c in others}


@pytest.mark.parametrize("name", REPORTS)
def test_what_is_misspelt_is_refused(console: Console, name: str):
    for query in (
        "to=2026-01-01", "form=2026-01-01", "from=2026-02-01&until=2026-01-01", "tenant=nobody",
        "tenant=%00", "every=hour",
    ):  # fmt: skip
        answer = console.pages.client.get(f"/console/{name}.json?{query}")
        assert answer.status_code == 400, query


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler-utils is not installed")
@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_there_in_four_forms_that_agree(console: Console, name: str):
    fill(console)
    page = console.pages.html(f"/console/{name}")
    pdf = console.pages.client.get(f"/console/{name}.pdf")
    assert (pdf.status_code, pdf.mimetype) == (200, "application/pdf")
    paper = paper_of(pdf.data)
    assert REPORTS[name].title in paper
    assert REPORTS[name].title in page
    document = console.pages.json(f"/console/{name}")
    said = 0
    for key, rows in document.items():
        if not isinstance(rows, list):
            continue
        assert len(console.pages.csv(f"/console/{name}", key)) == len(rows)
        for row in rows:
            for figure in FIGURES:
                if row.get(figure) is not None:
                    said += 1
                    assert written(row[figure]) in paper, figure
    assert said or name in ("schedule", "samples", "alerts", "changes", "reads"), document


FIGURES = (
    "planned",
    "done",
    "deleted",
    "newly_due",
    "findings",
    "overdue",
    "matter",
    "rows",
    "connector",
)


def written(figure: Any) -> str:
    return f"{figure:,}".replace(",", " ") if isinstance(figure, int) else figure


def paper_of(pdf: bytes) -> str:
    done = subprocess.run(
        ["pdftotext", "-", "-"], input=pdf, capture_output=True, check=True
    ).stdout.decode()
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", done))


def fill(console: Console) -> None:
    """Put a line or more into each report."""
    evidence = console.evidence
    tenant = evidence.tenant("umbrella")
    evidence.policy("p")
    run = evidence.run()
    evidence.batch(run, tenant, "p", 12_345)
    evidence.verification(("overdue", "p", tenant, 678, 0, NOW))
    evidence.verification()
    evidence.sql(
        "INSERT INTO tenure.reconciliations (account, tenant_id, policy, table_name, opening,"
        " newly_due, deleted, deleted_along, removed, no_longer_due, held, undeletable, paused,"
        " still_due, vanished) VALUES (2, %s, 'p', 'shop.notes', 0, 9999, 9999, 0, 0, 0, 0, 0, 0,"
        " 0, 0)",
        (str(tenant),),
    )
    evidence.hold(tenant, matter="Umbrella v. Acme")
    evidence.read()
    evidence.sql(
        "INSERT INTO tenure.alerts (id, kind, subject, detail) VALUES (%s, 'run', 'p', 'stalled')",
        (str(new_id()),),
    )
    evidence.sql(
        "INSERT INTO tenure.inspections (id, kind, subject, tool, passed, findings, suppressed,"
        " result, digest, recorded_by) VALUES (%s, 'lint', 'revision 1', 'tenure', false, 31, 0,"
        " '{}', encode(sha256('{}'), 'hex'), 'ada')",
        (str(new_id()),),
    )
    erasure = str(new_id())
    evidence.sql(
        "INSERT INTO tenure.erasures (tenant_id, id, subject, subject_hash, entered_by,"
        " received_at, due_at) VALUES (%s, %s, 'customer', decode(repeat('00', 16), 'hex'),"
        " 'ann', %s, %s)",
        (str(tenant), erasure, NOW, NOW + 30 * DAY),
    )
    evidence.sql(
        "INSERT INTO tenure.erasure_batches (tenant_id, id, erasure_id, trace_id, rows, counts,"
        " started_at) VALUES (%s, %s, %s, %s, 4321, '{}', %s)",
        (str(tenant), str(new_id()), erasure, "ab" * 16, NOW),
    )
    evidence.sql(
        "INSERT INTO tenure.connector_requests (tenant_id, id, connector, cause, cause_id,"
        " subject, subject_hash, told, requested_by, requested_at, due_at) VALUES (%s, %s,"
        " 'file-store', 'erasure', %s, 'customer', decode(repeat('00', 16), 'hex'),"
        " jsonb_build_object('key', %s::text), 'worker', %s, %s)",
        (str(tenant), str(new_id()), erasure, str(new_id()), NOW, NOW + 7 * DAY),
    )
    evidence.sql(
        "INSERT INTO tenure.offboardings (tenant_id, id, requested_by, reason, requested_at, grace,"
        " deletes_at) VALUES (%s, %s, 'ann', 'contract ended', %s, 'P30D', %s)",
        (str(tenant), str(new_id()), NOW, NOW + 30 * DAY),
    )
    evidence.sql(
        "INSERT INTO tenure.exports (tenant_id, id, kind, requested_by, reason, state, as_of,"
        " counts, bytes, manifest_sha256, ended_at) VALUES (%s, %s, 'tenant', 'ann', 'it asked',"
        " 'finished', now(), %s, 8765, repeat('ab', 32), now())",
        (str(tenant), str(new_id()), json.dumps({"shop.notes": 7654})),
    )
    archived = evidence.run()
    evidence.batch(archived, tenant, "p", 7531, action="archive")
    evidence.restored(archived)
    replayed(evidence, tenant, keys=tuple(new_id() for _ in range(1234)))
