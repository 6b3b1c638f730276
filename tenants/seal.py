"""The client's half of the sealed context.

`tenure.set_tenant(token)` accepts a tenant only with proof that the caller holds the
installation's context key, so SQL injected under the application's role cannot name
another tenant. The token is bound to the backend's process id, so that one that was seen
(in a log, in pg_stat_activity) does not serve elsewhere, and accepted only where a message
begins with it, so that it does not serve there again: a pool's backends serve every tenant.
HMAC-SHA-256 (RFC 2104).
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["sealed", "plain"]


@dataclass(frozen=True)
class Sealer:
    """Makes context tokens. `key` is the context key, at least 32 bytes.

    A plain context needs no key, but sessions are sealed with it all the same.
    """

    mode: Mode
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < 32:
            raise ValueError("the context key must have at least 32 bytes (64 hex digits)")

    def token(self, tenant_id: uuid.UUID, backend_pid: int) -> str:
        """Return what `tenure.set_tenant` takes on the backend with this process id."""
        tenant = str(tenant_id)
        if self.mode == "plain":
            return tenant
        return f"{tenant}:{self.mac(f'{tenant}:{backend_pid}')}"

    def mac(self, message: str) -> str:
        """Return the seal of an arbitrary message, as hex (see `tenure.is_sealed`)."""
        return hmac.digest(self.key, message.encode(), "sha256").hex()


def padded_keys(key: bytes) -> tuple[bytes, bytes]:
    """Return (inner, outer): the 64-byte HMAC-SHA-256 keys XORed with ipad and opad.

    The database has no pgcrypto; it computes sha256(outer || sha256(inner || message)).
    """
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    block = key.ljust(64, b"\0")
    return bytes(b ^ 0x36 for b in block), bytes(b ^ 0x5C for b in block)
