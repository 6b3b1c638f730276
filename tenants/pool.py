"""A connection pool: a semaphore and a stack.

Last in, first out keeps few connections warm. A free connection is handed out without a
round trip: psycopg2 knows whether it is closed, and only one that has rested for longer
than `probe_after_s` is probed. Callers wait at most `timeout_s`. Connections of a parent
process are never used after a fork.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import extensions

from tenants.errors import PoolTimeoutError

Connection = extensions.connection


class Pool:
    """At most `size` connections to `dsn`, in autocommit mode.

    A callable `dsn` is asked at the first connection: who never connects needs no password.

    `options` are passed to psycopg2.connect. Timeouts are in seconds.
    """

    def __init__(
        self,
        dsn: str | Callable[[], str],
        *,
        size: int = 8,
        timeout_s: float = 10.0,
        probe_after_s: float = 30.0,
        **options: Any,
    ) -> None:
        if size < 1:
            raise ValueError(f"pool size must be at least 1, got {size}")
        self._dsn = dsn
        self._options = options
        self.size = size
        self._timeout_s = timeout_s
        self._probe_after_s = probe_after_s
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._free: list[tuple[Connection, float]] = []
        self._slots = threading.Semaphore(self.size)
        self._lock = threading.Lock()
        self.waiting = 0
        self.in_use = 0

    @property
    def idle(self) -> int:
        """Connections that rest in the pool."""
        return len(self._free)

    def acquire(self) -> Connection:
        """Return a usable connection; raises PoolTimeoutError after the pool's timeout."""
        if self._pid != os.getpid():
            # The parent's sockets are left alone: closing them here would end its sessions.
            self._forget()
        with self._lock:
            self.waiting += 1
        try:
            if not self._slots.acquire(timeout=self._timeout_s):
                raise PoolTimeoutError(
                    f"no database connection became free within {self._timeout_s:g} s "
                    f"(pool of {self.size})"
                )
        finally:
            with self._lock:
                self.waiting -= 1
        try:
            connection = self._reuse() or self._connect()
        except BaseException:
            self._slots.release()
            raise
        with self._lock:
            self.in_use += 1
        return connection

    def _reuse(self) -> Connection | None:
        while True:
            try:
                connection, since = self._free.pop()
            except IndexError:
                return None
            if connection.closed:
                continue
            if time.monotonic() - since < self._probe_after_s or _answers(connection):
                return connection
            connection.close()

    def _connect(self) -> Connection:
        if callable(self._dsn):
            self._dsn = self._dsn()
        connection: Connection = psycopg2.connect(self._dsn, **self._options)
        connection.autocommit = True
        return connection

    def release(self, connection: Connection) -> None:
        """Take a connection back; one that is broken or in a failed state is closed."""
        if self._pid != os.getpid():
            return
        try:
            if not connection.closed and _is_idle(connection):
                self._free.append((connection, time.monotonic()))
            else:
                connection.close()
        finally:
            with self._lock:
                self.in_use -= 1
            self._slots.release()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Borrow a connection for the block."""
        connection = self.acquire()
        try:
            yield connection
        finally:
            self.release(connection)

    def close(self) -> None:
        """Close the connections that rest; those in use are closed by their users' release."""
        while self._free:
            self._free.pop()[0].close()


def _is_idle(connection: Connection) -> bool:
    """Roll back what a caller left open; tell whether the connection can serve again."""
    status = connection.get_transaction_status()
    if status in (extensions.TRANSACTION_STATUS_INTRANS, extensions.TRANSACTION_STATUS_INERROR):
        try:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")
        except psycopg2.Error:
            return False
        status = connection.get_transaction_status()
    return status == extensions.TRANSACTION_STATUS_IDLE


def _answers(connection: Connection) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error:
        return False
    return True
