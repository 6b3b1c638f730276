"""The rows of a lone statement: all on the client before its connection goes back to the pool.

A driver's cursor answers only while its connection is open, and by then the connection is
another borrower's, who may find it broken and close it.
"""

from __future__ import annotations

from collections.abc import Iterator
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
