"""The pool lends, waits, forgets what is broken, and loses nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import psycopg2
import pytest
from shop.models import Customer

from api.wiring import Installation
from tenants.errors import PoolTimeoutError
from tenants.pool import Pool

from .conftest import Pair, scope_of


@pytest.fixture
def pool(installation: Installation) -> Iterator[Pool]:
    pool = Pool(installation.settings.role_url("tenure_verifier"), size=2, timeout_s=0.2)
    yield pool
    pool.close()


def test_the_last_connection_back_is_the_first_out(pool: Pool) -> None:
    first, second = pool.acquire(), pool.acquire()
    pool.release(first)
    pool.release(second)
    assert pool.acquire() is second
    assert (pool.in_use, pool.idle, pool.waiting) == (1, 1, 0)
    pool.release(second)


def test_a_caller_waits_and_then_gets_an_error(pool: Pool) -> None:
    held = [pool.acquire(), pool.acquire()]
    with pytest.raises(PoolTimeoutError, match=r"within 0\.2 s"):
        pool.acquire()
    threading.Timer(0.05, pool.release, [held[0]]).start()
    assert pool.acquire() is held[0]
    for connection in held:
        pool.release(connection)
    assert (pool.in_use, pool.waiting) == (0, 0)


def test_a_transaction_left_open_is_rolled_back(pool: Pool) -> None:
    with pool.connection() as connection:
        pid = connection.get_backend_pid()
        connection.cursor().execute("BEGIN; SET LOCAL tenure.context = 'residue'")
    with pool.connection() as connection:
        assert connection.get_backend_pid() == pid, "rolled back, and of further use"
        cursor = connection.cursor()
        cursor.execute("SELECT coalesce(current_setting('tenure.context', true), '')")
        assert cursor.fetchone() == ("",)


def test_a_connection_the_server_closed_is_replaced(pool: Pool, installation: Installation) -> None:
    with pool.connection() as connection:
        pid = connection.get_backend_pid()
    admin = psycopg2.connect(installation.settings.database_url or "")
    admin.autocommit = True
    admin.cursor().execute("SELECT pg_terminate_backend(%s)", (pid,))
    with pytest.raises(psycopg2.OperationalError), pool.connection() as connection:
        connection.cursor().execute("SELECT 1")
    with pool.connection() as connection:
        connection.cursor().execute("SELECT 1")
    assert (pool.in_use, pool.idle) == (0, 1)
    admin.close()


def test_a_child_process_does_not_use_its_parents_connections(pool: Pool) -> None:
    with pool.connection() as connection:
        parents = connection.get_backend_pid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with pool.connection() as connection:
            os.write(writer, str(connection.get_backend_pid()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(reader, 20)) != parents
    with pool.connection() as connection:
        assert connection.get_backend_pid() == parents
        connection.cursor().execute("SELECT 1")


def test_threads_of_mixed_tenants_keep_to_their_own(installation: Installation, pair: Pair) -> None:
    astray: list[str] = []

    def work(tenant: object, expected: int) -> None:
        for _ in range(40):
            with scope_of(tenant):  # type: ignore[arg-type]  # either of the pair
                rows = [c.name for c in Customer.select()]
                if len(rows) != expected or any(not n.startswith(str(tenant)) for n in rows):
                    astray.append(f"{tenant}: {rows}")
                with installation.app.atomic():
                    if Customer.select().count() != expected:
                        astray.append(f"{tenant}: in a transaction")

    threads = [
        threading.Thread(target=work, args=((pair.a, 2) if n % 2 else (pair.b, 3)))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert astray == []
    assert installation.app_connections.pool.in_use == 0
