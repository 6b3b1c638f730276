"""The leaks behind the rules on constraints and code: real on the bad schema, gone on the good.

Tenant A's session is the attacker, as shop_app: no BYPASSRLS, every table forced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from tenants.posture.rules import rule_named

from ...conftest import Cluster
from .conftest import Bench, needs_15

A = "00000000-0000-0000-0000-00000000000a"
B = "00000000-0000-0000-0000-00000000000b"
CUSTOMER_A = "00000000-0000-0000-0000-0000000000a1"
CUSTOMER_B = "00000000-0000-0000-0000-0000000000b1"
LONELY_B = "00000000-0000-0000-0000-0000000000b2"
INVOICE_B = "00000000-0000-0000-0000-0000000000b3"
NEW = "00000000-0000-0000-0000-0000000000ff"

SEED = f"""
INSERT INTO shop.tenants VALUES ('{A}', 'A'), ('{B}', 'B');
INSERT INTO shop.customers (tenant_id, id, email)
VALUES ('{A}', '{CUSTOMER_A}', 'ann@a'), ('{B}', '{CUSTOMER_B}', 'bob@b'),
       ('{B}', '{LONELY_B}', 'bea at b');
INSERT INTO shop.invoices (tenant_id, id, customer_id, number)
VALUES ('{B}', '{INVOICE_B}', '{CUSTOMER_B}', '2026-1');
"""


# A condition on an index goes first, whatever else there is; anybody may do without.
NO_INDEX = "SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off;"


def attempt(bench: Bench, statement: str, tenant: str = A) -> Any:
    """The rows of a statement of the app, or the error that it met."""
    bench.execute("SAVEPOINT attempt")
    try:
        found = bench.as_role("shop_app", statement, tenant=tenant)
    except psycopg2.Error as error:
        bench.cursor.execute("ROLLBACK TO SAVEPOINT attempt")
        return error
    return found


def links_to_a_row(bench: Bench) -> bool:
    """A's note refers to B's invoice; a missing invoice is refused, so A knows that it exists."""
    insert = "INSERT INTO shop.notes (tenant_id, id, invoice_id) VALUES ('{}', '{}', '{}')"
    missing = attempt(bench, insert.format(A, NEW, NEW))
    foreign = attempt(bench, insert.format(A, NEW, INVOICE_B))
    assert isinstance(missing, psycopg2.errors.ForeignKeyViolation)
    return not isinstance(foreign, psycopg2.Error)


def cascades(bench: Bench) -> bool:
    """B's invoice went to A's customer by mistake; A deletes the customer."""
    attempt(
        bench,
        f"INSERT INTO shop.invoices VALUES ('{B}', '{NEW}', '{CUSTOMER_A}', '2026-2')",
        tenant=B,
    )
    before = bench.execute("SELECT count(*) FROM shop.invoices")
    assert attempt(bench, f"DELETE FROM shop.customers WHERE id = '{CUSTOMER_A}'") == []
    return bool(bench.execute("SELECT count(*) FROM shop.invoices") != before)


def tells_of_a_value(bench: Bench) -> bool:
    """DO NOTHING does nothing for an email that B has."""
    found = attempt(
        bench,
        f"INSERT INTO shop.customers VALUES ('{A}', '{NEW}', 'bob@b')"
        " ON CONFLICT DO NOTHING RETURNING 1",
    )
    return bool(found == [])


def excludes(bench: Bench) -> bool:
    """A's invoice cannot have a number that B has used."""
    found = attempt(
        bench, f"INSERT INTO shop.invoices VALUES ('{A}', '{NEW}', '{CUSTOMER_A}', '2026-1')"
    )
    return isinstance(found, psycopg2.errors.ExclusionViolation)


def sets_a_sequence(bench: Bench) -> bool:
    """B's next number is one that was handed out already."""
    attempt(bench, "SELECT setval('shop.customers_number_seq', 1)")
    found = bench.execute("SELECT last_value FROM shop.customers_number_seq")
    return bool(found == [(1,)])


def shows_emails(bench: Bench) -> bool:
    return ("bob@b",) in attempt(bench, "SELECT email FROM shop.emails")


def prints_an_email(bench: Bench) -> bool:
    """A's condition fails on B's value, and the error names it."""
    value = "CASE email WHEN 'ann@a' THEN false ELSE email::bool END"
    found = attempt(bench, f"{NO_INDEX} SELECT email FROM shop.emails WHERE NOT {value}")
    return "bob@b" in str(found)


def hands_over_a_contact(bench: Bench) -> bool:
    """A's row becomes B's, past the condition of the view that it was written through."""
    made = attempt(bench, f"INSERT INTO shop.contacts VALUES ('{B}', '{NEW}', 'x')")
    assert made == [] or isinstance(made, psycopg2.errors.WithCheckOptionViolation)
    return bool(bench.execute(f"SELECT 1 FROM shop.customers WHERE id = '{NEW}'"))


def shows_totals(bench: Bench) -> bool:
    bench.execute("REFRESH MATERIALIZED VIEW shop.totals")
    found = attempt(bench, "SELECT invoices FROM shop.totals")
    if isinstance(found, psycopg2.Error):
        assert attempt(bench, "SELECT invoices FROM shop.own_totals") == []
        assert attempt(bench, "SELECT invoices FROM shop.own_totals", tenant=B) == [(1,)]
    return bool(found == [(1,)])


def tells_an_email(bench: Bench) -> bool:
    assert attempt(bench, f"SELECT shop.email_of('{CUSTOMER_A}')") == [("ann@a",)]
    return bool(attempt(bench, f"SELECT shop.email_of('{CUSTOMER_B}')") == [("bob@b",)])


def runs_as_the_owner(bench: Bench) -> bool:
    """A's table stands in for the function's; its trigger runs as the function's owner."""
    attempt(
        bench,
        """
        CREATE TEMPORARY TABLE words (word text);
        GRANT INSERT ON words TO PUBLIC;
        CREATE FUNCTION pg_temp.steal() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM set_config('app.loot', (SELECT string_agg(email, ' ') FROM shop.customers),
                               true);
            RETURN NEW;
        END $$;
        CREATE TRIGGER steal BEFORE INSERT ON words
            FOR EACH ROW EXECUTE FUNCTION pg_temp.steal();
        """,
    )
    assert not isinstance(attempt(bench, "SELECT shop.note('x')"), psycopg2.Error)
    return "bob@b" in str(bench.execute("SELECT current_setting('app.loot', true)"))


def replaces_an_invoice(bench: Bench) -> bool:
    """A's invoice has the number of B's; the trigger deletes what it replaces."""
    made = attempt(
        bench, f"INSERT INTO shop.invoices VALUES ('{A}', '{NEW}', '{CUSTOMER_A}', '2026-1')"
    )
    assert made == []
    return not bench.execute(f"SELECT 1 FROM shop.invoices WHERE id = '{INVOICE_B}'")


def error_names_an_email(bench: Bench) -> bool:
    found = attempt(
        bench, f"{NO_INDEX} SELECT email FROM shop.customers WHERE shop.is_address(email)"
    )
    return "bea at b" in str(found)


def deletes_a_customer(bench: Bench) -> bool:
    attempt(bench, f"INSERT INTO shop.closings VALUES ('{LONELY_B}')")
    return not bench.execute(f"SELECT 1 FROM shop.customers WHERE id = '{LONELY_B}'")


LEAKS: dict[str, Callable[[Bench], bool]] = {
    "fk-single": links_to_a_row,
    "fk-cascade": cascades,
    "uniq-global": tells_of_a_value,
    "excl-global": excludes,
    "seq-shared": sets_a_sequence,
    "view-definer": shows_emails,
    "view-barrier": prints_an_email,
    "view-check": hands_over_a_contact,
    "matview": shows_totals,
    "secdef-bypass": tells_an_email,
    "secdef-path": runs_as_the_owner,
    "trigger-secdef": replaces_an_invoice,
    "leakproof-custom": error_names_an_email,
    "rule-rewrite": deletes_a_customer,
}


@pytest.mark.parametrize("name", LEAKS)
def test_the_leak_is_real_and_the_good_schema_has_it_not(bench: Bench, name: str) -> None:
    rule = rule_named(name)
    assert rule is not None
    bench.execute("SAVEPOINT base")
    bench.execute(rule.bad)
    bench.execute(SEED)
    assert LEAKS[name](bench)
    bench.execute("ROLLBACK TO SAVEPOINT base")
    needs_15(bench, rule.good)
    bench.execute(rule.good)
    bench.execute(SEED)
    assert not LEAKS[name](bench)


def test_the_fix_of_a_view_shows_the_tenants_own_rows(bench: Bench) -> None:
    rule = rule_named("view-definer")
    assert rule is not None
    bench.execute(rule.bad)
    bench.execute(SEED)
    (finding,) = bench.findings("view-definer")
    assert finding.fix_sql is not None
    bench.execute(finding.fix_sql)
    assert attempt(bench, "SELECT email FROM shop.emails") == [("ann@a",)]


def test_the_fix_of_a_key_keeps_what_it_does_to_rows_that_refer(bench: Bench) -> None:
    bench.execute(
        "ALTER TABLE shop.invoices ALTER COLUMN customer_id DROP NOT NULL;"
        "ALTER TABLE shop.invoices DROP CONSTRAINT invoices_tenant_id_customer_id_fkey;"
        "CREATE UNIQUE INDEX ON shop.customers (id);"
        "ALTER TABLE shop.invoices ADD CONSTRAINT linked FOREIGN KEY (customer_id)"
        " REFERENCES shop.customers (id) ON DELETE SET NULL DEFERRABLE"
    )
    bench.execute(SEED)
    (finding,) = bench.findings("fk-cascade")
    assert finding.fix_sql is not None
    bench.execute(finding.fix_sql)
    deleted = attempt(bench, f"DELETE FROM shop.customers WHERE id = '{CUSTOMER_B}'", tenant=B)
    if bench.version < 150000:
        # SET NULL would take the tenant with it: refused rather than that.
        assert isinstance(deleted, psycopg2.errors.ForeignKeyViolation)
        return
    assert deleted == []
    left = bench.execute("SELECT tenant_id::text, customer_id FROM shop.invoices")
    assert left == [(B, None)]
    ((definition,),) = bench.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'linked'"
    )
    assert definition.endswith("ON DELETE SET NULL (customer_id) DEFERRABLE")


def test_large_objects_are_every_tenants_and_rows_of_a_table_are_not(bench: Bench) -> None:
    rule = rule_named("lobj")
    assert rule is not None
    bench.execute(SEED)
    ((number,),) = attempt(bench, "SELECT lo_from_bytea(0, 'a contract')", tenant=B)
    ((stolen,),) = attempt(bench, f"SELECT lo_get({number})")
    assert bytes(stolen) == b"a contract"
    bench.execute(f"SELECT lo_unlink({number})")
    bench.execute(rule.good)
    row = f"INSERT INTO shop.files VALUES ('{B}', '{NEW}', 'a contract')"
    assert attempt(bench, row, tenant=B) == []
    assert attempt(bench, "SELECT content FROM shop.files") == []


@pytest.fixture
def login(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """A committed role that may log in, and a database: settings of roles count at login."""
    name = f"posture_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{os.getpid()}_fixed"
    cluster.create_database(name)
    role = sql.Identifier(name)
    cluster.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
    try:
        yield name, cluster.url(name)
    finally:
        cluster.drop_database(name)
        cluster.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.parametrize(("value", "seen"), [(A, [("a",)]), ("", [])])
def test_a_fixed_context_serves_who_has_none(
    cluster: Cluster, login: tuple[str, str], value: str, seen: list[tuple[str]]
) -> None:
    name, url = login
    role = sql.Identifier(name)
    with closing(psycopg2.connect(url)) as admin, admin, admin.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "CREATE TABLE t (tenant_id text NOT NULL, name text);"
                "ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
                "CREATE POLICY p ON t USING"
                " (tenant_id = nullif(current_setting('app.tenant_id', true), ''));"
                "INSERT INTO t VALUES ({a}, 'a'), ({b}, 'b');"
                "GRANT SELECT ON t TO {role};"
                "ALTER ROLE {role} SET app.tenant_id = {value}"
            ).format(a=sql.Literal(A), b=sql.Literal(B), role=role, value=sql.Literal(value))
        )
    parameters = psycopg2.extensions.parse_dsn(url) | {"user": name, "password": "x"}
    with closing(psycopg2.connect(**parameters)) as app, app.cursor() as cursor:
        cursor.execute("SELECT name FROM t")
        assert cursor.fetchall() == seen
