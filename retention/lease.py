"""Leases: one process plans and verifies at a time. (Work is shared: `retention.units`.)

A lease has a holder and a fencing token that grows by one whenever it changes hands. Time
is the database's. Whoever opens a run under a lease locks its row FOR SHARE with holder and
fence in the same transaction: a takeover waits for it, and a former holder finds another
fence and is rolled back. Expiry alone takes nothing from a holder.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg2

from config.logging import get_logger
from retention.errors import LeaseLostError, RunError
from retention.heartbeat import LONGEST_TTL_S, beating
from tenants.connections import Cursor, RoleConnections
from tenants.errors import TenantError

RETENTION_LEASE = "retention"
DEFAULT_TTL_S = 60.0

_log = get_logger(__name__)

_ACQUIRE = """
INSERT INTO tenure.leases AS l (name, holder, fence, lease_until)
VALUES (%(name)s, %(holder)s, 1, clock_timestamp() + make_interval(secs => %(ttl)s))
ON CONFLICT (name) DO UPDATE SET
    holder = excluded.holder, fence = l.fence + 1, lease_until = excluded.lease_until
WHERE l.lease_until <= clock_timestamp()
   OR l.lease_until > clock_timestamp() + make_interval(secs => %(longest)s)
RETURNING fence
"""
_RENEW = """
UPDATE tenure.leases SET lease_until = clock_timestamp() + make_interval(secs => %(ttl)s)
WHERE name = %(name)s AND holder = %(holder)s AND fence = %(fence)s
"""
_RELEASE = """
UPDATE tenure.leases SET lease_until = clock_timestamp()
WHERE name = %(name)s AND holder = %(holder)s AND fence = %(fence)s
"""
_CHECK = """
SELECT fence FROM tenure.leases
WHERE name = %s AND holder = %s AND fence = %s FOR SHARE
"""


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as it was acquired. `ttl_s` is in seconds."""

    name: str
    holder: str
    fence: int
    ttl_s: float


def acquire(
    retention: RoleConnections, name: str = RETENTION_LEASE, *, ttl_s: float = DEFAULT_TTL_S
) -> Lease | None:
    """Take the lease if nobody has it, or its holder let it run out; None otherwise.

    One that ends further ahead than any may is from before the clock was set back: it is taken
    over. Raises RunError for a `ttl_s` longer than LONGEST_TTL_S.
    """
    if not 0 < ttl_s <= LONGEST_TTL_S:
        raise RunError(f"a lease is held for up to {LONGEST_TTL_S:g} s, not {ttl_s:g} s")
    holder = uuid.uuid4().hex
    known = {"name": name, "holder": holder, "ttl": ttl_s, "longest": LONGEST_TTL_S + 1}
    with retention.transaction(None) as cursor:
        cursor.execute(_ACQUIRE, known)
        row = cursor.fetchone()
    return None if row is None else Lease(name, holder, row[0], ttl_s)


def renew(retention: RoleConnections, lease: Lease) -> None:
    """Hold the lease for another `ttl_s` from now; raises LeaseLostError if it is another's."""
    with retention.transaction(None) as cursor:
        cursor.execute(_RENEW, _params(lease))
        if cursor.rowcount == 0:
            raise LeaseLostError(_lost(lease))


def release(retention: RoleConnections, lease: Lease) -> None:
    """Let the lease go, so that others need not wait; nothing happens if it is another's."""
    with retention.transaction(None) as cursor:
        cursor.execute(_RELEASE, _params(lease))


def check_fence(cursor: Cursor, lease: Lease) -> None:
    """Make sure, to the end of the transaction, that the lease is ours; else LeaseLostError."""
    cursor.execute(_CHECK, (lease.name, lease.holder, lease.fence))
    if cursor.fetchone() is None:
        raise LeaseLostError(_lost(lease))


def _params(lease: Lease) -> dict[str, object]:
    return {
        "name": lease.name, "holder": lease.holder, "fence": lease.fence, "ttl": lease.ttl_s,
    }  # fmt: skip


def _lost(lease: Lease) -> str:
    return f"lease {lease.name!r}: fence {lease.fence} is no longer in force; another took over"


@contextmanager
def kept(retention: RoleConnections, lease: Lease) -> Iterator[None]:
    """Renew the lease while the block runs, and release it afterwards."""
    try:
        with beating(lease.name, lease.ttl_s, lambda: renew(retention, lease)):
            yield
    finally:
        try:
            release(retention, lease)
        except (psycopg2.Error, TenantError) as error:
            # It runs out by itself; an error here must not hide one from the block.
            _log.warning("lease_release_failed", lease=lease.name, error=str(error))
