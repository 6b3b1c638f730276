"""Many more random databases, policies and holds, against the oracle that `make test` has."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from retention import holds
from retention.executor import Options
from retention.policy_records import record_policies, set_state
from tenants.context import TenantId
from tests.integration.retention import test_archive_oracle as archives
from tests.integration.retention.test_hold_oracle import hold_and_compare
from tests.integration.retention.test_oracle import TABLES, oracle, plant, read_rows

ORDER = ("citations", "nodes", "cases")
firm = archives.firm


def test_what_remains(
    lab: Any,
    acme: TenantId,
    globex: TenantId,
    seed: str,
    oracle_part: int,
    record_property: Callable[[str, object], None],
) -> None:
    rng = random.Random(f"oracle {seed} {oracle_part}")
    retention = lab.installation.retention
    policies = []
    for policy in lab.policies:
        left_out = rng.choice((None, *policy.along))
        along = tuple(table for table in policy.along if table != left_out)
        state = "paused" if rng.random() < 0.15 else "active"
        policies.append(replace(policy, along=along, state=state))
    record_policies(retention, policies, actor="soak")
    held = globex if rng.random() < 0.3 else None
    expected: dict[str, set[str]] = {table: set() for table in TABLES}
    for tenant in (acme, globex):
        plant(lab, tenant, rng)
        rows = read_rows(lab, tenant)
        for name in ORDER:
            policy = next(p for p in policies if p.name == name)
            state = policy.state
            if rng.random() < 0.2:
                state = rng.choice(("active", "paused"))
                set_state(retention, tenant, name, state, actor="soak")
            if state == "active" and tenant != held:
                cutoff = policy.cutoff(lab.now)
                limit = cutoff.date() if name == "cases" else cutoff
                oracle(rows, name, {table.name for table in policy.along}, limit)
        for table in TABLES:
            expected[table] |= set(rows[table])
    if held:
        holds.place(retention, held, matter="m", reason="r", actor="soak")
    before = {table: len(lab.ids(table)) for table in TABLES}
    options = Options(batch_size=rng.choice((1, 2, 3, 50)), lock_timeout_ms=500)
    shop = lab.shop(policies=tuple(policies), options=options)
    report = lab.run(shop)
    assert report.state in ("succeeded", "succeeded_with_skips"), report.detail
    assert {table: lab.ids(table) for table in TABLES} == expected
    gone = {f"lab.{table}": before[table] - len(expected[table]) for table in TABLES}
    assert lab.recorded(report.trace_id) == {table: rows for table, rows in gone.items() if rows}
    assert lab.verify(shop).findings == 0
    assert lab.run(shop).rows == 0
    record_property("oracle: random databases, policies and holds", 1)
    record_property("oracle: under hold, one of two tenants", int(held is not None))
    record_property("oracle: rows planted", sum(before.values()))
    record_property("oracle: rows deleted", sum(gone.values()))


def test_held_rows_remain(
    lab: Any,
    acme: TenantId,
    globex: TenantId,
    seed: str,
    oracle_part: int,
    record_property: Callable[[str, object], None],
) -> None:
    held = hold_and_compare(lab, (acme, globex), random.Random(f"holds {seed} {oracle_part}"))
    record_property("oracle: random databases with holds on some rows", 1)
    record_property("oracle: rows under these holds", held)


def test_what_was_archived_or_came_back(
    firm: Any,
    make_tenant: Callable[[str], TenantId],
    seed: str,
    oracle_part: int,
    record_property: Callable[[str, object], None],
) -> None:
    rng = random.Random(f"archives {seed} {oracle_part}")
    worlds = [archives.World(make_tenant(name)) for name in ("acme", "globex")]
    back, held = archives.compare(firm, worlds, rng)
    record_property("oracle: random databases with archives", 1)
    record_property("oracle: rows that came back from these", back)
    record_property("oracle: rows under hold, there or archived", held)
