"""Who acts, for which tenant, under which trace: one context variable.

Opened at the edge (a request, a job, a command), read only by `tenants.connections`
(to tell the database) and by the scoping of queries. Contexts nest outside of
transactions; inside one, another tenant's scope is refused, because the database's
context belongs to the outermost transaction.

A scope holds in its block and nowhere else. Python's context variables do not see to that by
themselves: what a suspended generator has set, its consumer would see, and blocks that end in
another order than they began would leave one behind. So each entry knows whether it is still
open, in which thread, and in which generator, and one that does not hold is passed over.
"""

from __future__ import annotations

import contextvars
import inspect
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType, TracebackType
from typing import Any, NewType, ParamSpec, TypeVar

from tenants.errors import NestedTenantError, NoTenantError

TenantId = NewType("TenantId", uuid.UUID)

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Scope:
    """The tenant served now, on whose behalf, and the W3C trace id (32 hex digits)."""

    tenant_id: TenantId
    actor: str
    trace_id: str


class _Entry:
    """A scope that was opened, over the one below it.

    `generator` is the frame of the generator whose block it is. `inside` are the generators'
    entries that were running then; `simple` is true while there is none to think of.
    """

    __slots__ = ("below", "generator", "inside", "is_open", "scope", "simple", "thread")

    def __init__(self, scope: Scope, below: _Entry | None, generator: FrameType | None) -> None:
        self.scope = scope
        self.below = below
        self.generator = generator
        self.thread = threading.get_ident()
        self.is_open = True
        self.simple: bool = generator is None and (below is None or below.simple)
        self.inside: tuple[_Entry, ...] = () if self.simple else tuple(_running(below))


_entry: contextvars.ContextVar[_Entry | None] = contextvars.ContextVar("tenure_scope", default=None)


class _OpenTransactions(threading.local):
    """Tenants of the transactions open in this thread, outermost first."""

    def __init__(self) -> None:
        self.tenants: list[TenantId | None] = []


_transactions = _OpenTransactions()


def scope_or_none() -> Scope | None:
    """Return the scope in force, or None outside of any."""
    entry = _entry.get()
    if entry is None:
        return None
    if not (entry.simple and entry.is_open and entry.thread == threading.get_ident()):
        entry = _in_force(entry)
    return None if entry is None else entry.scope


def _in_force(top: _Entry) -> _Entry | None:
    """Return the innermost entry that holds: open, of this thread, its generator running.

    One further down is further in where its generator has been resumed inside of a block that
    was opened while it was suspended.
    """
    inmost: _Entry | None = None
    depth = 0
    entry: _Entry | None = top
    while entry is not None:
        if entry.is_open and entry.thread == threading.get_ident():
            if entry.generator is None:
                if inmost is None:
                    inmost = entry
            elif (at := _depth(entry.generator)) is not None and (
                inmost is None
                or (entry not in inmost.inside and (inmost.generator is None or at < depth))
            ):
                inmost, depth = entry, at
        entry = entry.below
    return inmost


def _running(entry: _Entry | None) -> Iterator[_Entry]:
    while entry is not None:
        if entry.generator is not None and _depth(entry.generator) is not None:
            yield entry
        entry = entry.below


def current_scope() -> Scope:
    """Return the scope in force.

    Raises NoTenantError when there is none: no tenant never means all tenants.
    """
    scope = scope_or_none()
    if scope is None:
        raise NoTenantError("no tenant in context: open tenant_scope(tenant_id, ...) first")
    return scope


class tenant_scope:
    """Serve one tenant inside the block: `with tenant_scope(tenant, actor=.., trace_id=..):`.

    In a generator the scope holds while the generator runs; whoever consumes it keeps their
    own. Raises NestedTenantError when a transaction of another tenant is open in this thread.

    A function, a generator's or a coroutine's too, may be decorated with it: what runs of it runs
    inside. Raises TypeError where that cannot be, see `propagate`.
    """

    def __init__(self, tenant_id: TenantId | uuid.UUID, *, actor: str, trace_id: str) -> None:
        self._scope = Scope(TenantId(tenant_id), actor, trace_id)
        self._opened: _Entry | None = None

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return the function with a scope like this one around each call."""
        return _inside(self._scope, function)

    def __enter__(self) -> Scope:
        if self._opened is not None:
            raise RuntimeError("this tenant_scope was opened before: make another")
        tenant_id = self._scope.tenant_id
        for open_tenant in _transactions.tenants:
            if open_tenant != tenant_id:
                raise NestedTenantError(
                    f"cannot open the scope of tenant {tenant_id}: a transaction of "
                    f"{'tenant ' + str(open_tenant) if open_tenant else 'no tenant'} is open"
                )
        below = _entry.get()
        while below is not None and not below.is_open:
            below = below.below
        entry = _Entry(self._scope, below, _generator_of(sys._getframe(1)))
        self._opened = entry
        _entry.set(entry)
        return self._scope

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        entry = self._opened
        if entry is None:
            return
        entry.is_open = False
        entry.generator = None
        if _entry.get() is entry:
            _entry.set(entry.below)


def _generator_of(frame: FrameType | None) -> FrameType | None:
    """Return the frame of the generator whose block this is, or None.

    Generators that are context managers, or fixtures of pytest, are looked through: their
    block is their user's.
    """
    while frame is not None and frame.f_code.co_flags & _GENERATOR:
        caller = frame.f_back
        driver = None if caller is None else caller.f_globals.get("__name__")
        if driver not in ("contextlib", "_pytest.fixtures"):
            return frame
        frame = caller.f_back if caller is not None else None
    return None


_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _depth(generator: FrameType) -> int | None:
    """How many calls a generator is away on this thread's stack; None while it is suspended."""
    depth = 0
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame is generator:
            return depth
        frame, depth = frame.f_back, depth + 1
    return None


def _forget() -> None:
    """A forked process serves nobody until it is told whom: the block is its parent's, and so is
    the transaction that is open."""
    entry = _entry.get()
    while entry is not None:
        entry.is_open = False
        entry = entry.below
    _entry.set(None)
    _transactions.tenants = []


# By name, so that `make mutants` can take it away.
os.register_at_fork(after_in_child=lambda: _forget())  # noqa: PLW0108


def propagate(function: Callable[P, R]) -> Callable[P, R]:
    """Carry the scope in force now over to wherever `function` is called later.

    Threads, pools and forked processes start without a scope; this is the one deliberate way to
    give them one. Of a generator's or a coroutine's function the body runs under it, whoever
    resumes it.

    Raises TypeError for an asynchronous generator's function; what is returned raises it where
    `function` returns a generator or coroutine, whose body would run under its consumer's scope.
    """
    return _inside(current_scope(), function)


def _inside(scope: Scope, function: Callable[P, R]) -> Callable[P, R]:
    def opened() -> tenant_scope:
        return tenant_scope(scope.tenant_id, actor=scope.actor, trace_id=scope.trace_id)

    # Each is typed as what it wraps: that it is called alike is all that callers know of it.
    carried: Any
    if inspect.isasyncgenfunction(function):
        raise TypeError(f"{function!r} is an asynchronous generator: open the scope inside of it")
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def carried(*args: Any, **kwargs: Any) -> Any:
            with opened():
                return await function(*args, **kwargs)

    elif inspect.isgeneratorfunction(function):

        @wraps(function)
        def carried(*args: Any, **kwargs: Any) -> Any:
            with opened():
                return (yield from function(*args, **kwargs))

    else:

        @wraps(function)
        def carried(*args: Any, **kwargs: Any) -> Any:
            with opened():
                result: Any = function(*args, **kwargs)
            if isinstance(result, _LATER):
                if not isinstance(result, AsyncGeneratorType):
                    result.close()
                raise TypeError(
                    f"{function!r} returns a {type(result).__name__}, whose body would run under "
                    "its consumer's scope: open the scope inside of it"
                )
            return result

    return carried  # type: ignore[no-any-return]


_LATER = (GeneratorType, CoroutineType, AsyncGeneratorType)


def require_transaction_of(tenant_id: TenantId) -> None:
    """Raise NestedTenantError where the transaction open in this thread is another tenant's."""
    if _transactions.tenants and _transactions.tenants[-1] != tenant_id:
        raise NestedTenantError(
            f"tenant {tenant_id}: the transaction that is open belongs to "
            f"{_transactions.tenants[-1] or 'no tenant'}"
        )


@contextmanager
def open_transaction(tenant_id: TenantId | None) -> Iterator[None]:
    """Mark a transaction of `tenant_id` as open in this thread (called by the connections)."""
    enter_transaction(tenant_id)
    try:
        yield
    finally:
        leave_transaction()


def enter_transaction(tenant_id: TenantId | None) -> None:
    """Begin of `open_transaction`, for callers whose end is not lexical (peewee's BEGIN)."""
    _transactions.tenants.append(tenant_id)


def leave_transaction() -> None:
    """End of `open_transaction`."""
    _transactions.tenants.pop()
