"""What /metrics says of the evidence: what any process recorded, and no zero for the unseen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from api.app import create_app
from api.metrics import EvidenceFigures
from api.workshop import workshop_of
from config.trace import new_trace_id
from retention.alerts import LEDGER, Alert, Looked, raise_alerts
from retention.holds import pass_gate
from retention.jobs import run_once
from retention.tick import tick

from ..retention.shop_rows import plant_invoices

Samples = dict[tuple[str, tuple[str, ...]], float]


def scraped(service: Any) -> Samples:
    settings = service.installation.settings.model_copy(update={"metrics_token": SecretStr("t")})
    opened = replace(service.installation, settings=settings)
    client = create_app(opened, write_guard=partial(pass_gate, opened.app)).test_client()
    answer = client.get("/metrics", headers={"Authorization": "Bearer t"})
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_what_a_worker_recorded_is_seen_by_who_serves(
    service: Any, owner_sql: Callable[..., Any]
) -> None:
    installation, acme = service.installation, service.acme
    plant_invoices(owner_sql, acme.id)
    shop = workshop_of(installation, actor="worker")
    assert tick(shop).run is not None
    owner_sql("ALTER TABLE shop.invoice_lines DROP CONSTRAINT invoice_lines_invoice_id_fkey")
    ((product,),) = owner_sql("SELECT id FROM shop.products LIMIT 1")
    owner_sql(
        "INSERT INTO shop.invoice_lines"
        " (tenant_id, id, invoice_id, product_id, line_no, quantity, unit_price)"
        " VALUES (%s, %s, %s, %s, 1, 1, 1)",
        (str(acme.id), str(uuid4()), str(uuid4()), str(product)),
    )
    found = tick(shop, verify_every=timedelta(0)).verification
    assert found is not None
    assert sum(found.orphans().values()) == 1

    shown = scraped(service)
    assert shown["tenure_evidence_readable", ()] == 1
    assert shown["tenure_orphan_rows", ()] == 1
    assert shown["tenure_returned_rows", ()] == 0
    assert shown["tenure_verification_findings", ("orphans",)] == 1
    assert abs(shown["tenure_verification_timestamp_seconds", ()] - time.time()) < 60
    assert shown["tenure_alerts_open", ("orphans",)] == 1
    assert shown["tenure_alerts_open", ("missed",)] == 0
    assert shown["tenure_retention_runs_total", ("succeeded",)] == 1
    assert shown["tenure_retention_rows_deleted_total", ("invoices-10-years",)] == 18
    for policy in ("deleted-customers", "invoices-10-years", "old-notes"):
        assert shown["tenure_retention_overdue_rows", (policy,)] == 0
        assert shown["tenure_retention_unreconciled_rows", (policy,)] == 0
        assert shown["tenure_retention_kept_rows", ("hold", policy)] == 0
        assert shown["tenure_retention_watermark_timestamp_seconds", (policy,)] > 0


def test_what_nobody_looked_at_is_not_shown_as_none(service: Any) -> None:
    shown = scraped(service)
    assert ("tenure_orphan_rows", ()) not in shown
    assert not [name for name, _ in shown if name.startswith("tenure_retention_overdue")]
    # A time long ago: the alarm for a verification that is too old goes off.
    assert shown["tenure_verification_timestamp_seconds", ()] == 0
    assert shown["tenure_evidence_readable", ()] == 1


def test_evidence_that_cannot_be_read_is_said_and_the_rest_is_served(
    service: Any, owner_sql: Callable[..., Any]
) -> None:
    owner_sql("REVOKE SELECT ON tenure.verifications FROM tenure_auditor")
    shown = scraped(service)
    assert shown["tenure_evidence_readable", ()] == 0
    assert ("tenure_verification_timestamp_seconds", ()) not in shown
    assert ("tenure_pool_idle", ("tenure_app",)) in shown
    assert ("tenure_pool_idle", ("tenure_auditor",)) in shown


def test_a_verification_that_looks_back_hides_nothing(
    service: Any, owner_sql: Callable[..., Any]
) -> None:
    plant_invoices(owner_sql, service.acme.id)
    shop = workshop_of(service.installation, actor="worker")
    shop.verify(trace_id=new_trace_id())
    before = shop.clock.now().replace(year=2005)
    assert shop.verify(trace_id=new_trace_id(), as_of=before).findings == 0
    assert scraped(service)["tenure_retention_overdue_rows", ("invoices-10-years",)] == 6


def test_scrapes_that_follow_each_other_ask_once_and_count_each_run_once(
    service: Any, owner_sql: Callable[..., Any]
) -> None:
    """Old runs are added up once; those since are counted anew."""
    auditor = service.installation.auditor
    figures = EvidenceFigures(auditor, fresh_s=0)
    shop = workshop_of(service.installation, actor="worker")
    runs = "tenure_retention_runs_total"

    def counted(asked: EvidenceFigures) -> float:
        return sum(
            sample.value
            for family in asked.collect()
            for sample in family.samples
            if sample.name == runs
        )

    def run_of(age: str) -> None:
        plant_invoices(owner_sql, service.acme.id)
        run_once(shop, shop.plan)
        owner_sql("DELETE FROM shop.products")
        owner_sql(
            "UPDATE tenure.runs SET started_at = started_at - %s::interval"
            " WHERE id = (SELECT id FROM tenure.runs ORDER BY started_at DESC LIMIT 1)",
            (age,),
        )

    run_of("3 days")
    assert counted(figures) == 1
    run_of("1 second")
    assert counted(figures) == 2
    assert counted(figures) == 2
    assert counted(EvidenceFigures(auditor)) == 2
    cached = EvidenceFigures(auditor, fresh_s=60)
    assert counted(cached) == 2
    run_of("1 second")
    assert counted(cached) == 2
    assert counted(figures) == 3


def test_an_alert_is_shown_while_it_is_open(service: Any, owner_sql: Callable[..., Any]) -> None:
    retention = service.installation.retention
    raise_alerts(retention, [Alert("ledger", "checkpoint", "not shipped")], Looked(LEDGER))
    figures = EvidenceFigures(service.installation.auditor, fresh_s=0)

    def of_ledger() -> list[float]:
        return [
            sample.value
            for family in figures.collect()
            for sample in family.samples
            if (sample.name, sample.labels.get("kind")) == ("tenure_alerts_open", "ledger")
        ]

    assert of_ledger() == [1]
    raise_alerts(retention, [], Looked(LEDGER))
    assert of_ledger() == [0]
