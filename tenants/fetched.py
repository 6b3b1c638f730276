"""Rows as they are handed out: what a driver's cursor has, without what it can execute.

Those of a lone statement are all on the client before its connection goes back to the pool: a
driver's cursor answers only while its connection is open, and by then the connection is another
borrower's, who may find it broken and close it. Those of a transaction stay with its cursor, and
are read as they are asked for. Both are handed out as `TenantRows`, which know whose they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tenants.context import TenantId, scope_or_none
from tenants.errors import NoTenantError, TenantMismatchError


class FetchedRows:
    """What peewee asks of a cursor: `description`, `rowcount`, `fetchone()`, `fetchall()`."""

    def __init__(self, cursor: Any) -> None:
        self.description = cursor.description
        self.rowcount: int = cursor.rowcount
        self._rows: Iterator[Any] = iter(cursor.fetchall() if cursor.description else ())
        # In C, as one is called for each row.
        self.fetchone = partial(next, self._rows, None)
        cursor.close()

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def close(self) -> None:
        """Forget the rows that are left."""
        self._rows = iter(())
        self.fetchone = partial(next, self._rows, None)


class TenantRows:
    """Rows of either kind, for who asks under the tenant whose they are.

    Another gets TenantMismatchError, and outside of any scope it is NoTenantError.
    """

    __slots__ = ("_fetchone", "_rows", "_tenant_id", "description", "rowcount")

    def __init__(self, rows: Any, tenant_id: TenantId) -> None:
        self.description = rows.description
        self.rowcount: int = rows.rowcount
        self._rows = rows
        self._fetchone = rows.fetchone
        self._tenant_id = tenant_id

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        # By identity first, which is nearly always enough: this is called for each row.
        scope = scope_or_none()
        if scope is None or scope.tenant_id is not self._tenant_id:
            require_rows_of(self._tenant_id)
        return self._fetchone()

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        require_rows_of(self._tenant_id)
        rows: list[Any] = self._rows.fetchall()
        return rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchone, None)

    def close(self) -> None:
        """Forget the rows that are left."""
        self._rows.close()


def require_rows_of(tenant_id: TenantId | None) -> None:
    """Raise unless rows that were read under `tenant_id` may be handed out now.

    What was read under none, by another database of peewee's, is nobody's and everybody's.
    """
    scope = scope_or_none()
    if tenant_id is None or (scope is not None and scope.tenant_id == tenant_id):
        return
    if scope is None:
        raise NoTenantError(f"rows of tenant {tenant_id} were left; no tenant is in context")
    raise TenantMismatchError(
        f"rows of tenant {tenant_id} were left; the scope is {scope.tenant_id}'s"
    )


class WatchedCursor:
    """A cursor for who wants one: `run` says whether a statement is sent, and has its rows."""

    description: Any = None
    rowcount = -1

    def __init__(self, run: Callable[[str, Any], Any]) -> None:
        self._run = run
        self._rows: Any = ()

    def execute(self, sql: str, params: Any = None) -> None:
        """Run a statement; raises what `run` raises where it is not sent."""
        self._rows = self._run(sql, params)
        self.description, self.rowcount = self._rows.description, self._rows.rowcount

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(iter(self._rows), None)

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def close(self) -> None:
        """Forget the rows that are left."""
        self._rows = ()
