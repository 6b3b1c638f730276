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
    fed.retry("tenure_app")
    fed.watch_pool("tenure_app", lambda: PoolState(in_use=2, idle=5, waiting=1))
    fed.watch_pool("tenure_auditor", lambda: PoolState(in_use=0, idle=1, waiting=0))
    shown = samples(fed)
    assert shown[metrics.HTTP_REQUESTS, ("GET", "/v1/invoices", "200")] == 1
    assert shown[metrics.HTTP_SECONDS + "_count", ("GET", "/v1/invoices")] == 1
    assert shown[metrics.DB_RETRIES, ("tenure_app",)] == 1
    assert shown[metrics.DB_RETRIES, ("tenure_auditor",)] == 0
    names = (metrics.POOL_IN_USE, metrics.POOL_IDLE, metrics.POOL_WAITING)
    assert [shown[name, ("tenure_app",)] for name in names] == [2, 5, 1]
    assert [shown[name, ("tenure_auditor",)] for name in names] == [0, 1, 0]


def test_every_name_there_is_is_shown() -> None:
    """A metric that nothing feeds is worse than none."""
    fed = Metrics()
    fed.request("GET", "/", 200, 0.02)
    fed.watch_pool("tenure_app", lambda: PoolState(in_use=2, idle=5, waiting=1))
    declared = {
        value
        for name, value in vars(metrics).items()
        if name.isupper() and not name.startswith(("_", "CONTENT"))
    }
    shown = {name.removesuffix("_count") for name, _ in samples(fed)}
    assert declared <= shown


def test_two_holders_do_not_share_their_counts() -> None:
    one, other = Metrics(), Metrics()
    one.retry("tenure_app")
    other.retry("tenure_auditor")
    assert (metrics.DB_RETRIES, ("tenure_app",)) not in samples(other)
