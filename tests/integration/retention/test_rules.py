"""What a rule says in SQL is what precedence decides of each row; random policies and rows."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg2 import sql

from retention.policies import Period, Policy, cutoff_value, starting_point
from retention.precedence import Standing, decide
from retention.rules import beside, rule_of
from retention.treatments import Treatment
from tenants.catalog import TableName
from tenants.context import TenantId
from tests.integration.retention.conftest import CATALOG, NOW, Lab

NODES = TableName("lab", "nodes")
PAGES = TableName("lab", "pages")
CITATIONS = TableName("lab", "citations")

CONDITIONS = (None, "r.partner_id IS NULL", "r.parent_id IS NOT NULL", "r.id::text LIKE '%7%'")
PERIODS = ("P1Y", "P18M", "P400D", "P3Y")


def random_policies(rng: random.Random) -> list[Policy]:
    policies = []
    for number in range(rng.randint(1, 4)):
        removes = rng.random() < 0.7
        period = rng.choice(PERIODS)
        policies.append(
            Policy(
                name=f"p{number}",
                table=NODES,
                starts=rng.choice(("made_at", "parent_id.made_at")),
                period=period,
                along=(),
                legal_basis="test",
                deletion_class="test",
                state=rng.choice(("active", "active", "paused")),
                action="delete" if removes else "anonymise",
                treatments=() if removes else (Treatment("partner_id", "null"),),
                condition=rng.choice(CONDITIONS),
                minimum=rng.choice((None, None, "P1Y", "P2Y" if period == "P3Y" else "P1Y")),
            )
        )
    return policies


def standing_of(lab: Lab, policy: Policy, row: str, *, now: datetime) -> Standing:
    """Ask of one row by itself, and in other words than the rule's."""
    condition = policy.condition or "true"
    via = policy.starts.partition(".")[0] if "." in policy.starts else None
    ((matches, own, parents, partner),) = lab.sql(
        f"SELECT coalesce(({condition.replace('%', '%%')}), false), r.made_at,"
        " (SELECT made_at FROM lab.nodes p WHERE p.id = r.parent_id), r.partner_id"
        " FROM lab.nodes r WHERE r.id = %s",
        (row,),
    )
    return Standing(
        policy=policy.name,
        matches=matches,
        explicit=policy.condition is not None,
        started=parents if via else own,
        period=Period.parse(policy.period),
        minimum=Period.parse(policy.minimum) if policy.minimum else None,
        removes=policy.removes,
        done=bool(policy.treatments) and partner is None,
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_rule_in_sql_takes_what_precedence_says_is_due(
    lab: Lab, acme: TenantId, seed: int
) -> None:
    rng = random.Random(seed)
    rows: list[str] = []
    for _ in range(25):
        made: Any = rng.choice((None, NOW - timedelta(days=rng.randint(1, 1600))))
        parent = rng.choice([None, *rows])
        partner = rng.choice([None, *rows])
        rows.append(lab.add("nodes", acme, made_at=made, parent_id=parent, partner_id=partner))
    policies = random_policies(rng)
    for policy in policies:
        rule = rule_of(policy, beside(policy, policies), CATALOG, NOW)
        params = {"cutoff": cutoff_value(policy, CATALOG, policy.cutoff(NOW))}
        for alias in ("r", "x"):
            query = sql.SQL("SELECT {a}.id::text FROM lab.nodes {a} WHERE {due}").format(
                a=sql.Identifier(alias), due=rule.is_due(alias)
            )
            taken = {row for (row,) in lab.sql(query, params)}  # type: ignore[arg-type]  # Composable
            assert taken == {row for row in rows if _goes(lab, policy, policies, row)}


def _goes(lab: Lab, policy: Policy, policies: list[Policy], row: str) -> bool:
    """Whether this very policy takes the row: the others have their say, but are not due."""
    standings = [standing_of(lab, p, row, now=NOW) for p in policies]
    silent = [
        replace(s, paused=True) if s.policy != policy.name and s.removes == policy.removes else s
        for s in standings
    ]
    decision = decide(silent, removes=policy.removes, held_by=[], now=NOW)
    return decision.outcome == "due" and decision.policy == policy.name


def test_a_minimum_without_a_starting_point_keeps_the_row(lab: Lab, acme: TenantId) -> None:
    child = lab.node(acme, parent_id=lab.node(acme, made_at=None))
    policy = lab.policies[0]
    keeper = replace(policy, name="keeper", starts="parent_id.made_at", minimum="P1Y",
                     condition="r.parent_id IS NOT NULL", action="anonymise")  # fmt: skip
    rule = rule_of(policy, (keeper,), CATALOG, NOW)
    query = sql.SQL("SELECT id::text FROM lab.nodes r WHERE {}").format(rule.is_due("r"))
    found = lab.sql(query, {"cutoff": datetime(2026, 1, 1, tzinfo=UTC)})  # type: ignore[arg-type]
    assert (child,) not in found


def test_a_way_over_a_key_leads_to_the_other_table() -> None:
    point = starting_point(CATALOG, PAGES, "file_id.case_id")
    assert (point.table.name, point.via, point.column.name) == ("files", "file_id", "case_id")
    assert starting_point(CATALOG, CITATIONS, "cited_at").via is None
