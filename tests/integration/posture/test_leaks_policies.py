"""Each fault that is called an error lets the app's role reach another tenant; its mending not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from tenants.posture.rules import all_rules, rule_named

from .conftest import Bench

A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
ROWS = "".join(
    f"INSERT INTO shop.tenants VALUES ('{t}', '{t}');"
    f"INSERT INTO shop.customers VALUES ('{t}', '{t}', 'x@example.org');"
    f"INSERT INTO shop.invoices VALUES ('{t}', '{t}', '{t}', '1');"
    for t in (A, B)
)
COUNT = "SELECT count(*) FROM {}"


def attempt(bench: Bench, sql: str, tenant: str) -> Any:
    """What a statement of the app's returns; None if it is refused."""
    bench.cursor.execute("SAVEPOINT attempt")
    try:
        return bench.as_role("shop_app", sql, tenant)
    except psycopg2.Error:
        bench.cursor.execute("ROLLBACK TO attempt")
        return None


def sees(sql: str, tenant: str = A) -> Callable[[Bench], bool]:
    """A leak that shows in a count: more than the one row of the tenant."""

    def leaks(bench: Bench) -> bool:
        rows = attempt(bench, sql, tenant)
        return rows is not None and rows[0][0] > 1

    return leaks


def succeeds(sql: str) -> Callable[[Bench], bool]:
    """A leak that is a statement which is not refused."""
    return lambda bench: attempt(bench, sql, A) is not None


def becomes(role: str) -> Callable[[Bench], bool]:
    """A leak by SET ROLE, in a session that is the app's own: a superuser's may become anybody."""

    def leaks(bench: Bench) -> bool:
        bench.cursor.execute("SAVEPOINT attempt; SET LOCAL SESSION AUTHORIZATION shop_app")
        try:
            bench.cursor.execute(f"SET LOCAL ROLE {role}; SELECT count(*) FROM shop.invoices")
            return bool(bench.cursor.fetchone()[0] > 1)
        except psycopg2.errors.InsufficientPrivilege:
            return False
        finally:
            bench.cursor.execute("ROLLBACK TO attempt")

    return leaks


def empties(bench: Bench) -> bool:
    attempt(bench, "TRUNCATE shop.invoices", A)
    return bool(bench.execute("SELECT count(*) = 0 FROM shop.invoices")[0][0])


def keeps_the_first_tenant(bench: Bench) -> bool:
    """A prepared statement's generic plan, used by one tenant after the other."""
    bench.execute("SET LOCAL plan_cache_mode = force_generic_plan")
    attempt(bench, "PREPARE q AS SELECT tenant_id::text FROM shop.invoices", A)
    first = attempt(bench, "EXECUTE q", A)
    second = attempt(bench, "EXECUTE q", B)
    bench.execute("DEALLOCATE q")
    assert first == [(A,)]
    return bool(second != [(B,)])


def joins_another(bench: Bench) -> bool:
    bench.execute("SELECT set_config('app.person', 'eve', true)")
    attempt(bench, f"INSERT INTO shop.members VALUES ('{B}', 'eve')", A)
    rows = attempt(bench, "SELECT tenant_id::text FROM shop.invoices", A)
    return bool(rows == [(B,)])


def reads_files(bench: Bench) -> bool:
    """Of the server: its tables are such files."""
    bench.execute(
        "DO $$ BEGIN EXECUTE"
        " format('GRANT TEMPORARY ON DATABASE %I TO shop_app', current_database()); END $$"
    )
    copy = "CREATE TEMPORARY TABLE lines (line text); COPY lines FROM 'PG_VERSION'"
    return attempt(bench, copy + "; SELECT * FROM lines", A) is not None


def answers_for_another(bench: Bench) -> bool:
    """The app's own function says B, whatever the context."""
    body = f"LANGUAGE sql STABLE AS 'SELECT ''{B}''::uuid'"
    attempt(bench, f"CREATE OR REPLACE FUNCTION shop.current_tenant() RETURNS uuid {body}", A)
    return bool(attempt(bench, "SELECT tenant_id::text FROM shop.invoices", A) == [(B,)])


def stands_in_for_members(bench: Bench) -> bool:
    """A temporary table of members is found before the real one."""
    bench.execute(
        "DO $$ BEGIN EXECUTE"
        " format('GRANT TEMPORARY ON DATABASE %I TO shop_app', current_database()); END $$;"
        "SELECT set_config('app.person', 'eve', true)"
    )
    rows = attempt(
        bench,
        "CREATE TEMPORARY TABLE members (tenant_id uuid, person text);"
        f"INSERT INTO members VALUES ('{B}', 'eve'); SELECT tenant_id::text FROM shop.invoices",
        A,
    )
    return bool(rows == [(B,)])


LEAKS: dict[str, Callable[[Bench], bool]] = {
    "role-bypass": sees(COUNT.format("shop.invoices")),
    "role-reach": becomes("shop_admin"),
    "role-monitor": reads_files,
    "grant-truncate": empties,
    "rls-off": sees(COUNT.format("shop.invoices")),
    "rls-dormant": sees(COUNT.format("shop.invoices")),
    "policy-true": sees(COUNT.format("shop.invoices"), tenant=""),
    "policy-stack": sees(COUNT.format("shop.invoices")),
    "policy-check": succeeds(f"INSERT INTO shop.invoices VALUES ('{B}', '{A}', '{B}', '2')"),
    "policy-role": becomes("shop_checker"),
    "policy-xref": joins_another,
    "policy-owner": answers_for_another,
    "policy-path": stands_in_for_members,
    "policy-immutable": keeps_the_first_tenant,
    "policy-like": sees(COUNT.format("shop.invoices"), tenant="%"),
    "part-direct": sees(COUNT.format("shop.events_2030")),
    "inherit-direct": sees(COUNT.format("shop.paid_invoices")),
}
# A foreign table's rows are on another server; the documentation says that policies cannot be.
ELSEWHERE = {"foreign-table"}
GROUPS = {"Roles and grants", "Tables and policies"}


def test_every_error_is_shown_to_leak() -> None:
    errors = {r.name for r in all_rules() if r.severity == "error" and r.group in GROUPS}
    assert set(LEAKS) == errors - ELSEWHERE


def filled(bench: Bench, sql: str) -> Bench:
    bench.execute(ROWS)
    bench.execute(sql)
    for table in ("events_2030", "paid_invoices"):
        if bench.execute(f"SELECT to_regclass('shop.{table}') IS NOT NULL")[0][0]:
            columns = "tenant_id, id, at" if table == "events_2030" else "*"
            values = (
                "SELECT tenant_id, id, '2030-05-05'::date" if table == "events_2030" else "SELECT *"
            )
            into = f"({columns})" if columns != "*" else ""
            bench.execute(f"INSERT INTO shop.{table} {into} {values} FROM ONLY shop.invoices")
    return bench


@pytest.mark.parametrize("name", sorted(LEAKS))
def test_the_bad_schema_leaks(bench: Bench, name: str) -> None:
    rule = rule_named(name)
    assert rule is not None
    assert LEAKS[name](filled(bench, rule.bad))


@pytest.mark.parametrize("name", sorted(LEAKS))
def test_the_good_schema_does_not(bench: Bench, name: str) -> None:
    rule = rule_named(name)
    assert rule is not None
    assert not LEAKS[name](filled(bench, rule.good))
