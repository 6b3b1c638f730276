"""Scopes nest, end, and stay where they were opened."""

from __future__ import annotations

import contextvars
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tenants.context import (
    TenantId,
    current_scope,
    open_transaction,
    propagate,
    scope_or_none,
    tenant_scope,
)
from tenants.errors import NestedTenantError, NoTenantError

A, B = TenantId(uuid.uuid4()), TenantId(uuid.uuid4())


def test_no_scope_is_an_error_and_never_all_tenants() -> None:
    assert scope_or_none() is None
    with pytest.raises(NoTenantError):
        current_scope()


def test_scopes_nest_outside_of_transactions() -> None:
    with tenant_scope(A, actor="x", trace_id="t"):
        with tenant_scope(B, actor="y", trace_id="t"):
            assert current_scope().tenant_id == B
        assert current_scope().tenant_id == A
        assert current_scope().actor == "x"


def test_a_scope_leaves_no_trace_after_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), tenant_scope(A, actor="x", trace_id="t"):
        _ = 1 / 0
    assert scope_or_none() is None


def test_another_tenants_scope_inside_a_transaction_is_refused_and_none_is_left() -> None:
    with tenant_scope(A, actor="x", trace_id="t"), open_transaction(A):
        with pytest.raises(NestedTenantError), tenant_scope(B, actor="x", trace_id="t"):
            pass
        assert current_scope().tenant_id == A
    with tenant_scope(B, actor="x", trace_id="t"):
        pass


def test_a_scope_inside_a_transaction_without_tenant_is_refused() -> None:
    with open_transaction(None), pytest.raises(NestedTenantError):
        tenant_scope(A, actor="x", trace_id="t").__enter__()


def test_threads_start_without_a_scope_and_get_one_on_purpose() -> None:
    seen: list[object] = []
    with tenant_scope(A, actor="x", trace_id="t"):
        thread = threading.Thread(target=lambda: seen.append(scope_or_none()))
        thread.start()
        thread.join()
        carried = propagate(current_scope)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(carried).result().tenant_id == A
        # The pool's thread is clean again for the next job.
        assert pool.submit(scope_or_none).result() is None
    assert seen == [None]


def test_a_generator_keeps_no_scope_for_its_consumer() -> None:
    def rows() -> Iterator[TenantId]:
        with tenant_scope(A, actor="x", trace_id="t"):
            yield current_scope().tenant_id

    generator = contextvars.copy_context().run(lambda: list(rows()))
    assert generator == [A]
    assert scope_or_none() is None
