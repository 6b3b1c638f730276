"""A seat at the desk: how the application, as tenure_app, does what says who did it.

It enters requests and decisions there, and makes copies of a person's data. Every transaction
begins with a seal over its tenant, its backend, its beginning and who acts. Without it tenure_app
writes nothing there, and under it it can write in nobody else's name (`tenure.desk_actor`,
migration 0020). What it may not do at all is plan, erase, complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from retention.errors import SeatError
from tenants.connections import Cursor, Isolation, RoleConnections
from tenants.context import TenantId

_WHERE_AND_WHEN = (
    "SELECT pg_backend_pid() || ':' || extract(epoch FROM transaction_timestamp())::text"
)
_SIT_DOWN = "SELECT pg_catalog.set_config('tenure.desk', %s, true)"


class Seat(RoleConnections):
    """tenure_app's connections, for one tenant and one actor.

    Its transactions are under that tenant, whether they name it or none; for another one they
    raise SeatError.
    """

    def __init__(self, app: RoleConnections, tenant_id: TenantId, actor: str) -> None:
        super().__init__(app.role, app.pool, app.sealer, comments=app.comments)
        self.on_retry = app.on_retry
        self.tenant_id = tenant_id
        self.actor = actor

    @contextmanager
    def transaction(
        self,
        tenant_id: TenantId | None,
        *,
        isolation: Isolation = "READ COMMITTED",
        read_only: bool = False,
        tidy: bool = False,
    ) -> Iterator[Cursor]:
        """Run the block in one transaction at the seat, see `RoleConnections.transaction`."""
        if tenant_id not in (None, self.tenant_id):
            raise SeatError("this seat is another tenant's")
        with super().transaction(
            self.tenant_id, isolation=isolation, read_only=read_only, tidy=tidy
        ) as cursor:
            cursor.execute(_WHERE_AND_WHEN)
            ((bound,),) = cursor.fetchall()
            seal = self.sealer.mac(f"desk:{self.tenant_id}:{bound}:{self.actor}")
            cursor.execute(_SIT_DOWN, (f"{self.actor}|{seal}",))
            yield cursor
