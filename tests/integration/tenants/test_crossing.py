"""Every way across a tenant's border is named and recorded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import psycopg2
import pytest

from api.wiring import Installation
from config.trace import new_trace_id
from tenants.crossing import CrossTenantReader, cross_tenant
from tenants.errors import NestedTenantError, TenantError

from .conftest import Pair, scope_of

Rows = list[tuple[Any, ...]]
TRACE = new_trace_id()
RECORDS = "SELECT actor, reason, place, statement, trace_id FROM tenure.cross_tenant_reads"


@pytest.fixture
def cross(installation: Installation) -> Callable[[str], Any]:
    def enter(reason: str) -> AbstractContextManager[CrossTenantReader]:
        return cross_tenant(
            installation.verifier,
            installation.retention,
            reason=reason,
            actor="command:test",
            trace_id=TRACE,
        )

    return enter


def test_a_read_sees_all_tenants_and_is_recorded(
    cross: Callable[[str], Any], pair: Pair, owner_sql: Callable[..., Rows]
) -> None:
    statement = "SELECT count(*) FROM shop.customers WHERE number >= %s"
    with cross("counting for the invoice") as reader:
        assert reader.read(statement, ("0",)) == [(5,)]
    [(actor, reason, place, recorded, trace)] = owner_sql(RECORDS)
    assert (actor, reason, recorded, trace) == (
        "command:test",
        "counting for the invoice",
        statement,
        TRACE,
    )
    assert place.startswith("test_crossing.py:")


def test_a_read_that_fails_is_recorded(
    cross: Callable[[str], Any], pair: Pair, owner_sql: Callable[..., Rows]
) -> None:
    with pytest.raises(psycopg2.errors.UndefinedTable), cross("a typo") as reader:
        reader.read("SELECT * FROM shop.costumers")
    assert len(owner_sql(RECORDS)) == 1


def test_nothing_is_written_across_tenants(cross: Callable[[str], Any], pair: Pair) -> None:
    with pytest.raises(psycopg2.Error), cross("mischief") as reader:
        reader.read("DELETE FROM shop.customers RETURNING id")


def test_without_a_reason_or_inside_a_scope_it_is_refused(
    cross: Callable[[str], Any], pair: Pair
) -> None:
    with pytest.raises(TenantError, match="reason"), cross("  "):
        pass
    with scope_of(pair.a), pytest.raises(NestedTenantError), cross("a reason"):
        pass


def test_a_reader_reads_in_its_block_and_outside_of_scopes(
    cross: Callable[[str], Any], pair: Pair, owner_sql: Callable[..., Rows]
) -> None:
    """Later its connection is lent to somebody, whose transaction it would join."""
    statement = "SELECT count(*) FROM shop.customers"
    with cross("counting") as reader:
        # In this thread no scope could be opened.
        def serve() -> None:
            with scope_of(pair.a):
                reader.read(statement)

        with ThreadPoolExecutor(1) as threads, pytest.raises(NestedTenantError):
            threads.submit(serve).result()
        assert reader.read(statement) == [(5,)]
    with pytest.raises(TenantError, match="block is over"):
        reader.read(statement)
    with pytest.raises(ZeroDivisionError), cross("failing") as failed:
        raise ZeroDivisionError
    with pytest.raises(TenantError, match="block is over"):
        failed.read(statement)
    # What was refused was not tried, and is not on record.
    assert len(owner_sql(RECORDS)) == 1
