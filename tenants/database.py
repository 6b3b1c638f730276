"""peewee's database for the application's role: scoped, pooled, one round trip.

The connection of a lone statement goes back to the pool as soon as its rows are on the
client; a transaction keeps one until it ends.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakSet

import peewee
from peewee import __exception_wrapper__  # type: ignore[attr-defined]  # not in the stubs

from tenants import kept_rows
from tenants.catalog import Catalog, Kind
from tenants.comments import comment_for_driver, trace_in_force
from tenants.connections import RoleConnections
from tenants.context import (
    TenantId,
    current_scope,
    enter_transaction,
    leave_transaction,
    require_transaction_of,
    scope_or_none,
)
from tenants.errors import UnprovenSqlError, UnscopableError
from tenants.fetched import FetchedRows, TenantRows, WatchedCursor
from tenants.parameters import refuse_quoted_places, refuse_verbatim, require_place
from tenants.residue import is_query, leaves_nothing
from tenants.scoping import ScopedContext
from tenants.server_side import ServerCursor
from tenants.transactions import Atomic, Transaction

R = TypeVar("R")
#: Takes SQL; returns None when it is proven scoped to the current tenant, or what is missing.
Prover = Callable[[str], str | None]

_SAVEPOINT = re.compile(r'(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) "s[0-9a-f]{32}";')

# What `cursor` is asked for by `_run`, whose statement carries its tenant.
_OF_A_STATEMENT = object()

kept_rows.guard()


class TenantDatabase(peewee.PostgresqlDatabase):
    """Runs queries as the connections' role, under the tenant in context.

    `prove` decides over raw SQL; without it all raw SQL is refused.
    """

    context_class = ScopedContext
    # Of peewee's own, but not in its stubs.
    _state: Any
    _execute_cursor: Callable[..., Any]

    def __init__(
        self,
        connections: RoleConnections,
        catalog: Catalog,
        *,
        prove: Prover | None = None,
    ) -> None:
        self.connections = connections
        self.catalog = catalog
        self._kinds: dict[tuple[str, ...], Kind] = {
            (t.name.schema, t.name.name): t.kind for t in catalog
        }
        self._prove = prove
        self._thread = threading.local()
        super().__init__("tenure")
        _databases.add(self)

    # -- compiling ---------------------------------------------------------------------

    def kind_of(self, path: tuple[str, ...]) -> Kind | None:
        """Return whether the table at (schema, name) is a tenant's; None if unknown."""
        return self._kinds.get(path)

    def get_sql_context(self, **options: Any) -> Any:
        """Return a compiler for the tenant in context."""
        scope = scope_or_none()
        return super().get_sql_context(
            tenant_id=scope.tenant_id if scope is not None else None,
            kind_of=self.kind_of,
            **options,
        )

    def execute(self, query: Any, **options: Any) -> Any:
        """Compile a query tree for the tenant in context, and run it.

        With `named_cursor` (playhouse's ServerSide) the rows stay on the server until they
        are read, which takes a transaction; `array_size` of them come at a time.

        Its rows are read under the same tenant: TenantMismatchError under another, NoTenantError
        under none.
        """
        tenant_id = current_scope().tenant_id
        on_server = options.pop("named_cursor", False)
        batch = options.pop("array_size", None)
        context = self.get_sql_context(**options)
        sql, params = context.sql(query).query()
        if context.fragments:
            # The values are taken out of the text, so that the tenant shows as its source.
            source = self.get_sql_context(tenant_as_source=True, **options)
            self._require_proof(source.sql(query).query()[0])
        else:
            require_place(sql, params)
        if on_server:
            return TenantRows(self._declare(sql, params, tenant_id, batch), tenant_id)
        return TenantRows(self._run(sql, params, tenant_id), tenant_id)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run raw SQL if it is proven scoped; raises UnprovenSqlError otherwise.

        Its rows are read under the same tenant, as those of `execute`.
        """
        tenant_id = current_scope().tenant_id
        if _SAVEPOINT.fullmatch(sql) is None:
            self._require_proof(sql)
        return TenantRows(self._run(sql, params, tenant_id), tenant_id)

    def _require_proof(self, sql: str) -> None:
        # What touches the session reads no table, and a proof would say nothing of it.
        if not is_query(sql):
            missing: str | None = "it is no query"
        else:
            refuse_quoted_places(sql)
            missing = "no prover is wired" if self._prove is None else self._prove(sql)
        if missing is not None:
            raise UnprovenSqlError(f"raw SQL is refused: {missing}. Statement: {sql}")

    # -- running -----------------------------------------------------------------------

    def _run(self, sql: str, params: Any, tenant_id: TenantId) -> Any:
        refuse_verbatim(params)
        lone = self.is_closed()
        if lone:
            self.connect()
        try:
            sql = self._watched(sql)
            if not self.in_transaction():
                sql = self.connections.before_statement(self._state.conn, tenant_id) + sql
            else:
                require_transaction_of(tenant_id)
            cursor = self._execute_cursor(sql, params, named_cursor=_OF_A_STATEMENT)
            return FetchedRows(cursor) if lone else cursor
        finally:
            if lone:
                self.close()

    def _declare(self, sql: str, params: Any, tenant_id: TenantId, batch: int | None) -> Any:
        if not self.in_transaction():
            raise UnscopableError("a server-side cursor needs a transaction: use atomic()")
        require_transaction_of(tenant_id)
        refuse_verbatim(params)
        outermost = self._state.transactions[0]
        with __exception_wrapper__:
            return ServerCursor(
                self._state.conn,
                self._watched(sql),
                params,
                batch=batch,
                alive=lambda: self.in_transaction() and self._state.transactions[0] is outermost,
            )

    def _watched(self, sql: str) -> str:
        """Note what the session may keep of a statement; return it with the trace at its end."""
        if not leaves_nothing(sql):
            self._state.conn.tidy = False
        return sql + comment_for_driver(trace_in_force()) if self.connections.comments else sql

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Borrow a connection for this thread."""
        if not self.is_closed():
            if reuse_if_open:
                return False
            raise peewee.OperationalError("Connection already opened.")
        with __exception_wrapper__:
            connection = self.connections.pool.acquire()
        # What a query tree compiles to leaves nothing behind, unless `_watched` says so.
        connection.tidy = True
        self._state.set_connection(connection)
        return True

    def close(self) -> bool:
        """Give this thread's connection back."""
        if self.in_transaction():
            raise peewee.OperationalError("Attempting to close database while transaction is open.")
        if self.is_closed():
            return False
        connection = self._state.conn
        self._state.reset()
        self.connections.pool.release(connection)
        return True

    # -- what a driver has ---------------------------------------------------------------

    def cursor(self, named_cursor: Any = None, *, vouched: bool = False) -> Any:
        """Return a cursor whose statements go the way of `execute_sql`, in the open transaction.

        Raises UnscopableError outside of one: rows would be left on a connection that is somebody
        else's by then. A named one would outlive its tenant: ask for a ServerSide query.

        `vouched` is for parts of the product that send what is known to be the tenant's own and to
        leave nothing in its session: nobody looks at it, and the cursor is the driver's. Raises
        NestedTenantError where the transaction is not that of the tenant in context.
        """
        if named_cursor is _OF_A_STATEMENT:
            return self._state.conn.cursor()
        if named_cursor is not None or not self.in_transaction():
            raise UnscopableError("a cursor needs a transaction, and no name: use atomic()")
        if not vouched:
            return WatchedCursor(self.execute_sql)
        require_transaction_of(current_scope().tenant_id)
        return self._state.conn.cursor()

    def connection(self) -> Any:
        """Refused: what is sent on a driver's connection passes no gate."""
        raise UnscopableError("the driver's connection is not handed out: use execute_sql()")

    # -- transactions ------------------------------------------------------------------

    def begin(self, begun: str | None = None) -> None:
        """BEGIN (see `begin_statement`), with the tenant in the same message."""
        tenant_id = current_scope().tenant_id
        if self.is_closed():
            self.connect()
        try:
            connection = self._state.conn
            context = self.connections.in_transaction(connection, tenant_id)
            with __exception_wrapper__:
                connection.cursor().execute(f"{begun or 'BEGIN'}; {context}")
        except BaseException:
            if not self.in_transaction():
                self.close()
            raise
        enter_transaction(tenant_id)
        self._thread.entered = True

    def commit(self) -> None:
        """COMMIT; the tenant leaves the database with it."""
        self._send("COMMIT")

    def rollback(self) -> None:
        """ROLLBACK; the tenant leaves the database with it."""
        self._send("ROLLBACK")

    def _send(self, how: str) -> None:
        self._leave()
        if self.is_closed():
            raise peewee.InterfaceError(f"cannot {how}: no transaction is open")
        with __exception_wrapper__:
            # tenure: allow TS004 because it is one of the two words above
            self._state.conn.cursor().execute(how)

    def _leave(self) -> None:
        if getattr(self._thread, "entered", False):
            self._thread.entered = False
            leave_transaction()

    def end(self) -> None:
        """Leave the outermost transaction behind, however it ended."""
        self._leave()
        self.close()

    def outermost_transaction(self) -> Any:
        """Return the outermost of the transactions that are open in this thread."""
        return self._state.transactions[0]

    def transaction(
        self, isolation: str | None = None, *, read_only: bool = False, retries: int = 0
    ) -> Transaction:
        """Return a transaction, for a `with` block or as a decorator; see `tenants.transactions`.

        `isolation` is READ COMMITTED, REPEATABLE READ or SERIALIZABLE. A decorated function is
        repeated at most `retries` times when PostgreSQL breaks the transaction off because of
        another one (SQLSTATE 40001, 40P01): it must bear that.
        """
        return Transaction(self, isolation, read_only=read_only, retries=retries)

    def atomic(
        self, isolation: str | None = None, *, read_only: bool = False, retries: int = 0
    ) -> Atomic:
        """Return a `transaction`, or a savepoint inside one."""
        return Atomic(self, isolation, read_only=read_only, retries=retries)

    def run(
        self,
        work: Callable[[], R],
        *,
        isolation: str | None = None,
        read_only: bool = False,
        retries: int = 3,
    ) -> R:
        """Return `work()`, done in a transaction and repeated as `transaction` says."""
        asked = self.transaction(isolation, read_only=read_only, retries=retries)
        return asked.run(work)

    def manual_commit(self) -> Any:
        """Refused: the context rides on BEGIN, which must not be sent by hand."""
        raise UnscopableError("manual_commit() is not available: use atomic()")

    def session_start(self) -> Any:
        """Refused: a transaction ends with its block, and so before its tenant's scope."""
        raise UnscopableError("session_start() is not available: use atomic()")

    session_commit = session_rollback = session_start

    def _forget(self) -> None:
        """The transaction that was open in the forking thread is the parent's, and so is its
        connection: a statement sent on it here would be answered there."""
        self._state.reset()
        self._thread = threading.local()


_databases: WeakSet[TenantDatabase] = WeakSet()


def _forget_parents() -> None:
    for known in _databases:
        known._forget()


# By name, so that `make mutants` can take it away.
os.register_at_fork(after_in_child=lambda: _forget_parents())  # noqa: PLW0108
