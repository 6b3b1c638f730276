"""Sessions kept in the database under the digest of a random cookie.

A session is opened with a seal: proof that this program, which checked the password, asks,
and not SQL that somebody smuggled in under its role.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta

from api.auth.principal import Principal
from tenants.connections import RoleConnections
from tenants.context import TenantId
from tenants.registry import MemberRole

LIFETIME = timedelta(hours=12)
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class LoginRow:
    """A login as far as checking its password needs it."""

    id: uuid.UUID
    password_hash: str
    is_auditor: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """A tenant that a login may enter."""

    tenant_id: TenantId
    slug: str
    name: str
    role: MemberRole


def find_login(app: RoleConnections, email: str) -> LoginRow | None:
    """Return the login with this address, unless it is disabled."""
    if "\0" in email:
        return None
    with app.pool.connection(tidy=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT login_id::text, password_hash, is_auditor"
            " FROM tenure.resolve_login(%s, %s, %s)",
            (email, *app.sealer.fresh(f"login:{email}")),
        )
        row = cursor.fetchone()
    return None if row is None else LoginRow(uuid.UUID(row[0]), row[1], row[2])


def memberships_of(app: RoleConnections, login_id: uuid.UUID) -> list[Membership]:
    """Return the tenants of a login whose password was checked, by name."""
    with app.pool.connection(tidy=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT tenant_id::text, slug, name, role FROM tenure.memberships_of(%s, %s, %s)",
            (str(login_id), *app.sealer.fresh(f"memberships:{login_id}")),
        )
        rows = cursor.fetchall()
    return [
        Membership(TenantId(uuid.UUID(tenant_id)), slug, name, role)
        for tenant_id, slug, name, role in rows
    ]


def open_session(
    app: RoleConnections, login_id: uuid.UUID, tenant_id: TenantId | None
) -> str | None:
    """Open a session and return its secret, the cookie's value.

    `tenant_id` None is for auditors. None when the database refuses: the login was disabled
    or left the tenant in the meantime.
    """
    secret = secrets.token_urlsafe(32)
    digest = _digest(secret)
    seconds = int(LIFETIME.total_seconds())
    sealed = app.sealer.fresh(f"session:{digest.hex()}:{login_id}:{tenant_id or ''}:{seconds}")
    with app.pool.connection(tidy=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT tenure.open_session(%s, %s, %s, %s, %s, %s)",
            (
                digest,
                str(login_id),
                None if tenant_id is None else str(tenant_id),
                seconds,
                *sealed,
            ),
        )
        row = cursor.fetchone()
    return secret if row is not None and row[0] else None


def resolve_session(app: RoleConnections, secret: str) -> Principal | None:
    """Return whose session this is; None for one that is unknown, closed or expired."""
    if not _SECRET.fullmatch(secret):
        return None
    with app.pool.connection(tidy=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT login_id::text, email, tenant_id::text, role, is_auditor"
            " FROM tenure.resolve_session(%s)",
            (_digest(secret),),
        )
        row = cursor.fetchone()
    if row is None:
        return None
    login_id, email, tenant_id, role, is_auditor = row
    return Principal(
        login_id=uuid.UUID(login_id),
        tenant_id=None if tenant_id is None else TenantId(uuid.UUID(tenant_id)),
        role=role,
        # Inside a tenant an auditor is a member like others.
        is_auditor=is_auditor and tenant_id is None,
        via="session",
        email=email,
    )


def close_session(app: RoleConnections, secret: str) -> None:
    """End a session at once; one that is not there is no error."""
    with app.pool.connection(tidy=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT tenure.close_session(%s)", (_digest(secret),))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
