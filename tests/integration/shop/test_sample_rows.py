"""The sample data in a database: each tenant its own, and the same every time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import peewee
import pytest
from shop.models import Invoice
from shop.sample import SHOPS, generate

from config.trace import new_trace_id
from tenants.context import TenantId, tenant_scope
from tenants.registry import slug_of

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
OwnerSql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def ensure(make_tenant: Callable[..., TenantId]) -> Callable[[str], TenantId]:
    known: dict[str, TenantId] = {}

    def ensure_tenant(name: str) -> TenantId:
        if name not in known:
            known[name] = make_tenant(slug_of(name))
        return known[name]

    return ensure_tenant


def test_the_demo_is_filled_within_seconds_and_counted(
    ensure: Callable[[str], TenantId], owner_sql: OwnerSql
) -> None:
    started = time.monotonic()
    filled = generate(ensure, now=NOW, trace_id=new_trace_id())
    # Two seconds alone on two cores; the tests' machine may be busy with others.
    assert time.monotonic() - started < 15
    assert [t.tenant for t in filled] == [shop.name for shop in SHOPS]
    assert 24_000 < sum(sum(t.rows.values()) for t in filled) < 36_000
    for table in filled[0].rows:
        found = dict(owner_sql(f"SELECT tenant_id::text, count(*) FROM shop.{table} GROUP BY 1"))
        assert found == {str(t.tenant_id): t.rows[table] for t in filled if t.rows[table]}
    assert owner_sql(
        "SELECT count(*) FROM shop.invoices WHERE issued_at < %s - interval '10 years'", (NOW,)
    ) > [(0,)]
    assert owner_sql(
        "SELECT count(*) FROM shop.notes n WHERE NOT EXISTS (SELECT FROM shop.customers c"
        " WHERE c.tenant_id = n.tenant_id AND c.id = n.subject_id AND subject_type = 'customer')"
        " AND NOT EXISTS (SELECT FROM shop.invoices i"
        " WHERE i.tenant_id = n.tenant_id AND i.id = n.subject_id AND subject_type = 'invoice')"
    ) == [(0,)]
    for tenant in filled:
        with tenant_scope(tenant.tenant_id, actor="user:test", trace_id=new_trace_id()):
            assert Invoice.select().count() == tenant.rows["invoices"]


def test_a_tenant_is_not_filled_twice(
    ensure: Callable[[str], TenantId], owner_sql: OwnerSql
) -> None:
    generate(ensure, now=NOW, trace_id=new_trace_id(), scale=0.01)
    before = owner_sql("SELECT count(*) FROM shop.invoices")
    with pytest.raises(peewee.IntegrityError):
        generate(ensure, now=NOW, trace_id=new_trace_id(), scale=0.01)
    assert owner_sql("SELECT count(*) FROM shop.invoices") == before
