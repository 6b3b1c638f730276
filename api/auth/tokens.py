"""API tokens: `tnr_` and 256 random bits, known to the database by their SHA-256 alone.

Looked up with every request, in one round trip: a revoked token ends at once.
"""

from __future__ import annotations

import re
import uuid

from api.auth.principal import Principal
from tenants.connections import RoleConnections
from tenants.context import TenantId
from tenants.registry import TOKEN_PREFIX, token_digest

_TOKEN = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{43,200}}")


def resolve_token(app: RoleConnections, token: str) -> Principal | None:
    """Return whose token this is; None for one that is unknown, revoked or expired."""
    if not _TOKEN.fullmatch(token):
        return None
    # Autocommit, outside of any tenant: the function answers for one digest.
    with app.pool.connection(tidy=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT tenant_id::text, login_id::text, role FROM tenure.resolve_token(%s)",
            (token_digest(token),),
        )
        row = cursor.fetchone()
    if row is None:
        return None
    tenant_id, login_id, role = row
    return Principal(
        login_id=uuid.UUID(login_id),
        tenant_id=TenantId(uuid.UUID(tenant_id)),
        role=role,
        is_auditor=False,
        via="token",
    )
