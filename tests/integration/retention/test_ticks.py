"""What a tick does by the clock: schedules, gaps, alerts; and that overdue means past its turn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import psycopg2

from config.trace import new_trace_id
from retention.alerts import Alert
from retention.errors import DeliveryError
from retention.interventions import intervene, start, stop
from retention.jobs import Workshop, tick
from retention.status import read_status
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
    shop, heard = nightly(lab), list[Alert]()
    shop = replace(shop, on_alert=heard.append)
    tick(shop)
    at(lab, TWO + 3 * DAY + timedelta(hours=6))
    tick(shop)
    assert {alert.subject for alert in heard} == {"scheduler", "policy nodes"}
    assert open_alerts(lab) == {("missed", "scheduler"), ("missed", "policy nodes")}
    status = read_status(lab.installation.auditor, now=lab.clock.now(), tick=timedelta(minutes=1))
    ((gap),) = status.gaps
    assert (gap.since, gap.until) == (NOW, lab.clock.now())
    (nodes,) = [p for p in status.policies if p.policy == "nodes"]
    assert nodes.next_run == TWO + 4 * DAY
    assert len(status.alerts) == 2
    at(lab, lab.clock.now() + timedelta(minutes=1))
    tick(shop)
    assert open_alerts(lab) == set()


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
    assert lab.sql("SELECT last_at, ticks FROM tenure.watches") == [(NOW, 2)]
    at(lab, NOW + timedelta(seconds=60))
    tick(shop)
    assert lab.sql("SELECT began_at, last_at, ticks FROM tenure.watches") == [
        (NOW, NOW + timedelta(seconds=60), 3)
    ]
    assert open_alerts(lab) == set()
