"""On a managed server nobody is superuser: its administrator has CREATEROLE, and a database.

The hostile tests run here as they do elsewhere, on roles that this administrator made from the
text that `tenure migrate roles --print-sql` printed.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from click.testing import CliRunner

from api.cli import command
from api.cli.serve import refuse_to_serve
from api.wiring import Installation, connections_of, migrator_of, open_installation, passwords_of
from config.postgres import EmbeddedPostgres
from config.secrets import load_or_create_secrets
from tenants.connections import Role, refuse_unsafe_role
from tenants.roles import ROLES, close_database, scram_verifier

from ...conftest import Cluster, _fresh_name

# Collected here, too, and run with this module's `installation`.
from .test_injected_sql import (  # noqa: F401
    session,
    test_a_token_seen_in_another_message_is_not_accepted_again,
    test_a_token_seen_in_another_message_is_not_accepted_inside_a_transaction,
)
from .test_sealed_context import *  # noqa: F403

ADMIN = "managed_admin"


@pytest.fixture(scope="module")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server on which our administrator is no superuser."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("managed"), durable=False)
    server.start()
    secrets = load_or_create_secrets(tmp_path_factory.mktemp("secrets")).environment()
    try:
        superuser = Cluster(server.url(), secrets)
        connection = psycopg2.connect(superuser.admin_url)
        connection.autocommit = True
        connection.cursor().execute(
            f"CREATE ROLE {ADMIN} LOGIN NOSUPERUSER CREATEROLE CREATEDB PASSWORD 'managed'"
        )
        connection.close()
        parts = urlsplit(server.url())
        host = parts.netloc.rpartition("@")[2]
        url = urlunsplit(parts._replace(netloc=f"{ADMIN}:managed@{host}"))
        yield replace(superuser, admin_url=url)
    finally:
        server.destroy()


@pytest.fixture(scope="module")
def printed(managed: Cluster) -> str:
    env = {**managed.environment, "TENURE_DOMAIN": "shop"}
    result = CliRunner(env=env).invoke(command, ["migrate", "roles", "--print-sql"])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def prepared(managed: Cluster, printed: str) -> str:
    """The name of a migrated database that the administrator prepared by the printed text."""
    name = _fresh_name()
    managed.create_database(name)
    for _ in range(2):
        connection = psycopg2.connect(managed.url(name))
        connection.cursor().execute(printed)
        connection.close()
    migrator_of(managed.settings(name)).up()
    return name


@pytest.fixture
def installation(managed: Cluster, prepared: str) -> Iterator[Installation]:
    name = _fresh_name()
    managed.create_database(name, prepared)
    close_database(managed.url(name))
    opened = open_installation(managed.settings(name))
    yield opened
    opened.close()
    managed.drop_database(name)


def test_the_administrator_is_no_superuser(managed: Cluster, prepared: str) -> None:
    connection = psycopg2.connect(managed.url(prepared))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False, False)
    connection.close()


def test_no_password_is_printed(managed: Cluster, printed: str) -> None:
    for password in passwords_of(managed.settings("x")).values():
        assert password not in printed
    assert printed.count("SCRAM-SHA-256$4096:") == len(ROLES)


def test_what_has_no_password_says_so(managed: Cluster) -> None:
    env = {"TENURE_APP_PASSWORD": "geheim"}
    told = CliRunner(env=env).invoke(command, ["migrate", "roles", "--print-sql"]).stdout
    assert "\\password tenure_owner" in told
    assert "ALTER ROLE tenure_owner PASSWORD" not in told
    assert "geheim" not in told


def test_a_password_that_cannot_be_a_verifier_is_an_error_that_names_it() -> None:
    env = {"TENURE_APP_PASSWORD": "gehéim"}
    result = CliRunner(env=env).invoke(command, ["migrate", "roles", "--print-sql"])
    assert result.exit_code == 2
    assert "TENURE_APP_PASSWORD" in result.output
    assert "gehéim" not in result.output


def test_a_verifier_is_what_the_server_makes_of_the_password() -> None:
    """RFC 7677, 3: the example's salt and iterations, its password `pencil`."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    assert scram_verifier("pencil", salt=salt) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


@pytest.mark.parametrize("role", ["tenure_app", "tenure_retention", "tenure_verifier"])
def test_its_roles_may_serve(installation: Installation, role: str) -> None:
    connections = connections_of(installation.settings, cast(Role, role), size=1)
    refuse_unsafe_role(connections)
    connections.pool.close()


def test_the_service_starts(installation: Installation) -> None:
    refuse_to_serve(installation.settings)


def test_the_administrator_sees_no_row(
    managed: Cluster, installation: Installation, pair: Any
) -> None:
    """To own a database is not to own what is in it."""
    connection = psycopg2.connect(installation.settings.database_url or "")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege), connection.cursor() as cursor:
        cursor.execute("SELECT * FROM shop.customers")
    connection.close()
