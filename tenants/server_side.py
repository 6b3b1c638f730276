"""A cursor on the server: rows come in batches, inside the transaction whose BEGIN carried the
tenant. (psycopg2's own needs WITH HOLD here, and would outlive the transaction and the tenant.)
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from peewee import InterfaceError

BATCH_ROWS = 1000


class ServerCursor:
    """What peewee asks of a cursor that is read: `description`, `fetchone()`, `fetchall()`,
    `close()`.

    `connection` is in a transaction, `sql` reads. `alive` tells whether that transaction is
    still open in the calling thread: later the connection is somebody else's.
    """

    def __init__(
        self,
        connection: Any,
        sql: str,
        params: Any,
        *,
        batch: int | None,
        alive: Callable[[], bool],
    ) -> None:
        self._alive = alive
        self._name = f'"c{uuid.uuid4().hex}"'
        self._cursor = connection.cursor()
        # tenure: allow TS004 because the scoping compiled it, or the prover cleared it
        self._cursor.execute(f"DECLARE {self._name} NO SCROLL CURSOR FOR {sql}", params or ())
        self._fetch = f"FETCH FORWARD {int(batch or BATCH_ROWS)} FROM {self._name}"
        # tenure: allow TS004 because it fetches from the cursor above
        self._cursor.execute(self._fetch)
        self.rowcount = -1

    @property
    def description(self) -> Any:
        """The columns, as psycopg2 describes them."""
        return self._cursor.description

    def fetchone(self) -> Any:
        """Return the next row, or None; raises InterfaceError after the transaction's end."""
        if not self._alive():
            raise InterfaceError("the transaction of this server-side cursor has ended")
        row = self._cursor.fetchone()
        if row is None and self._cursor.rowcount > 0:
            # tenure: allow TS004 because it fetches from the cursor above
            self._cursor.execute(self._fetch)
            row = self._cursor.fetchone()
        return row

    def fetchall(self) -> list[Any]:
        """Return the rows that are left, all of them on the client."""
        return list(iter(self.fetchone, None))

    def close(self) -> None:
        """Close the cursor; the end of its transaction has done so before."""
        if not self._cursor.closed and self._alive():
            # tenure: allow TS004 because it closes the cursor above
            self._cursor.execute(f"CLOSE {self._name}")
            self._cursor.close()
