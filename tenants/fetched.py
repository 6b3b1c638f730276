"""Rows as they are handed out: what a driver's cursor has, without what it can execute.

Those of a lone statement are all on the client before its connection goes back to the pool: a
driver's cursor answers only while its connection is open, and by then the connection is another
borrower's, who may find it broken and close it. Those of a transaction are read as they are
asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


class FetchedRows:
    """What peewee asks of a cursor: `description`, `rowcount`, `fetchone()`, `fetchall()`."""

    def __init__(self, cursor: Any) -> None:
        self.description = cursor.description
        self.rowcount: int = cursor.rowcount
        self._rows: Iterator[Any] = iter(cursor.fetchall() if cursor.description else ())
        cursor.close()

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def close(self) -> None:
        """Forget the rows that are left."""
        self._rows = iter(())


class OpenRows:
    """The same of a cursor that stays open: in a transaction."""

    __slots__ = ("close", "description", "fetchall", "fetchone", "rowcount")

    def __init__(self, cursor: Any) -> None:
        self.description = cursor.description
        self.rowcount: int = cursor.rowcount
        # The driver's own, as one is called for each row.
        self.fetchone = cursor.fetchone
        self.fetchall = cursor.fetchall
        self.close = cursor.close

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchone, None)


class TenantRows:
    """Rows of raw SQL; `require` raises where they are somebody else's by now.

    What query trees return is asked for in peewee's own place (`kept_rows`).
    """

    def __init__(self, rows: Any, require: Callable[[], None]) -> None:
        self.description = rows.description
        self.rowcount: int = rows.rowcount
        self._rows = rows
        self._require = require

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        self._require()
        return self._rows.fetchone()

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        self._require()
        rows: list[Any] = self._rows.fetchall()
        return rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchone, None)

    def close(self) -> None:
        """Forget the rows that are left."""
        self._rows.close()


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
