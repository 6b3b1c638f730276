"""What is there for operators: readiness, metrics, a busy or missing database."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import psycopg2
import pytest
from pydantic import SecretStr

from api import health
from api.app import create_app
from api.wiring import migrator_of, open_installation
from retention.holds import pass_gate
from tenants.context import tenant_scope
from tenants.rls import context_statements


@pytest.fixture(autouse=True)
def _looks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "KEPT_S", 0.0)


def test_readiness_is_looked_at_once_a_second_whoever_asks(service, owner_sql, monkeypatch) -> None:
    """Anybody may ask, as often as they like."""
    monkeypatch.setattr(health, "KEPT_S", 0.5)
    looks: list[float] = []
    look = health.is_migrated

    def counted(*args):
        looks.append(time.monotonic())
        time.sleep(0.05)
        return look(*args)

    monkeypatch.setattr(health, "is_migrated", counted)
    ask = lambda _=None: service.app.test_client().get("/readyz").status_code  # noqa: E731
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(40))) == {200}
    assert len(looks) == 1
    owner_sql("ALTER TABLE shop.notes RENAME COLUMN body TO text")
    deadline = time.monotonic() + 10
    while ask() == 200:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(looks) == 2
    assert looks[1] - looks[0] >= 0.5


def test_ready_means_reachable_and_migrated(service, cluster, owner_sql) -> None:
    client = service.app.test_client()
    assert client.get("/readyz").status_code == 200
    owner_sql("ALTER TABLE shop.notes RENAME COLUMN body TO text")
    behind = client.get("/readyz")
    assert (behind.status_code, behind.json["checks"]["schema"]) == (503, "not migrated")
    assert client.get("/healthz").status_code == 200


def test_context_functions_of_before_an_upgrade_are_not_ready(service, owner_sql) -> None:
    client = service.app.test_client()
    assert client.get("/readyz").status_code == 200
    before = context_statements("sealed", "expiry")[1]
    owner_sql(before)
    behind = client.get("/readyz")
    assert (behind.status_code, behind.json["checks"]["schema"]) == (503, "not migrated")
    migrator_of(service.installation.settings).up()
    assert client.get("/readyz").status_code == 200


def test_without_a_database_it_lives_but_is_not_ready(cluster, installation) -> None:
    installation.close()
    settings = cluster.settings("no_such_database")
    opened = open_installation(settings)
    app = create_app(opened, write_guard=partial(pass_gate, opened.app))
    client = app.test_client()
    assert client.get("/healthz").status_code == 200
    unready = client.get("/readyz")
    assert (unready.status_code, unready.json["checks"]["database"]) == (503, "unreachable")
    assert "no_such_database" not in unready.text
    busy = client.get("/v1/customers", headers={"Authorization": "Bearer tnr_" + "a" * 43})
    assert (busy.status_code, busy.json["code"]) == (503, "busy")
    assert busy.headers["Retry-After"] == "1"
    opened.close()


def test_metrics_with_a_token_are_for_who_has_it(cluster, template, installation) -> None:
    database = installation.settings.database_url.rpartition("/")[2]
    settings = cluster.settings(database, TENURE_METRICS_TOKEN="scrape-me")
    opened = open_installation(settings)
    client = create_app(opened, write_guard=partial(pass_gate, opened.app)).test_client()
    for authorization, status in ((None, 403), ("Bearer x", 403), ("Bearer scrape-me", 200)):
        headers = {"Authorization": authorization} if authorization else {}
        assert client.get("/metrics", headers=headers).status_code == status
    opened.close()


def test_metrics_count_requests_by_pattern(service) -> None:
    acme = service.acme
    settings = service.installation.settings.model_copy(update={"metrics_token": SecretStr("t")})
    installation = replace(service.installation, settings=settings)
    client = create_app(
        installation, write_guard=partial(pass_gate, installation.app)
    ).test_client()
    for n in range(3):
        client.get(f"/v1/customers/{n}", headers=acme.headers())
    text = client.get("/metrics", headers={"Authorization": "Bearer t"}).text
    sample = 'route="/v1/<name>/<row_id>",status="404"} 3.0'
    assert sample in text
    assert "tenure_pool_idle" in text


def test_metrics_show_the_pool_and_what_was_tried_again(installation, make_tenant) -> None:
    tenant = make_tenant("acme")
    settings = installation.settings.model_copy(update={"metrics_token": SecretStr("t")})
    installation = replace(installation, settings=settings)
    client = create_app(
        installation, write_guard=partial(pass_gate, installation.app)
    ).test_client()

    def figures() -> dict[str, float]:
        text = client.get("/metrics", headers={"Authorization": "Bearer t"}).text
        lines = [line.rpartition(" ") for line in text.splitlines() if line[:1] != "#"]
        ours = '{role="tenure_app"}'
        return {
            name.removesuffix(ours): float(value) for name, _, value in lines if name.endswith(ours)
        }

    failures = ["40001", "40P01"]

    def work(cursor) -> None:
        if failures:
            cursor.execute(f"DO $$ BEGIN RAISE SQLSTATE '{failures.pop()}'; END $$")

    pool = installation.app_connections.pool
    with tenant_scope(tenant, actor="test", trace_id="0" * 32):
        assert figures()["tenure_db_retries_total"] == 0
        installation.app_connections.run(tenant, work)
        assert figures()["tenure_db_retries_total"] == 2
        held = [pool.acquire() for _ in range(pool.size)]
        waiter = threading.Thread(target=lambda: pool.release(pool.acquire()))
        waiter.start()
        while not pool.waiting:
            time.sleep(0.001)
        shown = figures()
        assert (shown["tenure_pool_in_use"], shown["tenure_pool_idle"]) == (pool.size, 0)
        assert shown["tenure_pool_waiting"] == 1
        for connection in held:
            pool.release(connection)
        waiter.join()
        shown = figures()
        assert (shown["tenure_pool_in_use"], shown["tenure_pool_idle"]) == (0, pool.size)
        assert shown["tenure_pool_waiting"] == 0


def test_a_row_that_somebody_else_holds_is_busy_not_an_error(cluster, service) -> None:
    acme = service.acme
    customer = acme.customer()
    settings = service.installation.settings
    database = settings.database_url.rpartition("/")[2]
    opened = open_installation(cluster.settings(database, TENURE_LOCK_TIMEOUT_MS="50"))
    client = create_app(opened, write_guard=partial(pass_gate, opened.app)).test_client()
    path = f"/v1/customers/{customer['id']}"
    other = psycopg2.connect(settings.role_url("tenure_owner"))
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM shop.customers FOR UPDATE")
        for headers in ({}, {"If-Match": '"x"'}):
            busy = client.patch(path, json={"name": "y"}, headers=acme.headers() | headers)
            assert (busy.status_code, busy.json["code"]) == (503, "55P03")
            assert busy.headers["Retry-After"] == "1"
    finally:
        other.close()
    assert client.patch(path, json={"name": "y"}, headers=acme.headers()).status_code == 204
    opened.close()


def test_the_root_leads_to_the_documents(service) -> None:
    answer = service.app.test_client().get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/docs")
