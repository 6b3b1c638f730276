"""What a tick does by the clock: schedules, gaps, alerts; and that overdue means past its turn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from api.wiring import Installation
from api.workshop import workshop_of
from config import clock as clocks
from config.trace import new_trace_id
from retention.database_clock import DatabaseClock
from retention.errors import DeliveryError, PolicyError
from retention.executor import Options
from retention.interventions import intervene, start, stop
from retention.jobs import run_once
from retention.schedule import Taken, mark
from retention.status import read_status
from retention.tick import tick
from retention.workshop import Workshop
from tenants.context import TenantId
from tests.integration.retention.conftest import NOW, Lab

NIGHT = "0 2 * * *"
DAY = timedelta(days=1)
TWO = NOW.replace(hour=2) + DAY


@dataclass
class Hand:
    """A clock whose hand the test moves."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment


def nightly(lab: Lab, **more: Any) -> Workshop:
    clock: Any = Hand(NOW)
    lab.clock = clock
    policies = tuple(replace(p, schedule=NIGHT) if p.name == "nodes" else p for p in lab.policies)
    return lab.shop(policies=policies, tick_s=60.0, **more)


def at(lab: Lab, instant: Any) -> None:
    clock: Any = lab.clock
    clock.moment = instant


def open_alerts(lab: Lab) -> set[tuple[str, str]]:
    rows = lab.sql("SELECT kind, subject FROM tenure.alerts WHERE resolved_at IS NULL")
    return {(kind, subject) for kind, subject in rows}


def test_a_policy_with_a_schedule_runs_when_it_says_and_once(lab: Lab, acme: TenantId) -> None:
    shop = nightly(lab)
    lab.node(acme)
    lab.case(acme)
    done = tick(shop)
    assert done.run is not None
    assert done.run.deleted() == {"lab.cases": 1}  # the others at every tick
    assert len(lab.ids("nodes")) == 1
    at(lab, TWO - timedelta(minutes=1))
    assert tick(shop).run is None
    at(lab, TWO + timedelta(seconds=5))
    found = tick(shop).run
    assert found is not None
    assert found.deleted() == {"lab.nodes": 1}
    lab.node(acme)
    at(lab, TWO + timedelta(seconds=65))
    assert tick(shop).run is None


def test_what_came_due_since_its_turn_is_not_overdue_but_next(lab: Lab, acme: TenantId) -> None:
    shop = nightly(lab)
    tick(shop)
    at(lab, TWO)
    tick(shop)
    year = timedelta(days=365)
    lab.node(acme, made_at=TWO + timedelta(hours=3) - year)
    at(lab, TWO + timedelta(hours=6))
    assert lab.verify(shop).findings == 0
    at(lab, TWO + DAY + timedelta(hours=6))
    found = tick(shop).verification
    assert found is not None
    assert found.findings == 0
    assert lab.ids("nodes") == set()


def test_a_night_without_anybody_is_a_gap_and_an_alert_that_ends(lab: Lab, acme: TenantId) -> None:
    shop = nightly(lab)
    tick(shop)
    assert open_alerts(lab) == set()
    at(lab, TWO + 3 * DAY + timedelta(hours=6))
    lab.sleep(lab.clock.now() - NOW)
    tick(shop)
    assert open_alerts(lab) == {("missed", "scheduler"), ("missed", "policy nodes")}
    status = read_status(lab.installation.auditor, now=lab.clock.now(), tick=timedelta(minutes=1))
    gap = status.gaps[-1]
    assert gap.until is not None
    assert gap.until - gap.since >= lab.clock.now() - NOW
    (nodes,) = [p for p in status.policies if p.policy == "nodes"]
    assert nodes.next_run == TWO + 4 * DAY
    assert len(status.alerts) == 2
    # It is over; but nobody has been told, for there is no webhook: it stays to be seen for a day.
    at(lab, lab.clock.now() + timedelta(minutes=1))
    tick(shop)
    assert len(open_alerts(lab)) == 2
    lab.sql("UPDATE tenure.alerts SET raised_at = raised_at - interval '25 hours'")
    at(lab, lab.clock.now() + timedelta(minutes=1))
    tick(shop)
    assert open_alerts(lab) == set()


def test_of_a_night_without_anybody_a_webhook_hears_though_it_was_away_itself(
    lab: Lab, acme: TenantId
) -> None:
    heard: list[bytes] = []

    def send(body: bytes) -> None:
        if answers:
            heard.append(body)
        else:
            raise DeliveryError("the webhook cannot be reached (URLError)")

    answers = True
    shop = replace(nightly(lab), send=send)
    tick(shop)
    answers = False
    at(lab, TWO + 3 * DAY)
    lab.sleep(3 * DAY)
    tick(shop)
    answers = True
    for minute in range(1, 4):
        at(lab, TWO + 3 * DAY + timedelta(minutes=minute))
        tick(shop)
    assert sorted(json.loads(body)["subject"] for body in heard) == ["policy nodes", "scheduler"]
    assert open_alerts(lab) == set()


def test_a_policy_that_cannot_be_planned_keeps_no_other_from_being(
    lab: Lab, acme: TenantId
) -> None:
    """A condition that one row makes fail; holds' conditions alone are proven not to."""
    lab.node(acme)
    case = lab.case(acme)
    lab.sql("ALTER TABLE lab.cases ADD COLUMN doubt text")
    lab.sql("UPDATE lab.cases SET doubt = 'none' WHERE id = %s", (case,))
    policies = tuple(
        replace(p, condition="r.doubt::integer > 0") if p.name == "cases" else p
        for p in lab.policies
    )
    sent: list[bytes] = []
    shop = lab.shop(policies=policies, send=sent.append)
    done = tick(shop)
    assert done.verification is not None
    assert [(r.kind, r.subject) for r in done.verification.results if r.is_finding] == [
        ("overdue", "cases")
    ], "nor can it be verified"
    assert lab.recorded() == {"lab.nodes": 1}
    assert lab.ids("cases") == {case}
    said = {s["subject"]: s["detail"] for s in map(json.loads, sent)}
    assert set(said) == {"plan of cases", "cases"}
    assert "invalid input syntax" in said["plan of cases"]
    assert said["cases"].startswith("could not be asked (22P02), as of")
    tick(lab.shop(send=sent.append))
    assert ("run", "plan of cases") not in open_alerts(lab)


def test_a_row_that_a_condition_fails_on_keeps_no_other_tenants_rows(
    lab: Lab, make_tenant: Callable[..., TenantId]
) -> None:
    """One tenant's value is nobody else's trouble, and does not use the policy's turn up."""
    tenants = [make_tenant(f"t{number}") for number in range(7)]
    lab.sql("ALTER TABLE lab.cases ADD COLUMN doubt text DEFAULT '1'")
    cases = [lab.case(tenant) for tenant in tenants]
    for odd in (2, 5):
        lab.sql("UPDATE lab.cases SET doubt = 'none' WHERE id = %s", (cases[odd],))
    policies = tuple(
        replace(p, condition="r.doubt::integer > 0") if p.name == "cases" else p
        for p in lab.policies
    )
    sent: list[bytes] = []
    done = tick(lab.shop(policies=policies, send=sent.append))
    assert lab.ids("cases") == {cases[2], cases[5]}
    assert done.plan is not None
    assert [u.tenant for u in done.plan.units] == ["t0", "t1", "t3", "t4", "t6"]
    said = {s["subject"]: s["detail"] for s in map(json.loads, sent)}
    assert said["plan of cases"].startswith("nothing is planned for t2, t5: invalid input syntax")
    lab.sql("UPDATE lab.cases SET doubt = '1'")
    tick(lab.shop(policies=policies, send=sent.append))
    assert lab.ids("cases") == set()
    assert ("run", "plan of cases") not in open_alerts(lab)


def test_a_step_that_fails_is_told_of_and_keeps_no_other_from_its_turn(
    lab: Lab, acme: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.node(acme)
    shop = lab.shop()

    def broken(*_: object) -> None:
        raise PolicyError("one policy has no index")

    with monkeypatch.context() as patched:
        patched.setattr(Workshop, "check", broken)
        with pytest.raises(PolicyError):
            tick(shop)
    assert told(lab) == {"step plan of the tick": "one policy has no index"}
    ((verified,),) = lab.sql("SELECT count(*) FROM tenure.verifications")
    assert verified == 1, "verification had its turn"
    tick(shop)
    assert lab.ids("nodes") == set()
    assert not [one for one in open_alerts(lab) if one[0] == "run"]


def test_rows_without_a_starting_point_make_no_units_tick_after_tick(
    lab: Lab, acme: TenantId, globex: TenantId
) -> None:
    lab.case(globex, opened=None)
    lab.case(acme)
    done = tick(lab.shop())
    assert done.run is not None
    assert lab.sql("SELECT count(*) FROM tenure.units WHERE tenant_id = %s", (str(globex),)) == [
        (0,)
    ]
    assert done.verification is not None
    assert sum(done.verification.found("undated").values()) == 1


def test_a_machine_whose_clock_is_wrong_finds_nothing_due(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It woke up in another decade; retention asks the database what time it is."""
    shop = workshop_of(installation, actor="test")
    monkeypatch.setattr(clocks, "utc_now", lambda: datetime(2099, 1, 1, tzinfo=UTC))
    assert installation.clock.now().year == 2099
    with installation.verifier.transaction(None, read_only=True) as cursor:
        cursor.execute("SELECT clock_timestamp()")
        ((now,),) = cursor.fetchall()
    assert abs(shop.clock.now() - now) < timedelta(minutes=1)
    assert abs(shop.plan().as_of - now) < timedelta(minutes=1)


def test_a_stalled_policy_raises_an_alert_until_a_run_does_its_work(
    lab: Lab, acme: TenantId
) -> None:
    sent: list[bytes] = []
    shop = lab.shop(send=sent.append)
    case = lab.case(acme)
    other = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
    with other.cursor() as cursor:
        cursor.execute("SELECT 1 FROM lab.cases WHERE id = %s FOR UPDATE", (case,))
    done = tick(shop)
    other.close()
    assert done.run is not None
    assert done.run.state == "stalled"
    assert ("run", "cases") in open_alerts(lab)
    assert any(b'"run"' in body for body in sent)
    tick(shop)
    assert open_alerts(lab) == set()
    assert lab.ids("cases") == set()


def test_a_webhook_that_is_away_ends_no_tick(lab: Lab, acme: TenantId) -> None:
    def away(_body: bytes) -> None:
        raise DeliveryError("the webhook cannot be reached (URLError)")

    shop = lab.shop(send=away)
    orphan = lab.add("remarks", acme, about="case", subject_id=lab.case(acme, opened=None))
    lab.sql("DELETE FROM lab.cases")
    done = tick(shop)
    assert done.verification is not None
    assert {kind for kind, _ in open_alerts(lab)} == {"orphans"}
    assert lab.sql("SELECT attempts FROM tenure.alerts") == [(1,)]
    assert orphan


def test_stopped_retention_does_not_use_a_scheduled_time_up(lab: Lab, acme: TenantId) -> None:
    shop = nightly(lab)
    tick(shop)
    lab.node(acme)
    at(lab, TWO)
    stop(lab.installation.retention, actor="ann", reason="restoring")
    assert tick(shop).run is None
    start(lab.installation.retention, actor="ann", reason="restored")
    found = tick(shop).run
    assert found is not None
    assert found.deleted() == {"lab.nodes": 1}


def test_what_an_open_run_has_is_not_planned_again(lab: Lab, acme: TenantId) -> None:
    lab.node(acme)
    shop = lab.shop()
    shop.record()
    run_id = shop.open(shop.plan(), trace_id=new_trace_id())
    intervene(lab.installation.retention, run_id, "pause", actor="ann", reason="a look")
    done = tick(shop)
    assert (done.run, lab.sql("SELECT count(*) FROM tenure.runs")) == (None, [(1,)])
    assert len(lab.ids("nodes")) == 1
    lab.case(acme)
    found = tick(shop).run
    assert found is not None
    assert found.deleted() == {"lab.cases": 1}
    intervene(lab.installation.retention, run_id, "resume", actor="ann", reason="looked")
    tick(shop)
    assert lab.ids("nodes") == set()


def test_a_clock_that_was_put_back_opens_no_gap(lab: Lab, acme: TenantId) -> None:
    shop = nightly(lab)
    tick(shop)
    at(lab, NOW - timedelta(hours=9))
    tick(shop)
    at(lab, NOW + timedelta(seconds=60))
    tick(shop)
    assert lab.sql("SELECT ticks FROM tenure.watches") == [(3,)]
    assert open_alerts(lab) == set()


# -- what of a tick must not be at the cost of the rest ----------------------------------------


def verifications(lab: Lab) -> int:
    ((count,),) = lab.sql("SELECT count(*) FROM tenure.verifications")
    found: int = count
    return found


def test_a_schedule_that_never_comes_is_told_of_and_keeps_no_other_from_its_turn(
    lab: Lab, acme: TenantId
) -> None:
    """None is accepted any more; these were recorded before."""
    clock: Any = Hand(NOW)
    lab.clock = clock
    never = {"nodes": "0 3 30 2 *", "citations": "0 0 31 6 *"}
    policies = tuple(replace(p, schedule=never.get(p.name)) for p in lab.policies)
    shop = lab.shop(policies=policies, tick_s=60.0, verify_schedule="0 0 31 4 *")
    with lab.installation.retention.transaction(None) as cursor:
        for policy in ("nodes", "citations"):
            mark(cursor, Taken(f"policy {policy}", NOW - DAY, 0), NOW - DAY)
    lab.case(acme)
    lab.node(acme)
    tick(shop)
    assert lab.ids("cases") == set()
    assert len(lab.ids("nodes")) == 1
    assert {subject for kind, subject in open_alerts(lab) if kind == "run"} == {
        "schedule of policy nodes", "schedule of policy citations", "schedule of verification",
    }  # fmt: skip
    status = read_status(lab.installation.auditor, now=NOW, tick=timedelta(minutes=1))
    assert {p.policy: p.next_run for p in status.policies} == {
        "nodes": None, "cases": None, "citations": None,
    }  # fmt: skip
    tick(lab.shop(tick_s=60.0))
    assert open_alerts(lab) == set()
    assert lab.ids("nodes") == set()


def test_a_policy_had_its_turn_as_of_its_plan_however_long_the_work_takes(
    lab: Lab, acme: TenantId
) -> None:
    year = timedelta(days=365)
    shop = nightly(lab)
    tick(shop)
    lab.node(acme)
    lab.node(acme, made_at=TWO + timedelta(seconds=30) - year)
    at(lab, TWO)

    def slow(_progress: object) -> None:
        at(lab, TWO + timedelta(seconds=60))

    tick(replace(shop, options=replace(shop.options, on_progress=slow)))
    assert len(lab.ids("nodes")) == 1
    at(lab, TWO + timedelta(hours=1))
    assert lab.verify(shop).findings == 0, "it came due after the plan: it is not overdue, but next"


def test_a_policy_that_could_not_be_planned_has_not_had_its_turn(lab: Lab, acme: TenantId) -> None:
    shop = nightly(lab)
    tick(shop)
    lab.sql("ALTER TABLE lab.nodes ADD COLUMN doubt text")
    node = lab.node(acme, doubt="none")
    at(lab, TWO)
    policies = tuple(
        replace(p, condition="r.doubt::integer > 0") if p.name == "nodes" else p
        for p in shop.policies
    )
    tick(replace(shop, policies=policies))
    assert lab.ids("nodes") == {node}
    at(lab, TWO + timedelta(minutes=1))
    found = tick(shop).run
    assert found is not None
    assert found.deleted() == {"lab.nodes": 1}


def test_a_verification_is_taken_up_once_it_was_made(
    lab: Lab, acme: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.clock = Hand(NOW)  # type: ignore[assignment]  # it tells the time, too
    shop = lab.shop(verify_schedule=NIGHT, tick_s=60.0)
    tick(shop)
    tick(shop)
    before = verifications(lab)
    at(lab, TWO)

    class Killed(BaseException):
        pass

    def die(*_: object, **_more: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Workshop, "verify", die)
        with pytest.raises(Killed):
            tick(shop)
    for minute in range(1, 4):
        at(lab, TWO + timedelta(minutes=minute))
        tick(shop)
    assert verifications(lab) == before + 1
    assert lab.sql(
        "SELECT missed FROM tenure.scheduled WHERE name = 'verification' ORDER BY due_at"
    ) == [(0,), (0,)]


@pytest.mark.parametrize("trouble", ["all is stopped", "the policies are wrong"])
def test_a_scheduled_verification_is_made_once_whatever_else_is_in_the_way(
    lab: Lab, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.clock = Hand(NOW)  # type: ignore[assignment]  # it tells the time, too
    shop = lab.shop(verify_schedule=NIGHT, tick_s=60.0)
    tick(shop)

    def broken(*_: object) -> None:
        raise PolicyError("one policy has no index")

    if trouble == "all is stopped":
        stop(lab.installation.retention, actor="ann", reason="restoring")
    else:
        monkeypatch.setattr(Workshop, "check", broken)
    before = verifications(lab)
    for minute in range(4):
        at(lab, TWO + timedelta(minutes=minute))
        with nullcontext() if trouble == "all is stopped" else pytest.raises(PolicyError):
            tick(shop)
    assert verifications(lab) == before + 1


def test_a_verification_from_when_the_clock_was_wrong_stands_for_none(
    lab: Lab, acme: TenantId
) -> None:
    shop = lab.shop()
    tick(shop)
    lab.sql(
        "INSERT INTO tenure.verifications (id, trace_id, as_of, started_by, started_at,"
        " finished_at, findings, account) SELECT gen_random_uuid(), trace_id, as_of, started_by,"
        " started_at + interval '10 years', finished_at + interval '10 years', findings,"
        " account + 1 FROM tenure.verifications ORDER BY account DESC LIMIT 1"
    )
    lab.sql("UPDATE tenure.runs SET finished_at = finished_at + interval '10 years'")
    assert tick(lab.shop()).verification is None, "the one before it was made a moment ago"
    lab.case(acme)
    assert tick(lab.shop()).verification is not None, "a run has ended since"
    lab.clock = Hand(datetime.now(UTC) + timedelta(hours=2))  # type: ignore[assignment]  # the same
    assert tick(lab.shop()).verification is not None


def test_who_works_long_is_there_all_the_while(
    lab: Lab, acme: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last sign of life is of its end, and not of its beginning."""
    lab.node(acme)
    seen: list[int] = []

    def slow(_progress: object) -> None:
        for _ in range(200):
            ((ticks,),) = lab.sql("SELECT ticks FROM tenure.watches")
            seen.append(ticks)
            if ticks > 2:
                return
            time.sleep(0.05)

    shop = lab.shop(tick_s=0.2, options=Options(batch_size=3, on_progress=slow))
    tick(shop)
    assert seen[-1] > 2
    assert lab.sql("SELECT count(*) FROM tenure.watches") == [(1,)]
    at_its_end = lab.sql("SELECT ticks FROM tenure.watches")
    time.sleep(0.5)
    assert lab.sql("SELECT ticks FROM tenure.watches") == at_its_end, "nobody is there any more"


def test_of_a_gap_within_a_tick_somebody_hears(lab: Lab, acme: TenantId) -> None:
    """The machine slept in the middle of it."""
    lab.node(acme)

    def asleep(_progress: object) -> None:
        lab.sleep(DAY)
        for _ in range(200):
            if lab.sql("SELECT count(*) FROM tenure.watches") == [(2,)]:
                return
            time.sleep(0.05)

    tick(lab.shop(tick_s=0.2, options=Options(batch_size=3, on_progress=asleep)))
    assert ("missed", "scheduler") in open_alerts(lab)


# -- runs that failed or stalled are told of, whoever ended them --------------------------------


def held_up(lab: Lab, table: str, row: str) -> Any:
    """Return a connection that has the row until it is closed."""
    other = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
    with other.cursor() as cursor:
        cursor.execute(f"SELECT 1 FROM lab.{table} WHERE id = %s FOR UPDATE", (row,))
    return other


def stalled(lab: Lab, row: str, *tenants: TenantId) -> None:
    """Have a run of the cases stall that nobody hears of: its worker ends it, and is gone."""
    shop = lab.shop()
    shop.record()
    run_id = shop.open(shop.plan(tenants=tenants or None), trace_id=new_trace_id())
    other = held_up(lab, "cases", row)
    shop.worker().work(run_id)
    other.close()
    assert lab.sql("SELECT state FROM tenure.runs WHERE id = %s", (str(run_id),)) == [("stalled",)]


def told(lab: Lab) -> dict[str, str]:
    return dict(
        lab.sql(
            "SELECT subject, detail FROM tenure.alerts WHERE kind = 'run' AND resolved_at IS NULL"
        )
    )


def test_of_a_run_whose_worker_was_killed_as_it_ended_somebody_hears(
    lab: Lab, acme: TenantId
) -> None:
    case = lab.case(acme)
    stalled(lab, case)
    assert told(lab) == {}
    other = held_up(lab, "cases", case)
    stop(lab.installation.retention, actor="ann", reason="a look")
    sent: list[bytes] = []
    tick(lab.shop(send=sent.append))
    other.close()
    said = told(lab)
    assert set(said) == {"cases"}
    assert said["cases"].startswith("acme: ")
    assert ("run", "cases") in {(s["kind"], s["subject"]) for s in map(json.loads, sent)}
    start(lab.installation.retention, actor="ann", reason="looked")
    tick(lab.shop())
    assert lab.ids("cases") == set()
    assert told(lab) == {}


def test_a_run_of_one_tenant_says_nothing_of_what_stalled_in_another(
    lab: Lab, acme: TenantId, globex: TenantId
) -> None:
    case, other_case = lab.case(acme), lab.case(globex)
    other = held_up(lab, "cases", case)
    tick(lab.shop())
    assert set(told(lab)) == {"cases"}
    assert lab.ids("cases") == {case}
    lab.case(globex)
    shop = lab.shop()
    report = run_once(shop, lambda: shop.plan(tenants=[globex]))
    assert (report.state, report.rows) == ("succeeded", 1)
    assert set(told(lab)) == {"cases"}, "acme's did not go"
    stop(lab.installation.retention, actor="ann", reason="a look")
    tick(lab.shop())
    assert set(told(lab)) == {"cases"}
    start(lab.installation.retention, actor="ann", reason="looked")
    other.close()
    tick(lab.shop())
    assert told(lab) == {}
    assert other_case not in lab.ids("cases")


@pytest.mark.parametrize("schedule", [None, "0 0 1 1 *"])
def test_what_is_not_due_any_more_is_in_nobodys_way(
    lab: Lab, acme: TenantId, schedule: str | None
) -> None:
    lab.clock = DatabaseClock(lab.installation.verifier)  # type: ignore[assignment]  # the same
    policies = tuple(
        replace(p, schedule=schedule) if p.name == "cases" else p for p in lab.policies
    )

    def turn(ago: str) -> None:
        lab.sql(
            "INSERT INTO tenure.scheduled (name, due_at, taken_at, missed)"
            " SELECT 'policy cases', at, at, 0 FROM (SELECT now() - %s::interval AS at) t",
            (ago,),
        )

    turn("1 hour")
    stalled(lab, lab.case(acme))
    stop(lab.installation.retention, actor="ann", reason="a look")
    shop = lab.shop(policies=policies, tick_s=60.0)
    for _ in range(2):
        tick(shop)
        assert set(told(lab)) == {"cases"}
    start(lab.installation.retention, actor="ann", reason="looked")
    lab.sql("UPDATE lab.cases SET opened = now()")
    if schedule is not None:
        turn("0 s")
    for _ in range(2):
        tick(shop)
        assert told(lab) == {}


def test_of_a_run_that_the_catalog_overtook_somebody_hears(lab: Lab, acme: TenantId) -> None:
    lab.case(acme)
    shop = lab.shop()
    shop.record()
    run_id = shop.open(shop.plan(), trace_id=new_trace_id())
    lab.sql("UPDATE tenure.runs SET catalog_digest = repeat('0', 64)")
    stop(lab.installation.retention, actor="ann", reason="a look")
    tick(shop)
    assert lab.sql("SELECT state FROM tenure.runs WHERE id = %s", (str(run_id),)) == [("failed",)]
    assert "catalog of tables has changed" in told(lab)["cases"]
    start(lab.installation.retention, actor="ann", reason="looked")
    tick(shop)
    assert lab.ids("cases") == set()
    assert told(lab) == {}


def test_a_run_that_somebody_cancelled_is_no_trouble(lab: Lab, acme: TenantId) -> None:
    lab.case(acme)
    shop = lab.shop()
    shop.record()
    run_id = shop.open(shop.plan(), trace_id=new_trace_id())
    intervene(lab.installation.retention, run_id, "cancel", actor="ann", reason="a look")
    stop(lab.installation.retention, actor="ann", reason="a look")
    tick(shop)
    assert told(lab) == {}
