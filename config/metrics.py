"""What a process counts of its own work, and under which names.

One `Metrics` per process, on a registry of its own. What the database has on record is
another's: see `api.metrics`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

HTTP_REQUESTS = "tenure_http_requests_total"
HTTP_SECONDS = "tenure_http_request_seconds"
DB_RETRIES = "tenure_db_retries_total"
POOL_IN_USE = "tenure_pool_in_use"
POOL_IDLE = "tenure_pool_idle"
POOL_WAITING = "tenure_pool_waiting"

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class PoolState:
    """How many connections are in use and idle, and how many callers wait for one."""

    in_use: int
    idle: int
    waiting: int


class Metrics:
    """The counters and gauges of one process, and the one way to feed each.

    `further` are asked for theirs whenever metrics are read. Labels take values from closed sets
    (roles, policies, route patterns), never ids or paths: every value of a label is a time
    series for ever.
    """

    def __init__(self, *further: Collector) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self._requests = Counter(
            HTTP_REQUESTS, "Requests", ["method", "route", "status"], registry=own
        )
        self._seconds = Histogram(
            HTTP_SECONDS, "Time to answer", ["method", "route"], buckets=_SECONDS, registry=own
        )
        self._retries = Counter(DB_RETRIES, "Transactions tried again", ["role"], registry=own)
        self._in_use = Gauge(POOL_IN_USE, "Connections in use", ["role"], registry=own)
        self._idle = Gauge(POOL_IDLE, "Connections idle", ["role"], registry=own)
        self._waiting = Gauge(
            POOL_WAITING, "Callers waiting for a connection", ["role"], registry=own
        )
        for collector in further:
            own.register(collector)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is the pattern, not the path."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def retry(self, role: str) -> None:
        """Count a transaction of `role` that is tried again."""
        self._retries.labels(role).inc()

    def watch_pool(self, role: str, state: Callable[[], PoolState]) -> None:
        """Ask `state` for the figures of this role's pool whenever metrics are read."""
        self._retries.labels(role)
        self._in_use.labels(role).set_function(lambda: state().in_use)
        self._idle.labels(role).set_function(lambda: state().idle)
        self._waiting.labels(role).set_function(lambda: state().waiting)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format, to be served as `CONTENT_TYPE`."""
        return generate_latest(self.registry)
