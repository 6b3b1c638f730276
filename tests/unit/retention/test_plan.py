"""Plans as values, and the verdict on a run."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from retention.batch import keys_digest
from retention.errors import PlanError
from retention.executor import Options
from retention.plan import Kept, Plan, PlannedPolicy, Unit, catalog_digest, plan_from_json
from retention.policies import Policy
from retention.run_report import Skip, UnitReport, verdict
from tenants.catalog import Catalog, TableName
from tenants.context import TenantId

TENANT = TenantId(UUID(int=1))
POLICY = Policy(
    "invoices", TableName("shop", "invoices"), "issued_at", "P1Y", (TableName("shop", "lines"),),
    "law", "accounting",
)  # fmt: skip
PLAN = Plan(
    as_of=datetime(2026, 1, 1, tzinfo=UTC),
    catalog_digest="c" * 64,
    policies=(
        PlannedPolicy(POLICY, 3, datetime(2025, 1, 1, tzinfo=UTC), ("shop.lines", "shop.invoices")),
    ),
    units=(
        Unit("invoices", TENANT, "acme", 3, (("shop.lines", 4), ("shop.invoices", 2)),
             (Kept("referenced", 1, "shop.refunds"),), 5),
    ),
)  # fmt: skip


def test_a_plan_survives_json() -> None:
    assert plan_from_json(json.dumps(PLAN.to_json())) == PLAN


def edited(**changes: Any) -> str:
    return json.dumps({**PLAN.to_json(), **changes})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this is no plan"),
        ("[]", "this is no plan"),
        ("{}", "this is no plan"),
        (edited(format=99), "format 99"),
        (edited(as_of="2027-01-01T00:00:00+00:00"), "changed after it was made"),
        (edited(units=[]), "changed after it was made"),
        (edited(as_of=7), "this is no plan"),
    ],
)
def test_what_is_no_plan_or_was_changed_is_refused(text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        plan_from_json(text)


def test_a_held_or_paused_unit_may_not_run() -> None:
    (unit,) = PLAN.units
    assert unit.may_run
    assert not replace(unit, kept=(Kept("held", 3),)).may_run
    assert not replace(unit, kept=(Kept("paused", 3),)).may_run
    assert not replace(unit, due=0).may_run


def test_the_catalogs_digest_follows_what_a_plan_relies_on(catalog: Catalog) -> None:
    tables = dict(reversed(catalog.tables.items()))
    assert catalog_digest(Catalog(tables)) == catalog_digest(catalog)
    lines = catalog.table("shop.lines")
    tables[lines.name] = replace(lines, foreign_keys=())
    assert catalog_digest(Catalog(tables)) != catalog_digest(catalog)


def test_the_digest_of_keys_does_not_depend_on_their_order() -> None:
    one, two = str(UUID(int=1)), str(UUID(int=2))
    assert keys_digest([two, one]) == keys_digest([one, two])
    assert keys_digest([one, two]).startswith("fe15e9de8c8904e6")


FINE = UnitReport("p", TENANT, "acme", deleted=(("s.t", 1),))
SKIPPED = replace(FINE, skips=(Skip("held", 4),))
STALLED = replace(FINE, stalled="4 due rows, none could be deleted")
FAILED = replace(FINE, error="Error: boom")


@pytest.mark.parametrize(
    ("units", "cancelled", "state", "detail"),
    [
        ([], False, "succeeded", ""),
        ([FINE], False, "succeeded", ""),
        ([FINE, SKIPPED], False, "succeeded_with_skips", "p of acme: held (4 rows)"),
        ([SKIPPED, STALLED], False, "stalled", "none could be deleted"),
        ([STALLED], True, "cancelled", "none could be deleted"),
        ([FAILED, STALLED, SKIPPED], True, "failed", "Error: boom"),
    ],
)
def test_the_verdict_says_the_worst_and_all_reasons(
    units: list[UnitReport], cancelled: bool, state: str, detail: str
) -> None:
    found, text = verdict(units, cancelled=cancelled)
    assert found == state
    assert detail in text


def test_a_batch_has_at_least_one_row() -> None:
    with pytest.raises(PlanError, match="at least 1, got 0"):
        Options(batch_size=0)
