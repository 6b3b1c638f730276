"""The client's half of the sealed context.

`tenure.set_tenant(token)` accepts a tenant only with proof that the caller holds the
installation's context key, so SQL injected under the application's role cannot name
another tenant. The token is bound to the backend's process id, so that one that was seen
(in a log, in pg_stat_activity) does not serve elsewhere, and accepted only where a message
begins with it, so that it does not serve there again: a pool's backends serve every tenant.
Behind a pooler in transaction mode nobody knows the backend beforehand; there a token is
bound to an instant, about a minute ahead, after which it is not accepted any more.
HMAC-SHA-256 (RFC 2104) over the tenant's 16 bytes and what it is bound to, in the network's
byte order: 4 bytes for a process id, 8 for an instant, so that neither passes for the other.

A message of one statement need not call the function: it sets the setting to its token, and
`tenure.current_tenant()` looks for it at the message's beginning. Behind a pooler it does call
it, for there a token is no proof of the session.
"""

from __future__ import annotations

import hashlib
import hmac
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

Mode = Literal["sealed", "plain"]
Binding = Literal["backend", "expiry"]

#: How a message of one statement begins, up to its token; `tenure.current_tenant()` knows it.
MESSAGE_BEGINS = "SELECT pg_catalog.set_config('tenure.context', '"

#: Seconds for which a token bound to an instant is good, at least; see `Sealer.token`.
TOKEN_LIFETIME_S = 60
_STEP_S = 10


@dataclass(frozen=True)
class Sealer:
    """Makes context tokens. `key` is the context key, at least 32 bytes.

    `binding` is what a token is bound to; `now` tells the seconds since 1970. A plain context
    needs no key, but sessions are sealed with it all the same.
    """

    mode: Mode
    key: bytes = field(repr=False)
    binding: Binding = "backend"
    now: Callable[[], float] = field(default=time.time, repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < 32:
            raise ValueError("the context key must have at least 32 bytes (64 hex digits)")

    @property
    def in_message(self) -> bool:
        """True where a lone statement's message carries its token as the setting."""
        return self.mode == "sealed" and self.binding == "backend"

    def token(self, tenant_id: uuid.UUID, backend_pid: int) -> str:
        """Return what `tenure.set_tenant` takes on the backend with this process id.

        Hexadecimal digits, hyphens and colons. Bound to an instant, the same token is handed
        out for ten seconds, and is good for sixty after that.
        """
        if self.mode == "plain":
            return str(tenant_id)
        if self.binding == "backend":
            return _token(self.key, tenant_id, _pid(backend_pid), "")
        expires = (int(self.now()) // _STEP_S + 1) * _STEP_S + TOKEN_LIFETIME_S
        return _token(self.key, tenant_id, expires.to_bytes(8, "big"), f":{expires}")

    def before_statement(self, tenant_id: uuid.UUID, backend_pid: int) -> str:
        """Return the SQL before a lone statement, in the message that it is sent in.

        (On Citus, which carries no set_config to its workers, it would be `in_transaction`.)
        """
        if self.mode == "plain":
            return _message(str(tenant_id))
        if self.in_message:
            return _sealed_message(self.key, tenant_id, backend_pid)
        return self.in_transaction(tenant_id, backend_pid) + "; "

    def in_transaction(self, tenant_id: uuid.UUID, backend_pid: int) -> str:
        """Return the SQL that puts the tenant into a transaction, in the message of its BEGIN."""
        # Hex digits, hyphens and colons by construction: nothing in it can end the literal.
        return f"SELECT tenure.set_tenant('{self.token(tenant_id, backend_pid)}')"

    def mac(self, message: str) -> str:
        """Return the seal of an arbitrary message, as hex (see `tenure.is_sealed`)."""
        return hmac.digest(self.key, message.encode(), "sha256").hex()

    def fresh(self, message: str) -> tuple[int, str]:
        """Return (until, seal): that `message` is ours, for a minute (`tenure.is_sealed_until`)."""
        until = int(self.now()) + TOKEN_LIFETIME_S
        return until, self.mac(f"{message}:{until}")


# A pool's few backends serve the same tenants again and again.
@lru_cache(maxsize=8192)
def _sealed_message(key: bytes, tenant_id: uuid.UUID, backend_pid: int) -> str:
    return _message(_token(key, tenant_id, _pid(backend_pid), ""))


def _message(setting: str) -> str:
    return f"{MESSAGE_BEGINS}{setting}', true); "


def _pid(backend_pid: int) -> bytes:
    return backend_pid.to_bytes(4, "big", signed=True)


@lru_cache(maxsize=8192)
def _token(key: bytes, tenant_id: uuid.UUID, bound: bytes, suffix: str) -> str:
    seal = hmac.digest(key, tenant_id.bytes + bound, "sha256").hex()
    return f"{tenant_id}:{seal}{suffix}"


def padded_keys(key: bytes) -> tuple[bytes, bytes]:
    """Return (inner, outer): the 64-byte HMAC-SHA-256 keys XORed with ipad and opad.

    The database has no pgcrypto; it computes sha256(outer || sha256(inner || message)).
    """
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    block = key.ljust(64, b"\0")
    return bytes(b ^ 0x36 for b in block), bytes(b ^ 0x5C for b in block)


def key_id(key: bytes) -> str:
    """Return the name by which records speak of a key: 16 hex digits that tell nothing of it."""
    return hmac.digest(key, b"tenure context key id", "sha256").hex()[:16]
