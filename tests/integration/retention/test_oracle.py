"""Random data, policies, holds: what remains is what a naive reading of the rules says.

The oracle is plain Python over all rows, written from the rules and not from the code.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from retention import holds
from retention.executor import Options
from retention.policy_records import record_policies, set_state
from tenants.context import TenantId

# Child, column, parent, kind.
REFERENCES = (
    ("nodes", "parent_id", "nodes", None),
    ("nodes", "partner_id", "nodes", None),
    ("cases", "main_file_id", "files", None),
    ("files", "case_id", "cases", None),
    ("pages", "file_id", "files", None),
    ("citations", "page_id", "pages", None),
    ("remarks", "subject_id", "cases", "case"),
    ("remarks", "subject_id", "files", "file"),
)
TABLES = ("nodes", "cases", "files", "pages", "citations", "remarks")
STARTS = {"nodes": "made_at", "cases": "opened", "citations": "cited_at"}

Row = dict[str, Any]
Rows = dict[str, dict[str, Row]]


def oracle(rows: Rows, table: str, along: set[str], before: Any) -> None:
    """Take out of one tenant's `rows` what a policy deletes."""

    def referring(parent: str, row_id: str) -> list[tuple[str, str]]:
        return [
            (child, other)
            for child, column, target, kind in REFERENCES
            if target == parent
            for other, row in rows[child].items()
            if row[column] == row_id and (kind is None or row["about"] == kind)
        ]

    def closure(root: str) -> set[tuple[str, str]]:
        found = {(table, root)}
        todo = [(table, root)]
        while todo:
            for child, row_id in referring(*todo.pop()):
                if child in along and (child, row_id) not in found:
                    found.add((child, row_id))
                    todo.append((child, row_id))
        return found

    starts = STARTS[table]
    going = {i for i, r in rows[table].items() if r[starts] is not None and r[starts] < before}
    while True:
        gone = set().union(*(closure(root) for root in going)) if going else set()
        kept = {x for x in gone if any(o not in gone for o in referring(*x))}
        blocked = {root for root in going if closure(root) & kept}
        if not blocked:
            break
        going -= blocked
    for name, row_id in gone:
        del rows[name][row_id]


def read_rows(lab: Any, tenant: TenantId) -> Rows:
    found: Rows = {}
    for table in TABLES:
        rows = lab.sql(
            f"SELECT id::text, to_jsonb(t) FROM lab.{table} t WHERE tenant_id = %s",
            (str(tenant),),
        )
        found[table] = {row_id: dict(row) for row_id, row in rows}
        starts = STARTS.get(table)
        if starts:
            dates = dict(lab.sql(f"SELECT id::text, {starts} FROM lab.{table}"))
            for row_id, row in found[table].items():
                row[starts] = dates[row_id]
    return found


def plant(lab: Any, tenant: TenantId, rng: random.Random) -> None:
    def when() -> Any:
        return rng.choice((lab.long_ago, lab.long_ago, lab.now - timedelta(days=800), lab.lately))

    ids: dict[str, list[str]] = {table: [] for table in TABLES}

    def add(table: str, **values: Any) -> None:
        ids[table].append(lab.add(table, tenant, **values))

    for _ in range(rng.randrange(4, 22)):
        made_at = None if rng.random() < 0.05 else when()
        parent = rng.choice([None, *ids["nodes"]])
        add("nodes", made_at=made_at, parent_id=parent)
    for _ in range(rng.randrange(3)):
        a, b = rng.choice(ids["nodes"]), rng.choice(ids["nodes"])
        lab.sql("UPDATE lab.nodes SET partner_id = %s WHERE id = %s", (a, b))
    for _ in range(rng.randrange(2, 12)):
        add("cases", opened=None if rng.random() < 0.1 else when().date())
    for _ in range(rng.randrange(1, 15)):
        add("files", case_id=rng.choice(ids["cases"]))
    for _ in range(rng.randrange(4)):
        lab.sql(
            "UPDATE lab.cases SET main_file_id = %s WHERE id = %s",
            (rng.choice(ids["files"]), rng.choice(ids["cases"])),
        )
    for _ in range(rng.randrange(20)):
        add("pages", file_id=rng.choice(ids["files"]))
    for _ in range(rng.randrange(4) if ids["pages"] else 0):
        add("citations", page_id=rng.choice(ids["pages"]), cited_at=when())
    for _ in range(rng.randrange(10)):
        about = rng.choice(("case", "file"))
        add("remarks", about=about, subject_id=rng.choice(ids[f"{about}s"]))


@pytest.mark.parametrize("seed", range(12))
def test_what_remains_is_what_the_rules_say(
    lab: Any, acme: TenantId, globex: TenantId, seed: int
) -> None:
    rng = random.Random(seed)
    policies = list(lab.policies)
    for number, policy in enumerate(policies):
        if policy.name == "cases" and rng.random() < 0.4:
            fewer = tuple(t for t in policy.along if t.name != rng.choice(("remarks", "pages")))
            policies[number] = replace(policy, along=fewer)
        elif rng.random() < 0.2:
            policies[number] = replace(policy, state="paused")
    for tenant in (acme, globex):
        plant(lab, tenant, rng)
    if rng.random() < 0.3:
        holds.place(lab.installation.retention, globex, matter="m", reason="r", actor="t")
    record_policies(lab.installation.retention, policies, actor="test")
    own_state = {}
    for policy in policies:
        if rng.random() < 0.2:
            own_state[policy.name] = rng.choice(("active", "paused"))
            set_state(
                lab.installation.retention, acme, policy.name, own_state[policy.name], actor="t"
            )
    held = {row[0] for row in lab.sql("SELECT tenant_id::text FROM tenure.holds")}
    expected: dict[TenantId, Rows] = {}
    for tenant in (acme, globex):
        rows = read_rows(lab, tenant)
        # Citations refer to pages and go first; the rest do not touch each other.
        for name in ("citations", "nodes", "cases"):
            policy = next(p for p in policies if p.name == name)
            state = own_state.get(name, policy.state) if tenant == acme else policy.state
            if state == "active" and str(tenant) not in held:
                cutoff = policy.cutoff(lab.now)
                before = cutoff.date() if name == "cases" else cutoff
                oracle(rows, name, {t.name for t in policy.along}, before)
        expected[tenant] = rows
    before_ids = {table: lab.ids(table) for table in TABLES}
    shop = lab.shop(
        policies=tuple(policies),
        options=Options(batch_size=rng.choice((1, 2, 3, 50)), lock_timeout_ms=500),
    )
    planned = shop.plan()
    # Written apart, the planner's sets and the verifier's conditions must agree.
    assert lab.verify(shop).overdue() == {
        policy.name: sum(
            dict(unit.goes).get(str(policy.table), 0)
            for unit in planned.units
            if unit.policy == policy.name
        )
        for policy in policies
    }
    report = lab.run(shop)
    assert report.state in ("succeeded", "succeeded_with_skips"), report.detail
    gone = {}
    for table in TABLES:
        remaining = set().union(*(expected[tenant][table] for tenant in expected))
        assert lab.ids(table) == remaining, table
        if before_ids[table] != remaining:
            gone[f"lab.{table}"] = len(before_ids[table]) - len(remaining)
    assert report.deleted() == gone
    assert lab.recorded(report.trace_id) == gone
    # What citations free for the cases behind them is in no plan made before.
    if "lab.citations" not in gone:
        assert planned.rows == report.rows
    assert lab.verify(shop).findings == 0
    assert lab.run(shop).rows == 0
