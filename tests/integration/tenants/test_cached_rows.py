"""peewee keeps the rows of an executed query in the query. A query may be kept by a module and
outlive a request: what one tenant's request left in it is nothing for the next one's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from peewee import Select, Table
from shop.models import Customer

from api.wiring import Installation
from tenants import kept_rows
from tenants.errors import NoTenantError
from tenants.models import database

from .conftest import Pair, scope_of

QUERIES: dict[str, Callable[[], Any]] = {
    "model": lambda: Customer.select(Customer.name).tuples(),
    "alias": lambda: (c := Customer.alias("c")).select(c.name).tuples(),
    "union": lambda: (  # noqa: PLW0108 - made anew for each test
        Customer.select(Customer.name).where(Customer.number == "0")
        | Customer.select(Customer.name)
    ).tuples(),
    "derived": lambda: (
        (q := Customer.select(Customer.name.alias("n")).alias("q")).select_from(q.c.n).tuples()
    ),
    "cte": lambda: (
        (c := Customer.select(Customer.name.alias("n")).cte("c")).select_from(c.c.n).tuples()
    ),
    "bare select": lambda: Select([Customer], [Customer.name]).bind(database.obj).tuples(),
    "bare table": lambda: (
        (t := Table("customers", schema="shop").bind(database.obj)).select(t.c.name).tuples()
    ),
    "raw": lambda: Customer.raw(
        "SELECT name FROM shop.customers WHERE tenant_id = tenure.current_tenant()"
    ).tuples(),
}


@pytest.mark.parametrize("how", QUERIES)
def test_rows_kept_in_a_query_are_not_served_to_another_tenant(pair: Pair, how: str) -> None:
    query = QUERIES[how]()
    for tenant_id in (pair.a, pair.b, pair.a):
        with scope_of(tenant_id):
            assert {name.partition(":")[0] for (name,) in query} == {str(tenant_id)}
            assert len(query) == (2 if tenant_id == pair.a else 3)


@pytest.mark.parametrize("how", QUERIES)
def test_rows_kept_in_a_query_are_not_served_without_a_tenant(pair: Pair, how: str) -> None:
    query = QUERIES[how]()
    with scope_of(pair.a):
        assert len(query) == 2
    with pytest.raises(NoTenantError):
        list(query)


def test_a_query_that_threads_share_serves_each_its_own(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may ask between a query's execution and the reading of its rows."""
    query = Customer.select(Customer.name).tuples()
    keep = kept_rows._KeptRows.__set__
    theirs: list[set[str]] = []

    def read(tenant_id: Any) -> set[str]:
        with scope_of(tenant_id):
            return {name.partition(":")[0] for (name,) in query}

    def kept(descriptor: Any, query: Any, rows: Any) -> None:
        keep(descriptor, query, rows)
        if rows is not None and threading.current_thread() is threading.main_thread():
            other = threading.Thread(target=lambda: theirs.append(read(pair.b)))
            other.start()
            other.join()

    monkeypatch.setattr(kept_rows._KeptRows, "__set__", kept)
    assert read(pair.a) == {str(pair.a)}
    assert theirs == [{str(pair.b)}]


def test_rows_that_a_write_returned_are_not_served_to_another_tenant(pair: Pair) -> None:
    query = Customer.update(country="FR").returning(Customer.name).tuples()
    with scope_of(pair.a):
        assert len(list(query.execute())) == 2
    with scope_of(pair.b):
        assert {name.partition(":")[0] for (name,) in query} == {str(pair.b)}


def test_rows_are_there_when_their_connection_is_not(
    pair: Pair, installation: Installation
) -> None:
    """Another borrower may find the connection broken, and close it, before they are read."""
    pool = installation.app_connections.pool
    with scope_of(pair.a):
        read = Customer.select(Customer.name).tuples().execute()
        written = Customer.update(country="FR").returning(Customer.name).tuples().execute()
        while pool.idle:
            pool.acquire().close()
        assert len(list(read)) == 2
        assert len(list(written)) == 2
