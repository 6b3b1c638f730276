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
    assert case in lab.ids("cases")


def test_orphans_of_soft_references_are_found(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme, opened=lab.lately)
    lab.add("remarks", acme, about="case", subject_id=case)
    lab.add("remarks", acme, about="case", subject_id=str(uuid4()))
    lab.add("remarks", acme, about="file", subject_id=case)
    lab.add("remarks", acme, about="planet", subject_id=case)
    lab.add("remarks", acme, about="planet", subject_id=None)
    assert findings(lab.verify()) == [
        ("orphans", "lab.remarks.subject_id -> lab.cases (about = 'case')", "acme", 1),
        ("orphans", "lab.remarks.subject_id -> lab.files (about = 'file')", "acme", 1),
        ("orphans", "lab.remarks.subject_id -> nothing known (about)", "acme", 1),
    ]


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
    assert cases()["acme"] == (0, 2, 0, False)
    set_state(lab.installation.retention, acme, "cases", "active", actor="test")
    assert cases()["acme"] == (0, 2, 0, False)


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
