"""Two tenants with colliding numbers, so that a leak shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from api.wiring import Installation
from config.clock import utc_now
from config.trace import new_trace_id
from tenants.context import Scope, TenantId, tenant_scope

from .graph import World, open_world, using


@dataclass(frozen=True)
class Pair:
    """Two tenants with the same numbers: `a` has two customers, `b` has three."""

    a: TenantId
    b: TenantId


def scope_of(tenant_id: TenantId) -> AbstractContextManager[Scope]:
    """Open a scope as a test."""
    return tenant_scope(tenant_id, actor="test", trace_id=new_trace_id())


@pytest.fixture
def pair(installation: Installation, make_tenant: Callable[[str], TenantId]) -> Pair:
    from shop.models import Customer, Invoice

    tenants = Pair(make_tenant("a"), make_tenant("b"))
    for tenant_id, count in ((tenants.a, 2), (tenants.b, 3)):
        with scope_of(tenant_id):
            for number in range(count):
                customer = Customer.create(
                    number=str(number), name=f"{tenant_id}:{number}", country="DE"
                )
                Invoice.create(number=str(number), customer=customer, issued_at=utc_now())
    return tenants


@pytest.fixture(scope="module")
def world(cluster: Any, request: pytest.FixtureRequest) -> Iterator[World]:
    """The graph's tenants in one database without row-level security, and alone."""
    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    with open_world(cluster, f"atlas_{worker}_{os.getpid()}") as opened:
        yield opened


@pytest.fixture
def sent(world: World) -> Iterator[list[str]]:
    with using(world.crowd):
        world.sent.clear()
        yield world.sent
