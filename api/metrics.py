"""What the evidence says, as metrics: any process that reads it shows the same.

The worker deletes and verifies, and `serve` is who is asked; what is between them is the
database. Read as tenure_auditor, in one snapshot, and kept for some seconds. What cannot be read,
or was never looked at, is not shown as zero.

A scrape costs what the last verification has of results, and what ran since the oldest open run,
or in the last hour: earlier runs do not change any more, and are added up once a process.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args

import peewee
import psycopg2
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from config.logging import get_logger
from retention import alerts, verification_report
from tenants.connections import Cursor, RoleConnections
from tenants.errors import TenantError

READABLE = "tenure_evidence_readable"
VERIFIED_AT = "tenure_verification_timestamp_seconds"
FINDINGS = "tenure_verification_findings"
ORPHANS = "tenure_orphan_rows"
RETURNED = "tenure_returned_rows"
OVERDUE = "tenure_retention_overdue_rows"
OVERDUE_AGE = "tenure_retention_overdue_age_p99_seconds"
KEPT = "tenure_retention_kept_rows"
WATERMARK = "tenure_retention_watermark_timestamp_seconds"
UNRECONCILED = "tenure_retention_unreconciled_rows"
ALERTS = "tenure_alerts_open"
RUNS = "tenure_retention_runs"
DELETED = "tenure_retention_rows_deleted"

_FRESH_S = 5.0
_KINDS = tuple(kind for kind in get_args(verification_report.Kind) if kind != "undated")
_ENDS = ("succeeded", "succeeded_with_skips", "stalled", "failed", "cancelled")

_log = get_logger(__name__)

# One that looked back is no account, and would hide what is due now.
_VERIFIED = """
SELECT id::text, extract(epoch FROM finished_at)::float8
FROM tenure.verifications WHERE account IS NOT NULL ORDER BY account DESC LIMIT 1
"""
_RESULTS = """
SELECT kind, subject, sum(found)::bigint, sum(held)::bigint, sum(undeletable)::bigint,
       sum(paused)::bigint, coalesce(max(age_p99_s), 0), extract(epoch FROM min(watermark))::float8
FROM tenure.verification_results WHERE verification_id = %s GROUP BY kind, subject
"""
_ALERTS = "SELECT kind, count(*) FROM tenure.alerts WHERE resolved_at IS NULL GROUP BY kind"
# Whoever opened a run an hour ago has committed it.
_SETTLED = """
SELECT least(min(started_at), clock_timestamp() - interval '1 hour')
FROM tenure.runs WHERE finished_at IS NULL
"""
_RUNS = """
SELECT state, count(*) FROM tenure.runs
WHERE finished_at IS NOT NULL AND started_at >= %s AND started_at < %s GROUP BY state
"""
_ROWS = """
SELECT u.policy, sum(u.rows_deleted)::bigint
FROM tenure.units u JOIN tenure.runs r ON r.id = u.run_id
WHERE r.started_at >= %s AND r.started_at < %s GROUP BY u.policy
"""


@dataclass(frozen=True)
class _Worked:
    """Runs by the state in which they ended, and rows deleted by policy, of those that were
    opened before `until`."""

    until: datetime | str = "-infinity"
    runs: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)


class EvidenceFigures(Collector):
    """Reads the figures as `auditor` when asked, unless it did so within `fresh_s` seconds."""

    def __init__(self, auditor: RoleConnections, *, fresh_s: float = _FRESH_S) -> None:
        self._auditor = auditor
        self._fresh_s = fresh_s
        self._reading = threading.Lock()
        self._settled = _Worked()
        self._read_at = float("-inf")
        self._shown: tuple[Metric, ...] = ()

    def collect(self) -> Iterable[Metric]:
        """Return the figures; nothing but that they cannot be read, where that is so."""
        with self._reading:
            if time.monotonic() - self._read_at >= self._fresh_s:
                self._shown = self._read()
                self._read_at = time.monotonic()
            return self._shown

    def _read(self) -> tuple[Metric, ...]:
        readable = GaugeMetricFamily(READABLE, "Whether the evidence could be read")
        try:
            with self._auditor.transaction(
                None, isolation="REPEATABLE READ", read_only=True
            ) as cursor:
                figures = [*_verified(cursor), _alerts(cursor), *self._worked(cursor)]
        except (psycopg2.Error, peewee.PeeweeException, TenantError) as error:
            _log.warning("evidence_not_read", error=type(error).__name__)
            readable.add_metric([], 0)
            return (readable,)
        readable.add_metric([], 1)
        return (readable, *figures)

    def _worked(self, cursor: Cursor) -> Iterator[Metric]:
        ((until,),) = _rows(cursor, _SETTLED)
        self._settled = _add(cursor, self._settled, until)
        worked = _add(cursor, self._settled, "infinity")
        runs = CounterMetricFamily(RUNS, "Retention runs that ended", labels=["state"])
        for state in _ENDS:
            runs.add_metric([state], worked.runs[state])
        deleted = CounterMetricFamily(DELETED, "Rows deleted by retention", labels=["policy"])
        for policy, rows in sorted(worked.rows.items()):
            deleted.add_metric([policy], rows)
        yield runs
        yield deleted


def _add(cursor: Cursor, settled: _Worked, until: datetime | str) -> _Worked:
    """Return these and what was opened since, before `until`; these where that is before theirs,
    by a clock that was set back: nothing is counted twice."""
    if isinstance(until, datetime) and isinstance(settled.until, datetime):
        until = max(until, settled.until)
    span = (settled.until, until)
    runs, rows = settled.runs.copy(), settled.rows.copy()
    for state, number in _rows(cursor, _RUNS, span):
        runs[state] += number
    for policy, deleted in _rows(cursor, _ROWS, span):
        rows[policy] += deleted
    return _Worked(until, runs, rows)


def _verified(cursor: Cursor) -> Iterator[Metric]:
    found = _rows(cursor, _VERIFIED)
    at = GaugeMetricFamily(VERIFIED_AT, "When the last look ended; 0 where nobody looked yet")
    at.add_metric([], found[0][1] if found else 0)
    yield at
    if not found:
        return
    yield from _results(_rows(cursor, _RESULTS, (found[0][0],)))


def _results(results: list[tuple[Any, ...]]) -> Iterator[Metric]:
    of_kind: Counter[str] = Counter()
    overdue = _of_policy(OVERDUE, "Rows past their retention, at the last look")
    age = _of_policy(OVERDUE_AGE, "For how long 99 of 100 overdue rows have been due, at most")
    kept = _of_policy(KEPT, "Rows past their retention, by what keeps them", "by")
    watermark = _of_policy(WATERMARK, "What started before it is deleted, or kept for a reason")
    unreconciled = _of_policy(UNRECONCILED, "Rows by which the books do not come out")
    for kind, policy, rows, held, undeletable, paused, age_s, started_before in results:
        of_kind[kind] += rows
        if kind == "reconciliation":
            unreconciled.add_metric([policy], rows)
        if kind == "overdue":
            overdue.add_metric([policy], rows)
            age.add_metric([policy], age_s)
            for by, number in (("hold", held), ("reference", undeletable), ("pause", paused)):
                kept.add_metric([policy, by], number)
            if started_before is not None:
                watermark.add_metric([policy], started_before)
    findings = GaugeMetricFamily(FINDINGS, "What the last look found, by kind", labels=["kind"])
    for kind in _KINDS:
        findings.add_metric([kind], of_kind[kind])
    orphans = GaugeMetricFamily(ORPHANS, "Rows whose parent is gone, at the last look")
    orphans.add_metric([], of_kind["orphans"])
    returned = GaugeMetricFamily(RETURNED, "Rows that are back after their deletion")
    returned.add_metric([], of_kind["returned"])
    yield from (overdue, age, kept, watermark, unreconciled, findings, orphans, returned)


def _of_policy(name: str, text: str, *more: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["policy", *more])


def _alerts(cursor: Cursor) -> Metric:
    number = dict(_rows(cursor, _ALERTS))
    shown = GaugeMetricFamily(ALERTS, "Alerts that are open", labels=["kind"])
    for kind in get_args(alerts.Kind):
        shown.add_metric([kind], number.get(kind, 0))
    return shown


def _rows(cursor: Cursor, query: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    cursor.execute(query, params)
    return cursor.fetchall()
