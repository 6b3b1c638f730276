"""The audit of this very project's database."""

from __future__ import annotations

import datetime
from pathlib import Path

from api.wiring import Installation
from tenants.posture.audit import run
from tenants.posture.discovery import discover
from tenants.posture.output import as_text
from tenants.posture.reader import read_database
from tenants.posture.rules import all_rules
from tenants.posture.suppressions import load_suppressions

DOCUMENT = Path(__file__).parents[3] / "docs" / "posture" / "README.md"


def test_our_own_database_has_no_leak_but_those_the_document_accepts(
    installed: Installation, tmp_path: Path
) -> None:
    accepted = tmp_path / "tenure.toml"
    accepted.write_text(DOCUMENT.read_text().rpartition("```toml\n")[2].partition("```")[0])
    rules = all_rules()
    suppressions = load_suppressions(accepted, [rule.name for rule in rules])
    subject = discover(read_database(installed.settings.role_url("tenure_owner")))
    report = run(subject, rules, suppressions, today=datetime.date(2026, 1, 1))
    assert {role.name for role in subject.app_roles} == {"tenure_app", "tenure_retention"}
    assert subject.facts.relations[subject.registry].label == "tenure.tenants"
    assert "shop.customers" in {table.label for table in subject.tenant_tables}
    errors = [finding for finding in report.findings if finding.severity == "error"]
    assert errors == [], as_text(report, colour=False)
    assert len(suppressions) == 18
    objects = {finding.object for finding, _ in report.suppressed}
    feeding = {name for name in objects if name.startswith("trigger ledger_")}
    assert "trigger ledger_insert on tenure.batches" in feeding
    functions = {name for name in objects if name.endswith(")")}
    assert {name.partition("(")[0] for name in functions} == {
        "tenure.acknowledge_request",
        "tenure.delete_expired",
        "tenure.delete_leftovers",
        "tenure.leaf_hashes",
        "tenure.copied_later",
        "tenure.forget",
    }
    assert {name.rpartition(" ")[2] for name in objects - feeding - functions} == {
        "tenure.verification_results",
        "tenure.units",
        "tenure.reconciliations",
        "tenure.movements",
        "tenure.accounted_batches",
        "tenure.ledger_entries",
        "tenure.certificates",
        "tenure.forgettings",
    }
