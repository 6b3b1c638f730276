"""Who got and lost access is written by the database, whoever changes it and however."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner

from api.cli import command
from api.wiring import Installation, owner_of
from tenants import membership, registry
from tests.conftest import run_as_owner

PASSWORD = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA"


def changes(installation: Installation) -> list[tuple[Any, ...]]:
    """Return the changes without ids and times, in order."""
    return run_as_owner(
        installation.settings,
        "SELECT what, before, after, actor FROM tenure.access_changes ORDER BY changed_at, id",
    )


def recorded_as(installation: Installation) -> set[Any]:
    found = run_as_owner(
        installation.settings, "SELECT DISTINCT recorded_as FROM tenure.access_changes"
    )
    return {role for (role,) in found}


def test_a_logins_whole_life_is_recorded(installation: Installation) -> None:
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        cursor.execute("SELECT set_config('tenure.actor', 'command:ada', true)")
        tenant = registry.create_tenant(cursor, slug="acme", name="Acme")
        login = registry.create_login(cursor, email="m@acme.example", password_hash=PASSWORD)
        registry.add_member(cursor, tenant_id=tenant, login_id=login, role="viewer")
        registry.add_member(cursor, tenant_id=tenant, login_id=login, role="owner")
        registry.add_member(cursor, tenant_id=tenant, login_id=login, role="owner")
        registry.issue_token(cursor, tenant_id=tenant, login_id=login, name="ci")
        membership.disable_login(cursor, login)
        membership.enable_login(cursor, login)
        membership.remove_member(cursor, tenant_id=tenant, login_id=login)
    by = "command:ada"
    assert changes(installation) == [
        ("login", None, "enabled", by),
        ("membership", None, "viewer", by),
        ("membership", "viewer", "owner", by),
        ("token", None, "in force until revoked", by),
        ("login", "enabled", "disabled", by),
        ("token", "in force until revoked", None, by),
        ("login", "disabled", "enabled", by),
        ("membership", "owner", None, by),
    ]


def test_who_goes_round_the_program_is_recorded_as_the_role(installation: Installation) -> None:
    run_as_owner(
        installation.settings,
        "INSERT INTO tenure.logins (id, email, password_hash, is_auditor)"
        " VALUES (gen_random_uuid(), 'x@y.example', 'h', true)",
    )
    run_as_owner(installation.settings, "UPDATE tenure.logins SET password_hash = 'mine'")
    run_as_owner(installation.settings, "DELETE FROM tenure.logins")
    by = "role:tenure_owner"
    assert sorted(changes(installation), key=str) == sorted(
        [
            ("login", None, "enabled", by),
            ("auditor", None, "auditor", by),
            ("password", None, "changed", by),
            ("login", "enabled", None, by),
            ("auditor", "auditor", None, by),
        ],
        key=str,
    )


def test_a_token_that_ran_out_goes_without_a_word(installation: Installation) -> None:
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        tenant = registry.create_tenant(cursor, slug="acme", name="Acme")
        login = registry.create_login(cursor, email="m@acme.example", password_hash=PASSWORD)
        registry.add_member(cursor, tenant_id=tenant, login_id=login, role="viewer")
        lifetime = timedelta(microseconds=1)
        registry.issue_token(
            cursor, tenant_id=tenant, login_id=login, name="short", lifetime=lifetime
        )
    run_as_owner(installation.settings, "DELETE FROM tenure.api_tokens")
    assert "token" not in {what for what, *_ in changes(installation)}


def test_commands_say_who_ran_them(installation: Installation) -> None:
    settings = installation.settings
    environment = {
        **{f"TENURE_{name.upper()}": value.get_secret_value() for name, value in settings
           if hasattr(value, "get_secret_value")},
        "DATABASE_URL": str(settings.database_url),
        "TENURE_DOMAIN": str(settings.domain),
        "TENURE_DOMAIN_PATH": str(settings.domain_path),
    }  # fmt: skip
    done = CliRunner().invoke(
        command,
        ["users", "create", "a@audit.example", "--auditor", "--password-stdin"],
        input="a long enough password\n",
        env=environment,
    )
    assert done.exit_code == 0, done.output
    assert {actor.partition(":")[0] for *_, actor in changes(installation)} == {"command"}
    assert recorded_as(installation) == {"tenure_owner"}


# What a domain's migration may have: a way for the application to end a membership. By itself the
# product has none.
LEAVE = """
CREATE FUNCTION shop.leave(leaving uuid) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
    'DELETE FROM tenure.memberships WHERE login_id = leaving';
CREATE FUNCTION shop.leave() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
    'BEGIN DELETE FROM tenure.memberships; RETURN NEW; END';
REVOKE ALL ON FUNCTION shop.leave(uuid), shop.leave() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.leave(uuid) TO tenure_app, tenure_retention;
CREATE TRIGGER leave AFTER INSERT ON shop.categories
    FOR EACH ROW EXECUTE FUNCTION shop.leave()
"""


@pytest.mark.parametrize("role", ["tenure_app", "tenure_retention"])
@pytest.mark.parametrize("how", ["function", "trigger"])
@pytest.mark.parametrize("claimed", ["command:ada", "offboarding:x"])
def test_nobody_but_the_owner_says_that_it_was_somebody_else(
    installation: Installation, role: Any, how: str, claimed: str
) -> None:
    with owner_of(installation.settings) as owner, owner.transaction(None) as cursor:
        tenant = registry.create_tenant(cursor, slug="acme", name="Acme")
        login = registry.create_login(cursor, email="m@acme.example", password_hash=PASSWORD)
        registry.add_member(cursor, tenant_id=tenant, login_id=login, role="viewer")
        cursor.execute(LEAVE)
    app = {"tenure_app": installation.app_connections, "tenure_retention": installation.retention}
    statement = (
        f"SELECT shop.leave('{login}')"
        if how == "function"
        else "INSERT INTO shop.categories (tenant_id, id, name)"
        f" VALUES ('{tenant}', gen_random_uuid(), 'x')"
    )
    if (role, how) == ("tenure_retention", "trigger"):
        run_as_owner(installation.settings, "GRANT INSERT ON shop.categories TO tenure_retention")
    with app[role].transaction(tenant) as cursor:
        cursor.execute(f"SET LOCAL tenure.actor = '{claimed}'")
        cursor.execute(statement)
    (*_, (what, before, after, actor)) = changes(installation)
    assert (what, before, after) == ("membership", "viewer", None)
    assert actor == f"role:{role}"
    assert recorded_as(installation) == {"tenure_owner", role}


@pytest.mark.parametrize("role", ["tenure_app", "tenure_retention", "tenure_verifier"])
def test_nobody_writes_it_and_retention_does_not_read_it(
    installation: Installation, role: Any
) -> None:
    connection = psycopg2.connect(installation.settings.role_url(role))
    try:
        for statement in (
            # The verifier compares it with the ledger; the app reads it for a tenant's own auditor.
            *(["SELECT * FROM tenure.access_changes"] if role == "tenure_retention" else []),
            "INSERT INTO tenure.access_changes (login_id, what, actor)"
            " VALUES (gen_random_uuid(), 'login', 'x')",
            "SELECT tenure.note_access(NULL, gen_random_uuid(), 'login', NULL, 'enabled')",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                connection.cursor().execute(statement)
            connection.rollback()
    finally:
        connection.close()
