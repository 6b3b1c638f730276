"""Policies in the database, and plans that are restricted or cannot be made."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from retention.errors import NoTenantError, PlanError, PolicyError
from retention.policy_records import record_policies, set_state
from tenants.context import TenantId


def test_a_policy_gets_a_new_version_only_when_it_changed(lab: Any) -> None:
    retention = lab.installation.retention
    assert record_policies(retention, lab.policies, actor="ann") == dict.fromkeys(
        ("nodes", "cases", "citations"), 1
    )
    assert set(record_policies(retention, lab.policies, actor="bob").values()) == {1}
    changed = [replace(p, period="P2Y") if p.name == "cases" else p for p in lab.policies]
    assert record_policies(retention, changed, actor="bob")["cases"] == 2
    # Back to what it was is a change, too.
    assert record_policies(retention, lab.policies, actor="eve")["cases"] == 3
    assert lab.sql(
        "SELECT version, recorded_by, definition->>'period' FROM tenure.policy_versions"
        " WHERE policy = 'cases' ORDER BY version"
    ) == [(1, "ann", "P1Y"), (2, "bob", "P2Y"), (3, "eve", "P1Y")]


def test_recording_at_once_makes_one_version(lab: Any) -> None:
    retention = lab.installation.retention
    with ThreadPoolExecutor(4) as pool:
        for future in [
            pool.submit(record_policies, retention, lab.policies, actor="t") for _ in range(12)
        ]:
            assert set(future.result(30).values()) == {1}
    assert lab.sql("SELECT count(*) FROM tenure.policy_versions") == [(3,)]


def test_a_plan_pins_the_recorded_version_or_says_that_there_is_none(lab: Any) -> None:
    shop = lab.shop()
    assert {p.version for p in shop.plan().policies} == {None}
    assert "not recorded yet" in shop.plan().to_text()
    shop.record()
    assert {p.version for p in shop.plan().policies} == {1}


def test_a_plan_can_be_restricted_to_tenants_and_policies(
    lab: Any, acme: TenantId, globex: TenantId
) -> None:
    for tenant in (acme, globex):
        lab.case(tenant)
        lab.node(tenant)
    shop = lab.shop()
    assert len(shop.plan().units) == 4
    only = [p for p in lab.policies if p.name == "nodes"]
    (unit,) = shop.plan(tenants=[globex], only=only).units
    assert (unit.policy, unit.tenant, unit.rows) == ("nodes", "globex", 1)


def test_policies_run_so_that_what_refers_goes_first(lab: Any) -> None:
    names = [p.policy.name for p in lab.shop().plan().policies]
    assert names.index("citations") < names.index("cases")
    order = lab.shop().plan().planned("cases").order
    assert order.index("lab.pages") < order.index("lab.files")


def test_the_plan_reads_well(lab: Any, acme: TenantId) -> None:
    kept = lab.case(acme, files=1)
    ((page,),) = lab.sql("SELECT id::text FROM lab.pages LIMIT 1")
    lab.add("citations", acme, page_id=page, cited_at=lab.lately)
    lab.case(acme)
    lab.case(acme, opened=None)
    text = lab.shop().plan().to_text()
    assert kept not in text
    assert "acme: 2 due, 1 of lab.cases go, 1 kept: referenced by lab.citations, 1 undated" in text
    assert "cutoff 2025-11-20T12:00:00+00:00" in text
    assert text.endswith("1 rows go.")


def test_a_tampered_plan_is_refused_by_the_executor(lab: Any, acme: TenantId) -> None:
    from retention.jobs import run_once

    case = lab.case(acme, opened=lab.lately)
    shop = lab.shop()
    shop.record()
    plan = shop.plan()
    widened = replace(plan, policies=tuple(replace(p, cutoff=lab.now) for p in plan.policies))
    with pytest.raises(PlanError, match=r"is not P\dY before"):
        run_once(shop, lambda: widened)
    with pytest.raises(PlanError, match="another catalog"):
        run_once(shop, lambda: replace(plan, catalog_digest="0" * 64))
    assert lab.ids("cases") == {case}


def test_states_of_unknown_policies_and_tenants_are_refused(lab: Any, acme: TenantId) -> None:
    retention = lab.installation.retention
    with pytest.raises(PolicyError, match="no recorded policy 'cases'"):
        set_state(retention, acme, "cases", "paused", actor="t")
    with pytest.raises(NoTenantError, match="no tenant"):
        set_state(retention, TenantId(uuid4()), "cases", "paused", actor="t")
    with pytest.raises(PolicyError, match="no state"):
        set_state(retention, acme, "cases", "asleep", actor="t")
