"""The end of a login or of a membership, as the owner writes it.

Sessions and tokens end in the same transaction. They are deleted or revoked rather than left
to the checks that would refuse them, so that enabling or joining again revives none.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from tenants.connections import Cursor
from tenants.errors import RegistryError


@dataclass(frozen=True, slots=True)
class Ended:
    """How many sessions and tokens ended."""

    sessions: int
    tokens: int


# Locked, so that of two commands that each leave the other's owner one waits and then sees.
_OWNERS = """
SELECT t.slug, m.login_id, l.disabled_at IS NULL
FROM tenure.memberships m
JOIN tenure.logins l ON l.id = m.login_id
JOIN tenure.tenants t ON t.id = m.tenant_id
WHERE m.role = 'owner' AND m.tenant_id IN (
    SELECT o.tenant_id FROM tenure.memberships o
    WHERE o.login_id = %(login)s AND o.role = 'owner'
      AND (%(tenant)s::uuid IS NULL OR o.tenant_id = %(tenant)s::uuid))
ORDER BY m.tenant_id, m.login_id FOR UPDATE OF m, l
"""


def refuse_last_owner(cursor: Cursor, login_id: UUID, tenant_id: UUID | None = None) -> None:
    """Raise RegistryError where this login is the only enabled owner of a tenant.

    Looks at all tenants, or at the one given; keeps their owners locked to the
    transaction's end.
    """
    # tenure: allow TS001, TS002 because operators look at a login's tenants, as the owner
    cursor.execute(_OWNERS, {"login": login_id, "tenant": tenant_id})
    rows = cursor.fetchall()
    others = {slug for slug, owner, enabled in rows if enabled and owner != login_id}
    alone = sorted(
        {slug for slug, owner, enabled in rows if enabled and owner == login_id} - others
    )
    if alone:
        raise RegistryError(
            f"this login is the last owner of {', '.join(alone)}: make somebody else owner "
            "first, or use --force"
        )


def disable_login(cursor: Cursor, login_id: UUID) -> Ended:
    """Disable a login and end its sessions and tokens; raises RegistryError if it is already."""
    cursor.execute(
        "UPDATE tenure.logins SET disabled_at = now() WHERE id = %s AND disabled_at IS NULL",
        (login_id,),
    )
    if cursor.rowcount == 0:
        raise RegistryError("this login is disabled already")
    # tenure: allow TS002 because a login's sessions end in all tenants, as the owner
    cursor.execute("DELETE FROM tenure.sessions WHERE login_id = %s", (login_id,))
    sessions = cursor.rowcount
    # tenure: allow TS002 because a login's tokens end in all tenants, as the owner
    cursor.execute(
        "UPDATE tenure.api_tokens SET revoked_at = now()"
        " WHERE login_id = %s AND revoked_at IS NULL",
        (login_id,),
    )
    return Ended(sessions, cursor.rowcount)


def enable_login(cursor: Cursor, login_id: UUID) -> None:
    """Enable a login again; raises RegistryError when it is not disabled."""
    cursor.execute(
        "UPDATE tenure.logins SET disabled_at = NULL WHERE id = %s AND disabled_at IS NOT NULL",
        (login_id,),
    )
    if cursor.rowcount == 0:
        raise RegistryError("this login is not disabled")


def change_password(cursor: Cursor, login_id: UUID, password_hash: str) -> Ended:
    """Give a login another password, and end its sessions: who knew the old one is out.

    Tokens stay: no password makes one.
    """
    cursor.execute(
        "UPDATE tenure.logins SET password_hash = %s WHERE id = %s", (password_hash, login_id)
    )
    # tenure: allow TS002 because a login's sessions end in all tenants, as the owner
    cursor.execute("DELETE FROM tenure.sessions WHERE login_id = %s", (login_id,))
    return Ended(cursor.rowcount, 0)


def remove_member(cursor: Cursor, *, tenant_id: UUID, login_id: UUID) -> Ended:
    """Delete a membership, its sessions and its tokens; raises RegistryError where none is."""
    cursor.execute(
        "DELETE FROM tenure.sessions WHERE tenant_id = %s AND login_id = %s", (tenant_id, login_id)
    )
    sessions = cursor.rowcount
    # Tokens refer to the membership. That they were is in no record: what they did is.
    cursor.execute(
        "DELETE FROM tenure.api_tokens WHERE tenant_id = %s AND login_id = %s",
        (tenant_id, login_id),
    )
    tokens = cursor.rowcount
    cursor.execute(
        "DELETE FROM tenure.memberships WHERE tenant_id = %s AND login_id = %s",
        (tenant_id, login_id),
    )
    if cursor.rowcount == 0:
        raise RegistryError("this login is no member of the tenant")
    return Ended(sessions, tokens)
