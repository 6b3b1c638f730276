"""Sessions and tokens whose time is over go, and no others."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg2
import pytest

from api.scheduler import RetentionScheduler
from api.wiring import Installation, owner_of
from retention.leftovers import Leftovers, delete_expired
from tenants import registry
from tenants.context import TenantId

OwnerSql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def plant(
    installation: Installation, make_tenant: Callable[..., TenantId], owner_sql: OwnerSql
) -> Callable[..., None]:
    """`plant("session", -1, 2)`: a session that ended an hour ago, and one that lasts."""
    tenant = make_tenant("acme")
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        login = registry.create_login(cursor, email="a@example.org", password_hash="x")
        registry.add_member(cursor, tenant_id=tenant, login_id=login, role="owner")

    def session(*hours: int) -> None:
        for hour in hours:
            owner_sql(
                "INSERT INTO tenure.sessions (digest, login_id, tenant_id, expires_at)"
                " VALUES (%s, %s, %s, now() + %s)",
                (secrets.token_bytes(32), str(login), str(tenant), timedelta(hours=hour)),
            )

    def token(name: str, *, expired: int | None = None, revoked: int | None = None) -> None:
        with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
            token_id, _ = registry.issue_token(cursor, tenant_id=tenant, login_id=login, name=name)
        owner_sql(
            "UPDATE tenure.api_tokens SET expires_at = now() - %s::interval,"
            " revoked_at = now() - %s::interval WHERE id = %s",
            (
                None if expired is None else timedelta(days=expired),
                None if revoked is None else timedelta(days=revoked),
                str(token_id),
            ),
        )

    def planted(kind: str, *args: Any, **more: Any) -> None:
        {"session": session, "token": token}[kind](*args, **more)

    return planted


def test_what_has_ended_goes_and_what_lasts_stays(
    installation: Installation, plant: Callable[..., None], owner_sql: OwnerSql
) -> None:
    plant("session", -1, -100, 1, 12)
    plant("token", "lasts")
    plant("token", "will end", expired=-5)
    plant("token", "ended lately", expired=29)
    plant("token", "revoked lately", revoked=1, expired=-5)
    plant("token", "ended", expired=31)
    plant("token", "revoked", revoked=31)
    assert delete_expired(installation.retention) == Leftovers(sessions=2, tokens=2)
    assert owner_sql("SELECT count(*), min(expires_at) > now() FROM tenure.sessions") == [(2, True)]
    assert {name for (name,) in owner_sql("SELECT name FROM tenure.api_tokens")} == {
        *("lasts", "will end", "ended lately", "revoked lately")
    }
    assert delete_expired(installation.retention) == Leftovers()


def test_batches_are_bounded_and_skip_what_is_in_use(
    installation: Installation, plant: Callable[..., None], owner_sql: OwnerSql
) -> None:
    plant("session", -1, -2, -3, -4)
    assert delete_expired(installation.retention, at_most=3) == Leftovers(sessions=3)
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        # tenure: allow TS001 because the owner holds every session's row for a moment
        cursor.execute("SELECT 1 FROM tenure.sessions FOR UPDATE")
        assert delete_expired(installation.retention) == Leftovers()
    assert delete_expired(installation.retention) == Leftovers(sessions=1)


def test_the_scheduler_deletes_them(
    installation: Installation, plant: Callable[..., None], owner_sql: OwnerSql
) -> None:
    plant("session", -1, 1)
    done = RetentionScheduler(installation).tick()
    assert done is not None
    assert done.leftovers == Leftovers(sessions=1)
    assert owner_sql("SELECT count(*) FROM tenure.sessions") == [(1,)]


def test_nobody_else_may_and_nothing_else_is_reached(
    installation: Installation, plant: Callable[..., None]
) -> None:
    plant("session", -1)
    for connections in (installation.app_connections, installation.verifier, installation.auditor):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            connections.transaction(None) as cursor,
        ):
            cursor.execute("SELECT * FROM tenure.delete_expired(10)")
    for statement in ("DELETE FROM tenure.sessions", "SELECT digest FROM tenure.api_tokens"):
        with (
            pytest.raises(psycopg2.errors.InsufficientPrivilege),
            installation.retention.transaction(None) as cursor,
        ):
            cursor.execute(statement)
