"""Erasures: a person's rows go, all of them and nobody else's, or wait for what keeps them."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from config.clock import FixedClock
from retention import deletions
from retention.actors import is_another
from retention.connectors.declarations import Connectors, parse_connectors
from retention.connectors.delivery import Courier, deliver_due
from retention.connectors.requests import end
from retention.deletions import key_hash
from retention.erasures import requests
from retention.erasures.execution import Executor
from retention.erasures.letters import letter_of
from retention.erasures.planning import make_plan
from retention.erasures.records import add_event, events_of, person_of
from retention.erasures.rounds import make_round
from retention.errors import ErasureError, InvariantError
from retention.hold_scopes import Scope
from retention.interventions import stop
from retention.policy_file import parse_policies
from retention.seat import Seat
from retention.tick import tick
from tenants.catalog import TableName
from tenants.context import TenantId
from tests.integration.retention.conftest import CATALOG, POLICIES, Lab
from tests.integration.retention.erasing import (
    APPROVER,
    ENTERED,
    approved,
    asked,
    erasure_of,
    executor,
    planned,
    subjects,
)

TABLES = ("cases", "files", "pages", "remarks", "citations")


def everything(lab: Lab) -> dict[str, set[str]]:
    return {name: lab.ids(name) for name in TABLES}


def plant(lab: Lab, tenant: TenantId, files: int = 2) -> tuple[str, dict[str, set[str]]]:
    """Add a person with rows in all tables; return their key and rows."""
    before = everything(lab)
    case = lab.case(tenant, files=files)
    mine = {name: ids - before[name] for name, ids in everything(lab).items()}
    lab.add("remarks", tenant, about="case", subject_id=case)
    for file in mine["files"]:
        lab.add("remarks", tenant, about="file", subject_id=file)
    for page in mine["pages"]:
        lab.add("citations", tenant, page_id=page)
    return case, {name: ids - before[name] for name, ids in everything(lab).items()}


def erased(lab: Lab, erasure_id: UUID) -> dict[str, int]:
    rows = lab.sql(
        "SELECT table_name, sum(octet_length(hashes) / 16)::int FROM tenure.erased_keys"
        " WHERE erasure_id = %s GROUP BY 1",
        (str(erasure_id),),
    )
    return dict(rows)  # type: ignore[arg-type]


def said(lab: Lab, erasure_id: UUID) -> list[str]:
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        return [e.event for e in events_of(cursor, erasure_of(lab, erasure_id))]


def test_all_of_a_person_goes_in_batches_and_nothing_of_others(
    lab: Lab, acme: TenantId, globex: TenantId
) -> None:
    plant(lab, acme)
    plant(lab, globex)
    others = everything(lab)
    case, mine = plant(lab, acme)
    erasure_id = approved(lab, acme, case)
    result = executor(lab).run(erasure_id)
    assert result.erasure.state == "completed"
    assert result.why == ""
    assert everything(lab) == others
    assert erased(lab, erasure_id) == {f"lab.{name}": len(ids) for name, ids in mine.items()}
    # A circle of tables goes whole; all else in batches of two.
    assert result.batches > 5
    assert said(lab, erasure_id) == [
        "received", "confirmed", "planned", "approved", "started", "verified", "completed",
    ]  # fmt: skip
    for (counts,) in lab.sql("SELECT counts FROM tenure.erasure_batches"):
        assert set(counts) <= {f"lab.{name}" for name in TABLES}
    ((digest,),) = lab.sql(
        "SELECT counts->'lab.cases'->'delete'->>'sha256' FROM tenure.erasure_batches"
        " WHERE counts ? 'lab.cases'"
    )
    assert digest == hashlib.sha256(key_hash(UUID(case))).hexdigest()
    assert lab.verify().findings == 0


def test_at_the_end_nothing_says_whom_it_was_about(lab: Lab, acme: TenantId) -> None:
    case, _ = plant(lab, acme)
    erasure_id = approved(lab, acme, case)
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        assert person_of(cursor, erasure_of(lab, erasure_id)) is not None
    executor(lab).run(erasure_id)
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        assert person_of(cursor, erasure_of(lab, erasure_id)) is None
    tables = lab.sql(
        "SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('tenure', 'lab')"
    )
    for (table,) in tables:
        for (text,) in lab.sql(f"SELECT t::text FROM {table} t"):
            assert "entinel" not in text, table
            assert case not in text, table
    again = approved(lab, acme, case)  # asked again, there is nothing, and that is an answer
    assert executor(lab).run(again).erasure.state == "completed"


@pytest.mark.parametrize("scope", ["tenant", "subject", "row", "condition"])
def test_what_is_held_waits_and_goes_when_the_hold_has_ended(
    lab: Lab, acme: TenantId, scope: str
) -> None:
    case, mine = plant(lab, acme)
    page = min(mine["pages"])
    scopes = {
        "tenant": Scope(),
        "subject": Scope("subject", TableName("lab", "cases"), subject=UUID(case)),
        "row": Scope("rows", TableName("lab", "pages"), rows=(UUID(page),)),
        "condition": Scope("table", TableName("lab", "pages"), condition=f"r.id = '{page}'"),
    }
    hold = lab.hold(acme, scopes[scope])
    erasure_id = approved(lab, acme, case)
    result = executor(lab).run(erasure_id)
    assert result.erasure.state == "deferred"
    assert result.erasure.waits_until is None
    assert page in lab.ids("pages")
    assert lab.ids("cases") == {case}  # what a held row needs stays, too
    if scope in ("row", "condition"):
        assert lab.ids("pages") == {page}
        assert len(lab.ids("files")) == 1
        assert not lab.ids("remarks")
    else:
        assert everything(lab) == mine
    # Asked again, it waits, and says so once.
    assert executor(lab).run(erasure_id).erasure.state == "deferred"
    assert said(lab, erasure_id).count("deferred") == 1
    assert lab.verify().findings == 0
    lab.release(hold)
    assert executor(lab).run(erasure_id).erasure.state == "completed"
    assert not any(everything(lab).values())
    assert said(lab, erasure_id)[-3:] == ["resumed", "verified", "completed"]


def test_a_hold_placed_in_mid_erasure_keeps_what_is_left(lab: Lab, acme: TenantId) -> None:
    case, mine = plant(lab, acme)
    erasure_id = approved(lab, acme, case)
    seen = 0

    def place_once(step: str) -> None:
        nonlocal seen
        if step == "committed":
            seen += 1
            if seen == 2:
                lab.hold(acme, Scope("subject", TableName("lab", "cases"), subject=UUID(case)))

    result = executor(lab, on_step=place_once).run(erasure_id)
    assert result.erasure.state == "deferred"
    assert result.count == 4
    left = sum(map(len, everything(lab).values()))
    assert left == sum(map(len, mine.values())) - 4
    assert lab.ids("cases") == {case}


def test_a_minimum_period_is_waited_for_and_says_until_when(lab: Lab, acme: TenantId) -> None:
    case, _ = plant(lab, acme)
    lab.sql("UPDATE lab.citations SET cited_at = %s", (lab.lately,))
    minimum = replace(parse_policies(POLICIES, CATALOG)[2], minimum="P2Y")
    erasure_id = planned(lab, acme, case, policies=(minimum,))
    requests.approve(lab.installation.retention, erasure_of(lab, erasure_id), actor=APPROVER)
    result = executor(lab, policies=(minimum,)).run(erasure_id)
    assert result.erasure.state == "deferred"
    assert result.erasure.waits_until == lab.lately.replace(year=lab.lately.year + 2)
    assert len(lab.ids("citations")) == len(lab.ids("pages")) == 4
    assert not lab.ids("remarks")
    ((plan,),) = lab.sql("SELECT plan FROM tenure.erasure_plans")
    (waiting,) = [t["waiting"] for t in plan["tables"] if t["table"] == "lab.citations"]
    assert waiting == [
        {"hold": None, "policy": "citations", "rows": 4,
         "until": result.erasure.waits_until.isoformat()}
    ]  # fmt: skip
    lab.clock = FixedClock(lab.now + timedelta(days=731))
    done = executor(lab, policies=(minimum,)).run(erasure_id)
    assert done.erasure.state == "completed"
    assert not any(everything(lab).values())


def test_others_lose_the_reference_and_keep_their_row(lab: Lab, acme: TenantId) -> None:
    lab.sql("GRANT UPDATE (partner_id) ON lab.nodes TO tenure_retention")
    top = lab.node(acme)
    child = lab.node(acme, parent_id=top)
    friend = lab.node(acme, lab.lately, partner_id=child)
    stranger = lab.node(acme, lab.lately, partner_id=friend)
    erasure_id = approved(lab, acme, top, "node")
    result = executor(lab).run(erasure_id)
    assert result.erasure.state == "completed"
    assert dict(lab.sql("SELECT id::text, partner_id::text FROM lab.nodes")) == {
        friend: None,
        stranger: friend,
    }
    assert result.rows == {"lab.nodes": {"delete": 2, "cut": 1}}
    assert lab.verify().findings == 0


def test_a_held_row_of_others_keeps_what_it_refers_to(lab: Lab, acme: TenantId) -> None:
    lab.sql("GRANT UPDATE (partner_id) ON lab.nodes TO tenure_retention")
    top = lab.node(acme)
    friend = lab.node(acme, partner_id=top)
    hold = lab.hold(acme, Scope("rows", TableName("lab", "nodes"), rows=(UUID(friend),)))
    erasure_id = approved(lab, acme, top, "node")
    assert executor(lab).run(erasure_id).erasure.state == "deferred"
    assert lab.ids("nodes") == {top, friend}
    lab.release(hold)
    assert executor(lab).run(erasure_id).erasure.state == "completed"
    assert lab.ids("nodes") == {friend}


@pytest.mark.parametrize("column", ["parent_id", "partner_id"])
def test_a_held_row_of_others_keeps_what_it_refers_to_over_others(
    lab: Lab, acme: TenantId, column: str
) -> None:
    """The friend is not held; but what is held refers to it, and it to the person."""
    lab.sql("GRANT UPDATE (partner_id) ON lab.nodes TO tenure_retention")
    top = lab.node(acme)
    friend = lab.node(acme, partner_id=top)
    between = lab.node(acme, parent_id=friend)
    held = lab.node(acme, **{column: between})
    hold = lab.hold(acme, Scope("rows", TableName("lab", "nodes"), rows=(UUID(held),)))
    erasure_id = approved(lab, acme, top, "node")
    assert executor(lab).run(erasure_id).erasure.state == "deferred"
    assert lab.ids("nodes") == {top, friend, between, held}
    assert (top,) in lab.sql("SELECT partner_id::text FROM lab.nodes WHERE id = %s", (friend,))
    lab.release(hold)
    assert executor(lab).run(erasure_id).erasure.state == "completed"
    assert lab.ids("nodes") == {friend, between, held}


def test_what_others_hold_is_asked_for_and_waited_for(
    lab: Lab, acme: TenantId, tmp_path: Path
) -> None:
    case, _ = plant(lab, acme)
    folder = tmp_path / str(acme) / case
    folder.mkdir(parents=True)
    (folder / "passport.txt").write_text("S3ntinel")
    (tmp_path / str(acme) / "other").mkdir()
    connectors = parse_connectors(
        f'[connectors.documents]\nkind = "files"\nroot = "{tmp_path}"\n'
        'prefix = "{tenant}/{key}"\ndeadline = "P7D"'
    )
    erasure_id = approved(lab, acme, case)
    result = executor(lab, connectors=connectors).run(erasure_id)
    assert (result.erasure.state, result.why) == (
        "deferred", "waits for connectors to acknowledge",
    )  # fmt: skip
    assert not any(everything(lab).values())
    installation = lab.installation
    deliver_due(Courier(installation.retention, installation.verifier, connectors, lab.catalog))
    assert not folder.exists()
    result = executor(lab, connectors=connectors).run(erasure_id)
    assert result.erasure.state == "completed"
    with installation.verifier.transaction(None, read_only=True) as cursor:
        done = events_of(cursor, result.erasure)[-1]
    assert done.facts["elsewhere"] == {"documents": "acknowledged"}
    assert lab.sql("SELECT told FROM tenure.connector_requests") == [(None,)]


@pytest.mark.parametrize("then", ["withdrawn", "planned again", "files gone"])
def test_what_is_taken_back_after_others_were_asked_goes_nowhere_else(
    lab: Lab, acme: TenantId, tmp_path: Path, then: str
) -> None:
    case, _ = plant(lab, acme)
    folder = tmp_path / str(acme) / case
    folder.mkdir(parents=True)
    (folder / "passport.txt").write_text("S3ntinel")
    connectors = parse_connectors(
        f'[connectors.documents]\nkind = "files"\nroot = "{tmp_path}"\n'
        'prefix = "{tenant}/{key}"\ndeadline = "P7D"'
    )
    installation = lab.installation
    courier = Courier(installation.retention, installation.verifier, connectors, lab.catalog)
    hold = lab.hold(acme)
    erasure_id = approved(lab, acme, case)
    assert executor(lab, connectors=connectors).run(erasure_id).erasure.state == "deferred"
    assert deliver_due(courier, everything=True) == {"deferred": 1}
    plan = make_plan(
        installation.verifier, erasure_id, subjects(),
        catalog=CATALOG, policies=lab.policies, now=lab.now,
    )  # fmt: skip
    if then == "files gone":
        lab.release(hold)
        assert deliver_due(courier, everything=True) == {"acknowledged": 1}
        requests.keep_plan(installation.retention, erasure_of(lab, erasure_id), plan, actor="x")
        with pytest.raises(ErasureError, match="others were told"):
            requests.withdraw(installation.retention, erasure_of(lab, erasure_id), actor="x")
        return
    requests.keep_plan(installation.retention, erasure_of(lab, erasure_id), plan, actor="x")
    expected = {"deferred": 1}
    if then == "withdrawn":
        requests.withdraw(installation.retention, erasure_of(lab, erasure_id), actor="x")
        expected = {"withdrawn": 1}
    lab.release(hold)
    assert deliver_due(courier, everything=True) == expected
    assert folder.exists()
    assert lab.sql("SELECT state, told IS NULL FROM tenure.connector_requests") == [
        ("withdrawn", True) if then == "withdrawn" else ("open", False)
    ]
    if then == "withdrawn":
        assert lab.sql(
            "SELECT actor, detail FROM tenure.connector_events WHERE event = 'withdrawn'"
        ) == [("x", "the erasure was withdrawn")]


@pytest.fixture
def silent(tmp_path: Path) -> Connectors:
    """A webhook at which nobody answers."""
    secret = tmp_path / "secret"
    secret.write_text("a secret that nobody else has, 32")
    secret.chmod(0o600)
    return parse_connectors(
        '[connectors.crm]\nkind = "webhook"\nurl = "http://127.0.0.1:9/"\n'
        f'secret_file = "{secret}"\ndeadline = "P7D"'
    )


def test_who_was_told_and_never_answered_may_have_erased(
    lab: Lab, acme: TenantId, silent: Connectors
) -> None:
    """It cannot be taken back; given up, it is completed, and the letter says who was silent."""
    case, _ = plant(lab, acme)
    installation = lab.installation
    retention = installation.retention
    courier = Courier(retention, installation.verifier, silent, lab.catalog)
    erasure_id = approved(lab, acme, case)
    # It has started, and no row went yet.
    begun = executor(lab, connectors=silent, stop=lambda: True).run(erasure_id)
    assert (begun.erasure.state, begun.batches) == ("running", 0)
    assert deliver_due(courier, everything=True) == {"failed": 1}
    plan = make_plan(
        installation.verifier, erasure_id, subjects(),
        catalog=CATALOG, policies=lab.policies, now=lab.now,
    )  # fmt: skip
    requests.keep_plan(retention, erasure_of(lab, erasure_id), plan, actor="x")

    def not_taken_back() -> None:
        now = erasure_of(lab, erasure_id)
        with pytest.raises(ErasureError, match="has begun"):
            requests.withdraw(retention, now, actor="x")
        with pytest.raises(ErasureError, match="has begun"):
            requests.refuse(retention, now, ground="identity", actor="x")
        change = "UPDATE tenure.erasures SET state = 'withdrawn', ended_at = now()"
        seat = Seat(installation.app_connections, acme, "login:x")
        for connections in (retention, seat):
            with (
                pytest.raises(psycopg2.errors.InsufficientPrivilege, match="has begun"),
                connections.transaction(acme) as cursor,
            ):
                cursor.execute(change)

    not_taken_back()
    ((request,),) = lab.sql("SELECT id FROM tenure.connector_requests")
    with retention.transaction(acme) as cursor:
        end(cursor, acme, request, "crm", "withdrawn", actor="command:ann", detail="they ended")
    not_taken_back()
    requests.approve(retention, erasure_of(lab, erasure_id), actor=APPROVER)
    done = executor(lab, connectors=silent).run(erasure_id).erasure
    assert done.state == "completed"
    with installation.verifier.transaction(None, read_only=True) as cursor:
        events = events_of(cursor, done)
    assert events[-1].facts["elsewhere"] == {"crm": "withdrawn"}
    letter = letter_of(done, events, {}, sender="Acme", now=lab.now)
    said = " ".join(letter.text().split())
    assert "we had no answer, and have stopped asking; whether they have erased yours" in said
    assert "we cannot say: crm." in said
    assert "have answered" not in said
    assert "lodge a complaint" in said


def test_whom_nobody_told_is_not_asked_when_the_erasure_is_taken_back(
    lab: Lab, acme: TenantId, silent: Connectors
) -> None:
    case, _ = plant(lab, acme)
    retention = lab.installation.retention
    lab.hold(acme)
    erasure_id = approved(lab, acme, case)
    assert executor(lab, connectors=silent).run(erasure_id).erasure.state == "deferred"
    plan = make_plan(
        lab.installation.verifier, erasure_id, subjects(),
        catalog=CATALOG, policies=lab.policies, now=lab.now,
    )  # fmt: skip
    requests.keep_plan(retention, erasure_of(lab, erasure_id), plan, actor="x")
    requests.withdraw(retention, erasure_of(lab, erasure_id), actor="command:ann")
    courier = Courier(retention, lab.installation.verifier, silent, lab.catalog)
    assert deliver_due(courier, everything=True) == {"withdrawn": 1}
    assert lab.sql("SELECT event, actor FROM tenure.connector_events ORDER BY happened_at") == [
        ("requested", "test"),
        ("withdrawn", "command:ann"),
    ]


# -- what others do meanwhile ------------------------------------------------------------------


@pytest.mark.parametrize("step", ["started", "judged", "locked", "committed"])
def test_a_row_that_comes_meanwhile_is_erased_with_the_others(
    lab: Lab, acme: TenantId, step: str
) -> None:
    case, mine = plant(lab, acme)
    file = min(mine["files"])
    erasure_id = approved(lab, acme, case)
    came = []

    def add(at: str) -> None:
        if at == step and len(came) < 4:
            came.append(lab.add("remarks", acme, about="case", subject_id=case))
            came.append(lab.add("remarks", acme, about="file", subject_id=file))

    result = executor(lab, on_step=add).run(erasure_id)
    assert result.erasure.state == "completed"
    assert came
    assert not any(everything(lab).values())
    assert result.rows["lab.remarks"]["delete"] == len(mine["remarks"]) + len(came)


def test_a_row_that_was_moved_away_before_it_was_locked_stays(lab: Lab, acme: TenantId) -> None:
    """Past the gate, as SQL of the owner's: what was looked at is looked at again, locked."""
    case, mine = plant(lab, acme)
    other = lab.case(acme, files=1)
    page, file = min(mine["pages"]), min(lab.ids("files") - mine["files"])
    erasure_id = approved(lab, acme, case)
    moved = []

    def move(step: str) -> None:
        if step == "judged" and not moved:
            lab.sql("UPDATE lab.pages SET file_id = %s WHERE id = %s", (file, page))
            moved.append(page)

    assert executor(lab, limit=100, on_step=move).run(erasure_id).erasure.state == "completed"
    assert page in lab.ids("pages")
    assert lab.ids("cases") == {other}


def test_a_row_that_refers_softly_to_one_that_is_gone_is_waited_for_and_found(
    lab: Lab, acme: TenantId
) -> None:
    """It was written before its file went, and commits after: no lock and no key would tell."""
    case, mine = plant(lab, acme)
    file = min(mine["files"])
    erasure_id = approved(lab, acme, case)
    other = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
    try:
        with other.cursor() as cursor:
            cursor.execute(
                "INSERT INTO lab.remarks (tenant_id, id, about, subject_id)"
                " VALUES (%s, %s, 'file', %s)",
                (str(acme), str(uuid4()), file),
            )
            result = executor(lab).run(erasure_id)
            assert result.erasure.state == "running"
            assert result.why == "waits for open transactions to end"
            assert not lab.ids("files")
        other.commit()
        assert len(lab.ids("remarks")) == 1
        result = executor(lab).run(erasure_id)
        assert result.erasure.state == "completed"
        assert not any(everything(lab).values())
    finally:
        other.close()


def test_a_child_by_foreign_key_comes_before_or_is_refused(lab: Lab, acme: TenantId) -> None:
    case, mine = plant(lab, acme)
    page = min(mine["pages"])
    erasure_id = approved(lab, acme, case)
    other = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
    try:
        with other.cursor() as cursor:
            cursor.execute(
                "INSERT INTO lab.citations (tenant_id, id, page_id) VALUES (%s, %s, %s)",
                (str(acme), str(uuid4()), page),
            )
            result = executor(lab, lock_timeout_ms=50).run(erasure_id)
            assert result.why.startswith("others are in the way")
        other.commit()
        assert executor(lab).run(erasure_id).erasure.state == "completed"
        assert not any(everything(lab).values())
    finally:
        other.close()


def test_who_stops_all_retention_waits_for_an_erasures_open_batch(lab: Lab, acme: TenantId) -> None:
    case, mine = plant(lab, acme)
    erasure_id = approved(lab, acme, case)
    stopped: list[int] = []

    def stop_it() -> None:
        stop(lab.installation.retention, actor="t", reason="r")
        stopped.append(sum(map(len, everything(lab).values())))

    runner = threading.Thread(target=stop_it)

    def hear(step: str) -> None:
        if step == "locked" and not runner.ident:
            runner.start()
            lab.wait_for_a_waiter()
            assert not stopped

    result = executor(lab, on_step=hear).run(erasure_id)
    runner.join(30)
    assert (result.why, result.count) == ("all retention is stopped", 2)
    assert stopped == [sum(map(len, mine.values())) - 2]


def test_when_all_retention_is_stopped_nothing_is_erased(lab: Lab, acme: TenantId) -> None:
    case, mine = plant(lab, acme)
    erasure_id = approved(lab, acme, case)
    stop(lab.installation.retention, actor="t", reason="r")
    result = executor(lab).run(erasure_id)
    assert (result.why, result.erasure.state) == ("all retention is stopped", "approved")
    assert everything(lab) == mine


# -- who may do what ---------------------------------------------------------------------------


def test_another_person_than_who_entered_it_approves(lab: Lab, acme: TenantId) -> None:
    erasure_id = planned(lab, acme, lab.case(acme))
    retention = lab.installation.retention
    with pytest.raises(ErasureError, match="another person approves it"):
        requests.approve(retention, erasure_of(lab, erasure_id), actor="command:ann")
    with pytest.raises(ErasureError, match="is planned; it is carried out once it is approved"):
        executor(lab).run(erasure_id)
    alone = requests.approve(
        retention, erasure_of(lab, erasure_id), actor="command:ann", alone=True
    )
    assert alone.state == "approved"


LOGIN = "login:01a1f8b0-40cf-765f-99aa-7eac363e7fc8"


def entered_by(lab: Lab, erasure_id: UUID, actor: str) -> None:
    lab.sql("UPDATE tenure.erasures SET entered_by = %s WHERE id = %s", (actor, str(erasure_id)))


def approval(lab: Lab) -> list[tuple[Any, ...]]:
    return lab.sql(
        "SELECT actor, (facts -> 'alone')::boolean FROM tenure.erasure_events"
        " WHERE event = 'approved'"
    )


@pytest.mark.parametrize("entered", [LOGIN, ENTERED])
def test_nobody_approves_through_another_door_what_they_may_have_entered_themselves(
    lab: Lab, acme: TenantId, entered: str
) -> None:
    """ada's login and ada's account are two names of one person, for all that is known here."""
    through = "command:ann" if entered == LOGIN else LOGIN
    erasure_id = planned(lab, acme, lab.case(acme))
    entered_by(lab, erasure_id, entered)
    retention = lab.installation.retention
    with pytest.raises(ErasureError, match=f"nothing shows that {through} is another"):
        requests.approve(retention, erasure_of(lab, erasure_id), actor=through)
    assert erasure_of(lab, erasure_id).state == "planned"
    requests.approve(retention, erasure_of(lab, erasure_id), actor=through, alone=True)
    assert approval(lab) == [(through, True)]


@pytest.mark.parametrize(
    ("entered", "actor", "alone"),
    [(ENTERED, ENTERED, False), (ENTERED, LOGIN, False), (LOGIN, LOGIN, False),
     (ENTERED, APPROVER, True), (ENTERED, APPROVER, None)],
)  # fmt: skip
def test_an_approval_that_lies_about_who_gave_it_is_refused_by_the_database(
    lab: Lab, acme: TenantId, entered: str, actor: str, alone: bool | None
) -> None:
    erasure_id = planned(lab, acme, lab.case(acme))
    entered_by(lab, erasure_id, entered)
    facts = {"plan": 1} if alone is None else {"plan": 1, "alone": alone}
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege, match="is not who the approval says"),
        lab.installation.retention.transaction(acme) as cursor,
    ):
        add_event(cursor, erasure_of(lab, erasure_id), "approved", actor, facts)
    assert approval(lab) == []


def test_the_database_tells_actors_apart_as_the_program_does(lab: Lab) -> None:
    names = (LOGIN, "login:other", ENTERED, APPROVER, "ann", "bob", "login", ":x", "")
    for one in names:
        for other in names:
            ((found,),) = lab.sql("SELECT tenure.is_another(%s, %s)", (one, other))
            assert found is is_another(one, other), (one, other)


def test_steps_come_in_their_order_and_ends_are_ends(lab: Lab, acme: TenantId) -> None:
    retention = lab.installation.retention
    erasure_id = asked(lab, acme, lab.case(acme))
    at = partial(erasure_of, lab, erasure_id)
    with pytest.raises(ErasureError, match="is received; it can be approved while it is planned"):
        requests.approve(retention, at(), actor="x")
    with pytest.raises(ErasureError, match="say how the requester's identity was confirmed"):
        requests.confirm(retention, at(), how=" ", actor="x")
    with pytest.raises(ErasureError, match="is no ground; there are identity, unfounded"):
        requests.refuse(retention, at(), ground="because", actor="x")
    refused = requests.refuse(retention, at(), ground="identity", actor="x")
    assert refused.state == "refused"
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        assert person_of(cursor, refused) is None
    with pytest.raises(ErasureError, match="is refused for good"):
        requests.withdraw(retention, at(), actor="x")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="has ended"):
        lab.sql("UPDATE tenure.erasures SET state = 'approved', ended_at = NULL")


def test_what_has_begun_is_not_refused_or_withdrawn(lab: Lab, acme: TenantId) -> None:
    case, mine = plant(lab, acme)
    lab.hold(acme, Scope("rows", TableName("lab", "pages"), rows=(UUID(min(mine["pages"])),)))
    erasure_id = approved(lab, acme, case)
    executor(lab).run(erasure_id)
    retention = lab.installation.retention
    with pytest.raises(ErasureError, match="is deferred; it can be withdrawn while it is"):
        requests.withdraw(retention, erasure_of(lab, erasure_id), actor="x")
    plan = make_plan(
        lab.installation.verifier, erasure_id, subjects(),
        catalog=CATALOG, policies=lab.policies, now=lab.now,
    )  # fmt: skip
    requests.keep_plan(retention, erasure_of(lab, erasure_id), plan, actor="x")
    with pytest.raises(ErasureError, match="has begun: what went does not come back"):
        requests.refuse(retention, erasure_of(lab, erasure_id), ground="identity", actor="x")


def test_a_person_is_asked_about_once_at_a_time(lab: Lab, acme: TenantId, globex: TenantId) -> None:
    case = lab.case(acme)
    asked(lab, acme, case)
    with pytest.raises(ErasureError, match="an erasure of this case is open already"):
        asked(lab, acme, case)
    asked(lab, globex, case)


def test_the_clock_goes_by_the_calendar_and_is_put_off_by_two_months_at_most(
    lab: Lab, acme: TenantId
) -> None:
    retention = lab.installation.retention
    received = lab.now.replace(month=10, day=31)
    request = requests.Request(acme, "case", uuid4(), "the person", received)
    erasure_id = requests.enter(retention, request, actor="a", now=lab.now)
    first = erasure_of(lab, erasure_id)
    assert first.due_at == received.replace(month=11, day=30)
    put_off = partial(requests.extend, retention, reason="complexity", actor="a", now=lab.now)
    with pytest.raises(ErasureError, match="3 months: it can be put off by 2 in all"):
        put_off(first, months=3)
    assert put_off(first, months=1).due_at == received.replace(month=12)
    later = put_off(erasure_of(lab, erasure_id), months=1)
    assert later.due_at == received.replace(year=2027, month=1)
    with pytest.raises(ErasureError, match="was by 2"):
        put_off(later, months=1)
    with pytest.raises(ErasureError, match="'whim' is no reason"):
        put_off(first, months=1, reason="whim")
    with pytest.raises(ErasureError, match="within a month of the request, which is over"):
        put_off(first, months=1, now=received + timedelta(days=31))
    with pytest.raises(ErasureError, match="that is in the future"):
        requests.enter(
            retention, replace(request, received_at=lab.now + timedelta(1)), actor="a", now=lab.now
        )


def test_another_declaration_than_was_approved_erases_nothing(lab: Lab, acme: TenantId) -> None:
    case, mine = plant(lab, acme)
    erasure_id = approved(lab, acme, case)
    changed = tuple(replace(s, lookup=("opened",)) for s in subjects())
    with pytest.raises(ErasureError, match="has changed since erasure"):
        executor(lab, subjects=changed).run(erasure_id)
    with pytest.raises(ErasureError, match="there is no subject 'case' any more"):
        executor(lab, subjects=()).run(erasure_id)
    assert everything(lab) == mine


# -- looking afresh, and the tick ----------------------------------------------------------------


def test_what_the_verifier_sees_and_we_do_not_is_no_completion(
    lab: Lab, acme: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An executor that sees no rows looks like one that has nothing to do."""
    case, mine = plant(lab, acme)
    erasure_id = approved(lab, acme, case)
    lab.sql(
        "CREATE POLICY blind ON lab.remarks AS RESTRICTIVE FOR SELECT TO tenure_retention"
        " USING (false)"
    )
    with pytest.raises(InvariantError, match=r"says the verifier: lab.remarks: still there: 3"):
        executor(lab).run(erasure_id)
    assert erasure_of(lab, erasure_id).state == "running"
    assert lab.ids("remarks") == mine["remarks"]


def test_the_tick_goes_on_with_what_is_approved_and_warns_of_what_is_overdue(
    lab: Lab, acme: TenantId
) -> None:
    shop = replace(lab.shop(), subjects=subjects())
    case, _ = plant(lab, acme)
    erasure_id = approved(lab, acme, case)
    late = asked(lab, acme, lab.case(acme, opened=lab.lately))
    lab.clock = FixedClock(lab.now + timedelta(days=1))
    shop = replace(shop, clock=lab.clock)
    done = tick(shop)
    assert [r.erasure.id for r in done.erased] == [erasure_id]
    assert erasure_of(lab, erasure_id).state == "completed"
    assert not lab.sql("SELECT 1 FROM tenure.alerts WHERE kind = 'erasure'")
    lab.clock = FixedClock(lab.now + timedelta(days=32))
    shop = replace(shop, clock=lab.clock)
    tick(shop)
    ((subject, detail),) = lab.sql(
        "SELECT subject, detail FROM tenure.alerts WHERE kind = 'erasure' AND resolved_at IS NULL"
    )
    assert subject == str(late)
    assert detail == f"acme: received, and was due {late_due(lab, late)}"
    report = lab.verify(shop)
    assert report.found("erasures") == {"overdue": 1}
    assert report.findings == 1
    requests.withdraw(lab.installation.retention, erasure_of(lab, late), actor="x")
    tick(shop)
    assert not lab.sql("SELECT 1 FROM tenure.alerts WHERE kind = 'erasure' AND resolved_at IS NULL")


def late_due(lab: Lab, erasure_id: UUID) -> str:
    return erasure_of(lab, erasure_id).due_at.isoformat(timespec="seconds")


def test_what_is_erased_and_was_due_leaves_books_that_come_out_even(
    lab: Lab, acme: TenantId
) -> None:
    shop = lab.shop()
    shop.record()
    lab.verify(shop)
    case, _ = plant(lab, acme)
    assert lab.verify(shop).found("overdue")["cases"] == 0  # kept by citations
    erasure_id = approved(lab, acme, case)
    executor(lab).run(erasure_id)
    report = lab.verify(shop)
    assert report.findings == 0
    (entry,) = [e for e in report.account.entries if e.book.policy == "cases"]
    assert (entry.opening, entry.removed, entry.difference) == (1, 1, 0)


def test_a_row_that_is_back_and_a_record_that_lies_are_found(lab: Lab, acme: TenantId) -> None:
    case, _ = plant(lab, acme)
    executor(lab).run(approved(lab, acme, case))
    lab.add("cases", acme, id=case, opened=lab.lately.date())
    assert lab.verify().found("returned")["lab.cases"] == 1
    lab.sql("DELETE FROM lab.cases")
    lab.sql(
        "ALTER TABLE tenure.erased_keys DISABLE TRIGGER append_only;"
        "UPDATE tenure.erased_keys SET hashes = substr(hashes, 17)"
        " WHERE octet_length(hashes) > 16;"
        "ALTER TABLE tenure.erased_keys ENABLE TRIGGER append_only"
    )
    assert lab.verify().found("records")["erasures"] > 0


@pytest.mark.parametrize(
    "table",
    ["erasures", "erasure_plans", "erasure_events", "erasure_batches", "erased_keys"],
)
def test_the_evidence_is_append_only_even_to_the_owner(
    lab: Lab, acme: TenantId, table: str
) -> None:
    case, _ = plant(lab, acme)
    executor(lab).run(approved(lab, acme, case))
    for statement in (f"DELETE FROM tenure.{table}", f"TRUNCATE tenure.{table} CASCADE"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            lab.sql(statement)


def test_who_serves_sees_of_erasures_what_guards_writes_and_no_more(
    lab: Lab, acme: TenantId, globex: TenantId, make_tenant: Callable[..., TenantId]
) -> None:
    asked(lab, globex, lab.case(globex))
    with lab.installation.retention.transaction(acme) as cursor:
        cursor.execute("SELECT count(*) FROM tenure.erasures")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM tenure.erasure_subjects")
        assert cursor.fetchone() == (0,)
    with (
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
        lab.installation.auditor.transaction(None) as cursor,
    ):
        cursor.execute("SELECT * FROM tenure.erasure_subjects")


def test_a_key_that_an_erasure_took_is_found_beside_those_that_runs_took(
    lab: Lab, acme: TenantId, globex: TenantId
) -> None:
    old = lab.case(acme)
    lab.run()
    case, mine = plant(lab, acme)
    erasure_id = approved(lab, acme, case)
    result = executor(lab).run(erasure_id)
    lab.add("cases", acme, id=case, opened=lab.long_ago.date())
    lab.run()  # it was back, and went by policy
    with lab.installation.auditor.transaction(None, read_only=True) as cursor:
        asked_for = TableName("lab", "cases"), UUID(case)
        first, second = deletions.find(cursor, acme, *asked_for)
        everywhere = deletions.find(cursor, None, None, UUID(case))
        ((page,), elsewhere) = (
            deletions.find(cursor, acme, "lab.pages", UUID(min(mine["pages"]))),
            deletions.find(cursor, globex, *asked_for),
        )
        (by_policy,) = deletions.find(cursor, acme, "lab.cases", UUID(old))
    assert (first.erasure_id, first.run_id, first.policy) == (erasure_id, None, None)
    assert (first.action, first.table, first.tenant_id) == ("delete", "lab.cases", acme)
    assert first.trace_id == str(result.trace_id)
    assert (second.erasure_id, second.policy) == (None, "cases")
    assert everywhere == [first, second]
    assert page.erasure_id == erasure_id
    assert page.batch_id != first.batch_id
    assert elsewhere == []
    assert by_policy.erasure_id is None


def test_an_erasure_that_takes_long_keeps_neither_another_nor_the_tick_from_its_turn(
    lab: Lab, acme: TenantId, globex: TenantId
) -> None:
    """It is due first, and goes on at the next tick; so does who has no turn."""
    long = approved(lab, acme, lab.case(acme, opened=lab.now, files=20))
    short = approved(lab, globex, lab.case(globex, opened=lab.now))

    def slow(_step: str) -> None:
        time.sleep(0.05)

    began = time.monotonic()
    made = make_round(executor(lab, limit=1, on_step=slow), until=began + 3)
    assert time.monotonic() - began < 10
    assert {one.erasure.id: one.erasure.state for one in made.done} == {
        long: "running", short: "completed",
    }  # fmt: skip
    assert made.alerts(lab.now) == [], "it is no trouble that it goes on"
    assert (made.without_turn, made.looked.but) == ((), ())
    nobody = make_round(executor(lab), until=time.monotonic())
    assert (nobody.done, nobody.without_turn) == ((), (long,))
    assert nobody.looked.but == (str(long),), "what was said of it stands"
    assert [one.erasure.state for one in make_round(executor(lab)).done] == ["completed"]


def test_of_many_that_wait_each_has_its_turn_some_time(
    lab: Lab, make_tenant: Callable[..., TenantId], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes first takes all the time there is."""
    tenants = [make_tenant(f"shop-{number}") for number in range(3)]
    waiting = {approved(lab, tenant, lab.case(tenant, opened=lab.now)) for tenant in tenants}
    for tenant in tenants:
        lab.hold(tenant)
    make_round(executor(lab))
    run, over = Executor.run, list[UUID]()

    def running(self: Executor, erasure_id: UUID) -> Any:
        try:
            return run(self, erasure_id)
        finally:
            over.append(erasure_id)

    monkeypatch.setattr(Executor, "run", running)
    seen: set[UUID] = set()
    for _ in range(60):
        over.clear()
        made = make_round(executor(lab, stop=lambda: bool(over)))
        assert len(over) == len(made.done) == 1
        assert len(made.without_turn) == 2
        seen |= set(over)
    assert seen == waiting
