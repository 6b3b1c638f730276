"""Scopes nest, end, and stay where they were opened."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from tenants.context import (
    TenantId,
    current_scope,
    open_transaction,
    propagate,
    require_transaction_of,
    scope_or_none,
    tenant_scope,
)
from tenants.errors import NestedTenantError, NoTenantError

A, B = TenantId(uuid.uuid4()), TenantId(uuid.uuid4())


def of(tenant: TenantId) -> tenant_scope:
    return tenant_scope(tenant, actor="x", trace_id="t")


def now() -> TenantId | None:
    scope = scope_or_none()
    return None if scope is None else scope.tenant_id


@pytest.fixture(autouse=True)
def _no_trace() -> Iterator[None]:
    assert now() is None
    yield
    assert now() is None


def test_no_scope_is_an_error_and_never_all_tenants() -> None:
    assert scope_or_none() is None
    with pytest.raises(NoTenantError):
        current_scope()


def test_scopes_nest_outside_of_transactions() -> None:
    with tenant_scope(A, actor="x", trace_id="t") as outer:
        with tenant_scope(B, actor="y", trace_id="t") as inner:
            assert current_scope() is inner
            assert current_scope().tenant_id == B
        assert current_scope() is outer
        assert current_scope().actor == "x"


def test_a_scope_is_opened_once() -> None:
    scope = of(A)
    with scope, pytest.raises(RuntimeError):
        scope.__enter__()
    with pytest.raises(RuntimeError):
        scope.__enter__()


def test_a_function_may_be_decorated_and_called_from_many_threads() -> None:
    @of(A)
    def tenant(wait: float) -> TenantId:
        time.sleep(wait)
        return current_scope().tenant_id

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(tenant, [0.02, 0.0, 0.01, 0.0])) == [A] * 4
        assert list(pool.map(lambda _: now(), range(4))) == [None] * 4


WRAPPED = {"decorated": of(A), "propagated": propagate}


def _wrapped(how: str, function: Any) -> Any:
    with of(A):
        return WRAPPED[how](function)


@pytest.mark.parametrize("how", WRAPPED)
def test_a_generators_function_serves_its_tenant_whoever_consumes_it(how: str) -> None:
    def rows(first: str) -> Any:
        """Said of them."""
        seen = yield first, now()
        yield seen, now()
        return now()

    carried = _wrapped(how, rows)
    assert carried.__doc__ == "Said of them."

    def consumer() -> Any:
        returned = yield from carried("f")
        assert returned == A

    with of(B):
        assert [row[1] for row in carried("f")] == [A, A]
        assert list(consumer()) == [("f", A), (None, A)]
        generator = carried("f")
        assert next(generator) == ("f", A)
        assert now() == B
        assert generator.send("sent") == ("sent", A)
    assert now() is None
    with pytest.raises(KeyError):
        generator.throw(KeyError())
    assert [row[1] for row in carried("f")] == [A, A]


@pytest.mark.parametrize("how", WRAPPED)
def test_a_context_manager_of_a_wrapped_generator_serves_its_block(how: str) -> None:
    @contextmanager
    def block() -> Iterator[None]:
        with manager():
            yield

    def inner() -> Iterator[TenantId | None]:
        yield now()

    manager = contextmanager(_wrapped(how, inner))
    with of(B):
        with block():
            assert now() == A
        assert now() == B


@pytest.mark.parametrize("how", WRAPPED)
def test_a_coroutines_function_serves_its_tenant(how: str) -> None:
    async def serve() -> list[TenantId | None]:
        before = now()
        await asyncio.sleep(0)
        return [before, now()]

    carried = _wrapped(how, serve)

    async def both() -> list[list[TenantId | None]]:
        with of(B):
            return [*await asyncio.gather(carried(), serve()), [now()]]

    assert asyncio.iscoroutinefunction(carried)
    assert asyncio.run(both()) == [[A, A], [B, B], [B]]


def _called(function: Callable[[], Any]) -> Any:
    return function()


@pytest.mark.parametrize("how", WRAPPED)
def test_what_would_run_under_its_consumers_scope_is_refused(how: str) -> None:
    ran = []

    def rows() -> Iterator[TenantId | None]:
        ran.append(now())
        yield now()

    async def wait() -> None:
        ran.append(now())

    async def later() -> AsyncIterator[TenantId | None]:
        yield now()

    with of(B):
        for function in (rows, wait, later):
            with pytest.raises(TypeError, match="consumer's scope"):
                _wrapped(how, partial(_called, function))()
        with pytest.raises(TypeError, match="asynchronous generator"):
            _wrapped(how, later)
    assert ran == []


# -- leaving no trace ------------------------------------------------------------------


def test_a_scope_leaves_no_trace_after_an_exception() -> None:
    for error in (ZeroDivisionError, KeyboardInterrupt, SystemExit, GeneratorExit):
        with pytest.raises(error), of(A):
            raise error
        assert now() is None


def test_blocks_that_end_in_another_order_leave_no_trace() -> None:
    first, second = of(A), of(B)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert now() == B
    second.__exit__(None, None, None)
    assert now() is None


def _rows(tenant: TenantId, count: int = 2) -> Iterator[TenantId]:
    with of(tenant):
        for _ in range(count):
            yield current_scope().tenant_id


def test_a_suspended_generator_keeps_its_scope_to_itself() -> None:
    rows = _rows(A)
    assert next(rows) == A
    assert now() is None
    with of(B):
        assert next(rows) == A
        assert now() == B
    assert now() is None
    assert list(rows) == []


def test_a_generator_resumed_inside_of_another_scope_serves_its_own() -> None:
    rows = _rows(A, 9)
    next(rows)
    with of(B):
        assert next(rows) == A
        assert now() == B

        def inner() -> Iterator[TenantId | None]:
            with of(B):
                yield now()
                yield next(rows)
                yield now()

        assert list(inner()) == [B, A, B]

    def resumes(later: Iterator[TenantId | None]) -> Iterator[TenantId | None]:
        with of(A):
            yield now()
            yield next(later)
            with of(B):
                yield now()
            yield now()

    later = _rows(B, 3)
    first = resumes(later)
    assert next(first) == A
    next(later)
    assert list(first) == [B, B, A]
    rows.close()
    later.close()


def test_generators_that_take_turns_have_each_their_own() -> None:
    assert list(zip(_rows(A, 3), _rows(B, 3), strict=True)) == [(A, B)] * 3
    nested = ((a, b, now()) for a in _rows(A) for b in _rows(B))
    assert set(nested) == {(A, B, None)}


def test_a_consumers_scope_that_closed_does_not_come_back() -> None:
    """reset() of a context variable would bring it back, as the generator ends."""
    rows = _rows(A)
    with of(B):
        next(rows)
    assert now() is None
    assert next(rows) == A
    assert list(rows) == []
    assert now() is None


@pytest.mark.parametrize("end", ["close", "throw", "collect", "elsewhere"])
def test_a_generator_that_is_given_up_leaves_no_trace(end: str) -> None:
    rows: Any = _rows(A)
    next(rows)
    if end == "close":
        rows.close()
    elif end == "throw":
        with pytest.raises(KeyError):
            rows.throw(KeyError())
    elif end == "collect":
        del rows
        gc.collect()
    else:
        thread = threading.Thread(target=rows.close)
        thread.start()
        thread.join()
    assert now() is None


def test_a_generator_passed_to_another_thread_has_no_scope_there() -> None:
    def rows() -> Iterator[TenantId | None]:
        with of(A):
            yield now()
            yield now()

    passed = rows()
    assert next(passed) == A
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(next, passed).result() is None
    passed.close()


def test_a_context_manager_made_of_a_generator_serves_its_block() -> None:
    @contextmanager
    def inner() -> Iterator[None]:
        with of(A):
            yield

    @contextmanager
    def outer() -> Iterator[None]:
        with inner():
            yield

    with outer():
        assert now() == A
    with ExitStack() as stack:
        stack.enter_context(outer())
        assert now() == A

    def rows() -> Iterator[TenantId | None]:
        with outer():
            yield now()

    generator = rows()
    assert next(generator) == A
    assert now() is None
    generator.close()


@pytest.fixture
def served() -> Iterator[None]:
    with of(A):
        yield


@pytest.mark.usefixtures("served")
def test_a_fixture_serves_its_test() -> None:
    assert now() == A
    with of(B):
        assert now() == B


def test_coroutines_have_each_their_own() -> None:
    async def rows() -> AsyncIterator[TenantId | None]:
        with of(B):
            yield now()

    async def serve(tenant: TenantId) -> set[TenantId | None]:
        seen = set()
        with of(tenant):
            for _ in range(3):
                await asyncio.sleep(0)
                seen.add(now())
            left = asyncio.create_task(after())
        await left
        async for row in rows():
            assert row == B
            assert now() is None
        return seen

    async def after() -> None:
        await asyncio.sleep(0.01)
        assert now() is None  # the scope in which the task was made is closed

    async def both() -> list[set[TenantId | None]]:
        return await asyncio.gather(serve(A), serve(B))

    assert asyncio.run(both()) == [{A}, {B}]


# -- threads, jobs, signals ------------------------------------------------------------


def test_threads_start_without_a_scope_and_get_one_on_purpose() -> None:
    seen: list[object] = []
    with of(A):
        thread = threading.Thread(target=lambda: seen.append(scope_or_none()))
        thread.start()
        thread.join()
        carried = propagate(current_scope)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(carried).result().tenant_id == A
        # The pool's thread is clean again for the next job.
        assert pool.submit(scope_or_none).result() is None
    assert seen == [None]


def test_a_copied_context_carries_no_scope_into_a_thread() -> None:
    """Some Pythons, and asyncio.to_thread, start threads with a copy of the context."""
    with of(A):
        copied = contextvars.copy_context()
        assert copied.run(now) == A
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(copied.run, now).result() is None
    assert copied.run(now) is None


def test_a_jobs_failure_leaves_the_pools_thread_clean() -> None:
    def fail() -> None:
        with of(A):
            raise ZeroDivisionError

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(ZeroDivisionError):
            pool.submit(fail).result()
        assert pool.submit(now).result() is None
        with of(A):
            failing = propagate(fail)
        with pytest.raises(ZeroDivisionError):
            pool.submit(failing).result()
        assert pool.submit(now).result() is None


def test_propagation_needs_a_scope_and_keeps_actor_and_trace() -> None:
    with pytest.raises(NoTenantError):
        propagate(now)
    with tenant_scope(A, actor="someone", trace_id="abc") as scope:
        carried = propagate(current_scope)
    assert carried() == scope


def test_jobs_of_the_scheduler_start_without_a_scope_and_leave_none() -> None:
    seen: list[TenantId | None] = []
    done = threading.Semaphore(0)

    def job(work: Callable[[], TenantId | None]) -> None:
        try:
            seen.append(now())
            seen.append(work())
        finally:
            done.release()

    def serve() -> TenantId | None:
        with of(B):
            return now()

    scheduler = BackgroundScheduler(executors={"default": {"type": "threadpool", "max_workers": 1}})
    with of(A):
        scheduler.start()
        try:
            for work in (serve, propagate(now), now):
                scheduler.add_job(job, args=[work])
                assert done.acquire(timeout=10)
        finally:
            scheduler.shutdown()
    assert seen == [None, B, None, A, None, None]


def test_a_signals_handler_leaves_the_scope_as_it_was() -> None:
    seen: list[TenantId | None] = []

    def handler(_number: int, _frame: object) -> None:
        with of(B):
            seen.append(now())
        if len(seen) == 2:
            raise InterruptedError

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with of(A):
            os.kill(os.getpid(), signal.SIGUSR1)
            assert seen == [B]
            assert now() == A
            with open_transaction(A), pytest.raises(NestedTenantError):
                os.kill(os.getpid(), signal.SIGUSR1)
            with pytest.raises(InterruptedError):
                os.kill(os.getpid(), signal.SIGUSR1)
            assert now() == A
    finally:
        signal.signal(signal.SIGUSR1, before)


# -- transactions ----------------------------------------------------------------------


def test_another_tenants_scope_inside_a_transaction_is_refused_and_none_is_left() -> None:
    with of(A), open_transaction(A):
        with pytest.raises(NestedTenantError), of(B):
            pass
        assert current_scope().tenant_id == A
        with of(A):
            assert current_scope().tenant_id == A
    with of(B):
        pass


def test_a_scope_inside_a_transaction_without_tenant_is_refused() -> None:
    with open_transaction(None), pytest.raises(NestedTenantError):
        of(A).__enter__()


def test_a_statement_belongs_to_the_innermost_transaction() -> None:
    require_transaction_of(A)
    with open_transaction(A):
        require_transaction_of(A)
        with pytest.raises(NestedTenantError):
            require_transaction_of(B)
    with open_transaction(None), pytest.raises(NestedTenantError, match="no tenant"):
        require_transaction_of(A)


def test_a_forked_process_starts_without_a_scope_and_its_parent_keeps_its_own() -> None:
    with of(A), of(B):
        child = os.fork()
        if child == 0:
            # Not by raising: the child must not come back into pytest.
            left = scope_or_none()
            with of(A):
                ours = scope_or_none()
            os._exit(0 if left is None and ours is not None and scope_or_none() is None else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert current_scope().tenant_id == B
    assert scope_or_none() is None
