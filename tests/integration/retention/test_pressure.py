"""What weighs on a real server is seen: waiting sessions, a vacuum, old snapshots."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from retention.pressure import Reading, Thresholds, pressure_on, read_pressure
from tenants.catalog import TableName
from tests.integration.retention.conftest import Lab

NODES = TableName("lab", "nodes")
CALM = Reading(None, None, 0, vacuuming=False, blind=True)


@pytest.fixture
def other(lab: Lab) -> Iterator[Any]:
    connection = psycopg2.connect(lab.installation.settings.role_url("tenure_owner"))
    yield connection
    connection.close()


def read(lab: Lab) -> Reading:
    return read_pressure(lab.installation.retention, NODES)


def test_a_calm_server_weighs_nothing(lab: Lab) -> None:
    assert read(lab) == CALM
    assert pressure_on(lab.installation.retention, NODES, Thresholds())() == ()


def test_sessions_that_wait_for_locks_are_counted(lab: Lab, other: Any) -> None:
    other.cursor().execute("LOCK TABLE lab.nodes IN ACCESS EXCLUSIVE MODE")
    waiter = threading.Thread(target=lab.sql, args=("SELECT count(*) FROM lab.nodes",))
    waiter.start()
    try:
        for _ in range(1000):
            found = read(lab)
            if found.blocked_sessions:
                break
            threading.Event().wait(0.01)
    finally:
        other.rollback()
        waiter.join()
    assert found.reasons(Thresholds(blocked_sessions=0)) == ("1 sessions wait for locks",)
    assert found.reasons(Thresholds(blocked_sessions=1)) == ()


def test_a_vacuum_of_the_table_is_seen_and_of_another_is_not(lab: Lab, other: Any) -> None:
    cursor = other.cursor()
    # What VACUUM takes, held for as long as the test looks.
    cursor.execute("LOCK TABLE lab.files IN SHARE UPDATE EXCLUSIVE MODE")
    assert read(lab) == CALM
    cursor.execute("LOCK TABLE lab.nodes IN SHARE UPDATE EXCLUSIVE MODE")
    assert read(lab).reasons(Thresholds()) == ("the table is being vacuumed",)
    other.rollback()


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (Reading(11.0, None, 0, vacuuming=False, blind=False), ("a replica is 11 s behind",)),
        (Reading(9.0, 3599.0, 10, vacuuming=False, blind=False), ()),
        (Reading(None, 3601.0, 0, vacuuming=False, blind=False), ("a snapshot is 3601 s old",)),
    ],
)
def test_what_is_over_its_threshold_is_said(reading: Reading, said: tuple[str, ...]) -> None:
    assert reading.reasons(Thresholds()) == said
