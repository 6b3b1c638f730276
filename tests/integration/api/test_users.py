"""Logins that are disabled or removed are out at once; a tenant keeps an owner."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from api.auth.passwords import check_password, hash_password
from api.auth.sessions import open_session, resolve_session
from api.cli import command
from api.wiring import owner_of
from tenants import registry
from tests.integration.retention.shop_rows import environment_of

Tenure = Callable[..., Result]


@pytest.fixture
def tenure(service: Any) -> Iterator[Tenure]:
    """`tenure("users", ..)` runs a command on the service's installation."""
    env = environment_of(service.installation) | {"TENURE_LOG_LEVEL": "critical"}
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield lambda *arguments: CliRunner(env=env).invoke(command, arguments, catch_exceptions=False)
    root.handlers[:], root.level = handlers, level


def session_of(service: Any, tenant: Any, email: str) -> str:
    with owner_of(service.installation.settings) as owner, owner.transaction(None) as cursor:
        login_id = registry.find_login(cursor, email)
    secret = open_session(service.installation.app_connections, login_id, tenant.id)
    assert secret is not None
    return secret


def test_a_disabled_login_is_out_at_once_and_revives_nothing(service: Any, tenure: Tenure) -> None:
    acme, app = service.acme, service.installation.app_connections
    secret = session_of(service, acme, "member@acme.example")
    assert acme.get("/v1/customers", role="member").status_code == 200
    done = tenure("users", "disable", "Member@acme.example", "--format", "json")
    assert json.loads(done.stdout) == {
        "email": "member@acme.example", "state": "disabled", "sessions": 1, "tokens": 1,
    }  # fmt: skip
    assert acme.get("/v1/customers", role="member").status_code == 401
    assert resolve_session(app, secret) is None
    assert acme.get("/v1/customers", role="viewer").status_code == 200
    again = tenure("users", "disable", "member@acme.example")
    assert (again.exit_code, "disabled already" in again.stderr) == (2, True)
    assert tenure("users", "enable", "member@acme.example").exit_code == 0
    assert acme.get("/v1/customers", role="member").status_code == 401
    assert resolve_session(app, secret) is None
    assert resolve_session(app, session_of(service, acme, "member@acme.example")) is not None
    assert tenure("users", "enable", "member@acme.example").exit_code == 2


def test_a_removed_member_is_out_of_that_tenant_alone(service: Any, tenure: Tenure) -> None:
    acme, globex = service.acme, service.globex
    app = service.installation.app_connections
    tenure("users", "join", "member@acme.example", "--tenant", "globex", "--role", "viewer")
    here = session_of(service, acme, "member@acme.example")
    there = session_of(service, globex, "member@acme.example")
    done = tenure("users", "remove", "member@acme.example", "--tenant", "acme")
    assert "removed from acme; 1 sessions and 1 tokens ended" in done.stdout
    assert acme.get("/v1/customers", role="member").status_code == 401
    assert resolve_session(app, here) is None
    assert resolve_session(app, there) is not None
    again = tenure("users", "remove", "member@acme.example", "--tenant", "acme")
    assert (again.exit_code, "no member of the tenant" in again.stderr) == (2, True)
    tenure("users", "join", "member@acme.example", "--tenant", "acme", "--role", "viewer")
    assert acme.get("/v1/customers", role="member").status_code == 401
    assert resolve_session(app, here) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("disable", "owner@acme.example"),
        ("remove", "owner@acme.example", "--tenant", "acme"),
        ("join", "owner@acme.example", "--tenant", "acme", "--role", "viewer"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_last_owner_stays_unless_forced(
    service: Any, tenure: Tenure, arguments: tuple[str, ...]
) -> None:
    acme = service.acme
    refused = tenure("users", *arguments)
    assert refused.exit_code == 2
    assert "last owner of acme" in refused.stderr
    assert acme.call("POST", "/v1/customers", json={}).status_code == 422  # writes, as before
    # One who cannot log in is no owner to rely on.
    tenure("users", "join", "member@acme.example", "--tenant", "acme", "--role", "owner")
    tenure("users", "disable", "member@acme.example")
    assert tenure("users", *arguments).exit_code == 2
    tenure("users", "enable", "member@acme.example")
    assert tenure("users", *arguments).exit_code == 0
    # The owner left is the last one now.
    left = ("member@acme.example", "--tenant", "acme")
    assert tenure("users", "remove", *left).exit_code == 2
    assert tenure("users", "remove", *left, "--force").exit_code == 0


def test_a_tenants_owners_cannot_leave_at_the_same_moment(service: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from tenants.errors import RegistryError
    from tenants.membership import refuse_last_owner, remove_member

    settings, acme = service.installation.settings, service.acme
    with owner_of(settings) as owner, owner.transaction(None) as cursor:
        first = registry.find_login(cursor, "owner@acme.example")
        second = registry.create_login(
            cursor, email="two@acme.example", password_hash=hash_password("two")
        )
        registry.add_member(cursor, tenant_id=acme.id, login_id=second, role="owner")

    def leave(login_id: Any) -> bool:
        try:
            with owner_of(settings) as owner, owner.transaction(None) as cursor:
                refuse_last_owner(cursor, login_id, acme.id)
                cursor.execute("SELECT pg_sleep(0.2)")
                remove_member(cursor, tenant_id=acme.id, login_id=login_id)
        except RegistryError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(leave, (first, second))) == [False, True]


def test_another_password_ends_every_session_and_the_old_one_lets_nobody_in(
    service: Any, tenure: Tenure, owner_sql: Callable[..., Any]
) -> None:
    acme, app = service.acme, service.installation.app_connections
    kept = session_of(service, acme, "member@acme.example")
    env = environment_of(service.installation) | {"TENURE_LOG_LEVEL": "critical"}
    arguments = ("users", "password", "member@acme.example", "--password-stdin")
    done = CliRunner(env=env).invoke(command, arguments, input="another one\n")
    assert done.exit_code == 0, done.output
    assert "another one" not in done.output
    assert resolve_session(app, kept) is None
    ((stored,),) = owner_sql(
        "SELECT password_hash FROM tenure.logins WHERE email = 'member@acme.example'"
    )
    assert check_password(stored, "another one")
    assert acme.get("/v1/customers", role="member").status_code == 200, "tokens stay"
    changes = owner_sql("SELECT what FROM tenure.access_changes WHERE what = 'password'")
    assert len(changes) == 1
