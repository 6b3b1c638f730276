"""peewee's database for the application's role: scoped, pooled, one round trip.

The connection of a lone statement goes back to the pool as soon as its rows are on the
client; a transaction keeps one until it ends.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

import peewee
from peewee import __exception_wrapper__  # type: ignore[attr-defined]  # not in the stubs
from psycopg2.extensions import AsIs

from tenants.catalog import Catalog, Kind, TableName
from tenants.connections import RoleConnections
from tenants.context import (
    TenantId,
    current_scope,
    enter_transaction,
    leave_transaction,
    scope_or_none,
)
from tenants.errors import CatalogError, UnprovenSqlError, UnscopableError
from tenants.scoping import ScopedContext

#: Takes SQL; returns None when it is proven scoped to the current tenant, or what is missing.
Prover = Callable[[str], str | None]

_SAVEPOINT = re.compile(r'(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) "s[0-9a-f]{32}";')
# What touches the session (SET, LISTEN, ..) reads no table, and a proof would say nothing of it.
_QUERY = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE|MERGE|VALUES)\b", re.IGNORECASE)


class _KeptRows:
    """A query's kept rows: there for the tenant under whom it ran, and for no other.

    peewee keeps the rows in the query and does not ask the database again. A query that
    outlives a request must not serve them to the next tenant.
    """

    def __get__(self, query: Any, _owner: Any = None) -> Any:
        if query is None:
            return self
        tenant, rows = query.__dict__.get("_kept_rows", (None, None))
        return rows if tenant == _tenant_or_none() else None

    def __set__(self, query: Any, rows: Any) -> None:
        query.__dict__["_kept_rows"] = (_tenant_or_none(), rows)


# In peewee's own base class, because every kind of query keeps rows: unions, aliases, raw
# ones, writes that return rows. Outside of any tenant nothing changes.
peewee.BaseQuery._cursor_wrapper = _KeptRows()  # type: ignore[attr-defined]  # not in the stubs


def _tenant_or_none() -> TenantId | None:
    scope = scope_or_none()
    return None if scope is None else scope.tenant_id


def _refuse_verbatim(params: Any) -> None:
    """Raise UnprovenSqlError for a value that the driver would write as it is, unquoted."""
    for value in params.values() if isinstance(params, Mapping) else params or ():
        if isinstance(value, AsIs):
            raise UnprovenSqlError(f"raw SQL is refused: it came as a value, {value}")
        if isinstance(value, list | tuple):
            _refuse_verbatim(value)


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
        self._prove = prove
        self._thread = threading.local()
        super().__init__("tenure")

    # -- compiling ---------------------------------------------------------------------

    def kind_of(self, path: tuple[str, ...]) -> Kind | None:
        """Return whether the table at (schema, name) is a tenant's; None if unknown."""
        if len(path) != 2:
            return None
        try:
            return self.catalog.table(TableName(*path)).kind
        except CatalogError:
            return None

    def get_sql_context(self, **options: Any) -> Any:
        """Return a compiler for the tenant in context."""
        scope = scope_or_none()
        return super().get_sql_context(
            tenant_id=scope.tenant_id if scope is not None else None,
            kind_of=self.kind_of,
            **options,
        )

    def execute(self, query: Any, **options: Any) -> Any:
        """Compile a query tree for the tenant in context, and run it."""
        tenant_id = current_scope().tenant_id
        context = self.get_sql_context(**options)
        sql, params = context.sql(query).query()
        if context.fragments:
            # The values are taken out of the text, so that the tenant shows as its source.
            source = self.get_sql_context(tenant_as_source=True, **options)
            self._require_proof(source.sql(query).query()[0])
        return self._run(sql, params, tenant_id)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run raw SQL if it is proven scoped; raises UnprovenSqlError otherwise."""
        tenant_id = current_scope().tenant_id
        if _SAVEPOINT.fullmatch(sql) is None:
            self._require_proof(sql)
        return self._run(sql, params, tenant_id)

    def _require_proof(self, sql: str) -> None:
        if _QUERY.match(sql) is None:
            missing: str | None = "it is no query"
        else:
            missing = "no prover is wired" if self._prove is None else self._prove(sql)
        if missing is not None:
            raise UnprovenSqlError(f"raw SQL is refused: {missing}. Statement: {sql}")

    # -- running -----------------------------------------------------------------------

    def _run(self, sql: str, params: Any, tenant_id: TenantId) -> Any:
        _refuse_verbatim(params)
        lone = self.is_closed()
        if lone:
            self.connect()
        try:
            if not self.in_transaction():
                token = self.connections.context_statement(self._state.conn, tenant_id)
                sql = f"{token}; {sql}"
            return self._execute_cursor(sql, params)
        finally:
            if lone:
                # The rows are on the client: the cursor outlives the loan.
                self.close()

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Borrow a connection for this thread."""
        if not self.is_closed():
            if reuse_if_open:
                return False
            raise peewee.OperationalError("Connection already opened.")
        with __exception_wrapper__:
            self._state.set_connection(self.connections.pool.acquire())
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

    # -- transactions ------------------------------------------------------------------

    def begin(self, isolation_level: str | None = None) -> None:
        """BEGIN, with the tenant in the same message."""
        tenant_id = current_scope().tenant_id
        if self.is_closed():
            self.connect()
        try:
            connection = self._state.conn
            level = f" ISOLATION LEVEL {self._level(isolation_level)}" if isolation_level else ""
            begin = f"BEGIN{level}; {self.connections.context_statement(connection, tenant_id)}"
            with __exception_wrapper__:
                connection.cursor().execute(begin)
        except BaseException:
            if not self.in_transaction():
                self.close()
            raise
        enter_transaction(tenant_id)
        self._thread.entered = True

    @staticmethod
    def _level(name: str) -> str:
        level = name.upper()
        if level not in ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"):
            raise ValueError(f"unknown isolation level {name!r}")
        return level

    def commit(self) -> None:
        """COMMIT; the tenant leaves the database with it."""
        self._leave()
        super().commit()

    def rollback(self) -> None:
        """ROLLBACK; the tenant leaves the database with it."""
        self._leave()
        super().rollback()

    def _leave(self) -> None:
        if getattr(self._thread, "entered", False):
            self._thread.entered = False
            leave_transaction()

    def transaction(self, *args: Any, **kwargs: Any) -> Any:
        """Return a transaction that gives its connection back when it ends."""
        return _Transaction(self, *args, **kwargs)

    def manual_commit(self) -> Any:
        """Refused: the context rides on BEGIN, which must not be sent by hand."""
        raise UnscopableError("manual_commit() is not available: use atomic()")


class _Transaction(peewee._transaction):
    db: TenantDatabase

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        outermost = self.db.transaction_depth() == 1
        try:
            super().__exit__(exc_type, exc_val, exc_tb)
        finally:
            if outermost:
                self.db._leave()
                self.db.close()
