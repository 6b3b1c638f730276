"""Sixteen threads, mixed tenants, one pool, and backends that are killed under them.

Every row says whose it is, so that one that went astray is seen by whoever finds it; every
write that was answered is in the database, once.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import Any

import peewee
import psycopg2
import pytest
from shop.models import Category

from api.wiring import Installation
from tenants.context import TenantId, tenant_scope
from tenants.errors import PoolTimeoutError
from tests.conftest import make_tenant_in, run_as_owner
from tests.integration.api.conftest import _service

THREADS = 16
TENANTS = 4
SECONDS = 4.0
# What a caller of the models may meet when its backend is killed, and nothing else.
LOST = (peewee.OperationalError, peewee.InterfaceError, psycopg2.OperationalError,
        psycopg2.InterfaceError, PoolTimeoutError)  # fmt: skip


class Killer:
    """Terminates a random backend of the application's role, again and again."""

    def __init__(self, admin_url: str, database: str, rng: Random) -> None:
        self.killed = 0
        self._rng = rng
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._kill, args=(admin_url, database))

    def _kill(self, admin_url: str, database: str) -> None:
        connection = psycopg2.connect(admin_url)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                while not self._ended.wait(self._rng.uniform(0.01, 0.08)):
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = %s AND usename = 'tenure_app' ORDER BY random() LIMIT 1",
                        (database,),
                    )
                    self.killed += cursor.rowcount
        finally:
            connection.close()

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


@contextmanager
def killing(installation: Installation, cluster: Any, seed: str) -> Iterator[Killer]:
    database = str(installation.settings.database_url).rsplit("/", 1)[1]
    with Killer(cluster.admin_url, database, Random(seed)) as killer:
        yield killer
    assert killer.killed > 10, "nobody was killed: this test shows nothing"


def assert_whole(installation: Installation) -> None:
    """Every connection is back, and every slot can be taken."""
    pool = installation.app_connections.pool
    assert (pool.in_use, pool.waiting) == (0, 0)
    assert pool.idle <= pool.size
    taken = [pool.acquire() for _ in range(pool.size)]
    try:
        assert pool.in_use == pool.size
        assert not pool._slots.acquire(blocking=False)
    finally:
        for connection in taken:
            pool.release(connection)
    assert pool.in_use == 0


def in_threads(work: Callable[[int, float], Counter[str]]) -> Counter[str]:
    """Run `work(number, until)` in all threads at once; return what they counted, summed."""
    until = time.monotonic() + SECONDS
    with ThreadPoolExecutor(THREADS) as pool:
        done = [pool.submit(work, number, until) for number in range(THREADS)]
        return sum((each.result() for each in done), Counter())


def test_models_under_fire_keep_every_row_with_its_tenant(
    installation: Installation, cluster: Any
) -> None:
    ids = [make_tenant_in(installation.settings, f"t{n}") for n in range(TENANTS)]
    written: dict[TenantId, set[str]] = {tenant: set() for tenant in ids}
    doubtful: set[str] = set()
    lock = threading.Lock()

    def work(number: int, until: float) -> Counter[str]:
        rng, counted = Random(f"models {number}"), Counter[str]()
        while time.monotonic() < until:
            tenant = rng.choice(ids)
            name = f"{tenant} {number} {counted.total()}"
            with tenant_scope(tenant, actor="test", trace_id="ab" * 16):
                try:
                    if rng.random() < 0.5:
                        Category.create(name=name)
                    else:
                        with installation.app.atomic():
                            Category.create(name=name)
                            assert Category.select().where(Category.name == name).count() == 1
                    with lock:
                        written[tenant].add(name)
                    counted["written"] += 1
                    found = [c.name for c in Category.select().limit(50)]
                    assert all(each.startswith(f"{tenant} ") for each in found)
                    counted["read"] += len(found)
                except LOST:
                    # Whether it was committed is not known to anybody who lost the answer.
                    with lock:
                        doubtful.add(name)
                    counted["lost"] += 1
        return counted

    with killing(installation, cluster, "models"):
        counted = in_threads(work)
    assert min(counted["written"], counted["read"], counted["lost"]) > 10, counted
    assert_whole(installation)
    rows = run_as_owner(installation.settings, "SELECT tenant_id::text, name FROM shop.categories")
    assert all(name.startswith(f"{tenant} ") for tenant, name in rows)
    names = Counter(name for _, name in rows)
    assert set(names.values()) == {1}
    for tenant, expected in written.items():
        there = {name for owner, name in rows if owner == str(tenant)}
        assert expected <= there
        assert there - expected <= doubtful


def test_the_api_under_fire_answers_or_says_503(installation: Installation, cluster: Any) -> None:
    service = _service(installation)
    tenants = (service.acme, service.globex)
    created: dict[str, set[str]] = {tenant.slug: set() for tenant in tenants}
    doubtful: set[str] = set()
    lock = threading.Lock()

    def work(number: int, until: float) -> Counter[str]:
        rng, counted = Random(f"api {number}"), Counter[str]()
        client = service.app.test_client(use_cookies=False)
        while time.monotonic() < until:
            tenant = rng.choice(tenants)
            name = f"{tenant.slug} {number} {counted.total()}"
            if rng.random() < 0.5:
                response = client.post(
                    "/v1/categories", json={"name": name}, headers=tenant.headers()
                )
                with lock:
                    if response.status_code == 201:
                        created[tenant.slug].add(name)
                    else:
                        doubtful.add(name)
            else:
                response = client.get("/v1/categories?limit=50", headers=tenant.headers())
                if response.status_code == 200:
                    assert all(row["name"].startswith(f"{tenant.slug} ") for row in response.json)
            if response.status_code == 503:
                assert (response.json["code"], response.headers["Retry-After"]) == ("busy", "1")
                assert "terminat" not in response.text
            counted[str(response.status_code)] += 1
        return counted

    with killing(installation, cluster, "api"):
        counted = in_threads(work)
    assert set(counted) == {"200", "201", "503"}, counted
    assert min(counted.values()) > 10, counted
    assert_whole(installation)
    rows = run_as_owner(
        installation.settings,
        "SELECT t.slug, c.name FROM shop.categories c JOIN tenure.tenants t ON t.id = c.tenant_id",
    )
    assert len(rows) == len(set(rows))
    for tenant in tenants:
        there = {name for slug, name in rows if slug == tenant.slug}
        assert created[tenant.slug] <= there
        assert there - created[tenant.slug] <= doubtful
        assert all(name.startswith(f"{tenant.slug} ") for name in there)


@pytest.mark.parametrize("moment", ["idle", "in a transaction"])
def test_a_killed_backend_costs_one_answer_and_no_connection(
    installation: Installation, cluster: Any, moment: str
) -> None:
    tenant = make_tenant_in(installation.settings, "acme")
    pool = installation.app_connections.pool

    def kill_all() -> None:
        connection = psycopg2.connect(cluster.admin_url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = %s AND usename = 'tenure_app'",
                    (str(installation.settings.database_url).rsplit("/", 1)[1],),
                )
        finally:
            connection.close()

    with tenant_scope(tenant, actor="test", trace_id="ab" * 16):
        Category.create(name="before")
        if moment == "idle":
            kill_all()
            with pytest.raises(LOST):
                Category.create(name="lost")
        else:
            with pytest.raises(LOST), installation.app.atomic():  # noqa: PT012 - one transaction
                Category.create(name="lost")
                kill_all()
                Category.create(name="lost, too")
        assert (pool.in_use, pool.idle) == (0, 0)
        Category.create(name="after")
        assert {c.name for c in Category.select()} == {"before", "after"}
    assert_whole(installation)
