"""Transactions that ask for something, and those that are tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import peewee
import psycopg2
import pytest
from shop.models import Customer

from api.wiring import Installation
from tenants.context import scope_or_none, tenant_scope
from tenants.errors import TransactionError, UnscopableError
from tenants.models import database
from tenants.seal import MESSAGE_BEGINS
from tenants.transactions import DatabaseProxy

from .conftest import Pair, scope_of


@pytest.fixture
def counted(installation: Installation) -> list[str]:
    """One entry for each retry."""
    retries: list[str] = []
    for connections in (installation.app_connections, installation.retention):
        connections.on_retry = lambda role=connections.role: retries.append(role)
    return retries


def setting(name: str) -> str:
    [(value,)] = Customer.select(peewee.fn.current_setting(name)).limit(1).tuples()
    return str(value)


@pytest.mark.parametrize("level", ["READ COMMITTED", "repeatable read", "SERIALIZABLE"])
def test_the_server_has_the_isolation_that_was_asked_for(
    installation: Installation, pair: Pair, level: str
) -> None:
    for begin in (installation.app.transaction, installation.app.atomic):
        with scope_of(pair.a), begin(level):
            assert setting("transaction_isolation") == level.lower()


def test_a_read_only_transaction_writes_nothing(installation: Installation, pair: Pair) -> None:
    with (
        scope_of(pair.a),
        pytest.raises(peewee.InternalError, match="read-only"),
        installation.app.transaction(read_only=True),
    ):
        Customer.create(number="x", name="x", country="DE")


def test_an_unknown_level_is_refused_before_anything_is_sent(installation: Installation) -> None:
    for refused in ("CHAOS", "SERIALIZABLE; COMMIT"):
        with pytest.raises(ValueError, match="unknown isolation level"):
            installation.app.transaction(refused)


def in_conflict(installation: Installation, pair: Pair, attempts: list[str]) -> str:
    """Change a row that, the first two times, someone else changes in between."""
    name = Customer.get(Customer.number == "0").name
    if len(attempts) < 2:
        other = threading.Thread(target=rename, args=(pair, f"other {len(attempts)}"))
        other.start()
        other.join()
    attempts.append(name)
    Customer.update(name="mine").where(Customer.number == "0").execute()
    return f"{len(attempts)} attempts"


def rename(pair: Pair, name: str) -> None:
    with scope_of(pair.a):
        Customer.update(name=name).where(Customer.number == "0").execute()


def test_a_transaction_that_was_broken_off_is_done_again_as_a_whole(
    installation: Installation, pair: Pair, counted: list[str]
) -> None:
    attempts: list[str] = []
    with scope_of(pair.a):
        told = installation.app.run(
            lambda: in_conflict(installation, pair, attempts), isolation="REPEATABLE READ"
        )
        assert Customer.get(Customer.number == "0").name == "mine"
    assert told == "3 attempts"
    assert attempts == [f"{pair.a}:0", "other 0", "other 1"], "each saw what was there then"
    assert counted == ["tenure_app"] * 2
    assert installation.app_connections.pool.in_use == 0


@pytest.mark.parametrize("how", ["transaction", "atomic"])
def test_a_decorated_function_is_repeated(
    installation: Installation, pair: Pair, counted: list[str], how: str
) -> None:
    attempts: list[str] = []
    decorate = getattr(installation.app, how)("REPEATABLE READ", retries=2)
    with scope_of(pair.a):
        assert decorate(in_conflict)(installation, pair, attempts) == "3 attempts"
    assert len(counted) == 2


def test_retries_come_to_an_end(installation: Installation, pair: Pair, counted: list[str]) -> None:
    with scope_of(pair.a), pytest.raises(peewee.OperationalError) as caught:
        installation.app.run(
            lambda: in_conflict(installation, pair, []), isolation="REPEATABLE READ", retries=2
        )
    assert isinstance(caught.value.__cause__ or caught.value.__context__, psycopg2.Error)
    assert len(counted) == 2
    assert installation.app_connections.pool.in_use == 0
    assert scope_or_none() is None


@pytest.mark.parametrize("how", ["transaction", "atomic", "run"])
def test_only_the_outermost_is_repeated(
    installation: Installation, pair: Pair, counted: list[str], how: str
) -> None:
    attempts: list[str] = []
    outer: list[int] = []

    def whole() -> str:
        outer.append(1)
        if how == "run":
            return installation.app.run(lambda: in_conflict(installation, pair, attempts))
        part = getattr(installation.app, how)("REPEATABLE READ", retries=9)(in_conflict)
        return str(part(installation, pair, attempts))

    with scope_of(pair.a):
        told = installation.app.run(whole, isolation="REPEATABLE READ")
    assert (told, len(outer), len(counted)) == ("3 attempts", 3, 2)


@pytest.mark.parametrize("error", [ZeroDivisionError, peewee.IntegrityError])
def test_other_errors_are_not_repeated(
    installation: Installation, pair: Pair, counted: list[str], error: type[Exception]
) -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        if error is ZeroDivisionError:
            raise ZeroDivisionError
        Customer.create(number="0", name="taken", country="DE")

    with scope_of(pair.a), pytest.raises(error):
        installation.app.run(work)
    assert (len(calls), counted) == (1, [])


def test_a_block_cannot_ask_for_retries(installation: Installation, pair: Pair) -> None:
    for begin in (installation.app.transaction, installation.app.atomic):
        with scope_of(pair.a), pytest.raises(TransactionError, match="block"), begin(retries=1):
            pass
    assert installation.app_connections.pool.in_use == 0


def test_a_part_cannot_be_what_the_whole_is_not(installation: Installation, pair: Pair) -> None:
    app = installation.app
    asked: list[Callable[[], Any]] = [
        lambda: app.atomic("SERIALIZABLE"),
        lambda: app.transaction("SERIALIZABLE"),
        lambda: app.atomic(read_only=True),
    ]
    for ask in asked:
        with scope_of(pair.a), app.atomic(), pytest.raises(TransactionError, match="inside"), ask():
            pass
    with scope_of(pair.a), app.atomic("SERIALIZABLE"), app.atomic("SERIALIZABLE"):
        assert setting("transaction_isolation") == "serializable"


def test_the_other_roles_retry_too(
    installation: Installation, pair: Pair, counted: list[str]
) -> None:
    attempts: list[int] = []

    def work(cursor: Any) -> int:
        attempts.append(1)
        cursor.execute("SELECT count(*) FROM shop.customers")
        if len(attempts) == 1:
            rename(pair, "other")
        cursor.execute("SELECT 1 FROM shop.customers WHERE number = '0' FOR UPDATE")
        return len(attempts)

    told = installation.retention.run(pair.a, work, isolation="REPEATABLE READ")
    assert (told, counted) == (2, ["tenure_retention"])


def test_a_deadlock_is_resolved(installation: Installation, pair: Pair, counted: list[str]) -> None:
    met = threading.Barrier(2, timeout=10)
    first = threading.local()

    def both(numbers: tuple[str, str]) -> None:
        for place, number in enumerate(numbers):
            Customer.update(name="mine").where(Customer.number == number).execute()
            if place == 0 and not getattr(first, "met", False):
                first.met = True
                met.wait()

    failed: list[Exception] = []

    def work(*numbers: str) -> None:
        try:
            with scope_of(pair.a):
                installation.app.run(lambda: both(numbers))  # type: ignore[arg-type]  # two
        except Exception as error:  # noqa: BLE001 - handed to the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=work, args=pair_) for pair_ in (("0", "1"), ("1", "0"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(counted) >= 1


def test_statements_carry_the_trace_at_their_end(installation: Installation, pair: Pair) -> None:
    sent: list[str] = []
    installation.app.query_hooks.append(lambda event: sent.append(event.sql))
    with scope_of(pair.a) as scope:
        assert len(list(Customer.select().where(Customer.name % "%:0"))) == 1
        assert scope.trace_id in sent[-1].rpartition("/*")[2]
        assert sent[-1].startswith(MESSAGE_BEGINS)
        [(query,)] = Customer.select(peewee.fn.current_query()).limit(1).tuples()
    assert query.endswith(
        f"/*application='tenure',traceparent='00-{scope.trace_id}-{scope.trace_id[-16:]}-01'*/"
    )


def test_what_was_switched_off_carries_no_trace(installation: Installation, pair: Pair) -> None:
    installation.app_connections.comments = False
    with scope_of(pair.a):
        [(query,)] = Customer.select(peewee.fn.current_query()).limit(1).tuples()
    assert "traceparent" not in query


def test_a_hostile_trace_id_stays_inside_its_comment(
    installation: Installation, pair: Pair
) -> None:
    hostile = "*/; SELECT 1 --%s%'\n"
    with tenant_scope(pair.a, actor="test", trace_id=hostile):
        [(query,)] = Customer.select(peewee.fn.current_query()).limit(1).tuples()
    assert query.count("*/") == 1
    assert query.endswith("*/")
    with installation.retention.transaction(pair.a) as cursor:
        cursor.execute("SELECT %s, current_query()", ("x",))
        row = cursor.fetchone()
    assert row
    assert row[1].endswith("/*application='tenure'*/")


def test_the_proxy_that_domains_import_has_the_same_transactions(
    installation: Installation, pair: Pair, counted: list[str]
) -> None:
    early = DatabaseProxy()
    decorated = early.atomic("REPEATABLE READ", retries=2)(in_conflict)
    early.initialize(installation.app)
    with scope_of(pair.a):
        assert decorated(installation, pair, []) == "3 attempts"
        with early.transaction("SERIALIZABLE"), early.atomic():
            assert setting("transaction_isolation") == "serializable"
        with pytest.raises(UnscopableError):
            early.manual_commit()
    assert installation.app_connections.pool.in_use == 0
    assert type(database) is DatabaseProxy


def test_what_waits_for_the_commit_is_done_once_and_after_it(
    installation: Installation, pair: Pair
) -> None:
    app, seen = installation.app, []
    attempts = iter(("40001", None))

    def look(what: str) -> None:
        # By another session's eyes, and by a statement of its own.
        with installation.verifier.transaction(None) as cursor:
            cursor.execute("SELECT count(*) FROM shop.customers WHERE name = 'changed'")
            seen.append((what, cursor.fetchone(), Customer.select().count()))

    def work() -> None:
        Customer.update(name="changed").execute()
        app.after_commit(lambda: look("in the whole"))
        with app.atomic():
            app.after_commit(lambda: look("in a part"))
        error = next(attempts)
        if error is not None:
            app.cursor(vouched=True).execute(f"DO $$ BEGIN RAISE SQLSTATE '{error}'; END $$")

    with scope_of(pair.a):
        app.run(work)
        assert seen == [("in the whole", (2,), 2), ("in a part", (2,), 2)]
        seen.clear()

        def fail() -> None:
            with app.atomic():
                app.after_commit(lambda: look("never"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        with app.atomic() as transaction:
            app.after_commit(lambda: look("never"))
            transaction.rollback(False)
        with app.atomic():
            pass
        assert seen == []
    assert installation.app_connections.pool.in_use == 0
