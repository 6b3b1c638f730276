"""What pauses or prolongs retention for a tenant is entered, recorded, and within its bounds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from retention.explain import Question, explain
from retention.jobs import run_once
from retention.ledger.audit import audit_ledger
from retention.policy_records import (
    pause_where_unsaid,
    record_policies,
    set_period,
    set_state,
)
from retention.reports.changes import changes_report
from retention.reports.paging import PageRequest
from retention.reports.schedule import schedule_report
from retention.reports.scope import EVERYTHING
from retention.verification_terms import OUTSIDE, UNRECORDED
from tenants.catalog import TableName
from tenants.context import TenantId

from .conftest import NOW
from .test_ledger_feeding import entries

BOUNDED = {"minimum": "P6M", "maximum": "P5Y"}


@pytest.fixture
def bounded(lab: Any, acme: TenantId) -> Any:
    """The lab, whose cases may be kept from half a year to five; recorded."""
    lab.policies = tuple(
        replace(policy, **BOUNDED) if policy.name == "cases" else policy for policy in lab.policies
    )
    record_policies(lab.installation.retention, lab.policies, actor="test")
    return lab


def cases(lab: Any) -> Any:
    return next(policy for policy in lab.policies if policy.name == "cases")


def as_retention(lab: Any, tenant: TenantId, statement: str, *params: Any) -> None:
    with lab.installation.retention.transaction(tenant) as cursor:
        cursor.execute(statement, params)


def found(lab: Any) -> dict[str, int]:
    """The reasons of what a verification found of own terms."""
    reasons: dict[str, int] = {}
    results = [r for r in lab.verify().results if (r.kind, r.subject) == ("records", "own terms")]
    assert results
    for result in results:
        assert result.found == sum(result.reasons.values())
        for reason, count in result.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
    return reasons


def test_terms_that_were_set_as_they_are_to_be_are_no_finding(
    bounded: Any, acme: TenantId, globex: TenantId
) -> None:
    retention = bounded.installation.retention
    set_period(retention, acme, cases(bounded), "P2Y", actor="ann")
    set_period(retention, acme, cases(bounded), "P3Y", actor="ann")
    set_period(retention, globex, cases(bounded), "P2Y", actor="ann")
    set_period(retention, globex, cases(bounded), None, actor="ann")
    set_state(retention, acme, "cases", "paused", actor="ann")
    set_state(retention, acme, "cases", "paused", actor="ann")
    set_state(retention, acme, "cases", "active", actor="ann")
    assert found(bounded) == {}


PROLONG = (
    "INSERT INTO tenure.policy_periods (policy, tenant_id, period, changed_by)"
    " VALUES ('cases', %s, 'P1000Y', 'x')"
)


def test_a_period_that_was_slipped_in_is_entered_and_found(bounded: Any, acme: TenantId) -> None:
    """Nothing would ever be due again."""
    as_retention(bounded, acme, PROLONG, str(acme))
    (entry,) = entries(bounded, "policy_periods")
    assert (entry["kind"], entry["tenant"]) == ("policy-period", str(acme))
    assert entry["record"]["period"] == "P1000Y"
    assert found(bounded) == {UNRECORDED: 1}
    # With a change to go with it, its bounds are still the policy's.
    as_retention(
        bounded, acme,
        "INSERT INTO tenure.policy_changes (tenant_id, id, policy, what, after, changed_by)"
        " VALUES (%s, gen_random_uuid(), 'cases', 'period', 'P1000Y', 'x')", str(acme),
    )  # fmt: skip
    assert found(bounded) == {OUTSIDE: 1}


def test_a_pause_that_nobody_recorded_is_entered_and_found(bounded: Any, acme: TenantId) -> None:
    set_state(bounded.installation.retention, acme, "cases", "active", actor="ann")
    as_retention(bounded, acme, "UPDATE tenure.policy_states SET state = 'paused'")
    assert [e["kind"] for e in entries(bounded, "policy_states")] == [
        "policy-state", "policy-state-changed",
    ]  # fmt: skip
    assert found(bounded) == {UNRECORDED: 1}


def test_terms_that_went_without_a_record_are_found(bounded: Any, acme: TenantId) -> None:
    set_period(bounded.installation.retention, acme, cases(bounded), "P2Y", actor="ann")
    as_retention(bounded, acme, "DELETE FROM tenure.policy_periods")
    assert entries(bounded, "policy_periods")[-1]["kind"] == "policy-period-deleted"
    assert found(bounded) == {UNRECORDED: 1}


def test_bounds_that_became_narrower_leave_a_period_outside(bounded: Any, acme: TenantId) -> None:
    set_period(bounded.installation.retention, acme, cases(bounded), "P5Y", actor="ann")
    bounded.policies = tuple(
        replace(p, maximum="P2Y") if p.name == "cases" else p for p in bounded.policies
    )
    assert found(bounded) == {OUTSIDE: 1}


def test_an_own_period_takes_nothing_that_a_minimum_keeps_which_was_raised_after_it(
    bounded: Any, acme: TenantId
) -> None:
    bounded.case(acme, opened=NOW - timedelta(days=3 * 366))
    set_period(bounded.installation.retention, acme, cases(bounded), "P2Y", actor="ann")
    assert bounded.shop().plan().rows == 1
    bounded.policies = tuple(
        replace(p, period="P10Y", minimum="P10Y", maximum="P12Y") if p.name == "cases" else p
        for p in bounded.policies
    )
    report = bounded.run()
    assert (report.state, report.rows) == ("succeeded", 0)
    # Nor does whoever looks again hold it to be late; that the period is outside it says.
    assert found(bounded) == {OUTSIDE: 1}
    assert bounded.verify().findings == 1


def test_of_another_tenant_the_finding_says_nothing(
    bounded: Any, acme: TenantId, globex: TenantId
) -> None:
    as_retention(bounded, acme, PROLONG, str(acme))
    set_state(bounded.installation.retention, globex, "cases", "paused", actor="ann")
    results = [r for r in bounded.verify().results if r.subject == "own terms"]
    assert [r.tenant for r in results] == ["acme"]
    assert "P1000Y" not in results[0].query
    assert str(acme) not in results[0].query


def test_an_import_pauses_where_nobody_said_otherwise_and_records_it(
    bounded: Any, acme: TenantId
) -> None:
    set_state(bounded.installation.retention, acme, "cases", "active", actor="ann")
    names = ["cases", "nodes", "not recorded yet"]
    with bounded.owner, bounded.owner.cursor() as cursor:
        assert pause_where_unsaid(cursor, acme, names, actor="import") == 2
        assert pause_where_unsaid(cursor, acme, names, actor="import") == 0
    assert bounded.sql(
        "SELECT policy, before, after, changed_by FROM tenure.policy_changes ORDER BY 1"
    ) == [
        ("cases", None, "active", "ann"),
        ("nodes", None, "paused", "import"),
        ("not recorded yet", None, "paused", "import"),
    ]
    assert found(bounded) == {}


def changes(lab: Any) -> list[tuple[str, str]]:
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        report = changes_report(cursor, PageRequest(1, 50), EVERYTHING)
    return [(c.subject, c.what) for c in report.changes if c.kind == "policy"]


def test_a_policy_that_is_taken_out_of_the_file_is_recorded_once(lab: Any, acme: TenantId) -> None:
    retention = lab.installation.retention
    less = [policy for policy in lab.policies if policy.name != "nodes"]
    for _ in range(2):
        record_policies(retention, lab.policies, actor="ann")
    assert lab.sql("SELECT count(*) FROM tenure.policy_withdrawals") == [(0,)]
    for _ in range(2):
        record_policies(retention, less, actor="ann")
    assert changes(lab)[0] == ("nodes", "withdrawn")
    for _ in range(2):
        record_policies(retention, lab.policies, actor="bob")
    assert lab.sql(
        "SELECT policy, number, event, version, recorded_by FROM tenure.policy_withdrawals"
        " ORDER BY number"
    ) == [("nodes", 1, "withdrawn", 1, "ann"), ("nodes", 2, "returned", 2, "bob")]
    # No plan has reckoned with it since: it is another version, of one definition.
    assert lab.sql(
        "SELECT version, changes, recorded_by FROM tenure.policy_versions WHERE policy = 'nodes'"
        " AND version > 1"
    ) == [(2, {}, "bob")]
    assert changes(lab)[:3] == [
        ("nodes", "returned"),
        ("nodes", "version 2"),
        ("nodes", "withdrawn"),
    ]
    assert [e["kind"] for e in entries(lab, "policy_withdrawals")] == ["policy-withdrawal"] * 2
    assert audit_ledger(lab.installation.verifier, None).findings == ()


def test_a_policy_is_not_withdrawn_by_a_row_that_says_nothing(lab: Any, acme: TenantId) -> None:
    record_policies(lab.installation.retention, lab.policies, actor="ann")
    with pytest.raises(psycopg2.errors.CheckViolation):
        as_retention(
            lab, acme,
            "INSERT INTO tenure.policy_withdrawals (policy, number, event, version, recorded_by)"
            " VALUES ('nodes', 2, 'withdrawn', 1, 'x')",
        )  # fmt: skip


# -- whatever the clock said when they were set ------------------------------------------------


def set_back(lab: Any) -> None:
    """Let it be that the clock was set back after the first change, by some minutes."""
    lab.sql("ALTER TABLE tenure.policy_changes DISABLE TRIGGER USER")
    lab.sql(
        "UPDATE tenure.policy_changes c SET changed_at = now() - n.minutes * interval '1 minute'"
        " FROM (SELECT id, row_number() OVER (ORDER BY changed_at) AS minutes"
        " FROM tenure.policy_changes) n WHERE n.id = c.id"
    )


def test_a_clock_that_was_set_back_accuses_nobody(bounded: Any, acme: TenantId) -> None:
    retention = bounded.installation.retention
    for period in ("P2Y", "P3Y", "P2Y", None, "P4Y"):
        set_period(retention, acme, cases(bounded), period, actor="ann")
    for state in ("paused", "active", "paused"):
        set_state(retention, acme, "cases", state, actor="ann")
    assert found(bounded) == {}
    set_back(bounded)
    assert found(bounded) == {}
    set_period(retention, acme, cases(bounded), None, actor="ann")
    assert found(bounded) == {}
    as_retention(bounded, acme, "UPDATE tenure.policy_states SET state = 'active'")
    assert found(bounded) == {UNRECORDED: 1}


def test_a_change_that_was_slipped_in_beside_those_recorded_is_found(
    bounded: Any, acme: TenantId
) -> None:
    """It was not what was in force before, whatever it says of when it was."""
    set_period(bounded.installation.retention, acme, cases(bounded), "P2Y", actor="ann")
    as_retention(bounded, acme, "DELETE FROM tenure.policy_periods")
    as_retention(
        bounded, acme,
        "INSERT INTO tenure.policy_periods (policy, tenant_id, period, changed_by)"
        " VALUES ('cases', %s, 'P5Y', 'x')", str(acme),
    )  # fmt: skip
    as_retention(
        bounded, acme,
        "INSERT INTO tenure.policy_changes (tenant_id, id, policy, what, after, changed_by)"
        " VALUES (%s, gen_random_uuid(), 'cases', 'period', 'P5Y', 'x')", str(acme),
    )  # fmt: skip
    assert found(bounded) == {UNRECORDED: 1}


def test_a_state_from_before_changes_were_recorded_is_no_finding(
    bounded: Any, acme: TenantId
) -> None:
    as_retention(
        bounded, acme,
        "INSERT INTO tenure.policy_states (policy, tenant_id, state, changed_by)"
        " VALUES ('cases', %s, 'paused', 'ann')", str(acme),
    )  # fmt: skip
    for state in ("active", "paused"):
        set_state(bounded.installation.retention, acme, "cases", state, actor="ann")
    assert found(bounded) == {}


def test_the_period_that_a_run_went_by_is_the_one_that_was_set_last(
    bounded: Any, acme: TenantId
) -> None:
    retention = bounded.installation.retention
    case = bounded.case(acme)
    for period in ("P2Y", "P3Y"):
        set_period(retention, acme, cases(bounded), period, actor="ann")
    set_back(bounded)
    report = run_once(bounded.shop(), bounded.shop().plan)
    assert report.rows == 1
    with bounded.installation.verifier.transaction(None, read_only=True) as cursor:
        (one,) = explain(
            cursor,
            Question(TableName("lab", "cases"), UUID(case)),
            catalog=bounded.catalog,
            policies=bounded.policies,
            held_by=lambda *_: (),
            now=bounded.now,
        )
    assert [deletion.period for deletion in one.deletions] == ["P3Y"]


def shown(lab: Any) -> list[tuple[str, str, str]]:
    """What the schedule shows of tenants' own terms: what, value, by whom."""
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        report = schedule_report(cursor, PageRequest(), EVERYTHING)
    return [(term.what, term.value, term.changed_by) for term in report.own_terms]


def test_the_schedule_shows_what_was_set_last(bounded: Any, acme: TenantId) -> None:
    retention = bounded.installation.retention
    for period, actor in (("P2Y", "ann"), ("P3Y", "bob"), ("P2Y", "eve")):
        set_period(retention, acme, cases(bounded), period, actor=actor)
    assert shown(bounded) == [("period", "P2Y", "eve")]
    set_period(retention, acme, cases(bounded), "P4Y", actor="bob")
    set_back(bounded)
    assert shown(bounded) == [("period", "P4Y", "bob")]
    set_period(retention, acme, cases(bounded), None, actor="ann")
    assert shown(bounded) == []


def test_the_schedule_shows_a_state_from_before_changes_were_recorded(
    bounded: Any, acme: TenantId
) -> None:
    as_retention(
        bounded, acme,
        "INSERT INTO tenure.policy_states (policy, tenant_id, state, changed_by)"
        " VALUES ('cases', %s, 'paused', 'ann')", str(acme),
    )  # fmt: skip
    assert shown(bounded) == [("state", "paused", "ann")]
    for state in ("active", "paused"):
        set_state(bounded.installation.retention, acme, "cases", state, actor="bob")
    assert shown(bounded) == [("state", "paused", "bob")]
