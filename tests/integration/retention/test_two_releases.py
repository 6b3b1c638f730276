"""Two releases side by side, whose policies differ: those count that were recorded last."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from retention.errors import SupersededError
from retention.tick import tick
from retention.workshop import Workshop
from tenants.context import TenantId

from .conftest import Lab

TWO_YEARS = timedelta(days=730)


def made_longer(lab: Lab) -> Workshop:
    """A newer release's workshop, which keeps nodes for ten years."""
    longer = tuple(replace(p, period="P10Y") if p.name == "nodes" else p for p in lab.policies)
    return lab.shop(policies=longer)


def versions(lab: Lab) -> list[tuple[int, str]]:
    return lab.sql(  # type: ignore[return-value]  # two columns
        "SELECT version, definition ->> 'period' FROM tenure.policy_versions"
        " WHERE policy = 'nodes' ORDER BY version"
    )


def test_an_older_release_takes_nothing_that_the_newer_keeps(lab: Lab, acme: TenantId) -> None:
    older, newer = lab.shop(), made_longer(lab)
    assert tick(older).leads
    node = lab.node(acme, lab.now - TWO_YEARS)
    for _ in range(2):
        assert tick(newer).leads
        done = tick(older)
        assert (done.leads, done.plan, done.verification) == (False, None, None)
    assert lab.ids("nodes") == {node}
    assert versions(lab) == [(1, "P1Y"), (2, "P10Y")]


def test_an_older_release_withdraws_nothing_that_the_newer_added(lab: Lab) -> None:
    fewer = tuple(p for p in lab.policies if p.name != "nodes")
    older, newer = lab.shop(policies=fewer), lab.shop()
    tick(older)
    tick(newer)
    tick(older)
    assert lab.sql("SELECT policy, event FROM tenure.policy_withdrawals") == []


def test_who_began_before_counts_no_more_though_it_never_led(lab: Lab, acme: TenantId) -> None:
    """It looks as it begins: another has the lease, and what it may come to is another time."""
    older, newer = lab.shop(), made_longer(lab)
    older.superseded()
    tick(newer)
    node = lab.node(acme, lab.now - TWO_YEARS)
    assert not tick(older).leads
    assert lab.ids("nodes") == {node}


def test_who_is_superseded_in_mid_tick_plans_nothing_more(lab: Lab, acme: TenantId) -> None:
    older, newer = lab.shop(), made_longer(lab)
    tick(older)
    newer.record()
    node = lab.node(acme, lab.now - TWO_YEARS)
    with pytest.raises(SupersededError, match="restart it"):
        older.record()
    assert lab.ids("nodes") == {node}
    assert versions(lab) == [(1, "P1Y"), (2, "P10Y")]


def test_who_begins_anew_with_other_policies_is_taken_at_its_word(lab: Lab, acme: TenantId) -> None:
    """As when a release is taken back."""
    tick(made_longer(lab))
    lab.node(acme, lab.now - TWO_YEARS)
    assert tick(lab.shop()).leads
    assert lab.ids("nodes") == set()


def test_processes_of_one_release_lead_in_turn(lab: Lab, acme: TenantId) -> None:
    one, other = lab.shop(), lab.shop()
    for shop in (one, other):
        shop.superseded()
    for shop in (one, other, one):
        node = lab.node(acme)
        assert tick(shop).leads
        assert node not in lab.ids("nodes")
    tick(made_longer(lab))
    assert not tick(one).leads
    assert not tick(other).leads


def test_where_nobody_else_plans_somebody_hears(lab: Lab) -> None:
    """A command with other policies has come and gone; the scheduler has those from before."""
    sent: list[bytes] = []
    older = replace(lab.shop(), send=sent.append)
    tick(older)
    made_longer(lab).record()
    tick(older)
    assert sent == [], "another may be about to plan"
    lab.sleep(timedelta(hours=1))
    tick(older)
    (said,) = map(json.loads, sent)
    assert (said["kind"], said["subject"]) == ("run", "planning by any process")
    assert "test recorded other policies at" in said["detail"]
    assert "restart it" in said["detail"]
    tick(made_longer(lab))
    still = "SELECT count(*) FROM tenure.alerts WHERE kind = 'run' AND resolved_at IS NULL"
    assert lab.sql(still) == [(0,)]
