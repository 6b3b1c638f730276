"""Receipts of offboardings: `tnc_` and 256 random bits; the database knows their SHA-256 alone.

Whoever asks for an offboarding is given one. It reads that offboarding, and its certificate, when
nobody of the tenant has access any more; it is no token, and serves for nothing else.
"""

from __future__ import annotations

import re
import secrets
from uuid import UUID

from tenants.connections import RoleConnections
from tenants.context import TenantId
from tenants.registry import token_digest

PREFIX = "tnc_"
_RECEIPT = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


def new_receipt() -> tuple[str, bytes]:
    """Return a receipt, and what is stored of it."""
    receipt = PREFIX + secrets.token_urlsafe(32)
    return receipt, token_digest(receipt)


def resolve_receipt(app: RoleConnections, receipt: str) -> tuple[TenantId, UUID] | None:
    """Return the tenant and the offboarding that this is a receipt of; None for none."""
    if not _RECEIPT.fullmatch(receipt):
        return None
    # Autocommit, outside of any tenant: the function answers for one digest.
    with app.pool.connection(tidy=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT tenant_id::text, offboarding_id::text FROM tenure.resolve_receipt(%s)",
            (token_digest(receipt),),
        )
        row = cursor.fetchone()
    return None if row is None else (TenantId(UUID(row[0])), UUID(row[1]))
