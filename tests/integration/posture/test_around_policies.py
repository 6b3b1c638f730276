"""Settings, owners, paths and defaults: what stands around the policies and can take them away."""

from __future__ import annotations

import psycopg2
import pytest

from .conftest import Bench
from .test_leaks_code import SEED, A, attempt
from .test_once_silent import mend, told


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("session_replication_role = replica", ["error"]),
        ("session_replication_role = origin", []),
        ("role = shop_admin", ["error"]),
        ("role = shop_owner", ["error"]),
        ("role = shop_guest", []),
        ("lo_compat_privileges = on", ["error"]),
        ("search_path = pg_temp, shop", ["warning"]),
        ("search_path = shop, pg_temp", []),
        ("standard_conforming_strings = off", ["warning"]),
        ("work_mem = '8MB'", []),
    ],
)
def test_settings_of_the_apps_role_are_weighed(
    bench: Bench, setting: str, expected: list[str]
) -> None:
    bench.execute("CREATE ROLE shop_admin BYPASSRLS; CREATE ROLE shop_guest")
    if setting.startswith("standard") and bench.version >= 190000:
        pytest.skip("PostgreSQL 19 has no other value")
    bench.execute(f"ALTER ROLE shop_app SET {setting}")
    assert [severity for severity, _, _ in told(bench, "role-setting")] == expected
    if expected:
        mend(bench, "role-setting")


def test_without_checks_a_row_refers_to_another_tenants(bench: Bench) -> None:
    bench.execute(SEED)
    invoice = (
        "INSERT INTO shop.invoices VALUES"
        f" ('{A}', gen_random_uuid(), '00000000-0000-0000-0000-0000000000b1', '9')"
    )
    assert isinstance(attempt(bench, invoice), psycopg2.errors.ForeignKeyViolation)
    bench.execute("SET LOCAL session_replication_role = replica")
    assert attempt(bench, invoice) == []


def test_a_parameter_that_the_app_may_set_is_told(bench: Bench) -> None:
    if bench.version < 150000:
        pytest.skip("GRANT SET ON PARAMETER came with PostgreSQL 15")
    bench.execute("GRANT SET ON PARAMETER session_replication_role TO shop_app")
    assert attempt(bench, "SET LOCAL session_replication_role = replica") == []
    assert told(bench) == [("error", "role-setting", "role shop_app")]
    mend(bench, "role-setting")
    found = attempt(bench, "SET LOCAL session_replication_role = replica")
    assert isinstance(found, psycopg2.errors.InsufficientPrivilege)


def test_who_owns_the_schema_may_put_another_table_in_place(bench: Bench) -> None:
    bench.execute("ALTER SCHEMA shop OWNER TO shop_app; GRANT USAGE ON SCHEMA shop TO shop_owner")
    bench.execute(SEED)
    bench.execute("SAVEPOINT before")
    assert attempt(bench, "DROP TABLE shop.invoices; CREATE TABLE shop.invoices (x int)") == []
    bench.execute("ROLLBACK TO SAVEPOINT before")
    assert ("warning", "role-owner", "role shop_app") in told(bench)
    mend(bench, "role-owner")
    assert isinstance(attempt(bench, "DROP TABLE shop.invoices"), psycopg2.Error)


def test_who_owns_the_database_owns_what_that_owns(bench: Bench) -> None:
    bench.execute("CREATE SCHEMA other; ALTER SCHEMA other OWNER TO pg_database_owner")
    facts = bench.facts()
    (owning,) = (role for role in facts.roles.values() if role.name == "pg_database_owner")
    assert owning.oid in facts.acts_as(facts.server.database_owner)
    (app,) = (role for role in facts.roles.values() if role.name == "shop_app")
    assert owning.oid not in facts.acts_as(app.oid)


def test_a_schema_of_the_apps_own_name_comes_first(bench: Bench) -> None:
    bench.execute(
        "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO shop_app',"
        " current_database()); END $$"
    )
    assert told(bench) == [("warning", "grant-temp-create", "database")]
    mend(bench, "grant-temp-create")


HELPER = """
CREATE TABLE shop.members (tenant_id uuid NOT NULL, person text NOT NULL);
ALTER TABLE shop.members OWNER TO shop_owner;
SET LOCAL search_path = shop;
CREATE FUNCTION shop.is_member(t uuid) RETURNS boolean LANGUAGE sql STABLE {} $$
    SELECT EXISTS (SELECT 1 FROM members m
                   WHERE m.tenant_id = t AND m.person = current_setting('app.person', true)) $$;
ALTER POLICY app ON shop.invoices USING (shop.is_member(tenant_id));
"""


@pytest.mark.parametrize(
    ("fixed", "expected"), [("AS", ["warning"]), ("SET search_path = shop, pg_temp AS", [])]
)
def test_a_helper_that_its_caller_leads_is_a_warning_while_nothing_can_be_made(
    bench: Bench, fixed: str, expected: list[str]
) -> None:
    bench.execute(HELPER.format(fixed))
    assert [severity for severity, _, _ in told(bench, "policy-path")] == expected
    if expected:
        mend(bench, "policy-path")


def test_a_materialized_view_is_filled_by_a_function_as_well(bench: Bench) -> None:
    bench.execute(
        "CREATE FUNCTION shop.emails() RETURNS SETOF text LANGUAGE sql AS"
        " $$ SELECT email FROM shop.customers $$;"
        "CREATE MATERIALIZED VIEW shop.mails AS SELECT * FROM shop.emails() e;"
        "GRANT SELECT ON shop.mails TO shop_app"
    )
    bench.execute(SEED)
    bench.execute("REFRESH MATERIALIZED VIEW shop.mails")
    assert ("bob@b",) in attempt(bench, "SELECT * FROM shop.mails")
    assert told(bench) == [("error", "matview", "shop.mails")]
    mend(bench, "matview")
    assert isinstance(attempt(bench, "SELECT * FROM shop.mails"), psycopg2.Error)


def test_one_that_is_filled_with_nothing_of_tenants_is_fine(bench: Bench) -> None:
    bench.execute(
        "CREATE FUNCTION shop.days() RETURNS SETOF int LANGUAGE sql AS 'SELECT 1';"
        "CREATE MATERIALIZED VIEW shop.calendar AS SELECT * FROM shop.days() d;"
        "GRANT SELECT ON shop.calendar TO shop_app"
    )
    assert told(bench) == []


def test_tables_to_come_are_not_the_apps_to_empty(bench: Bench) -> None:
    bench.execute(
        "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop"
        " GRANT SELECT, INSERT ON TABLES TO shop_app"
    )
    assert told(bench) == []
    bench.execute(
        "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop"
        " GRANT ALL ON TABLES TO shop_app"
    )
    assert told(bench) == [("warning", "grant-default-public", "schema shop")]
    mend(bench, "grant-default-public")
