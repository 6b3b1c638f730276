"""Metrics: every name can be fed, and what was fed is shown."""

import time

from prometheus_client.parser import text_string_to_metric_families

from config import metrics
from config.metrics import Metrics, PolicyFigures, PoolState


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
    kept = {"hold": 5, "pause": 0}
    fed.verified({"invoices": PolicyFigures(7, kept, 3600, 1e9, 2)}, orphans=3, returned=4)
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
    assert shown[metrics.RETENTION_OVERDUE_AGE, ("invoices",)] == 3600
    assert shown[metrics.RETENTION_KEPT, ("hold", "invoices")] == 5
    assert shown[metrics.RETENTION_WATERMARK, ("invoices",)] == 1e9
    assert shown[metrics.UNRECONCILED, ("invoices",)] == 2
    assert shown[metrics.ORPHANS, ()] == 3
    assert shown[metrics.RETURNED, ()] == 4
    assert abs(shown[metrics.VERIFIED_AT, ()] - time.time()) < 60


def test_policy_that_is_gone_is_no_longer_shown() -> None:
    fed = Metrics()
    fed.verified({"old": PolicyFigures(7, {"hold": 1}, 1, 1, 1)}, orphans=3, returned=1)
    fed.verified({"new": PolicyFigures(0, {"hold": 0}, 0, 1, 0)}, orphans=0, returned=0)
    shown = samples(fed)
    assert not [labels for _, labels in shown if "old" in labels]
    assert shown[metrics.RETENTION_OVERDUE, ("new",)] == 0
    assert shown[metrics.ORPHANS, ()] == 0


def test_two_holders_do_not_share_their_counts() -> None:
    one, other = Metrics(), Metrics()
    one.retry()
    assert samples(other)[metrics.DB_RETRIES, ()] == 0
