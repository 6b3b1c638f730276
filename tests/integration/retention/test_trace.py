"""One trace id per run, in log lines, statements and records; batches are its spans."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import psycopg2

from config.logging import configure_logging
from retention.executor import Options
from tenants.context import TenantId


def test_a_run_is_one_trace_and_its_batches_are_spans(lab: Any, acme: TenantId) -> None:
    for _ in range(5):
        lab.case(acme)
    seen: list[str] = []
    other = psycopg2.connect(lab.installation.settings.database_url)
    other.autocommit = True

    def on_step(step: str) -> None:
        if step == "deleted":
            with other.cursor() as cursor:
                cursor.execute(
                    "SELECT query FROM pg_stat_activity WHERE usename = 'tenure_retention'"
                    " AND state = 'idle in transaction' AND datname = current_database()"
                )
                seen.extend(query for (query,) in cursor.fetchall())

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    lines = io.StringIO()
    configure_logging("json", "debug", lines)
    try:
        report = lab.run(lab.shop(options=Options(batch_size=2, on_step=on_step)))
    finally:
        root.handlers[:], root.level = handlers, level
        other.close()
    trace = report.trace_id
    spans = [
        span
        for (span,) in lab.sql(
            "SELECT span_id FROM tenure.batches WHERE trace_id = %s ORDER BY recorded_at", (trace,)
        )
    ]
    assert len(spans) == len(set(spans)) == 3
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert {line.get("trace_id") for line in logged} == {trace}
    assert {"run_opened", "batch_committed", "run_ended"} <= {line["event"] for line in logged}
    of_batches = [line["span_id"] for line in logged if line["event"] == "batch_committed"]
    assert of_batches == spans
    assert len(seen) == 3
    for query, span in zip(seen, spans, strict=True):
        assert f"traceparent='00-{trace}-{span}-01'" in query
