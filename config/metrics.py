"""What is counted and under which names. One `Metrics` per process, on a registry of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

HTTP_REQUESTS = "tenure_http_requests_total"
HTTP_SECONDS = "tenure_http_request_seconds"
DB_STATEMENTS = "tenure_db_statements_total"
DB_RETRIES = "tenure_db_retries_total"
POOL_IN_USE = "tenure_pool_in_use"
POOL_IDLE = "tenure_pool_idle"
POOL_WAITING = "tenure_pool_waiting"
RETENTION_ROWS = "tenure_retention_rows_deleted_total"
RETENTION_RUNS = "tenure_retention_runs_total"
RETENTION_OVERDUE = "tenure_retention_overdue_rows"
RETENTION_OVERDUE_AGE = "tenure_retention_overdue_age_p99_seconds"
RETENTION_KEPT = "tenure_retention_kept_rows"
RETENTION_WATERMARK = "tenure_retention_watermark_timestamp_seconds"
UNRECONCILED = "tenure_retention_unreconciled_rows"
ORPHANS = "tenure_orphan_rows"
ALERTS = "tenure_alerts_total"
RETURNED = "tenure_returned_rows"
VERIFIED_AT = "tenure_verification_timestamp_seconds"

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class PoolState:
    """How many connections are in use and idle, and how many callers wait for one."""

    in_use: int
    idle: int
    waiting: int


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """What a verification says of a policy, over all tenants.

    `kept` counts rows past their period by what keeps them. `age_p99_s` is the worst tenant's:
    for how long 99 of 100 overdue rows have been due at most. What started before `watermark`
    (seconds since 1970) is deleted or kept for a reason. `unreconciled` rows are the
    difference of its books.
    """

    overdue: int
    kept: Mapping[str, int]
    age_p99_s: int
    watermark: float
    unreconciled: int


class Metrics:
    """The counters and gauges of one process, and the one way to feed each.

    Labels take values from closed sets (roles, policies, route patterns), never
    ids or paths: every value of a label is a time series for ever.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self._requests = Counter(
            HTTP_REQUESTS, "Requests", ["method", "route", "status"], registry=own
        )
        self._seconds = Histogram(
            HTTP_SECONDS, "Time to answer", ["method", "route"], buckets=_SECONDS, registry=own
        )
        self._statements = Counter(DB_STATEMENTS, "Statements sent", ["role"], registry=own)
        self._retries = Counter(DB_RETRIES, "Transactions tried again", registry=own)
        self._in_use = Gauge(POOL_IN_USE, "Connections in use", registry=own)
        self._idle = Gauge(POOL_IDLE, "Connections idle", registry=own)
        self._waiting = Gauge(POOL_WAITING, "Callers waiting for a connection", registry=own)
        self._deleted = Counter(
            RETENTION_ROWS, "Rows deleted by retention", ["policy"], registry=own
        )
        self._runs = Counter(RETENTION_RUNS, "Retention runs that ended", ["state"], registry=own)
        per_policy = [
            (RETENTION_OVERDUE, "Rows past their retention, at the last look", ["policy"]),
            (RETENTION_OVERDUE_AGE, "For how long overdue rows have been due", ["policy"]),
            (RETENTION_KEPT, "Rows past their retention, by what keeps them", ["policy", "by"]),
            (RETENTION_WATERMARK, "What started before it is processed", ["policy"]),
            (UNRECONCILED, "Rows by which the books do not come out", ["policy"]),
        ]
        self._policies = {
            name: Gauge(name, text, labels, registry=own) for name, text, labels in per_policy
        }
        self._orphans = Gauge(ORPHANS, "Rows whose parent is gone, at the last look", registry=own)
        self._returned = Gauge(RETURNED, "Rows that are back after their deletion", registry=own)
        self._verified_at = Gauge(VERIFIED_AT, "When the last look ended", registry=own)

        self._alerts = Counter(ALERTS, "Alerts raised", ["kind"], registry=own)

    def alerted(self, kind: str) -> None:
        """Count an alert that was raised."""
        self._alerts.labels(kind).inc()

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is the pattern, not the path."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def statement(self, role: str) -> None:
        """Count a statement sent to the database as `role`."""
        self._statements.labels(role).inc()

    def retry(self) -> None:
        """Count a transaction that is tried again."""
        self._retries.inc()

    def watch_pool(self, state: Callable[[], PoolState]) -> None:
        """Ask `state` for the pool's figures whenever metrics are read."""
        self._in_use.set_function(lambda: state().in_use)
        self._idle.set_function(lambda: state().idle)
        self._waiting.set_function(lambda: state().waiting)

    def rows_deleted(self, policy: str, rows: int) -> None:
        """Count `rows` deleted under `policy`."""
        self._deleted.labels(policy).inc(rows)

    def run_ended(self, state: str) -> None:
        """Count a retention run that ended in `state`."""
        self._runs.labels(state).inc()

    def verified(
        self, policies: Mapping[str, PolicyFigures], *, orphans: int, returned: int
    ) -> None:
        """Show the result of a verification that has just ended.

        Policies that are no longer named are no longer shown.
        """
        for gauge in self._policies.values():
            gauge.clear()
        for policy, figures in policies.items():
            self._policies[RETENTION_OVERDUE].labels(policy).set(figures.overdue)
            self._policies[RETENTION_OVERDUE_AGE].labels(policy).set(figures.age_p99_s)
            self._policies[RETENTION_WATERMARK].labels(policy).set(figures.watermark)
            self._policies[UNRECONCILED].labels(policy).set(figures.unreconciled)
            for by, rows in figures.kept.items():
                self._policies[RETENTION_KEPT].labels(policy, by).set(rows)
        self._orphans.set(orphans)
        self._returned.set(returned)
        self._verified_at.set_to_current_time()

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format, to be served as `CONTENT_TYPE`."""
        return generate_latest(self.registry)
