"""One state of the evidence, read as tenure_auditor, or as tenure_app for one tenant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId


@contextmanager
def snapshot(connections: RoleConnections, tenant_id: TenantId | None = None) -> Iterator[Cursor]:
    """Yield a cursor in a REPEATABLE READ, READ ONLY transaction: tenure_auditor's under no tenant,
    or tenure_app's under one, whose rows are all that it sees.

    All that is read through it is of one moment, so figures beside each other agree.
    """
    with connections.transaction(tenant_id, isolation="REPEATABLE READ", read_only=True) as cursor:
        yield cursor
