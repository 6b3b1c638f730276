"""Pages of rows that hold JSON: printed once, and weighed before they are put together."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api.wiring import Installation
from config.clock import SystemClock
from tenants import repository
from tenants.catalog import catalog_of
from tenants.errors import TooMuchError
from tenants.filters import Order
from tenants.models import JSONField, TenantModel, TextField
from tenants.repository import PageQuery, Repository
from tenants.resource import Resource
from tenants.schema import create_statements
from tenants.writes import unguarded

from .conftest import Pair, scope_of

COLUMNS = (("id", "id"), ("doc", "document"), ("title", "title"))
ORDER = (Order("id"),)


class Parcel(TenantModel):
    document = JSONField()
    title = TextField()

    class Meta:
        schema = "shop"
        table_name = "parcels"


@pytest.fixture
def parcels(
    installation: Installation, owner_sql: Callable[..., Any], pair: Pair
) -> Iterator[Repository]:
    for statement in create_statements(catalog_of([Parcel])):
        owner_sql(statement)
    installation.app._kinds["shop", "parcels"] = "tenant"
    with scope_of(pair.a):
        for number in range(120):
            Parcel.create(document={"n": number, "text": "x" * 50}, title=str(number))
        yield Repository(
            Resource(Parcel, "parcels"),
            installation.app,
            visible=("id", "document", "title"),
            clock=SystemClock(),
            guard=unguarded,
            removed=lambda _table, _ids: None,
        )


def _plan(installation: Installation, pair: Pair, event: Any) -> str:
    statement, _, _ = event.sql.rpartition("/*")
    with installation.app_connections.transaction(pair.a) as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, VERBOSE) {statement.rpartition('; ')[2]}", event.params)
        return "\n".join(line for (line,) in cursor.fetchall())


def test_a_large_page_is_what_small_ones_are_and_is_printed_once(
    installation: Installation, pair: Pair, parcels: Repository
) -> None:
    sent: list[Any] = []
    installation.app.query_hooks.append(sent.append)
    large = parcels.page(PageQuery(COLUMNS, None, ORDER, limit=1000))
    small = [
        parcels.page(PageQuery(COLUMNS, None, ORDER, limit=60, offset=offset)).json
        for offset in (0, 60)
    ]
    assert json.loads(large.json) == [row for page in small for row in json.loads(page)]
    assert large.json == f"{small[0][:-1]}, {small[1][1:]}"
    plan = _plan(installation, pair, sent[0])
    assert plan.count("row_to_json") == 1
    assert re.search(r"\(page\w*\.doc\)::text", plan) is None


def test_json_is_weighed_before_it_is_put_together(
    installation: Installation,
    pair: Pair,
    parcels: Repository,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(repository, "MAX_JSON", 5_000)
    sent: list[Any] = []
    installation.app.query_hooks.append(sent.append)
    with pytest.raises(TooMuchError):
        parcels.page(PageQuery(COLUMNS, None, ORDER, limit=1000))
    assert "never executed" in _plan(installation, pair, sent[0])
    with pytest.raises(TooMuchError):
        parcels.insert([{"document": {"t": "y" * 6_000}, "title": ""}], COLUMNS)


def test_texts_are_weighed_before_a_row_is_printed(
    installation: Installation,
    pair: Pair,
    parcels: Repository,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(repository, "MAX_JSON", 100)
    sent: list[Any] = []
    installation.app.query_hooks.append(sent.append)
    with pytest.raises(TooMuchError):
        parcels.page(PageQuery(COLUMNS, None, ORDER, limit=1000))
    plan = _plan(installation, pair, sent[0])
    assert plan.count("never executed") > 2
