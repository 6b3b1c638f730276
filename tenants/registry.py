"""Tenants and identities, as the owner writes them: for operators' commands and the demo.

The application cannot write any of this: it has no grant, and no function for it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, get_args
from uuid import UUID

from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.errors import RegistryError
from tenants.models import new_id

#: An auditor reads its tenant's evidence, and none of its data.
MemberRole = Literal["owner", "member", "viewer", "auditor"]
MEMBER_ROLES: tuple[MemberRole, ...] = get_args(MemberRole)

TOKEN_PREFIX = "tnr_"  # noqa: S105 - what a token begins with, for secret scanners
#: In commands, addresses and reports a longer one is in the way (as a label of DNS has it).
MAX_SLUG = 63
MAX_NAME = 200
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class TenantRow:
    """A tenant as listed."""

    id: TenantId
    slug: str
    name: str


def slug_of(name: str) -> str:
    """Return a slug for a name: ASCII, lower case, words joined by hyphens."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = "-".join(re.findall(r"[a-z0-9]+", ascii_name))
    if not slug:
        raise RegistryError(f"no slug can be made of {name!r}: give one")
    return slug


def create_tenant(cursor: Cursor, *, slug: str, name: str) -> TenantId:
    """Insert a tenant and its gate; raises RegistryError when the slug is taken or no slug."""
    tenant_id = _insert_tenant(cursor, slug, name)
    if tenant_id is None:
        raise RegistryError(f"there is a tenant {slug!r} already")
    return tenant_id


def _insert_tenant(cursor: Cursor, slug: str, name: str) -> TenantId | None:
    if not _SLUG.fullmatch(slug) or len(slug) > MAX_SLUG:
        raise RegistryError(
            f"{slug[:MAX_SLUG]!r} is no slug: lower-case letters, digits, single hyphens, "
            f"{MAX_SLUG} characters at most"
        )
    if not name.strip() or len(name) > MAX_NAME or "\0" in name:
        raise RegistryError(f"a tenant's name has from 1 to {MAX_NAME} characters")
    tenant_id = TenantId(new_id())
    cursor.execute(
        "INSERT INTO tenure.tenants (id, slug, name) VALUES (%s, %s, %s)"
        " ON CONFLICT (slug) DO NOTHING",
        (tenant_id, slug, name),
    )
    if cursor.rowcount == 0:
        return None
    cursor.execute("INSERT INTO tenure.gates (tenant_id) VALUES (%s)", (tenant_id,))
    return tenant_id


def list_tenants(cursor: Cursor) -> list[TenantRow]:
    """Return all tenants, by slug; as owner, verifier or auditor."""
    # tenure: allow TS001 because operators list all tenants, as the owner
    cursor.execute("SELECT id, slug, name FROM tenure.tenants ORDER BY slug")
    return [TenantRow(TenantId(i), slug, name) for i, slug, name in cursor.fetchall()]


def find_tenant(cursor: Cursor, slug: str) -> TenantRow:
    """Return the tenant with this slug; raises RegistryError naming it when there is none."""
    # tenure: allow TS004 because operators name a tenant by its slug, which is unique
    cursor.execute("SELECT id, slug, name FROM tenure.tenants WHERE slug = %s", (slug,))
    row = cursor.fetchone()
    if row is None:
        raise RegistryError(f"there is no tenant {slug!r}")
    return TenantRow(TenantId(row[0]), row[1], row[2])


def get_tenant(cursor: Cursor, tenant_id: TenantId) -> TenantRow:
    """Return a tenant by its id, which must be there."""
    cursor.execute("SELECT id, slug, name FROM tenure.tenants WHERE id = %s", (tenant_id,))
    row = cursor.fetchone()
    if row is None:
        raise RegistryError(f"there is no tenant {tenant_id}")
    return TenantRow(TenantId(row[0]), row[1], row[2])


def ensure_tenant(owner: RoleConnections, slug: str, name: str) -> TenantId:
    """Return the tenant with this slug, made if missing; two callers at once get the same."""
    with owner.transaction(None) as cursor:
        return _insert_tenant(cursor, slug, name) or find_tenant(cursor, slug).id


def create_login(
    cursor: Cursor, *, email: str, password_hash: str, is_auditor: bool = False
) -> UUID:
    """Insert a login (`password_hash` as argon2 writes it); raises RegistryError if taken."""
    login_id = new_id()
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        raise RegistryError(f"{email!r} is no e-mail address")
    cursor.execute(
        "INSERT INTO tenure.logins (id, email, password_hash, is_auditor)"
        " VALUES (%s, lower(%s), %s, %s) ON CONFLICT (email) DO NOTHING",
        (login_id, email, password_hash, is_auditor),
    )
    if cursor.rowcount == 0:
        raise RegistryError(f"there is a login {email!r} already")
    return login_id


def find_login(cursor: Cursor, email: str) -> UUID:
    """Return a login's id; raises RegistryError naming the address when there is none."""
    cursor.execute("SELECT id FROM tenure.logins WHERE email = lower(%s)", (email,))
    row = cursor.fetchone()
    if row is None:
        raise RegistryError(f"there is no login {email!r}")
    found: UUID = row[0]
    return found


def add_member(cursor: Cursor, *, tenant_id: UUID, login_id: UUID, role: MemberRole) -> None:
    """Make a login a member of a tenant, or change its role there."""
    if role not in MEMBER_ROLES:
        raise RegistryError(f"{role!r} is no role; there are {', '.join(MEMBER_ROLES)}")
    cursor.execute(
        "INSERT INTO tenure.memberships (tenant_id, login_id, role) VALUES (%s, %s, %s)"
        " ON CONFLICT (tenant_id, login_id) DO UPDATE SET role = excluded.role",
        (tenant_id, login_id, role),
    )


def token_digest(token: str) -> bytes:
    """Return what is stored of a token: its SHA-256. (256 random bits need no slow hash.)"""
    return hashlib.sha256(token.encode()).digest()


def issue_token(
    cursor: Cursor,
    *,
    tenant_id: UUID,
    login_id: UUID,
    name: str,
    lifetime: timedelta | None = None,
) -> tuple[UUID, str]:
    """Make an API token for a member; return its id and the token, which is shown only now."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token_id = new_id()
    cursor.execute(
        "INSERT INTO tenure.api_tokens (id, digest, tenant_id, login_id, name, expires_at)"
        " SELECT %s, %s, m.tenant_id, m.login_id, %s, now() + %s FROM tenure.memberships m"
        " WHERE m.tenant_id = %s AND m.login_id = %s",
        (token_id, token_digest(token), name, lifetime, tenant_id, login_id),
    )
    if cursor.rowcount == 0:
        raise RegistryError("a token is for a member of the tenant; this login is none")
    return token_id, token


def revoke_token(cursor: Cursor, token_id: UUID) -> None:
    """Revoke a token at once; raises RegistryError when there is no such token in force."""
    # tenure: allow TS002 because operators revoke a token by its id, as the owner
    cursor.execute(
        "UPDATE tenure.api_tokens SET revoked_at = now() WHERE id = %s AND revoked_at IS NULL",
        (token_id,),
    )
    if cursor.rowcount == 0:
        raise RegistryError(f"there is no token {token_id} in force")
