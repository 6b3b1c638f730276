"""One state of the evidence, read as tenure_auditor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tenants.connections import Cursor, RoleConnections


@contextmanager
def snapshot(auditor: RoleConnections) -> Iterator[Cursor]:
    """Yield a cursor in a REPEATABLE READ, READ ONLY transaction under no tenant.

    All that is read through it is of one moment, so figures beside each other agree.
    """
    with auditor.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
        yield cursor
