"""Copies that were handed out and their clocks, certificates, and archived rows that came back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tenants.models import new_id

from .conftest import NOW, Console, Evidence

DAY = timedelta(days=1)


def export(evidence: Evidence, tenant: UUID, state: str = "finished", **columns: Any) -> str:
    """Insert a copy of a person's data, by default one that was made when it was asked for."""
    is_done = state == "finished"
    row = {
        "tenant_id": str(tenant), "id": str(new_id()), "kind": "subject", "subject": "customer",
        "subject_hash": b"\x01" * 16, "requested_by": "login:ann", "reason": "letter of 3 May",
        "state": state, "began_at": NOW, "received_at": None, "as_of": NOW if is_done else None,
        "counts": json.dumps({"shop.notes": 3, "shop.invoices": 4}) if is_done else None,
        "bytes": 999 if is_done else None, "manifest_sha256": "ab" * 32 if is_done else None,
        "ended_at": None if state == "begun" else NOW + timedelta(seconds=5),
        "problem": "the disk is full" if state == "failed" else None, **columns,
    }  # fmt: skip
    evidence._insert("exports", row)
    return str(row["id"])


def lines(console: Console, query: str = "") -> dict[str, dict[str, Any]]:
    found = console.pages.json(f"/console/exports{query}")["exports"]
    return {line["id"]: line for line in found}


def test_who_waits_for_a_copy_is_shown_with_the_month_that_the_law_gives(console: Console) -> None:
    evidence = console.evidence
    tenant = evidence.tenant("umbrella")
    [(now,)] = evidence.sql("SELECT clock_timestamp()")
    in_time = export(evidence, tenant)
    late = export(evidence, tenant, received_at=NOW - 40 * DAY)
    waits = export(
        evidence, tenant, "begun", began_at=now, received_at=now - 3 * DAY,
        subject_hash=b"\x02" * 16,
    )  # fmt: skip
    overdue = export(
        evidence, tenant, "failed", received_at=NOW - 40 * DAY, subject_hash=b"\x03" * 16
    )
    made_good = export(evidence, tenant, "failed", began_at=NOW - DAY, ended_at=NOW - DAY)
    found = lines(console)
    assert {each: found[each]["outcome"] for each in found} == {
        in_time: "answered in time", late: "answered late", waits: "in time", overdue: "overdue",
        made_good: "answered in time",
    }  # fmt: skip
    assert list(found)[:2] == [overdue, waits], "who waits is first, the longest ahead"
    assert found[overdue]["left_s"] < 0 < found[waits]["left_s"]
    assert found[made_good]["made_good_at"]
    assert (found[in_time]["rows"], found[in_time]["tables"]) == (7, 2)
    assert (found[overdue]["rows"], found[overdue]["tables"]) == (None, None)
    assert (found[in_time]["requested_by"], found[in_time]["reason"]) == (
        "login:ann", "letter of 3 May",
    )  # fmt: skip
    whole = console.pages.json("/console/exports")
    assert (whole["open"], whole["overdue"]) == (2, 1)
    assert "01010101" not in json.dumps(whole), "nobody is told whose copy it is"
    other = evidence.tenant("initech")
    assert lines(console, "?tenant=initech") == {}
    assert other
    page = console.pages.html("/console/exports")
    assert "overdue" in page
    assert "letter of 3 May" in page


def test_a_month_is_one_of_the_calendar(console: Console) -> None:
    evidence = console.evidence
    asked = datetime.fromisoformat("2026-01-31T12:00:00+00:00")
    one = export(evidence, evidence.tenant("umbrella"), received_at=asked)
    assert lines(console)[one]["due_at"] == "2026-02-28T12:00:00Z"


def test_a_copy_of_all_of_a_tenant_has_no_such_clock(console: Console) -> None:
    evidence = console.evidence
    tenant = evidence.tenant("umbrella")
    whole = {"kind": "tenant", "subject": None, "subject_hash": None}
    made = export(evidence, tenant, **whole)
    broken = export(evidence, tenant, "begun", began_at=NOW - 90 * DAY, **whole)
    found = lines(console)
    assert (found[made]["outcome"], found[made]["due_at"]) == ("finished", None)
    assert (found[broken]["outcome"], found[broken]["left_s"]) == ("begun", None)
    document = console.pages.json("/console/exports")
    assert (document["open"], document["overdue"]) == (0, 0)


def test_certificates_that_were_given_out_are_shown(console: Console) -> None:
    evidence = console.evidence
    tenant = evidence.tenant("umbrella")
    for number, whose in enumerate((None, str(tenant))):
        evidence._insert(
            "certificates",
            {
                "id": str(new_id()), "kind": "run", "subject_id": str(new_id()),
                "tenant_id": whose, "statement_sha256": f"{number:064x}",
                "backups_kept_days": 30, "release": "1.0", "issued_by": "command:ops",
            },
        )  # fmt: skip
    found = console.pages.json("/console/exports")["certificates"]
    assert [c["tenant"] for c in found] == ["umbrella", None]
    assert {c["issued_by"] for c in found} == {"command:ops"}
    found = console.pages.json("/console/exports?tenant=umbrella")["certificates"]
    assert [c["tenant"] for c in found] == ["umbrella"]
    assert len(console.pages.csv("/console/exports", "certificates")) == 2


def test_archived_rows_that_came_back_are_said_to_have(console: Console) -> None:
    evidence = console.evidence
    tenant = evidence.tenant("umbrella")
    evidence.policy("p", action="archive")
    run = evidence.run()
    evidence.batch(run, tenant, "p", 2, action="archive")
    evidence.sql(
        "INSERT INTO tenure.deleted_keys (tenant_id, run_id, batch_id, table_name, hashes)"
        " SELECT tenant_id, run_id, id, 'shop.invoices', decode(repeat('07', 32), 'hex')"
        " FROM tenure.batches"
    )
    samples = "/console/samples?draw=5&seed=x&until=2100-01-01T00:00:00Z"
    drawn = console.pages.json(samples)["samples"]
    assert [s["restored_at"] for s in drawn] == [None, None]
    evidence.restored(run)
    [(at,)] = evidence.sql("SELECT restored_at FROM tenure.restorations")
    drawn = console.pages.json(samples)["samples"]
    assert [datetime.fromisoformat(s["restored_at"]) for s in drawn] == [at, at]
    assert "and came back, with its batch" in console.pages.html(samples).lower()
    [batch] = console.pages.json(f"/console/runs/{run[1]}")["batches"]
    assert datetime.fromisoformat(batch["restored_at"]) == at
    assert "came back" in console.pages.html(f"/console/runs/{run[1]}")
    document = console.pages.json("/console/restorations")
    [line] = document["restorations"]
    assert document["staying"] == 1
    assert (line["rows"], line["reason"], line["restored_by"], line["stays"]) == (
        2, "archived by mistake", "command:ops", True,
    )  # fmt: skip
    assert (line["trace_id"], line["batch_id"]) == (run[1], batch["id"])
    assert console.pages.json("/console/restorations?tenant=acme")["restorations"] == []
