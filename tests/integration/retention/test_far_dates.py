"""Dates at the end of the calendar, and beyond: they are some row's, and nobody else's trouble."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from retention.erasures.execution import Executor
from retention.explain import Question, explain
from retention.graph import held_edges
from retention.held_rows import held_by
from retention.precedence import Decision
from retention.tick import tick
from tenants.catalog import TableName
from tenants.context import TenantId
from tests.integration.retention.conftest import NOW, Lab
from tests.integration.retention.erasing import approved, subjects

LAST_DAY = datetime(9999, 12, 31, tzinfo=UTC)


@pytest.fixture
def kept(lab: Lab) -> Lab:
    """The lab, whose cases have a minimum."""
    lab.policies = tuple(
        replace(p, minimum="P1Y") if p.name == "cases" else p for p in lab.policies
    )
    return lab


def open_runs(lab: Lab) -> set[str]:
    rows = lab.sql("SELECT subject FROM tenure.alerts WHERE resolved_at IS NULL AND kind = 'run'")
    return {subject for (subject,) in rows}


@pytest.mark.parametrize("opened", ["9999-12-31", "12000-01-01", "infinity"])
def test_an_erasure_of_a_far_row_waits_and_every_other_step_has_its_turn(
    kept: Lab, acme: TenantId, globex: TenantId, opened: str
) -> None:
    case, other = kept.case(acme, opened=NOW), kept.case(globex)
    approved(kept, acme, case)
    kept.sql("UPDATE lab.cases SET opened = %s WHERE id = %s", (opened, case))
    done = tick(kept.shop(subjects=subjects()))
    assert [one.why for one in done.erased] == ["waits for holds or minimum periods"]
    assert kept.sql("SELECT state, waits_until FROM tenure.erasures") == [("deferred", None)]
    assert done.verification is not None
    assert kept.ids("cases") == {case}, "globex' case went"
    assert other not in kept.ids("cases")


def test_the_plan_of_an_erasure_over_a_far_row_says_that_nobody_knows_when(
    kept: Lab, acme: TenantId
) -> None:
    """Asked for over the API, and planned by the tick."""
    case = kept.case(acme, opened=LAST_DAY)
    approved(kept, acme, case)
    ((plan,),) = kept.sql("SELECT plan FROM tenure.erasure_plans")
    (cases,) = [t for t in plan["tables"] if t["table"] == "lab.cases"]
    assert [(w["policy"], w["rows"], w["until"]) for w in cases["waiting"]] == [("cases", 1, None)]


def test_what_nobody_thought_of_in_one_erasure_keeps_no_other_from_its_turn(
    lab: Lab, acme: TenantId, globex: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (lab.case(tenant, opened=NOW) for tenant in (acme, globex))
    broken, sound = approved(lab, acme, first), approved(lab, globex, second)
    run = Executor.run

    def failing(self: Any, erasure_id: UUID) -> Any:
        if erasure_id == broken:
            raise KeyError("nobody thought of this")
        return run(self, erasure_id)

    monkeypatch.setattr(Executor, "run", failing)
    done = tick(lab.shop(subjects=subjects()))
    assert [one.erasure.id for one in done.erased] == [sound]
    assert done.verification is not None
    assert lab.sql("SELECT subject FROM tenure.alerts WHERE kind = 'erasure'") == [(str(broken),)]


def test_what_nobody_thought_of_in_a_step_is_told_of_and_ends_no_tick(
    lab: Lab, acme: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.case(acme)

    def broken(_self: object) -> Any:
        raise ValueError("year 10000 is out of range")

    monkeypatch.setattr(Executor, "at_work", broken)
    with pytest.raises(ValueError, match="year 10000"):
        tick(lab.shop())
    assert lab.sql("SELECT subject, detail FROM tenure.alerts WHERE kind = 'run'") == [
        ("step erasures of the tick", "ValueError, which nobody expected; the log says where")
    ]
    assert lab.sql("SELECT count(*) FROM tenure.verifications") == [(1,)]


@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        ("9999-12-31", Decision("waiting", "cases")),
        ("infinity", Decision("waiting", "cases")),
        ("12000-01-01", Decision("waiting", "cases")),
        ("9999-01-01", Decision("waiting", "cases")),
        ("0300-01-01 BC", Decision("due", "cases", datetime(2, 1, 3, tzinfo=UTC))),
    ],
)
def test_a_far_row_is_explained(lab: Lab, acme: TenantId, opened: str, expected: Decision) -> None:
    case = lab.case(acme)
    lab.sql("UPDATE lab.cases SET opened = %s WHERE id = %s", (opened, case))
    verifier = lab.installation.verifier
    with verifier.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
        (found,) = explain(
            cursor,
            Question(TableName("lab", "cases"), UUID(case)),
            catalog=lab.catalog,
            policies=lab.policies,
            held_by=partial(held_by, cursor, held_edges(lab.catalog)),
            now=NOW,
        )
    removal = found.removal
    assert removal is not None
    at = removal.at and removal.at.replace(microsecond=0)
    assert (removal.outcome, removal.policy, at is None) == (
        expected.outcome, "cases", expected.at is None,
    )  # fmt: skip
