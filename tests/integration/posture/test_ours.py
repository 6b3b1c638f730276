"""The audit of this very project's database."""

from __future__ import annotations

import datetime

from api.wiring import Installation
from tenants.posture.audit import run
from tenants.posture.discovery import discover
from tenants.posture.output import as_text
from tenants.posture.reader import read_database
from tenants.posture.rules import all_rules

# True, and meant: tenure_retention records what a verification found in every tenant.
WRITES_OF_VERIFICATION = {
    "policy tenure_retention_insert on tenure.verification_results",
    "policy tenure_retention_select on tenure.verification_results",
}


def test_our_own_database_has_no_leak(installed: Installation) -> None:
    url = installed.settings.role_url("tenure_owner")
    subject = discover(read_database(url))
    report = run(subject, all_rules(), today=datetime.date(2026, 1, 1))
    assert {role.name for role in subject.app_roles} == {"tenure_app", "tenure_retention"}
    assert subject.facts.relations[subject.registry].label == "tenure.tenants"
    assert "shop.customers" in {table.label for table in subject.tenant_tables}
    errors = {finding.object for finding in report.findings if finding.severity == "error"}
    assert errors <= WRITES_OF_VERIFICATION, as_text(report, colour=False)
