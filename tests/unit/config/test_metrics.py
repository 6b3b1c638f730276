"""Metrics: every name can be fed, and what was fed is shown."""

from prometheus_client.parser import text_string_to_metric_families

from config import metrics
from config.metrics import Metrics, PoolState


def samples(fed: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(fed.exposition().decode())
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_is_fed_is_shown() -> None:
    fed = Metrics()
    fed.request("GET", "/v1/invoices", 200, 0.02)
    fed.statement("tenure_app")
    fed.retry()
    fed.watch_pool(lambda: PoolState(in_use=2, idle=5, waiting=1))
    fed.rows_deleted("invoices", 40)
    fed.rows_deleted("invoices", 2)
    fed.run_ended("done")
    fed.verified({"invoices": 7}, orphans=3)
    shown = samples(fed)
    assert shown[metrics.HTTP_REQUESTS, ("GET", "/v1/invoices", "200")] == 1
    assert shown[metrics.HTTP_SECONDS + "_count", ("GET", "/v1/invoices")] == 1
    assert shown[metrics.DB_STATEMENTS, ("tenure_app",)] == 1
    assert shown[metrics.DB_RETRIES, ()] == 1
    assert [
        shown[name, ()] for name in (metrics.POOL_IN_USE, metrics.POOL_IDLE, metrics.POOL_WAITING)
    ] == [2, 5, 1]
    assert shown[metrics.RETENTION_ROWS, ("invoices",)] == 42
    assert shown[metrics.RETENTION_RUNS, ("done",)] == 1
    assert shown[metrics.RETENTION_OVERDUE, ("invoices",)] == 7
    assert shown[metrics.ORPHANS, ()] == 3


def test_policy_that_is_gone_is_no_longer_shown() -> None:
    fed = Metrics()
    fed.verified({"old": 7}, orphans=3)
    fed.verified({"new": 0}, orphans=0)
    shown = samples(fed)
    assert (metrics.RETENTION_OVERDUE, ("old",)) not in shown
    assert shown[metrics.RETENTION_OVERDUE, ("new",)] == 0
    assert shown[metrics.ORPHANS, ()] == 0


def test_two_holders_do_not_share_their_counts() -> None:
    one, other = Metrics(), Metrics()
    one.retry()
    assert samples(other)[metrics.DB_RETRIES, ()] == 0
