"""A connection pool: a semaphore and a stack.

Invariant: nothing passes from one borrower to the next. What a session can keep beyond its
transaction (a setting, a cursor WITH HOLD, LISTEN, a prepared statement, an advisory lock) goes
with a DISCARD ALL at check-in, a round trip of its own; it is left out only when the borrower
vouches, by `connection.tidy`, that all it sent leaves nothing.

Last in, first out keeps few connections warm. A free connection is handed out without a
round trip: psycopg2 knows whether it is closed, and only one that has rested for longer
than `probe_after_s` is probed. Callers wait at most `timeout_s`. Connections of a parent
process are never used after a fork.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import psycopg2
from psycopg2 import extensions

from tenants.errors import PoolClosedError, PoolTimeoutError


class Connection(extensions.connection):
    """A connection of the pool.

    `tidy` is the borrower's word that nothing it sent outlives its transaction.
    """

    tidy: bool = False
    good_until: float = 0.0


@dataclass(frozen=True)
class Limits:
    """How long, in seconds: callers wait; a connection rests unprobed, rests, and lives."""

    timeout_s: float = 10.0
    probe_after_s: float = 30.0
    max_idle_s: float = 600.0
    max_lifetime_s: float = 3600.0


class Pool:
    """At most `size` connections to `dsn`, in autocommit mode.

    A callable `dsn` is asked at the first connection: who never connects needs no password.
    Without `discards` nobody clears a session (a pooler behind us does, see
    docs/operator.md). `options` are passed to psycopg2.connect.
    """

    def __init__(
        self,
        dsn: str | Callable[[], str],
        *,
        size: int = 8,
        limits: Limits = Limits(),
        discards: bool = True,
        **options: Any,
    ) -> None:
        if size < 1:
            raise ValueError(f"pool size must be at least 1, got {size}")
        self._dsn = dsn
        self._options = options
        self.size = size
        self._limits = limits
        self._discards = discards
        self._closed = False
        self._forget()
        _pools.add(self)

    def _forget(self) -> None:
        # The oldest rest is at the left. Appending and popping are atomic, as with the set.
        self._free: deque[tuple[Connection, float]] = deque()
        self._lent: set[Connection] = set()
        self._slots = threading.Semaphore(self.size)
        self._lock = threading.Lock()
        self.waiting = 0

    @property
    def idle(self) -> int:
        """Connections that rest in the pool."""
        return len(self._free)

    @property
    def in_use(self) -> int:
        """Connections that are lent."""
        return len(self._lent)

    def acquire(self) -> Connection:
        """Return a usable connection.

        Raises PoolTimeoutError after the pool's timeout, and PoolClosedError once it is closed.
        """
        if self._closed:
            raise PoolClosedError("this connection pool is closed")
        if not self._slots.acquire(blocking=False):
            self._wait()
        try:
            connection = self._reuse() or self._connect()
        except BaseException:
            self._slots.release()
            raise
        connection.tidy = False
        self._lent.add(connection)
        return connection

    def _wait(self) -> None:
        with self._lock:
            self.waiting += 1
        try:
            if not self._slots.acquire(timeout=self._limits.timeout_s):
                raise PoolTimeoutError(
                    f"no database connection became free within {self._limits.timeout_s:g} s "
                    f"(pool of {self.size})"
                )
        finally:
            with self._lock:
                self.waiting -= 1

    def _reuse(self) -> Connection | None:
        while True:
            try:
                connection, since = self._free.pop()
            except IndexError:
                return None
            if connection.closed:
                continue
            now = time.monotonic()
            if now < connection.good_until and (
                now - since < self._limits.probe_after_s or _answers(connection)
            ):
                return connection
            connection.close()

    def _connect(self) -> Connection:
        if callable(self._dsn):
            self._dsn = self._dsn()
        made: Connection = psycopg2.connect(
            self._dsn, connection_factory=Connection, **self._options
        )
        made.autocommit = True
        # Not all at once: connections that were made together would end together.
        made.good_until = time.monotonic() + self._limits.max_lifetime_s * random.uniform(0.9, 1)  # noqa: S311 - no secret
        return made

    def release(self, connection: Connection) -> None:
        """Take a connection back; one that is broken or in a failed state is closed.

        One that is not lent is left alone: it has come back before, or it is the parent process's.
        """
        if connection not in self._lent:
            return
        try:
            if not (connection.closed or self._closed) and self._cleared(connection):
                self._free.append((connection, time.monotonic()))
            else:
                connection.close()
            if self._closed:
                # Meanwhile, perhaps.
                self._close_all()
            else:
                self._close_the_rested()
        finally:
            self._lent.discard(connection)
            self._slots.release()

    def _cleared(self, connection: Connection) -> bool:
        """Roll back and discard what a borrower left; tell whether the session can serve again."""
        status = connection.get_transaction_status()
        discards = self._discards and not connection.tidy
        if status == extensions.TRANSACTION_STATUS_IDLE and not discards:
            return True
        try:
            with connection.cursor() as cursor:
                if status in (
                    extensions.TRANSACTION_STATUS_INTRANS,
                    extensions.TRANSACTION_STATUS_INERROR,
                ):
                    cursor.execute("ROLLBACK")
                if discards:
                    cursor.execute("DISCARD ALL")
                    connection.notifies.clear()
        except psycopg2.Error:
            return False
        return connection.get_transaction_status() == extensions.TRANSACTION_STATUS_IDLE

    def _close_the_rested(self) -> None:
        """Close what has rested too long: under little load the stack's bottom never moves."""
        deadline = time.monotonic() - self._limits.max_idle_s
        while self._free and self._free[0][1] < deadline:
            try:
                connection, since = self._free.popleft()
            except IndexError:
                return
            if since < deadline:
                connection.close()
            else:
                # Another thread had the old one; this is a fresh one, and the order is no matter.
                self._free.append((connection, since))

    @contextmanager
    def connection(self, *, tidy: bool = False) -> Iterator[Connection]:
        """Borrow a connection for the block.

        With `tidy` the borrower vouches that nothing it sends outlives its transaction.
        """
        connection = self.acquire()
        connection.tidy = tidy
        try:
            yield connection
        finally:
            self.release(connection)

    def close(self) -> None:
        """Close the connections that rest, and those in use as they come back; lend no more."""
        self._closed = True
        self._close_all()

    def _close_all(self) -> None:
        while True:
            try:
                connection, _ = self._free.pop()
            except IndexError:
                return
            connection.close()


def _answers(connection: Connection) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error:
        return False
    return True


_pools: WeakSet[Pool] = WeakSet()


def _forget_parents() -> None:
    """A forked process has connections of its own, before any of its threads asks for one.

    The parent's sockets are left alone: closing them here would end its sessions.
    """
    for pool in _pools:
        pool._forget()


# By name, so that `make mutants` can take it away.
os.register_at_fork(after_in_child=lambda: _forget_parents())  # noqa: PLW0108
