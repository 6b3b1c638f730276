"""The lab's subject, and ways to ask for its erasure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from retention.erasures import requests
from retention.erasures.execution import Executor
from retention.erasures.planning import make_plan
from retention.erasures.records import Erasure, find_erasure
from retention.policies import Policy
from retention.subject_file import parse_subjects
from retention.subjects import Subject
from tenants.context import TenantId
from tests.integration.retention.conftest import CATALOG, Lab

CASE = """
[subjects.case]
table = "lab.cases"
follow = ["lab.cases.main_file_id"]
tables = [
    { table = "lab.cases", action = "delete" }, { table = "lab.files", action = "delete" },
    { table = "lab.pages", action = "delete" }, { table = "lab.remarks", action = "delete" },
    { table = "lab.citations", action = "delete" },
]
[subjects.node]
table = "lab.nodes"
follow = ["lab.nodes.parent_id"]
cut = ["lab.nodes.partner_id"]
tables = [{ table = "lab.nodes", action = "delete" }]
""".replace("\n    ", " ").replace(",\n]", "]")

ENTERED, APPROVER = "command:ann", "command:bob"


def subjects() -> tuple[Subject, ...]:
    return parse_subjects(CASE, CATALOG)


def executor(lab: Lab, **changes: Any) -> Executor:
    shop = replace(lab.shop(), subjects=subjects())
    return replace(shop.erasures(), **{"limit": 2, "settle_s": 0.2, **changes})


def erasure_of(lab: Lab, erasure_id: UUID) -> Erasure:
    with lab.installation.verifier.transaction(None, read_only=True) as cursor:
        return find_erasure(cursor, erasure_id)


def asked(lab: Lab, tenant: TenantId, key: str, subject: str = "case") -> UUID:
    request = requests.Request(
        tenant, subject, UUID(key), "Jo Sentinel-Asker", lab.now, "email = jo@sentinel.example"
    )
    return requests.enter(lab.installation.retention, request, actor=ENTERED, now=lab.now)


def planned(
    lab: Lab,
    tenant: TenantId,
    key: str,
    subject: str = "case",
    policies: tuple[Policy, ...] | None = None,
) -> UUID:
    erasure_id = asked(lab, tenant, key, subject)
    retention = lab.installation.retention
    erasure = requests.confirm(
        retention, erasure_of(lab, erasure_id), how="Sentinel-Passport", actor=ENTERED
    )
    plan = make_plan(
        lab.installation.verifier,
        erasure_id,
        subjects(),
        catalog=CATALOG,
        policies=lab.policies if policies is None else policies,
        now=lab.now,
    )
    requests.keep_plan(retention, erasure, plan, actor=ENTERED)
    return erasure_id


def approved(lab: Lab, tenant: TenantId, key: str, subject: str = "case") -> UUID:
    erasure_id = planned(lab, tenant, key, subject)
    requests.approve(lab.installation.retention, erasure_of(lab, erasure_id), actor=APPROVER)
    return erasure_id
