"""Who acts, for which tenant, under which trace: one context variable.

Opened at the edge (a request, a job, a command), read only by `tenants.connections`
(to tell the database) and by the scoping of queries. Contexts nest outside of
transactions; inside one, another tenant's scope is refused, because the database's
context belongs to the outermost transaction.
"""

from __future__ import annotations

import contextvars
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NewType, ParamSpec, TypeVar

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


_scope: contextvars.ContextVar[Scope | None] = contextvars.ContextVar("tenure_scope", default=None)


class _OpenTransactions(threading.local):
    """Tenants of the transactions open in this thread, outermost first."""

    def __init__(self) -> None:
        self.tenants: list[TenantId | None] = []


_transactions = _OpenTransactions()


def current_scope() -> Scope:
    """Return the scope in force.

    Raises NoTenantError when there is none: no tenant never means all tenants.
    """
    scope = _scope.get()
    if scope is None:
        raise NoTenantError("no tenant in context: open tenant_scope(tenant_id, ...) first")
    return scope


def scope_or_none() -> Scope | None:
    """Return the scope in force, or None outside of any."""
    return _scope.get()


@contextmanager
def tenant_scope(tenant_id: TenantId | uuid.UUID, *, actor: str, trace_id: str) -> Iterator[Scope]:
    """Serve one tenant inside the block.

    Raises NestedTenantError when a transaction of another tenant is open in this thread.
    """
    scope = Scope(TenantId(tenant_id), actor, trace_id)
    for open_tenant in _transactions.tenants:
        if open_tenant != scope.tenant_id:
            raise NestedTenantError(
                f"cannot open the scope of tenant {tenant_id}: a transaction of "
                f"{'tenant ' + str(open_tenant) if open_tenant else 'no tenant'} is open"
            )
    token = _scope.set(scope)
    try:
        yield scope
    finally:
        _scope.reset(token)


def propagate(function: Callable[P, R]) -> Callable[P, R]:
    """Carry the scope in force now over to wherever `function` is called later.

    Threads and pools start without a scope; this is the one deliberate way to give them one.
    """
    scope = current_scope()

    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        with tenant_scope(scope.tenant_id, actor=scope.actor, trace_id=scope.trace_id):
            return function(*args, **kwargs)

    return carried


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
