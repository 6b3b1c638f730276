"""A server below the floor of its major version is told; SQL cannot show it."""

from __future__ import annotations

import pytest

from tenants.posture.facts import Facts
from tenants.posture.records import Server
from tenants.posture.rules.version_floor import FLOOR, RULE
from tenants.posture.subject import Subject


def found(version_num: int) -> list[str]:
    facts = Facts(Server(version_num, "shop", 10, "auditor", {}))
    return [problem.message for problem in RULE.check(Subject(facts))]


@pytest.mark.parametrize("major", sorted(FLOOR))
def test_the_floor_is_the_first_good_minor(major: int) -> None:
    floor = major * 10000 + FLOOR[major]
    assert found(floor) == []
    assert found(floor + 1) == []
    (message,) = found(floor - 1)
    assert f"PostgreSQL {major}.{FLOOR[major] - 1} " in message
    assert f"{major}.{FLOOR[major]} " in message


def test_a_version_that_is_not_known_is_not_judged() -> None:
    assert found(990000) == []
