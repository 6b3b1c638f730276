"""Runs on a real database: what goes, what stays, what is recorded."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from config.clock import FixedClock
from config.trace import new_trace_id
from retention.errors import FutureInstantError, PlanError, PolicyError
from retention.executor import Options
from retention.jobs import run_once
from retention.plan import Plan, plan_from_json
from retention.policies import Policy
from retention.policy_records import record_policies, set_state
from retention.rules import rule_of
from retention.statements import Statements
from tenants.context import TenantId


def test_a_run_deletes_what_is_due_and_nothing_else(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    for tenant in (acme, globex):
        for _ in range(4):
            lab.case(tenant, files=2)
    young = lab.case(acme, opened=lab.lately, files=1)
    report = lab.run()
    assert report.state == "succeeded", report.detail
    assert lab.ids("cases") == {young}
    assert len(lab.ids("files")) == 1
    assert len(lab.ids("pages")) == 2
    assert report.deleted() == {"lab.cases": 8, "lab.files": 16, "lab.pages": 32}


def test_every_row_gone_is_in_a_record_under_the_trace_id(lab: Any, acme: TenantId) -> None:
    cases = [lab.case(acme, files=1) for _ in range(7)]
    report = lab.run()
    assert lab.recorded(report.trace_id) == {"lab.cases": 7, "lab.files": 7, "lab.pages": 14}
    batches = lab.sql(
        "SELECT rows_deleted, counts, policy, policy_version, cutoff, tenant_id::text"
        " FROM tenure.batches ORDER BY recorded_at"
    )
    assert [row[0] for row in batches] == [12, 12, 4]  # three cases a batch, four rows each
    assert {row[2:4] for row in batches} == {("cases", 1)}
    assert {row[5] for row in batches} == {str(acme)}
    ((hashes, starts),) = lab.sql(
        "SELECT k.hashes, k.starts FROM tenure.deleted_keys k"
        " JOIN tenure.batches b ON b.id = k.batch_id"
        " WHERE k.table_name = 'lab.cases' ORDER BY b.recorded_at LIMIT 1"
    )
    kept = bytes(hashes)
    assert {kept[at : at + 16] for at in range(0, len(kept), 16)} == {
        hashlib.sha256(UUID(case).bytes).digest()[:16] for case in cases[:3]
    }
    digest = hashlib.sha256(kept).hexdigest()
    assert batches[0][1]["lab.cases"] == {
        "rows": 3, "sha256": digest, "starts_sha256": hashlib.sha256(starts).hexdigest(),
    }  # fmt: skip
    assert set(batches[0][1]["lab.pages"]) == {"rows", "sha256"}
    ((state, started_by, finished),) = lab.sql(
        "SELECT state, started_by, finished_at IS NOT NULL FROM tenure.runs"
    )
    assert (state, started_by, finished) == ("succeeded", "test", True)


def test_a_second_run_deletes_nothing(lab: Any, acme: TenantId) -> None:
    lab.case(acme, files=1)
    lab.run()
    again = lab.run()
    assert again.rows == 0
    assert again.state == "succeeded"
    assert lab.verify().findings == 0


def test_a_plan_run_twice_deletes_nothing_more_and_is_not_stalled(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    shop = lab.shop()
    shop.record()
    plan = shop.plan()
    assert run_once(shop, lambda: plan).rows == 1
    again = run_once(shop, lambda: plan)
    assert (again.rows, again.state) == (0, "succeeded")


def test_planning_changes_nothing_and_says_what_the_run_will_do(lab: Any, acme: TenantId) -> None:
    for _ in range(5):
        lab.case(acme, files=2)
    lab.case(acme, opened=None)
    everything = "SELECT n_tup_ins + n_tup_upd + n_tup_del, relname FROM pg_stat_user_tables"
    lab.sql("SELECT pg_stat_force_next_flush()")
    before = {t: lab.ids(t) for t in ("cases", "files", "pages")}
    counts = sorted(lab.sql(everything))
    plan = lab.shop().plan()
    assert {t: lab.ids(t) for t in before} == before
    assert sorted(lab.sql(everything)) == counts
    (unit,) = plan.units
    assert (unit.due, unit.undated) == (5, 1)
    assert dict(unit.goes) == {"lab.cases": 5, "lab.files": 10, "lab.pages": 20}
    assert lab.run().deleted() == dict(unit.goes)


def test_a_row_that_others_refer_to_is_kept_and_said_to_be(lab: Any, acme: TenantId) -> None:
    kept = lab.case(acme, files=2)
    gone = lab.case(acme, files=1)
    ((page,),) = lab.sql(
        "SELECT p.id::text FROM lab.pages p JOIN lab.files f ON f.id = p.file_id"
        " WHERE f.case_id = %s LIMIT 1",
        (kept,),
    )
    lab.add("citations", acme, page_id=page, cited_at=lab.lately)
    (unit,) = lab.shop().plan().units
    assert [(k.reason, k.rows, k.detail) for k in unit.kept] == [("referenced", 1, "lab.citations")]
    assert unit.rows == 4
    report = lab.run()
    assert report.state == "succeeded", report.detail
    assert lab.ids("cases") == {kept}
    assert gone not in lab.ids("cases")
    assert len(lab.ids("pages")) == 4
    assert report.units[0].left == 1
    assert lab.verify().findings == 0


def test_what_keeps_a_row_goes_first_in_the_same_run(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme, files=1)
    ((page,),) = lab.sql("SELECT id::text FROM lab.pages LIMIT 1")
    lab.add("citations", acme, page_id=page, cited_at=lab.long_ago)
    report = lab.run()
    assert case not in lab.ids("cases")
    assert report.deleted()["lab.citations"] == 1


def test_soft_references_go_along(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme, files=1)
    young = lab.case(acme, opened=lab.lately)
    lab.add("remarks", acme, about="case", subject_id=case)
    (file,) = lab.ids("files")
    lab.add("remarks", acme, about="file", subject_id=file)
    stays = lab.add("remarks", acme, about="case", subject_id=young)
    # The kind decides: this one is about a file that happens to have a case's id.
    other = lab.add("remarks", acme, about="file", subject_id=case)
    lab.run()
    assert lab.ids("remarks") == {stays, other}


def test_a_soft_reference_from_outside_keeps(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme)
    lab.add("remarks", acme, about="case", subject_id=case)
    policy = next(p for p in lab.policies if p.name == "cases")
    narrow = replace(policy, along=tuple(t for t in policy.along if t.name != "remarks"))
    shop = lab.shop(policies=(narrow,))
    (unit,) = shop.plan().units
    assert unit.kept[0].detail == "lab.remarks"
    assert lab.run(shop).rows == 0
    assert lab.ids("cases") == {case}


def test_undated_rows_are_reported_and_stay(lab: Any, acme: TenantId) -> None:
    undated = lab.case(acme, opened=None)
    lab.run()
    assert lab.ids("cases") == {undated}
    (unit,) = lab.shop().plan().units
    assert (unit.due, unit.undated, unit.rows) == (0, 1, 0)
    found = [r for r in lab.verify().results if r.kind == "undated" and r.found]
    assert [(r.subject, r.tenant, r.found) for r in found] == [("cases", "acme", 1)]


def test_a_paused_tenant_keeps_its_rows_until_activated(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    kept = lab.case(acme)
    lab.case(globex)
    record_policies(lab.installation.retention, lab.policies, actor="test")
    set_state(lab.installation.retention, acme, "cases", "paused", actor="test")
    report = lab.run()
    assert report.state == "succeeded"
    assert lab.ids("cases") == {kept}
    unit = next(u for u in lab.shop().plan().units if u.tenant == "acme")
    assert [k.reason for k in unit.kept] == ["paused"]
    assert lab.verify().findings == 0
    set_state(lab.installation.retention, acme, "cases", "active", actor="test")
    assert lab.verify().findings == 1
    assert lab.run().rows == 1
    assert lab.ids("cases") == set()


def test_a_policy_paused_after_the_plan_is_skipped(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    shop = lab.shop()
    shop.record()
    plan = shop.plan()
    set_state(lab.installation.retention, acme, "cases", "paused", actor="test")
    report = run_once(shop, lambda: plan)
    assert report.state == "succeeded_with_skips"
    assert "paused" in report.detail
    assert len(lab.ids("cases")) == 1


def test_as_of_reaches_back_and_not_ahead(lab: Any, acme: TenantId) -> None:
    lab.case(acme, opened=lab.now - timedelta(days=370))
    earlier = lab.now - timedelta(days=30)
    assert lab.shop().plan(as_of=earlier).rows == 0
    assert lab.run(as_of=earlier).rows == 0
    with pytest.raises(FutureInstantError, match="in the future"):
        lab.shop().plan(as_of=lab.now + timedelta(seconds=1))
    with pytest.raises(FutureInstantError, match="in the future"):
        lab.shop().verify(as_of=lab.now + timedelta(seconds=1), trace_id=new_trace_id())
    assert lab.run().rows == 1


def test_a_plan_as_of_a_later_clock_is_refused(lab: Any, acme: TenantId) -> None:
    shop = lab.shop()
    shop.record()
    plan = shop.plan()
    early = replace(shop, clock=FixedClock(lab.now - timedelta(days=1)))
    with pytest.raises(PlanError, match="future"):
        run_once(early, lambda: plan)


def test_a_plan_travels_as_json_and_still_runs(lab: Any, acme: TenantId) -> None:
    lab.case(acme, files=1)
    shop = lab.shop()
    shop.record()
    text = json.dumps(shop.plan().to_json())
    assert plan_from_json(text) == shop.plan()
    assert run_once(shop, lambda: plan_from_json(text)).rows == 4


def test_a_plan_is_refused_once_its_policy_has_changed(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme)
    shop = lab.shop()
    shop.record()
    plan = shop.plan()
    longer = tuple(replace(p, period="P50Y") for p in lab.policies)
    record_policies(lab.installation.retention, longer, actor="test")
    changed = replace(shop, policies=longer)
    with pytest.raises(PlanError, match="changed since the plan"):
        run_once(changed, lambda: plan)
    assert lab.ids("cases") == {case}


def test_a_policy_made_longer_during_the_run_stops_it(lab: Any, acme: TenantId) -> None:
    for _ in range(6):
        lab.case(acme)
    longer = tuple(replace(p, period="P50Y") for p in lab.policies)

    def change(progress: Any) -> None:
        record_policies(lab.installation.retention, longer, actor="test")

    shop = lab.shop(options=Options(batch_size=3, on_progress=change))
    report = lab.run(shop)
    assert report.state == "succeeded_with_skips"
    assert "policy changed" in report.detail
    assert len(lab.ids("cases")) == 3


def another(lab: Any) -> tuple[Policy, ...]:
    """With a policy that decides over the same rows, and keeps them longer."""
    (cases,) = [p for p in lab.policies if p.name == "cases"]
    longer = replace(cases, name="complaints", period="P50Y", condition="r.id IS NOT NULL")
    return (*lab.policies, longer)


def test_a_policy_added_on_its_table_during_the_run_stops_it(lab: Any, acme: TenantId) -> None:
    for _ in range(6):
        lab.case(acme)

    def add(progress: Any) -> None:
        record_policies(lab.installation.retention, another(lab), actor="test")

    shop = lab.shop(options=Options(batch_size=3, on_progress=add))
    report = lab.run(shop)
    assert report.state == "succeeded_with_skips"
    assert "policy changed" in report.detail
    assert len(lab.ids("cases")) == 3
    # What is planned anew knows of it.
    fresh = lab.shop(policies=another(lab))
    assert run_once(fresh, fresh.plan).rows == 0


def test_a_plan_is_refused_once_a_policy_was_added_on_its_tables(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme)
    shop = lab.shop()
    shop.record()
    plan = shop.plan()
    with pytest.raises(PlanError, match="'complaints' is in force on a table of 'cases'"):
        run_once(lab.shop(policies=another(lab)), lambda: plan)
    assert lab.ids("cases") == {case}


def test_a_policy_that_comes_back_during_the_run_stops_it(lab: Any, acme: TenantId) -> None:
    for _ in range(6):
        lab.case(acme)
    record_policies(lab.installation.retention, another(lab), actor="test")
    record_policies(lab.installation.retention, lab.policies, actor="test")

    def put_back(progress: Any) -> None:
        record_policies(lab.installation.retention, another(lab), actor="test")

    report = lab.run(lab.shop(options=Options(batch_size=3, on_progress=put_back)))
    assert report.state == "succeeded_with_skips"
    assert "policy changed" in report.detail
    assert len(lab.ids("cases")) == 3


def test_a_policy_that_is_taken_out_of_the_file_during_its_run_stops(
    lab: Any, acme: TenantId
) -> None:
    for _ in range(6):
        lab.case(acme)
    rest = tuple(p for p in lab.policies if p.name != "cases")

    def take_out(progress: Any) -> None:
        record_policies(lab.installation.retention, rest, actor="test")

    report = lab.run(lab.shop(options=Options(batch_size=3, on_progress=take_out)))
    assert report.state == "succeeded_with_skips"
    assert "policy changed" in report.detail
    assert len(lab.ids("cases")) == 3


def test_a_plan_of_a_policy_that_was_taken_out_of_the_file_is_refused(
    lab: Any, acme: TenantId
) -> None:
    case = lab.case(acme)
    shop = lab.shop()
    shop.record()
    plan = shop.plan()
    rest = tuple(p for p in lab.policies if p.name != "cases")
    with pytest.raises(PlanError, match="'cases' was taken out of the policy file"):
        run_once(lab.shop(policies=rest), lambda: plan)
    # Nor is one of before, once it is in again.
    with pytest.raises(PlanError, match="'cases' has changed since the plan"):
        run_once(lab.shop(), lambda: plan)
    assert lab.ids("cases") == {case}


def test_a_plan_that_leaves_out_what_another_policy_keeps_is_refused(
    lab: Any, acme: TenantId
) -> None:
    case = lab.case(acme)
    shop = lab.shop(policies=another(lab))
    shop.record()
    plan = shop.plan(only=lab.policies)
    cut = replace(plan, policies=tuple(replace(p, beside=()) for p in plan.policies))
    with pytest.raises(PlanError, match="'complaints' is in force on a table of 'cases'"):
        run_once(shop, lambda: cut)
    assert lab.ids("cases") == {case}


def test_a_policy_that_was_taken_out_of_the_file_is_in_nobodys_way(
    lab: Any, acme: TenantId
) -> None:
    lab.case(acme)
    record_policies(lab.installation.retention, another(lab), actor="test")
    assert lab.run().state == "succeeded"
    assert lab.ids("cases") == set()


def test_a_run_can_be_cancelled_between_batches_and_resumed(lab: Any, acme: TenantId) -> None:
    for _ in range(8):
        lab.case(acme)
    seen: list[Any] = []
    shop = lab.shop(
        options=Options(batch_size=3, stop=lambda: len(seen) > 0, on_progress=seen.append)
    )
    report = lab.run(shop)
    assert (report.state, report.rows) == ("cancelled", 3)
    assert lab.recorded() == {"lab.cases": 3}
    assert lab.run().rows == 5
    assert lab.sql("SELECT state FROM tenure.runs ORDER BY started_at") == [
        ("cancelled",),
        ("succeeded",),
    ]


def test_rows_that_cannot_be_seen_by_the_executor_are_a_stall(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    lab.sql("DROP POLICY retention ON lab.cases")
    report = lab.run()
    assert report.state == "stalled"
    assert "the verifier sees 1 due rows, the executor 0" in report.detail
    assert lab.sql("SELECT state FROM tenure.runs") == [("stalled",)]


def test_rows_that_can_be_seen_and_not_locked_are_a_failure(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    lab.sql("DROP POLICY retention ON lab.cases")
    lab.sql("CREATE POLICY r ON lab.cases FOR SELECT TO tenure_retention USING (true)")
    report = lab.run()
    assert report.state == "failed"
    assert "lost its UPDATE policy" in report.detail
    assert len(lab.ids("cases")) == 1


def test_a_tenant_without_a_gate_is_not_touched(lab: Any, acme: TenantId, globex: TenantId) -> None:
    kept = lab.case(acme)
    lab.case(globex)
    lab.sql("DELETE FROM tenure.gates WHERE tenant_id = %s", (str(acme),))
    report = lab.run()
    assert report.state == "failed"
    assert "no gate" in report.detail
    assert lab.ids("cases") == {kept}


def test_a_foreign_key_unknown_to_the_catalog_costs_its_row_and_no_other(
    lab: Any, acme: TenantId
) -> None:
    cases, shop = [lab.case(acme) for _ in range(9)], lab.shop()

    def planned() -> Plan:
        # After the policies were checked against the database, which finds such a key.
        lab.sql(
            "CREATE TABLE lab.stowaways (tenant_id uuid, case_id uuid,"
            " FOREIGN KEY (tenant_id, case_id) REFERENCES lab.cases (tenant_id, id))"
        )
        lab.sql("INSERT INTO lab.stowaways VALUES (%s, %s)", (str(acme), cases[4]))
        made: Plan = shop.plan()
        return made

    report = run_once(shop, planned)
    with pytest.raises(PolicyError, match="no model says so"):
        lab.run()
    assert lab.ids("cases") == {cases[4]}
    assert report.state == "succeeded_with_skips"
    assert "foreign key that is not in the catalog (1 rows)" in report.detail
    assert lab.recorded() == {"lab.cases": 8}


def test_locked_rows_are_passed_over_and_then_waited_for(lab: Any, acme: TenantId) -> None:
    cases = [lab.case(acme) for _ in range(5)]
    other = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM lab.cases WHERE id = %s FOR UPDATE", (cases[1],))
        report = lab.run()
        assert lab.ids("cases") == {cases[1]}
        assert report.state == "succeeded_with_skips"
        assert "locked by others (1 rows)" in report.detail
    finally:
        other.close()
    assert lab.run().rows == 1


def test_a_run_counts_its_round_trips(lab: Any, acme: TenantId) -> None:
    lab.node(acme)
    one = lab.run().round_trips
    for _ in range(3):
        lab.node(acme)
    assert lab.run().round_trips == one + 5  # three rows fill a batch, so another one looks


def test_a_row_whose_starting_point_moves_while_it_is_waited_for_stays(
    lab: Any, acme: TenantId
) -> None:
    touched, gone = lab.case(acme), lab.case(acme)
    other = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
    reports: list[Any] = []
    try:
        with other.cursor() as cursor:
            cursor.execute(
                "UPDATE lab.cases SET opened = %s WHERE id = %s", (lab.lately.date(), touched)
            )
        shop = lab.shop(options=Options(lock_timeout_ms=5000))
        runner = threading.Thread(target=lambda: reports.append(lab.run(shop)))
        runner.start()
        lab.wait_for_a_waiter()
        assert lab.ids("cases") == {touched}, gone
        other.commit()
        runner.join(10)
    finally:
        other.close()
    assert lab.ids("cases") == {touched}
    assert (reports[0].state, reports[0].rows) == ("succeeded", 1)


def test_the_delete_says_tenant_and_cutoff_again(lab: Any) -> None:
    policy = next(p for p in lab.policies if p.name == "cases")
    family = policy.family(lab.catalog)
    statements = Statements(family, rule_of(policy, (), lab.catalog, lab.now))
    for group in family.order:
        text = statements.delete(group).as_string(lab.owner)
        assert text.count("DELETE") == text.count("tenant_id = %(tenant)s::uuid") == len(group)
        assert ('"opened" < %(cutoff)s' in text) == (policy.table in group)


@pytest.mark.parametrize("step", ["selected", "locked", "children_deleted", "deleted", "recorded"])
def test_a_child_inserted_in_mid_batch_is_refused_and_not_swallowed(
    lab: Any, acme: TenantId, step: str
) -> None:
    case = lab.case(acme, files=1)
    reached, proceed = threading.Event(), threading.Event()

    def on_step(now_at: str) -> None:
        if now_at == step:
            reached.set()
            assert proceed.wait(10)

    failed: list[psycopg2.Error] = []

    def insert() -> None:
        try:
            lab.add("files", acme, case_id=case)
        except psycopg2.errors.ForeignKeyViolation as error:
            failed.append(error)

    reports: list[Any] = []
    shop = lab.shop(options=Options(lock_timeout_ms=5000, on_step=on_step))
    runner = threading.Thread(target=lambda: reports.append(lab.run(shop)))
    runner.start()
    assert reached.wait(10)
    writer = threading.Thread(target=insert)
    writer.start()
    # On a connection of its own, for the lab's is the writer's now.
    with lab.installation.verifier.transaction(None) as cursor:
        pause = threading.Event()
        for _ in range(1000):
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone() != (0,):
                break
            pause.wait(0.01)
        else:
            raise AssertionError("the insert did not wait")
    proceed.set()
    runner.join(10)
    writer.join(10)
    assert len(failed) == 1, "a row refers to a case that is gone"
    assert reports[0].state == "succeeded", reports[0].detail
    assert (lab.ids("cases"), lab.ids("files")) == (set(), set())
    assert lab.recorded() == {"lab.cases": 1, "lab.files": 1, "lab.pages": 2}
    assert lab.verify().findings == 0
