"""A fault of each kind is planted, and found."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from retention import holds
from retention.policy_records import record_policies, set_state
from retention.reconciliation import Bookkeeper
from tenants.context import TenantId


def findings(report: Any) -> list[tuple[str, str, str, int]]:
    return sorted((r.kind, r.subject, r.tenant, r.found) for r in report.results if r.is_finding)


def test_a_sound_database_has_no_findings_and_every_question_is_kept(
    lab: Any, acme: TenantId
) -> None:
    case = lab.case(acme, opened=lab.lately, files=1)
    lab.add("remarks", acme, about="case", subject_id=case)
    report = lab.verify()
    assert findings(report) == []
    assert set(report.overdue()) == {"nodes", "cases", "citations"}
    assert set(report.orphans()) == {
        "lab.nodes.parent_id -> lab.nodes",
        "lab.nodes.partner_id -> lab.nodes",
        "lab.cases.main_file_id -> lab.files",
        "lab.files.case_id -> lab.cases",
        "lab.pages.file_id -> lab.files",
        "lab.citations.page_id -> lab.pages",
        "lab.remarks.subject_id -> lab.cases (about = 'case')",
        "lab.remarks.subject_id -> lab.files (about = 'file')",
        "lab.remarks.subject_id -> nothing known (about)",
    }
    stored = lab.sql("SELECT kind, subject, found, query FROM tenure.verification_results")
    assert len(stored) == len(report.results)
    for _, _, found, query in stored:
        assert found == sum(row[1] for row in lab.sql(query.replace("%", "%%")))
    assert lab.sql("SELECT findings, trace_id FROM tenure.verifications") == [(0, report.trace_id)]


def test_overdue_rows_are_found_with_the_oldest(lab: Any, acme: TenantId, globex: TenantId) -> None:
    lab.case(acme)
    lab.case(acme, opened=lab.long_ago - timedelta(days=9))
    lab.case(globex, opened=lab.lately)
    report = lab.verify()
    assert findings(report) == [("overdue", "cases", "acme", 2)]
    found = next(r for r in report.results if r.is_finding)
    assert found.oldest.date() == (lab.long_ago - timedelta(days=9)).date()
    assert found.tenant_id == acme


def figures_of(report: Any, kind: str, subject: str) -> dict[str, Any]:
    """By tenant (its slug, None where nothing was found at all)."""
    return {r.tenant: r for r in report.results if (r.kind, r.subject) == (kind, subject)}


def test_age_and_watermark_tell_how_far_behind_a_policy_is(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    # Due for 1, 2, .. 199 days, and for 3000.
    cutoff = lab.now - timedelta(days=365)
    for days in range(1, 200):
        lab.node(acme, cutoff - timedelta(days=days))
    lab.node(acme, cutoff - timedelta(days=3000))
    lab.node(globex, cutoff - timedelta(hours=1))
    found = figures_of(lab.verify(), "overdue", "nodes")
    assert found["acme"].found == 200
    # 198 of the 200 have been due for 198 days or less.
    assert found["acme"].age_p99_s == timedelta(days=198).total_seconds()
    assert found["acme"].oldest == found["acme"].watermark == cutoff - timedelta(days=3000)
    assert found["globex"].age_p99_s == 3600
    lab.run()
    (nothing,) = figures_of(lab.verify(), "overdue", "nodes").values()
    assert (nothing.found, nothing.age_p99_s, nothing.watermark) == (0, None, cutoff)


def test_ages_of_dates_and_of_what_is_older_than_time(lab: Any, acme: TenantId) -> None:
    lab.case(acme, opened=lab.now - timedelta(days=375))
    lab.node(acme, None)
    lab.sql("UPDATE lab.nodes SET made_at = '-infinity'")
    report = lab.verify()
    cases = figures_of(report, "overdue", "cases")["acme"]
    assert cases.age_p99_s == timedelta(days=10).total_seconds()
    nodes = figures_of(report, "overdue", "nodes")["acme"]
    assert (nodes.found, nodes.oldest) == (1, None)
    assert nodes.age_p99_s > timedelta(days=365 * 2000).total_seconds()
    assert nodes.watermark.year == 1


def test_undeletable_rows_are_counted_by_what_refers_to_them(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    oldest = lab.long_ago - timedelta(days=7)
    for _ in range(2):
        lab.node(acme, lab.lately, parent_id=lab.node(acme))
    lab.case(acme, opened=oldest, files=1)
    lab.add("citations", acme, page_id=min(lab.ids("pages")), cited_at=lab.lately)
    lab.case(acme)
    report = lab.verify()
    nodes = figures_of(report, "overdue", "nodes")["acme"]
    assert (nodes.found, nodes.undeletable) == (0, 2)
    assert nodes.reasons == {"referenced by lab.nodes": 2}
    # What cannot be deleted is behind the watermark: it is processed, and kept.
    assert nodes.watermark == lab.now - timedelta(days=365)
    cases = figures_of(report, "overdue", "cases")["acme"]
    assert (cases.found, cases.undeletable) == (1, 1)
    assert cases.reasons == {"referenced by lab.citations": 1}
    assert cases.undeletable_oldest.date() == oldest.date()
    assert cases.oldest.date() == lab.long_ago.date()
    assert findings(report) == [("overdue", "cases", "acme", 1)]


def test_orphans_of_foreign_keys_are_found(lab: Any, acme: TenantId, globex: TenantId) -> None:
    case = lab.case(acme, opened=lab.lately, files=1)
    (file,) = lab.ids("files")
    lab.sql("ALTER TABLE lab.pages DROP CONSTRAINT pages_file_id_fkey")
    lab.add("pages", acme, file_id=str(uuid4()))
    lab.add("pages", globex, file_id=file)  # the parent is another tenant's
    assert findings(lab.verify()) == [
        ("orphans", "lab.pages.file_id -> lab.files", "acme", 1),
        ("orphans", "lab.pages.file_id -> lab.files", "globex", 1),
    ]
    found = figures_of(lab.verify(), "orphans", "lab.pages.file_id -> lab.files")
    assert found["acme"].reasons == {"the parent is gone": 1}
    assert found["globex"].reasons == {"the parent is another tenant's": 1}
    assert case in lab.ids("cases")


def test_orphans_of_soft_references_are_found(lab: Any, acme: TenantId, globex: TenantId) -> None:
    case = lab.case(acme, opened=lab.lately)
    lab.add("remarks", acme, about="case", subject_id=case)
    lab.add("remarks", acme, about="case", subject_id=str(uuid4()))
    lab.add("remarks", acme, about="file", subject_id=case)
    lab.add("remarks", acme, about="planet", subject_id=case)
    lab.add("remarks", acme, about="planet", subject_id=None)
    lab.add("remarks", globex, about="case", subject_id=case)
    report = lab.verify()
    assert findings(report) == [
        ("orphans", "lab.remarks.subject_id -> lab.cases (about = 'case')", "acme", 1),
        ("orphans", "lab.remarks.subject_id -> lab.cases (about = 'case')", "globex", 1),
        ("orphans", "lab.remarks.subject_id -> lab.files (about = 'file')", "acme", 1),
        ("orphans", "lab.remarks.subject_id -> nothing known (about)", "acme", 1),
    ]
    subject = "lab.remarks.subject_id -> lab.cases (about = 'case')"
    of_cases = figures_of(report, "orphans", subject)
    assert of_cases["acme"].reasons == {"the parent is gone": 1}
    assert of_cases["globex"].reasons == {"the parent is another tenant's": 1}


def test_what_the_executor_left_behind_is_found(lab: Any, acme: TenantId) -> None:
    for _ in range(3):
        lab.case(acme)
    lab.sql("CREATE POLICY stuck ON lab.cases AS RESTRICTIVE FOR DELETE TO tenure_retention"
            " USING (false)")  # fmt: skip
    report = lab.run()
    assert report.state == "failed"
    assert "locked and 0 could be deleted" in report.detail
    assert findings(lab.verify()) == [("overdue", "cases", "acme", 3)]


def test_results_cannot_be_changed_afterwards(lab: Any, acme: TenantId) -> None:
    lab.verify()
    for statement in (
        "UPDATE tenure.verification_results SET found = 0",
        "DELETE FROM tenure.verifications",
        "TRUNCATE tenure.batches CASCADE",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
            lab.sql(statement)


def test_what_only_a_pause_keeps_is_counted_beside_and_is_no_finding(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    for tenant in (acme, globex):
        lab.case(tenant)
        lab.case(tenant)
        lab.case(tenant, opened=lab.lately)
    cited = lab.case(acme, files=1)
    lab.add("citations", acme, page_id=min(lab.ids("pages")), cited_at=lab.lately)
    record_policies(lab.installation.retention, lab.policies, actor="test")
    set_state(lab.installation.retention, acme, "cases", "paused", actor="test")

    def cases() -> dict[str, tuple[int, int, int, bool]]:
        report = lab.verify()
        return {
            r.tenant: (r.found, r.held, r.paused, r.oldest is not None)
            for r in report.results
            if r.kind == "overdue" and r.subject == "cases"
        }

    # The third old case of acme is cited: the citation keeps it, paused or not.
    assert cases() == {"acme": (0, 0, 2, False), "globex": (2, 0, 0, True)}
    assert cited in lab.ids("cases")
    stored = lab.sql(
        "SELECT found, held, paused FROM tenure.verification_results"
        " WHERE tenant_id = %s AND kind = 'overdue' AND subject = 'cases'",
        (str(acme),),
    )
    assert stored == [(0, 0, 2)]
    holds.place(lab.installation.retention, acme, matter="m", reason="r", actor="test")
    # A hold weighs more than either.
    assert cases()["acme"] == (0, 3, 0, False)
    set_state(lab.installation.retention, acme, "cases", "active", actor="test")
    assert cases()["acme"] == (0, 3, 0, False)


def test_a_policy_paused_by_its_definition_counts_and_a_tenant_may_differ(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    for tenant in (acme, globex):
        lab.case(tenant)
    paused = tuple(replace(policy, state="paused") for policy in lab.policies)
    record_policies(lab.installation.retention, paused, actor="test")
    set_state(lab.installation.retention, globex, "cases", "active", actor="test")
    report = lab.verify(lab.shop(policies=paused))
    figures = {
        r.tenant: (r.found, r.paused)
        for r in report.results
        if r.kind == "overdue" and r.subject == "cases"
    }
    assert figures == {"acme": (0, 1), "globex": (1, 0)}
    assert report.findings == 1


def test_a_condition_that_fails_on_a_row_is_a_finding_and_ends_no_other_question(
    lab: Any, acme: TenantId
) -> None:
    lab.node(acme)
    lab.sql("ALTER TABLE lab.cases ADD COLUMN doubt text")
    sound = lab.policies
    lab.case(acme)
    before = lab.verify()
    assert before.overdue() == {"nodes": 1, "cases": 1, "citations": 0}
    lab.run()
    lab.node(acme)
    lab.sql("UPDATE lab.cases SET doubt = 'Jo Sentinel'")
    lab.case(acme)
    lab.sql("UPDATE lab.cases SET doubt = 'Jo Sentinel'")
    lab.policies = tuple(
        replace(p, condition="r.doubt::integer > 0") if p.name == "cases" else p for p in sound
    )
    report = lab.verify()
    assert findings(report) == [("overdue", "cases", None, 1), ("overdue", "nodes", "acme", 1)]
    (failed,) = [r for r in report.results if r.subject == "cases" and r.is_finding]
    assert failed.reasons == {"could not be asked (22P02)": 1}
    assert failed.watermark is None
    kept = lab.sql("SELECT to_jsonb(r)::text FROM tenure.verification_results r")
    assert not [row for (row,) in kept if "Sentinel" in row], "no word of the error is kept"
    # Its books stand as they stood; what was deleted meanwhile counts once it can be asked again.
    assert report.account is not None
    assert report.account.number == before.account.number + 1
    books = {e.book.policy: (e.opening, e.deleted, e.difference) for e in report.account.entries}
    assert books == {"cases": (1, 0, 0), "nodes": (1, 1, 0)}
    lab.policies = sound
    after = lab.verify()
    books = {e.book.policy: (e.opening, e.deleted, e.difference) for e in after.account.entries}
    assert books == {"cases": (1, 1, 0), "nodes": (1, 0, 0)}
    assert findings(after) == [("overdue", "cases", "acme", 1), ("overdue", "nodes", "acme", 1)]


def test_books_that_cannot_be_asked_are_a_finding_and_end_no_other(
    lab: Any, acme: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The condition fails only there, for the rows are read in another order."""
    lab.node(acme)
    lab.case(acme)
    asked = Bookkeeper._ask

    def failing(self: Bookkeeper, policy: str, table: str) -> str:
        if policy == "cases":
            self._cursor.execute("SELECT 1 / 0")
        return asked(self, policy, table)

    with monkeypatch.context() as patched:
        patched.setattr(Bookkeeper, "_ask", failing)
        report = lab.verify()
    assert findings(report) == [
        ("overdue", "cases", "acme", 1),
        ("overdue", "nodes", "acme", 1),
        ("reconciliation", "cases", None, 1),
    ]
    assert [e.book.policy for e in report.account.entries] == ["nodes"]
    after = lab.verify()
    books = {e.book.policy: (e.opening, e.newly_due, e.difference) for e in after.account.entries}
    assert books == {"cases": (0, 1, 0), "nodes": (1, 0, 0)}
