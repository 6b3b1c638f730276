"""The queries that verifications keep: they tell of no tenant, and can be asked again.

A text is kept in the results of every tenant, for good. So it says nothing that only one of them
may know: not whose period is longer, not what is under a hold, nor whom a hold's condition names.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from psycopg2 import sql

from retention.hold_scopes import Scope
from retention.policies import Policy, cutoff_value
from retention.policy_records import record_policies, set_period
from retention.verification_rules import Ground, cutoff_of
from tenants.catalog import TableName
from tenants.context import TenantId
from tests.integration.retention.conftest import CATALOG, NOW, Lab

DOCUMENT = Path(__file__).parents[3] / "docs" / "auditor.md"
PERSON = "Jane Roe"
CONDITION = f"r.about <> '{PERSON}'"
OWN_PERIOD = "P7Y"
GAP = "false /* or what the conditions of holds say */"
PERIODS = ("P1Y", "P18M", "P1Y1M1D", "P400D", "P9W", "PT36H", "P1Y2M3DT4H5M6S", "P1,5D", "P0.5D")


def bounded(lab: Lab) -> list[Policy]:
    policies = [replace(policy, maximum="P20Y") for policy in lab.policies]
    record_policies(lab.installation.retention, policies, actor="test")
    return policies


def with_terms_and_holds(lab: Lab, tenant: TenantId, policies: Sequence[Policy]) -> dict[str, str]:
    """Give a tenant a period of its own and a hold of each kind; return what is its own."""
    retention = lab.installation.retention
    for policy in policies:
        set_period(retention, tenant, policy, OWN_PERIOD, actor="test")
    case, row = lab.case(tenant, files=1), lab.case(tenant)
    scopes = (
        Scope("subject", TableName("lab", "cases"), subject=UUID(case)),
        Scope("rows", TableName("lab", "cases"), rows=(UUID(row),)),
        Scope("table", TableName("lab", "remarks"), condition=CONDITION),
    )
    holds = {str(lab.hold(tenant, scope)): f"the hold on {scope.kind}" for scope in scopes}
    own = {f"{policy.cutoff(lab.now, OWN_PERIOD):%Y-%m-%d}": "the cutoff" for policy in policies}
    return holds | own | {
        str(tenant): "the tenant", case: "the subject", row: "the row", CONDITION: "the condition",
        PERSON: "a person", OWN_PERIOD: "the period",
    }  # fmt: skip


def kept(lab: Lab) -> dict[tuple[str, str], set[str]]:
    """The texts kept, by what they look for; the books say since when they ask, as they must."""
    found: dict[tuple[str, str], set[str]] = {}
    for kind, subject, query in lab.sql(
        "SELECT kind, subject, query FROM tenure.verification_results"
    ):
        text = re.sub(r"(removed_at|recorded_at) >= '[^']*'", r"\1 >= 'then'", query)
        text = re.sub(r"a\.account <= \d+", "a.account <= then", text)
        found.setdefault((kind, subject), set()).add(text.replace("'then'::timestamptz", "'then'"))
    return found


def test_no_kept_query_tells_of_a_tenants_terms_or_holds(
    lab: Lab, acme: TenantId, globex: TenantId
) -> None:
    lab.case(acme)
    policies = bounded(lab)
    secrets = with_terms_and_holds(lab, globex, policies)
    report = lab.verify(lab.shop(policies=policies))
    assert any(r.tenant_id == acme and r.found for r in report.results)
    assert sum(r.held for r in report.results if r.tenant_id == globex) == 2
    for question, texts in kept(lab).items():
        for query in texts:
            told = {what for secret, what in secrets.items() if secret in query}
            assert not told, (question, told)


def test_a_kept_query_is_the_same_whatever_a_tenant_has(
    lab: Lab, acme: TenantId, globex: TenantId
) -> None:
    """Not even that somebody has terms of their own, or how many holds there are."""
    policies = bounded(lab)
    lab.verify(lab.shop(policies=policies))
    with_terms_and_holds(lab, globex, policies)
    lab.verify(lab.shop(policies=policies))
    assert {question for question, texts in kept(lab).items() if len(texts) > 1} == set()


def again(lab: Lab, query: str, conditions: str = "") -> dict[str, tuple[int, ...]]:
    """Ask as docs/auditor.md says; return found, held, paused and undeletable by tenant."""
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        if conditions:
            cursor.execute(conditions)
            ((said,),) = cursor.fetchall()
            assert query.count(GAP) == 1
            query = query.replace(GAP, said)
        cursor.execute(query.replace("%", "%%"), ())
        return {row[0]: row[1:5] for row in cursor.fetchall()}


def test_an_auditor_who_asks_again_gets_the_same_figures(
    lab: Lab, acme: TenantId, globex: TenantId
) -> None:
    policies = bounded(lab)
    with_terms_and_holds(lab, globex, policies)
    named = lab.case(globex)
    lab.add("remarks", globex, about="case", subject_id=named)
    for tenant in (acme, globex):
        lab.case(tenant, opened=NOW - timedelta(days=5 * 366))
    lab.case(acme)
    report = lab.verify(lab.shop(policies=policies))
    results = [r for r in report.results if (r.kind, r.subject) == ("overdue", "cases")]
    figures = {str(r.tenant_id): (r.found, r.held, r.paused, r.undeletable) for r in results}
    assert figures == {str(acme): (2, 0, 0, 0), str(globex): (0, 3, 0, 0)}
    conditions = re.findall(r"^```sql\n(.*?)^```", DOCUMENT.read_text(), re.M | re.S)
    assert again(lab, results[0].query, *conditions) == figures
    # Without the conditions the text runs as well, and leaves out what they hold.
    assert again(lab, results[0].query)[str(globex)] == (1, 2, 0, 0)


@pytest.mark.parametrize("name", ["nodes", "cases"])
def test_a_cutoff_of_their_own_is_the_one_that_retention_goes_by(
    lab: Lab, acme: TenantId, name: str
) -> None:
    """Reckoned by the database from the period alone; of an instant, and of a date."""
    (policy,) = (p for p in lab.policies if p.name == name)
    rng = random.Random(name)
    moments = [NOW + timedelta(seconds=rng.randrange(4 * 366 * 86_400)) for _ in range(40)]
    moments += [datetime(2028, 2, 29, 1, tzinfo=UTC), datetime(2027, 3, 31, 23, 59, tzinfo=UTC)]
    asked = sql.SQL("SELECT {} FROM (SELECT %(tenant)s::uuid AS tenant_id) r")
    for period in PERIODS:
        lab.sql("DELETE FROM tenure.policy_periods")
        lab.sql(
            "INSERT INTO tenure.policy_periods VALUES (%s, %s, %s, now(), 'test')",
            (name, str(acme), period),
        )
        for as_of in moments:
            ground = Ground(CATALOG, lab.policies, as_of)
            query = asked.format(cutoff_of(policy, "r", ground))
            found = lab.sql(query, {"tenant": str(acme), "cutoff": None})  # type: ignore[arg-type]
            assert found == [(cutoff_value(policy, CATALOG, policy.cutoff(as_of, period)),)]
