"""The pool lends, waits, forgets what is broken, and loses nothing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import StringIO
from typing import Any

import psycopg2
import pytest
from peewee import fn
from psycopg2 import extensions, sql
from shop.models import Customer

from api.wiring import Installation, connections_of, refuse_too_many_connections
from config.errors import ConfigError
from tenants.connections import Cursor, Role, RoleConnections
from tenants.errors import PoolClosedError, PoolTimeoutError
from tenants.pool import Limits, Pool

from .conftest import Pair, scope_of


@pytest.fixture
def pool(installation: Installation) -> Iterator[Pool]:
    pool = Pool(
        installation.settings.role_url("tenure_verifier"), size=2, limits=Limits(timeout_s=0.2)
    )
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


class _Recorder(extensions.cursor):
    sent: list[str] = []  # noqa: RUF012 - shared by all cursors, on purpose

    def execute(self, query: Any, vars: Any = None) -> None:
        _Recorder.sent.append(str(query))
        super().execute(query, vars)


@pytest.mark.parametrize(("probe_after_s", "sent"), [(30.0, []), (0.0, ["SELECT 1"])])
def test_a_connection_is_probed_when_it_has_rested_and_not_before(
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    probe_after_s: float,
    sent: list[str],
) -> None:
    pool = Pool(
        installation.settings.role_url("tenure_verifier"),
        size=2,
        limits=Limits(probe_after_s=probe_after_s),
        cursor_factory=_Recorder,
    )
    monkeypatch.setattr(_Recorder, "sent", [])
    with pool.connection(tidy=True) as connection:
        first = connection
    assert _Recorder.sent == [], "a fresh one is known to live"
    with pool.connection(tidy=True) as connection:
        assert connection is first
    assert _Recorder.sent == sent
    pool.close()


def test_one_that_died_while_it_rested_is_replaced_unnoticed(installation: Installation) -> None:
    pool = Pool(
        installation.settings.role_url("tenure_verifier"), limits=Limits(probe_after_s=0.0), size=1
    )
    with pool.connection(tidy=True) as connection:
        pid = connection.get_backend_pid()
    admin = psycopg2.connect(installation.settings.database_url or "")
    admin.autocommit = True
    admin.cursor().execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    admin.close()
    with pool.connection(tidy=True) as connection:
        assert connection.get_backend_pid() != pid
        connection.cursor().execute("SELECT 1")
    assert (pool.in_use, pool.idle) == (0, 1)
    pool.close()


@pytest.mark.parametrize(
    ("setting", "statement", "error"),
    [
        ("statement_timeout_ms", "SELECT pg_sleep(5)", psycopg2.errors.QueryCanceled),
        (
            "lock_timeout_ms",
            "SELECT 1 FROM shop.customers FOR UPDATE",
            psycopg2.errors.LockNotAvailable,
        ),
        ("idle_in_transaction_timeout_ms", "SELECT 1", psycopg2.OperationalError),
    ],
)
def test_a_session_has_the_limits_of_the_settings(
    installation: Installation, pair: Pair, setting: str, statement: str, error: type[Exception]
) -> None:
    settings = installation.settings.model_copy(update={setting: 50})
    connections = connections_of(settings, "tenure_app", size=1)
    holder = psycopg2.connect(installation.settings.role_url("tenure_owner"))
    holder.cursor().execute("SELECT 1 FROM shop.customers FOR UPDATE")

    def linger() -> None:
        with connections.transaction(pair.a) as cursor:
            time.sleep(0.3)
            cursor.execute(statement)

    with pytest.raises(error):
        linger()
    holder.close()
    # And the next borrower is served.
    with connections.transaction(pair.a) as cursor:
        cursor.execute("SELECT count(*) FROM shop.customers")
        assert cursor.fetchone() == (2,)
    assert connections.pool.in_use == 0
    connections.pool.close()


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


def _in_child(work: Callable[[], str]) -> str:
    """What `work` says in a child process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = work()
        except BaseException as error:  # noqa: BLE001 - told to the parent, which fails
            told = repr(error)
        os.write(writer, told.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as file:
        return file.read()


def test_a_child_process_starts_with_a_pool_of_its_own(pool: Pool) -> None:
    """Whole before its first thread asks: two at once would make two pools, and twice the size."""
    with pool.connection():
        assert _in_child(lambda: f"{pool.idle} {pool.in_use}") == "0 0"

    def crowd() -> str:
        most, lent, lock = 0, 0, threading.Lock()
        together = threading.Barrier(8)

        def borrow() -> None:
            nonlocal most, lent
            together.wait()
            with suppress(PoolTimeoutError), pool.connection():
                with lock:
                    lent += 1
                    most = max(most, lent)
                time.sleep(0.05)
                with lock:
                    lent -= 1

        threads = [threading.Thread(target=borrow) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return f"{most} {pool.in_use}"

    assert _in_child(crowd) == "2 0"


def test_a_child_process_does_not_go_on_with_its_parents_transaction(
    installation: Installation, pair: Pair
) -> None:
    """Its statements would go to the parent's session, and each would have the other's answers."""
    app = installation.app

    def work() -> str:
        told: list[object] = [app.in_transaction(), app.is_closed()]
        # Another's scope as well: the transaction of the first one is not open here.
        for tenant in (pair.b, pair.a):
            with scope_of(tenant), app.atomic():
                told.append(Customer.select().where(Customer.name != "parent's").count())
        return str(told)

    with scope_of(pair.a), app.atomic():
        Customer.update(name="parent's").execute()
        assert _in_child(work) == "[False, True, 3, 2]"
        assert Customer.select().where(Customer.name == "parent's").count() == 2
    with scope_of(pair.a):
        assert Customer.select().where(Customer.name == "parent's").count() == 2


def test_a_connection_that_comes_back_twice_makes_the_pool_no_larger(pool: Pool) -> None:
    first = pool.acquire()
    pool.release(first)
    pool.release(first)
    assert (pool.idle, pool.in_use) == (1, 0)
    held = [pool.acquire(), pool.acquire()]
    with pytest.raises(PoolTimeoutError):
        pool.acquire()
    for connection in held:
        pool.release(connection)


def test_a_closed_pool_keeps_and_lends_nothing(pool: Pool) -> None:
    rests, first, second = pool.acquire(), pool.acquire(), None
    pool.release(rests)
    pool.close()
    assert rests.closed
    assert not first.closed
    pool.release(first)
    assert first.closed
    assert (pool.idle, pool.in_use) == (0, 0)
    with pytest.raises(PoolClosedError):
        second = pool.acquire()
    assert second is None


RESIDUE = {
    "a setting": ("SET statement_timeout = 4321", "SHOW statement_timeout", "0"),
    "a cursor": (
        "BEGIN; DECLARE kept CURSOR WITH HOLD FOR SELECT 1; COMMIT",
        "SELECT count(*) FROM pg_cursors",
        0,
    ),
    "LISTEN": ("LISTEN news", "SELECT count(*) FROM pg_listening_channels()", 0),
    "a prepared statement": (
        "PREPARE kept AS SELECT 1",
        "SELECT count(*) FROM pg_prepared_statements",
        0,
    ),
    "an advisory lock": (
        "SELECT pg_advisory_lock(1)",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        0,
    ),
    "a role": ("SET ROLE NONE; SET tenure.mark = 'x'", "SHOW tenure.mark", ""),
    "left in a failed state": (
        "SET statement_timeout = 4321; BEGIN; SAVEPOINT a",
        "SHOW statement_timeout",
        "0",
    ),
}


@pytest.mark.parametrize("residue", RESIDUE)
def test_nothing_passes_from_one_borrower_to_the_next(pool: Pool, residue: str) -> None:
    leave, look, wanted = RESIDUE[residue]
    with pool.connection() as connection:
        pid = connection.get_backend_pid()
        connection.cursor().execute(leave)
    with pool.connection() as connection, connection.cursor() as cursor:
        assert connection.get_backend_pid() == pid
        cursor.execute(look)
        assert cursor.fetchone() == (wanted,)


def test_a_temporary_table_does_not_pass_on_either(installation: Installation) -> None:
    pool = Pool(installation.settings.database_url or "", size=1)
    with pool.connection() as connection:
        connection.cursor().execute("CREATE TEMP TABLE kept (secret text)")
    with pool.connection() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('pg_temp.kept')")
        assert cursor.fetchone() == (None,)
    pool.close()


def test_what_query_trees_compile_to_costs_no_second_round_trip(
    installation: Installation, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark shows: a setting made by hand is gone once a DISCARD ALL was sent."""
    pool = installation.app_connections.pool

    def stays(query: Callable[[], object]) -> bool:
        with pool.connection(tidy=True) as connection:
            connection.cursor().execute("SET tenure.mark = 'here'")
        with scope_of(pair.a):
            query()
        with pool.connection(tidy=True) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT coalesce(current_setting('tenure.mark', true), '')")
            return cursor.fetchone() == ("here",)

    def new(number: int) -> Customer:
        return Customer(number=f"n{number}", name="x", country="DE")

    assert stays(lambda: list(Customer.select().where(Customer.number.in_(["0", "1"]))))
    assert stays(lambda: Customer.select().count())
    assert stays(lambda: Customer.select(fn.LOWER(Customer.name), fn.MAX("x")).group_by(1).dicts())
    assert stays(lambda: Customer.create(number="z", name="x", country="DE"))
    assert stays(lambda: Customer.bulk_create([new(n) for n in range(3)]))
    assert stays(lambda: Customer.update(name="y").where(Customer.number == "z").execute())
    assert stays(lambda: Customer.delete().where(Customer.number == "z").execute())
    assert stays(lambda: Customer.get_or_none(Customer.number == "7"))

    def in_transaction(query: Callable[[], object]) -> object:
        with installation.app.atomic(), installation.app.atomic():
            return query()

    assert stays(lambda: in_transaction(lambda: Customer.select().count()))
    # The prover refuses these; were it mistaken, the session would be cleared all the same.
    monkeypatch.setattr(installation.app, "_prove", lambda _sql: None)
    for call in (fn.set_config("a.b", "c", False), fn.pg_advisory_lock(1), fn.setseed(0.5)):
        assert not stays(lambda call=call: list(Customer.select(call).tuples()))
        assert not stays(
            lambda call=call: in_transaction(lambda: list(Customer.select(call).tuples()))
        )


def _marked(connections: RoleConnections, work: Callable[[Cursor], object]) -> bool:
    """Tell whether a setting made by hand outlives a transaction: no DISCARD ALL was sent."""
    with connections.pool.connection(tidy=True) as connection:
        connection.cursor().execute("SET tenure.mark = 'here'")
    with suppress(psycopg2.Error), connections.transaction(None) as cursor:
        work(cursor)
    with connections.pool.connection(tidy=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('tenure.mark', true), '')")
        return cursor.fetchone() == ("here",)


LEAVES_NOTHING: dict[str, Callable[[Cursor], object]] = {
    "a query": lambda c: c.execute("SELECT count(*), max(id::text) FROM tenure.tenants"),
    "values": lambda c: c.execute("SELECT %s::text, lower(%s)", ("a", "b")),
    "a composed one": lambda c: c.execute(
        sql.SQL("SELECT {} FROM tenure.tenants").format(sql.Identifier("slug"))
    ),
    "a limit for the transaction": lambda c: c.execute("SET LOCAL lock_timeout = 7; SELECT 1"),
    "a function of ours": lambda c: c.execute("SELECT tenure.delete_expired(1)"),
    "named columns": lambda c: c.execute(
        "INSERT INTO tenure.leases AS l (name, holder, fence, lease_until)"
        " VALUES ('x', 'y', 1, now()) ON CONFLICT (name) DO NOTHING"
    ),
    "a mistake": lambda c: c.execute("SELECT 1 / 0"),
}
LEAVES: dict[str, Callable[[Cursor], object]] = {
    "a setting": lambda c: c.execute("SET tenure.other = 'x'"),
    "a setting by function": lambda c: c.execute("SELECT set_config('tenure.x', 'y', false)"),
    "one behind a limit": lambda c: c.execute(
        "SET LOCAL lock_timeout = 7; SELECT set_config('tenure.x', 'y', false)"
    ),
    "one behind another statement": lambda c: c.execute("SELECT 1; SET tenure.other = 'x'"),
    "LISTEN": lambda c: c.execute("LISTEN news"),
    "a prepared statement": lambda c: c.execute("PREPARE kept AS SELECT 1"),
    "a cursor": lambda c: c.execute("DECLARE kept CURSOR WITH HOLD FOR SELECT 1"),
    "a lock": lambda c: c.execute("SELECT pg_advisory_lock(1)"),
    "what is called like the system's": lambda c: c.execute("SELECT shop.lower('x')"),
    "a table of rows": lambda c: c.execute("SELECT 1 AS n INTO TEMP kept"),
    "bytes": lambda c: c.execute(b"SELECT 1"),
    "many": lambda c: c.executemany("SELECT set_config('tenure.x', %s, false)", [("y",)]),
    "a call": lambda c: c.callproc("pg_advisory_lock", (1,)),
    "a copy": lambda c: c.copy_expert("COPY (SELECT pg_advisory_lock(1)) TO STDOUT", StringIO()),
}


@pytest.mark.parametrize("work", LEAVES_NOTHING)
def test_a_transaction_that_leaves_nothing_costs_no_round_trip_more(
    installation: Installation, work: str
) -> None:
    assert _marked(installation.retention, LEAVES_NOTHING[work])


@pytest.mark.parametrize("work", LEAVES)
def test_what_a_transaction_leaves_goes_as_its_connection_comes_back(
    installation: Installation, work: str
) -> None:
    assert not _marked(installation.retention, LEAVES[work])


def test_jobs_have_longer_for_a_statement_than_who_serves(installation: Installation) -> None:
    changed = installation.settings.model_copy(
        update={"statement_timeout_ms": 2_000, "job_statement_timeout_ms": 4_000}
    )
    limits: dict[Role, str] = {
        "tenure_app": "2s",
        "tenure_auditor": "2s",
        "tenure_retention": "4s",
        "tenure_verifier": "4s",
    }
    for role, limit in limits.items():
        connections = connections_of(changed, role, size=1)
        with connections.transaction(None) as cursor:
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == (limit,)
        connections.pool.close()


def test_a_connection_that_rested_too_long_is_closed(installation: Installation) -> None:
    url = installation.settings.role_url("tenure_verifier")
    pool = Pool(url, size=2, limits=Limits(max_idle_s=0.05))
    first, second = pool.acquire(), pool.acquire()
    pool.release(first)
    time.sleep(0.1)
    pool.release(second)
    assert (first.closed, second.closed, pool.idle) == (1, 0, 1)
    pool.close()


def test_a_connection_is_replaced_at_the_end_of_its_life(installation: Installation) -> None:
    url = installation.settings.role_url("tenure_verifier")
    pool = Pool(url, size=1, limits=Limits(max_lifetime_s=0.1))
    with pool.connection() as connection:
        first = connection.get_backend_pid()
    time.sleep(0.15)
    with pool.connection() as connection:
        assert connection.get_backend_pid() != first
    assert (pool.in_use, pool.idle) == (0, 1)
    pool.close()


def test_a_parents_connection_survives_its_childs_end(pool: Pool) -> None:
    """A child that lets go of the object must not end the session."""
    with pool.connection() as connection:
        child = os.fork()
        if child == 0:
            pool.release(connection)
            pool.close()
            os._exit(0)
        os.waitpid(child, 0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)


def test_more_connections_than_the_server_has_are_refused_at_start(
    installation: Installation,
) -> None:
    serving = (installation.app_connections, installation.auditor)
    refuse_too_many_connections(installation.settings, serving)
    many = installation.settings.model_copy(update={"processes": 100})
    with pytest.raises(ConfigError, match=r"TENURE_PROCESSES.*TENURE_POOL_SIZE.*800"):
        refuse_too_many_connections(many, serving)
    refuse_too_many_connections(many.model_copy(update={"pooler": "transaction"}), serving)


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
