"""Every rule both ways: it fires on its bad schema, not on its good one, and its fix mends it."""

from __future__ import annotations

import pytest

from tenants.posture.rule import Rule
from tenants.posture.rules import all_rules

from .conftest import Bench, needs_15, needs_extension

# What SQL cannot show has no example, and a unit test instead.
RULES = pytest.mark.parametrize(
    "rule", [rule for rule in all_rules() if rule.bad], ids=lambda rule: rule.name
)


def test_no_rule_finds_a_fault_in_the_base(bench: Bench) -> None:
    subject = bench.subject()
    assert [t.label for t in subject.tenant_tables] == ["shop.customers", "shop.invoices"]
    assert [role.name for role in subject.app_roles] == ["shop_app"]
    assert subject.facts.relations[subject.registry].label == "shop.tenants"
    assert [f for f in bench.findings() if f.rule != "version-floor"] == []


@RULES
def test_a_rule_fires_on_its_bad_schema_and_its_fix_mends_it(bench: Bench, rule: Rule) -> None:
    needs_extension(bench, rule.bad)
    bench.execute(rule.bad)
    found = bench.findings(rule.name)
    assert rule.severity in {finding.severity for finding in found}
    fixes = [finding.fix_sql for finding in found if finding.fix_sql]
    if not rule.manual:
        assert len(fixes) == len(found)
    for fix in fixes:
        bench.execute(fix)
    left = bench.findings(rule.name)
    assert [f for f in left if f.fix_sql and not rule.manual] == []


@RULES
def test_no_rule_finds_a_fault_in_a_good_schema(bench: Bench, rule: Rule) -> None:
    needs_15(bench, rule.good)
    bench.execute(rule.good)
    found = [f for f in bench.findings() if f.rule == rule.name or f.severity == "error"]
    assert found == []
