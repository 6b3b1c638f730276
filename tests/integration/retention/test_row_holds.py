"""Holds on less than a tenant: every way by which a run could take a row that is held."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from retention import holds, settling
from retention.errors import HoldError
from retention.executor import Options
from retention.hold_keys import count_rows
from retention.hold_preview import preview_release
from retention.hold_records import events_of, find_hold
from retention.hold_scopes import Scope
from retention.jobs import run_once
from tenants.catalog import TableName
from tenants.context import TenantId

from .conftest import GROUND

WAIT_S = 10.0
EVERY_SIZE = pytest.mark.parametrize("size", [1, 2, 3, 50])


def rows(table: str, *ids: str) -> Scope:
    return Scope("rows", TableName("lab", table), rows=tuple(map(UUID, ids)))


def subject(table: str, row_id: str) -> Scope:
    return Scope("subject", TableName("lab", table), subject=UUID(row_id))


def where(table: str, condition: str) -> Scope:
    return Scope("table", TableName("lab", table), condition=condition)


def files_of(lab: Any, case: str) -> set[str]:
    return {i for (i,) in lab.sql("SELECT id::text FROM lab.files WHERE case_id = %s", (case,))}


def run(lab: Any, size: int) -> Any:
    return lab.run(lab.shop(options=Options(batch_size=size, lock_timeout_ms=500)))


def held_of(report: Any) -> int:
    return sum(s.rows or 0 for unit in report.units for s in unit.skips if s.reason == "held")


@EVERY_SIZE
def test_a_row_held_by_key_stays_and_the_others_go(lab: Any, acme: TenantId, size: int) -> None:
    held, *free = [lab.case(acme, files=1) for _ in range(7)]
    lab.hold(acme, rows("cases", held))
    planned = lab.shop().plan()
    unit = next(u for u in planned.units if u.policy == "cases")
    assert [(k.reason, k.rows) for k in unit.kept] == [("held", 1)]
    assert dict(unit.goes)["lab.cases"] == len(free)
    report = run(lab, size)
    assert lab.ids("cases") == {held}
    assert lab.ids("files") == files_of(lab, held)
    assert report.state == "succeeded_with_skips"
    assert report.detail == "cases of acme: held (1 rows)"
    result = next(r for r in lab.verify().results if r.kind == "overdue" and r.held)
    assert (result.found, result.held) == (0, 1)


@EVERY_SIZE
@pytest.mark.parametrize("table", ["files", "pages", "remarks"])
def test_a_held_row_keeps_the_family_it_would_go_along_with(
    lab: Any, acme: TenantId, table: str, size: int
) -> None:
    """A policy on another table must not take it along."""
    kept, gone = lab.case(acme, files=2), lab.case(acme, files=2)
    ((page, file),) = lab.sql(
        "SELECT p.id::text, f.id::text FROM lab.pages p JOIN lab.files f ON f.id = p.file_id"
        " WHERE f.case_id = %s ORDER BY p.id DESC LIMIT 1",
        (kept,),
    )
    remark = lab.add("remarks", acme, about="file", subject_id=file)
    lab.add("remarks", acme, about="case", subject_id=gone)
    held = {"files": file, "pages": page, "remarks": remark}[table]
    lab.hold(acme, rows(table, held))
    run(lab, size)
    assert lab.ids("cases") == {kept}
    assert len(lab.ids("files")) == 2
    assert held in lab.ids(table)
    assert lab.ids("remarks") == {remark}
    assert lab.verify().findings == 0


@EVERY_SIZE
def test_a_subject_is_held_with_all_that_refers_to_it(lab: Any, acme: TenantId, size: int) -> None:
    kept, gone = lab.case(acme, files=1), lab.case(acme, files=1)
    remark = lab.add("remarks", acme, about="case", subject_id=kept)
    lab.add("remarks", acme, about="case", subject_id=gone)
    lab.hold(acme, subject("cases", kept))
    report = run(lab, size)
    assert lab.ids("cases") == {kept}
    assert lab.ids("remarks") == {remark}
    assert len(lab.ids("pages")) == 2
    assert held_of(report) == 1


@EVERY_SIZE
def test_what_refers_to_a_subject_over_other_rows_is_held_under_its_own_policy(
    lab: Any, acme: TenantId, size: int
) -> None:
    """A citation has a policy of its own; its subject is three references up."""
    cases = [lab.case(acme, opened=lab.lately, files=1) for _ in range(2)]
    citations = []
    for case in cases:
        ((page,),) = lab.sql(
            "SELECT p.id::text FROM lab.pages p JOIN lab.files f ON f.id = p.file_id"
            " WHERE f.case_id = %s LIMIT 1",
            (case,),
        )
        citations.append(lab.add("citations", acme, page_id=page, cited_at=lab.long_ago))
    lab.hold(acme, subject("cases", cases[0]))
    report = run(lab, size)
    assert lab.ids("citations") == {citations[0]}
    assert held_of(report) == 1
    assert lab.verify().findings == 0


@EVERY_SIZE
def test_a_subject_in_the_middle_of_a_tree_keeps_its_branch_and_its_ancestors(
    lab: Any, acme: TenantId, size: int
) -> None:
    root = lab.node(acme)
    middle = lab.node(acme, parent_id=root)
    leaf = lab.node(acme, parent_id=middle)
    aside = lab.node(acme, parent_id=root)
    lab.node(acme, parent_id=aside)
    partner = lab.node(acme, partner_id=leaf)
    lab.hold(acme, subject("nodes", middle))
    run(lab, size)
    assert lab.ids("nodes") == {root, middle, leaf, partner}


@EVERY_SIZE
def test_rows_that_meet_a_condition_are_held_and_those_that_come_to_meet_it(
    lab: Any, acme: TenantId, size: int
) -> None:
    edge = (lab.long_ago - timedelta(days=10)).date()
    early = lab.case(acme, opened=lab.long_ago - timedelta(days=20))
    lab.case(acme)
    undecided = lab.case(acme)
    lab.hold(acme, where("cases", f"r.opened < '{edge}'"))
    lab.sql("UPDATE lab.cases SET opened = %s WHERE id = %s", (edge - timedelta(days=1), undecided))
    report = run(lab, size)
    assert lab.ids("cases") == {early, undecided}
    assert held_of(report) == 2


def test_a_percent_sign_in_a_condition_is_one(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme)
    remark = lab.add("remarks", acme, about="case", subject_id=case)
    other = lab.case(acme)
    lab.hold(acme, where("remarks", "r.about LIKE 'ca%' AND r.about NOT LIKE '%(s)s'"))
    assert lab.shop().plan().rows == 1
    lab.run()
    assert lab.ids("remarks") == {remark}
    assert other not in lab.ids("cases")
    assert lab.verify().findings == 0


def test_a_row_without_a_value_does_not_meet_a_condition_on_it(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    lab.hold(acme, where("cases", "r.main_file_id <> '00000000-0000-0000-0000-000000000000'"))
    assert lab.run().rows == 1


def test_a_row_stays_while_any_of_its_holds_is_in_force(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme)
    first = lab.hold(acme, rows("cases", case))
    second = lab.hold(acme, subject("cases", case))
    third = lab.hold(acme, where("cases", "true"))
    for hold in (first, second, third):
        assert lab.run().rows == 0
        lab.release(hold)
    assert lab.run().rows == 1


def test_a_hold_on_one_tenants_rows_is_none_on_anothers(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    ours, theirs = lab.case(acme), lab.case(globex)
    with pytest.raises(HoldError, match="no row"):
        lab.hold(acme, rows("cases", theirs))
    lab.hold(acme, where("cases", "true"))
    lab.run()
    assert lab.ids("cases") == {ours}


def test_what_only_a_hold_above_it_would_need_goes(lab: Any, acme: TenantId) -> None:
    """A held row keeps what it refers to, not what refers to it."""
    case = lab.case(acme, opened=lab.lately, files=1)
    ((page,),) = lab.sql("SELECT id::text FROM lab.pages ORDER BY id LIMIT 1")
    lab.add("citations", acme, page_id=page, cited_at=lab.long_ago)
    lab.hold(acme, rows("cases", case))
    lab.run()
    assert lab.ids("citations") == set()


# -- between plan, batch and commit ---------------------------------------------------------------


def test_a_hold_placed_between_plan_and_run_keeps_its_rows(lab: Any, acme: TenantId) -> None:
    held = lab.case(acme)
    lab.case(acme)
    shop = lab.shop()
    shop.record()
    plan = shop.plan()
    lab.hold(acme, rows("cases", held))
    report = run_once(shop, lambda: plan)
    assert lab.ids("cases") == {held}
    assert report.detail == "cases of acme: held (1 rows)"


@pytest.mark.parametrize("scope", [Scope(), where("cases", "true")])
def test_a_hold_in_its_grace_keeps_what_was_planned_without_it(
    lab: Any, acme: TenantId, scope: Scope
) -> None:
    case = lab.case(acme)
    shop = lab.shop()
    shop.record()
    plan = shop.plan()
    assert plan.rows == 1
    lab.release(lab.hold(acme, scope), "P14D")
    report = run_once(shop, lambda: plan)
    assert lab.ids("cases") == {case}
    assert report.state == "succeeded_with_skips"


def at_step(lab: Any, step: str, act: Any, before_run: Any = lambda: None) -> Any:
    """Plan, then run; call `act` once, when the first batch is at `step`."""
    done = threading.Event()

    def on_step(now_at: str) -> None:
        if now_at == step and not done.is_set():
            done.set()
            act()

    shop = lab.shop(options=Options(batch_size=3, lock_timeout_ms=2000, on_step=on_step))
    shop.record()
    plan = shop.plan()
    before_run()
    report = run_once(shop, lambda: plan)
    assert done.is_set()
    return report


def test_a_row_that_comes_to_refer_softly_in_mid_batch_is_not_taken_along(
    lab: Any, acme: TenantId
) -> None:
    """No foreign key keeps it from coming; one case is free, one is held, so the rows that go
    are collected twice."""
    free, held = lab.case(acme), lab.case(acme)
    lab.hold(acme, rows("cases", held))
    lab.hold(acme, where("remarks", "r.about = 'case'"))
    remarks: list[str] = []

    under_hold = settling.under_hold

    def late(session: Any, going: Any) -> Any:
        found = under_hold(session, going)
        if not remarks:
            remarks.append(lab.add("remarks", acme, about="case", subject_id=free))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settling, "under_hold", late)
        lab.run()
    assert lab.ids("remarks") == set(remarks)
    assert lab.ids("cases") == {free, held}


@pytest.mark.parametrize("step", ["gate", "checked", "selected", "locked"])
def test_a_child_that_comes_in_mid_batch_is_held_with_its_parent_or_does_not_come(
    lab: Any, acme: TenantId, step: str
) -> None:
    """Held by a condition on the child: whichever comes first, no held row is without parent."""
    case = lab.case(acme)
    lab.hold(acme, where("files", "true"))
    outcome: list[str] = []

    def insert() -> None:
        connection = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO lab.files (tenant_id, id, case_id) VALUES (%s, %s, %s)",
                    (str(acme), str(uuid4()), case),
                )
            outcome.append("came")
        except psycopg2.errors.ForeignKeyViolation:
            outcome.append("refused")
        finally:
            connection.close()

    thread = threading.Thread(target=insert)

    def act() -> None:
        thread.start()
        if step in ("gate", "checked"):
            thread.join(WAIT_S)
        else:
            lab.wait_for_a_waiter()

    at_step(lab, step, act)
    thread.join(WAIT_S)
    if step in ("gate", "checked"):
        assert outcome == ["came"]
        assert lab.ids("cases") == {case}
        assert len(lab.ids("files")) == 1
    else:
        assert outcome == ["refused"]
        assert lab.ids("cases") == lab.ids("files") == set()


def test_a_release_in_mid_batch_frees_for_the_batches_after_it(lab: Any, acme: TenantId) -> None:
    for _ in range(9):
        lab.case(acme)
    placed: list[UUID] = []
    report = at_step(
        lab,
        "checked",
        lambda: lab.release(placed[0]),
        before_run=lambda: placed.append(lab.hold(acme, where("cases", "true"))),
    )
    # The first three were judged under the hold; the pass that waits comes back for them.
    assert report.rows == 9
    assert lab.recorded() == {"lab.cases": 9}


# -- release --------------------------------------------------------------------------------------


def test_a_release_takes_effect_after_its_grace_and_can_be_taken_back(
    lab: Any, acme: TenantId
) -> None:
    lab.case(acme)
    hold_id = lab.hold(acme, where("cases", "true"))
    verifier = lab.installation.verifier
    hold = lab.release(hold_id, "P14D")
    assert hold.in_force
    assert hold.effective_at - hold.released_at == timedelta(days=14)
    assert lab.run().rows == 0
    with pytest.raises(HoldError, match="released before"):
        lab.release(hold_id)
    back = holds.take_back(
        lab.installation.retention, verifier, hold_id, actor="judge", reason="appeal"
    )
    assert (back.in_force, back.released_at, back.released_by) == (True, None, None)
    with pytest.raises(HoldError, match="was not released"):
        holds.take_back(lab.installation.retention, verifier, hold_id, actor="judge")
    lab.release(hold_id)
    with pytest.raises(HoldError, match="has taken effect"):
        holds.take_back(lab.installation.retention, verifier, hold_id, actor="judge")
    assert lab.run().rows == 1
    events = events_of(verifier, find_hold(verifier, hold_id))
    assert [(e.event, e.actor, e.reason) for e in events] == [
        ("placed", "test", "litigation"),
        ("released", "judge", None),
        ("taken back", "judge", "appeal"),
        ("released", "judge", None),
    ]


def test_a_hold_ends_by_the_databases_clock(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    hold_id = lab.hold(acme, where("cases", "true"))
    lab.release(hold_id, "P14D")
    lab.sql(
        "UPDATE tenure.holds SET released_at = now() - interval '15 days',"
        " effective_at = clock_timestamp() + interval '0.4 seconds'"
    )
    assert lab.run().rows == 0
    threading.Event().wait(0.5)
    assert lab.run().rows == 1


def test_the_preview_of_a_release_is_what_then_goes(lab: Any, acme: TenantId) -> None:
    both, one = lab.case(acme, files=1), lab.case(acme, files=1)
    lab.case(acme)
    hold_id = lab.hold(acme, rows("cases", both, one))
    lab.hold(acme, rows("cases", both), matter="M-2")
    verifier = lab.installation.verifier

    def preview() -> Any:
        return preview_release(
            verifier, lab.catalog, lab.policies, find_hold(verifier, hold_id), now=lab.now
        )

    lab.run()
    found = preview()
    assert {(f.policy, f.table, f.rows) for f in found.freed} == {
        ("cases", "lab.cases", 1), ("cases", "lab.files", 1), ("cases", "lab.pages", 2),
    }  # fmt: skip
    lab.release(hold_id)
    assert preview().rows == 0
    assert lab.run().rows == found.rows == 4
    assert lab.ids("cases") == {both}


@pytest.mark.parametrize("grace", ["", "14", "-P1D", "P-1D", "soon", "P14", "P2000Y", "P1.5M"])
def test_a_grace_that_is_no_duration_is_refused(lab: Any, acme: TenantId, grace: str) -> None:
    hold_id = lab.hold(acme)
    with pytest.raises(HoldError, match="period of grace"):
        lab.release(hold_id, grace)
    assert find_hold(lab.installation.verifier, hold_id).released_at is None


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        (where("cases", "now() > r.opened"), "condition is refused"),
        (where("cases", "true) OR (true"), "condition is refused"),
        (where("cases", "r.tenant_id IN (SELECT id FROM tenure.tenants)"), "condition is refused"),
        (where("boxes", "true"), "there is no table lab.boxes"),
        (Scope("table", TableName("tenure", "holds"), condition="true"), "there is no table"),
        (subject("cases", str(uuid4())), "has no row"),
        (rows("cases", str(uuid4())), "has no row"),
        (rows("cases"), "names 1 to"),
    ],
)
def test_a_hold_on_nothing_there_is_refused_and_places_nothing(
    lab: Any, acme: TenantId, scope: Scope, message: str
) -> None:
    with pytest.raises(HoldError, match=message):
        lab.hold(acme, scope)
    assert lab.sql("SELECT count(*) FROM tenure.holds") == [(0,)]


def test_a_hold_on_less_than_a_tenant_needs_the_tables_there_are(lab: Any, acme: TenantId) -> None:
    with pytest.raises(HoldError, match="needs the tables"):
        holds.place(
            lab.installation.retention, acme, where("cases", "true"), matter="m", reason="r",
            actor="t",
        )  # fmt: skip


# -- what was under it when it was placed -----------------------------------------------------


@pytest.mark.parametrize("kind", ["tenant", "subject", "table", "rows"])
def test_rows_that_are_missing_under_a_hold_are_found(
    lab: Any, acme: TenantId, globex: TenantId, kind: str
) -> None:
    case, other = lab.case(acme, files=1), lab.case(acme)
    lab.case(globex)
    scope, expected = {
        "tenant": (Scope(), 5),
        "subject": (subject("cases", case), 4),
        "table": (where("cases", "true"), 2),
        "rows": (rows("cases", case, other), 2),
    }[kind]
    hold_id = lab.hold(acme, scope)
    hold = find_hold(lab.installation.verifier, hold_id)
    assert (hold.rows_then, hold.keys_kept) == (expected, True)
    assert [r.found for r in lab.verify().results if r.kind == "held_missing" and r.found] == []
    # Behind our back: by somebody who is asked by no gate.
    lab.sql("UPDATE lab.cases SET main_file_id = NULL")
    lab.sql("DELETE FROM lab.pages")
    lab.sql("DELETE FROM lab.files")
    lab.sql("DELETE FROM lab.cases WHERE id = %s", (case,))
    report = lab.verify()
    missing = {r.subject: r.found for r in report.results if r.kind == "held_missing" and r.found}
    assert missing["lab.cases"] == 1
    assert sum(missing.values()) == {"tenant": 4, "subject": 4, "table": 1, "rows": 1}[kind]
    assert report.findings >= sum(missing.values())
    lab.release(hold_id)
    assert not any(r.found for r in lab.verify().results if r.kind == "held_missing")


def test_too_many_rows_are_counted_and_their_keys_are_not_kept(
    lab: Any, acme: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.case(acme, files=1)
    monkeypatch.setattr("retention.holds.MOST_KEYS", 3)
    hold = find_hold(lab.installation.verifier, lab.hold(acme))
    assert (hold.rows_then, hold.keys_kept) == (4, False)
    assert lab.sql("SELECT count(*) FROM tenure.hold_rows") == [(0,)]


def test_what_was_noted_of_a_hold_is_never_changed(lab: Any, acme: TenantId) -> None:
    lab.case(acme)
    lab.hold(acme, where("cases", "true"))
    for statement in ("DELETE FROM tenure.hold_rows", "UPDATE tenure.hold_events SET actor = 'x'"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
            lab.sql(statement)


def test_the_count_before_placing_is_what_is_then_held(lab: Any, acme: TenantId) -> None:
    case = lab.case(acme, files=2)
    with lab.installation.retention.transaction(acme, read_only=True) as cursor:
        counts = count_rows(cursor, acme, subject("cases", case), GROUND)
    assert counts == {"lab.cases": 1, "lab.files": 2, "lab.pages": 4}
