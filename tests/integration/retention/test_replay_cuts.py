"""After a restore: whose references are emptied, so that what they refer to may go again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from retention.hold_scopes import Scope
from retention.ledger.publishing import Ledger
from tenants.catalog import TableName
from tenants.context import TenantId
from tests.conftest import Cluster

from .conftest import Lab
from .erasing import approved, executor
from .restored import dumped, make_ledger, replayer, restored, writer


@dataclass
class Day:
    """A database from before the day on which `person` was erased, so that `friend` lost its
    reference (and `friends_child` refers to that), and retention deleted `due`, when `other` did
    not refer to it any more."""

    new: Lab
    ledger: Ledger
    person: str
    friend: str
    friends_child: str
    due: str
    other: str

    def replay(self) -> Any:
        return replayer(self.new, writer(self.ledger)).run()

    def partner(self, node: str) -> str | None:
        ((partner,),) = self.new.sql("SELECT partner_id::text FROM lab.nodes WHERE id = %s",
                                     (node,))  # fmt: skip
        return None if partner is None else str(partner)


@pytest.fixture
def day(cluster: Cluster, lab: Lab, acme: TenantId, tmp_path: Path) -> Iterator[Day]:
    lab.sql("GRANT UPDATE (partner_id) ON lab.nodes TO tenure_retention")
    ledger = make_ledger(lab, tmp_path / "ledger", "ledger.example/acme")
    person, due = lab.node(acme, lab.lately), lab.node(acme)
    friend = lab.node(acme, lab.lately, partner_id=person)
    child = lab.node(acme, lab.lately, parent_id=friend)
    other = lab.node(acme, lab.lately, partner_id=due)
    ledger.publish()
    dump = dumped(cluster, lab, tmp_path / "the-day-before.sql")
    lab.sql("UPDATE lab.nodes SET partner_id = NULL WHERE id = %s", (other,))
    lab.run()
    executor(lab).run(approved(lab, acme, person, "node"))
    assert lab.ids("nodes") == {friend, child, other}
    ledger.publish()
    with restored(cluster, dump, lab) as new:
        yield Day(new, ledger, person, friend, child, due, other)


def by_key(row: str) -> Scope:
    return Scope("rows", TableName("lab", "nodes"), rows=(UUID(row),))


def test_who_lost_its_reference_to_a_person_loses_it_again(day: Day) -> None:
    day.replay()
    assert day.person not in day.new.ids("nodes")
    assert day.partner(day.friend) is None


@pytest.mark.parametrize("held", ["friend", "friends_child"])
def test_a_row_under_hold_keeps_what_it_refers_to(day: Day, acme: TenantId, held: str) -> None:
    """Whether it refers to it itself, or over others: it is not whole without."""
    hold = day.new.hold(acme, by_key(getattr(day, held)))
    (tenant,) = day.replay().tenants
    assert tenant.kept["held"] == {"lab.nodes": 1}
    assert day.person in day.new.ids("nodes")
    assert day.partner(day.friend) == day.person
    assert not day.new.sql("SELECT FROM tenure.purged_keys WHERE action = 'cut'")
    day.new.release(hold)
    day.replay()
    assert day.person not in day.new.ids("nodes")
    assert day.partner(day.friend) is None


def test_no_reference_is_emptied_for_what_a_policy_deleted(day: Day) -> None:
    """That one reference was emptied, where a person went, is on record; of others nothing is."""
    (tenant,) = day.replay().tenants
    assert tenant.kept == {"referred to": {"lab.nodes": 1}}
    assert day.due in day.new.ids("nodes")
    assert day.partner(day.other) == day.due
