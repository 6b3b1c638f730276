"""peewee's transactions for a pool: they give their connection back, and can be repeated.

`database.transaction(isolation, read_only=.., retries=..)`, and `atomic(..)` likewise, is a
block or a decorator. A block cannot be run twice: only a decorated function is repeated, or one
that is given to `database.run(function, ..)`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import peewee

from tenants.connections import begin_statement
from tenants.errors import TransactionError
from tenants.retries import run_with_retries

R = TypeVar("R")


class Transaction(peewee._transaction):
    """A transaction of its own, or part of the one that is open.

    Raises ValueError for an unknown isolation level, TransactionError for a block that asks for
    `retries`, and inside another transaction for one that asks for what that is not.
    """

    db: Any

    def __init__(
        self,
        db: Any,
        isolation: str | None = None,
        *,
        read_only: bool = False,
        retries: int = 0,
    ) -> None:
        super().__init__(db, isolation, read_only=read_only, retries=retries)
        self.begun = begin_statement(isolation, read_only=read_only)
        self.isolation = isolation
        self.read_only = read_only
        self.retries = retries
        self._repeats = False

    def __call__(self, function: Callable[..., R]) -> Callable[..., R]:
        """Return the function with a transaction around each call."""

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> R:
            return self.run(lambda: function(*args, **kwargs))

        return inside

    def run(self, work: Callable[[], R]) -> R:
        """Return `work()`, repeated where this is the outermost transaction."""

        def attempt() -> R:
            fresh: Transaction = self._build_ctx()  # type: ignore[attr-defined]  # not in the stubs
            fresh._repeats = True
            with fresh:
                return work()

        if self.db.in_transaction():
            # What broke off the whole cannot be mended by repeating a part.
            return attempt()
        on_retry = self.db.connections.on_retry
        return run_with_retries(attempt, retries=self.retries, on_retry=on_retry)

    def check(self) -> None:
        """Raise TransactionError where a block cannot have what it asks for."""
        if self.retries and not self._repeats:
            raise TransactionError(
                "a block cannot be run again: give `retries` to a decorator, or to run(function)"
            )
        if (self.isolation or self.read_only) and self.db.in_transaction():
            outermost = self.db.outermost_transaction()
            if outermost.begun != self.begun:
                raise TransactionError(
                    f"this asks for {self.begun!r} inside a transaction that is {outermost.begun!r}"
                )

    def __enter__(self) -> Any:
        self.check()
        return super().__enter__()

    def _begin(self) -> None:
        self.db.begin(self.begun)

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        outermost = self.db.transaction_depth() == 1
        try:
            super().__exit__(exc_type, exc_val, exc_tb)
        finally:
            if outermost:
                self.db.end()


class Atomic(peewee._atomic):
    """A transaction, or a savepoint in the one that is open; what is asked for as there."""

    db: Any

    def __init__(self, db: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(db, *args, **kwargs)
        self._asked = Transaction(db, *args, **kwargs)

    def __call__(self, function: Callable[..., R]) -> Callable[..., R]:
        """Return the function with a transaction, or a savepoint, around each call."""

        @wraps(function)
        def inside(*args: Any, **kwargs: Any) -> R:
            if not self.db.in_transaction():
                return self._asked.run(lambda: function(*args, **kwargs))
            with Atomic(self.db, self._asked.isolation, read_only=self._asked.read_only):
                return function(*args, **kwargs)

        return inside

    def __enter__(self) -> Any:
        self._asked.check()
        return super().__enter__()


class DatabaseProxy(peewee.DatabaseProxy):
    """What models are bound to before there is a database; its transactions are ours as well.

    peewee's own would go round them: the connection would not come back, and nothing be repeated.
    """

    # peewee's Proxy lets nothing be set that its class does not list.
    __slots__ = ("_Model", "_callbacks", "obj")

    def transaction(self, *args: Any, **kwargs: Any) -> Transaction:
        """See `TenantDatabase.transaction`; may decorate before there is a database."""
        return Transaction(self, *args, **kwargs)

    def atomic(self, *args: Any, **kwargs: Any) -> Atomic:
        """See `TenantDatabase.atomic`; may decorate before there is a database."""
        return Atomic(self, *args, **kwargs)

    def manual_commit(self) -> Any:
        """Refused, as the database refuses it."""
        return self.obj.manual_commit()
