"""Who can log in to a demo: a login per role in every tenant, and an auditor."""

from __future__ import annotations

import secrets
from typing import Any

from api.auth.passwords import hash_password
from config.settings import ROLES, Settings
from tenants.connections import Cursor
from tenants.registry import (
    MEMBER_ROLES,
    TenantRow,
    add_member,
    create_login,
    issue_token,
    list_tenants,
)


def introduce(cursor: Cursor, settings: Settings, base_url: str) -> dict[str, Any]:
    """Make the logins and tokens; return what demo.json says of them.

    Runs as the owner, in the caller's transaction.
    """
    # One password for everybody in a demo: each is a hash of a tenth of a second and more.
    password = secrets.token_urlsafe(12)
    password_hash = hash_password(password)
    tenants = [_introduce_tenant(cursor, row, password_hash) for row in list_tenants(cursor)]
    auditor = "auditor@demo.example"
    create_login(cursor, email=auditor, password_hash=password_hash, is_auditor=True)
    return {
        "base_url": base_url,
        "tenants": [{**tenant, "password": password} for tenant in tenants],
        "auditor": {"email": auditor, "password": password},
        "database": database_urls(settings),
    }


def database_urls(settings: Settings) -> dict[str, str]:
    """Return a URL per database role."""
    return {role: settings.role_url(role) for role in ROLES}


def _introduce_tenant(cursor: Cursor, row: TenantRow, password_hash: str) -> dict[str, Any]:
    tokens, logins = {}, {}
    for role in MEMBER_ROLES:
        email = f"{role}@{row.slug}.example"
        login_id = create_login(cursor, email=email, password_hash=password_hash)
        add_member(cursor, tenant_id=row.id, login_id=login_id, role=role)
        logins[role] = email
        if role != "auditor":  # who reads pages; the API has nothing for them
            _, token = issue_token(
                cursor, tenant_id=row.id, login_id=login_id, name=f"demo, {role}"
            )
            tokens[role] = token
    return {"id": row.id, "slug": row.slug, "name": row.name, "tokens": tokens, "logins": logins}
