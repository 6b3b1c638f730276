"""Leaks of which the audit once said nothing: shown to be real, told, and gone once mended."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from .conftest import Bench
from .test_leaks_code import SEED, A, B, attempt, prints_an_email

OWN = "tenant_id = (SELECT shop.current_tenant())"


def told(bench: Bench, *rules: str) -> list[tuple[str, str, str]]:
    found = (f for f in bench.findings() if not rules or f.rule in rules)
    return [(f.severity, f.rule, f.object) for f in found if f.rule != "version-floor"]


def mend(bench: Bench, *rules: str) -> None:
    """Run what mends the findings of these rules, and see that they are gone."""
    fixes = [f.fix_sql for f in bench.findings() if f.rule in rules]
    assert fixes
    for fix in fixes:
        assert fix is not None
        bench.execute(fix)
    assert told(bench, *rules) == []


# Inheritance

BASE = """
CREATE TABLE shop.base (created timestamptz DEFAULT now());
CREATE TABLE shop.orders (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id))
    INHERITS (shop.base);
ALTER TABLE shop.base OWNER TO shop_owner;
ALTER TABLE shop.orders OWNER TO shop_owner;
GRANT SELECT, DELETE ON shop.orders TO shop_app;
"""
ORDERS = f"INSERT INTO shop.orders (tenant_id, id) VALUES ('{B}', '{B}')"


def test_a_table_that_inherits_from_one_without_a_tenant_is_a_tenants(bench: Bench) -> None:
    bench.execute(BASE)
    bench.execute(ORDERS)
    assert attempt(bench, "SELECT count(*) FROM shop.orders") == [(1,)]
    assert "shop.orders" in [table.label for table in bench.subject().tenant_tables]
    assert ("error", "rls-off", "shop.orders") in told(bench)
    mend(bench, "rls-off")
    assert attempt(bench, "SELECT count(*) FROM shop.orders") == [(0,)]
    assert told(bench) == [("warning", "rls-nopolicy", "shop.orders")]


def test_a_table_that_inherits_the_tenant_is_a_part_of_the_whole(bench: Bench) -> None:
    bench.execute("CREATE TABLE shop.paid (x int) INHERITS (shop.invoices)")
    assert "shop.paid" not in [table.label for table in bench.subject().tenant_tables]
    assert "shop.paid" in [part.label for part, _ in bench.subject().parts]


def test_a_parent_without_a_tenant_reaches_its_childrens_rows(bench: Bench) -> None:
    bench.execute(BASE)
    bench.execute(ORDERS)
    mend(bench, "rls-off")
    assert told(bench, "inherit-direct") == []
    bench.execute("GRANT SELECT, DELETE ON shop.base TO shop_app")
    assert told(bench, "inherit-direct") == [("error", "inherit-direct", "shop.base")]
    bench.execute("SAVEPOINT before")
    assert attempt(bench, "DELETE FROM shop.base RETURNING 1") == [(1,)]
    bench.execute("ROLLBACK TO SAVEPOINT before")
    mend(bench, "inherit-direct")
    assert isinstance(attempt(bench, "DELETE FROM shop.base RETURNING 1"), psycopg2.Error)


# Views that can be written through

WRITABLE = """
CREATE VIEW shop.mine WITH (security_barrier = true) AS
    SELECT tenant_id, id, email FROM shop.customers WHERE tenant_id = (SELECT shop.current_tenant());
ALTER VIEW shop.mine OWNER TO shop_owner;
GRANT {} ON shop.mine TO shop_app;
"""  # noqa: E501
INSERT = f"INSERT INTO shop.mine VALUES ('{B}', '{A}', 'x') RETURNING 1"
UPDATE = f"UPDATE shop.mine SET tenant_id = '{B}' RETURNING 1"


@pytest.mark.parametrize(
    ("grants", "statement"), [("SELECT, INSERT", INSERT), ("SELECT, UPDATE", UPDATE)]
)
def test_a_limited_view_is_written_through_to_another_tenant(
    bench: Bench, grants: str, statement: str
) -> None:
    bench.execute(WRITABLE.format(grants))
    bench.execute(SEED)
    bench.execute("SAVEPOINT before")
    assert attempt(bench, statement) == [(1,)]
    bench.execute("ROLLBACK TO SAVEPOINT before")
    assert told(bench) == [("error", "view-check", "shop.mine")]
    mend(bench, "view-check")
    assert isinstance(attempt(bench, statement), psycopg2.errors.WithCheckOptionViolation)


@pytest.mark.parametrize(
    ("grants", "further"),
    [
        ("SELECT, DELETE", ""),
        ("SELECT, UPDATE (email)", ""),
        ("SELECT, INSERT (id, email)", ""),
        ("SELECT", ""),
        # It reads and writes as whoever asks.
        ("SELECT, INSERT", "ALTER VIEW shop.mine SET (security_invoker = true)"),
        ("SELECT, INSERT", "ALTER VIEW shop.mine SET (check_option = local)"),
    ],
)
def test_what_cannot_hand_a_row_to_another_is_fine(bench: Bench, grants: str, further: str) -> None:
    if "invoker" in further and bench.version < 150000:
        pytest.skip("security_invoker came with PostgreSQL 15")
    bench.execute(WRITABLE.format(grants) + further)
    bench.execute(SEED)
    assert told(bench, "view-check") == []
    for statement in (INSERT, UPDATE):
        assert isinstance(attempt(bench, statement), psycopg2.Error)


def test_a_view_that_nothing_can_be_written_through_is_fine(bench: Bench) -> None:
    bench.execute(
        "CREATE VIEW shop.mine WITH (security_barrier = true) AS SELECT DISTINCT tenant_id, email"
        f" FROM shop.customers WHERE {OWN}; GRANT SELECT, INSERT, UPDATE ON shop.mine TO shop_app"
    )
    assert told(bench, "view-check") == []


CHAINS = {
    # The condition is in the upper one, in the lower one.
    "upper": ("", f" WHERE {OWN}"),
    "lower": (f" WHERE {OWN}", ""),
}


@pytest.mark.parametrize("where", CHAINS)
def test_a_view_of_a_view_is_written_through_as_well(bench: Bench, where: str) -> None:
    below, above = CHAINS[where]
    bench.execute(
        "CREATE VIEW shop.low WITH (security_barrier) AS SELECT tenant_id AS t, id, email"
        f" FROM shop.customers{below};"
        "CREATE VIEW shop.mine WITH (security_barrier) AS SELECT t AS tenant_id, id, email"
        f" FROM shop.low{above.replace('tenant_id', 't')};"
        "ALTER VIEW shop.low OWNER TO shop_owner; ALTER VIEW shop.mine OWNER TO shop_owner;"
        "GRANT SELECT, INSERT, UPDATE ON shop.mine TO shop_app"
    )
    bench.execute(SEED)
    bench.execute("SAVEPOINT before")
    assert attempt(bench, INSERT) == [(1,)]
    bench.execute("ROLLBACK TO SAVEPOINT before")
    assert told(bench) == [("error", "view-check", "shop.mine")]
    mend(bench, "view-check")
    for statement in (INSERT, UPDATE):
        found = attempt(bench, statement)
        assert isinstance(found, psycopg2.errors.WithCheckOptionViolation)


def test_a_condition_over_an_open_view_is_no_barrier_either(bench: Bench) -> None:
    bench.execute(
        "CREATE VIEW shop.low AS SELECT * FROM shop.customers;"
        "CREATE VIEW shop.emails AS SELECT email FROM shop.low"
        " WHERE tenant_id = shop.current_tenant();"
        "GRANT SELECT ON shop.emails TO shop_app"
    )
    bench.execute(SEED)
    assert prints_an_email(bench)
    assert told(bench) == [("warning", "view-barrier", "shop.emails")]
    mend(bench, "view-barrier")
    assert not prints_an_email(bench)


# Policies

TWO = f"""
ALTER POLICY app ON shop.customers USING ({OWN}) WITH CHECK (true);
CREATE POLICY border ON shop.customers AS RESTRICTIVE FOR INSERT TO shop_app WITH CHECK ({OWN});
GRANT UPDATE ON shop.customers TO shop_app;
"""
# Without a condition: one that reads a column asks the policies for SELECT of the new row, too.
HAND_OVER = f"UPDATE shop.customers SET tenant_id = '{B}'"


def test_a_policy_for_all_is_judged_by_what_updates_leave_behind(bench: Bench) -> None:
    bench.execute(TWO)
    bench.execute(SEED)
    bench.execute("SAVEPOINT before")
    assert attempt(bench, HAND_OVER) == []
    assert bench.execute(f"SELECT count(*) FROM shop.customers WHERE tenant_id = '{A}'") == [(0,)]
    bench.execute("ROLLBACK TO SAVEPOINT before")
    assert told(bench) == [("error", "policy-check", "policy app on shop.customers")]
    mend(bench, "policy-check")
    assert isinstance(attempt(bench, HAND_OVER), psycopg2.Error)


def test_what_the_app_may_not_do_is_not_held_against_a_policy(bench: Bench) -> None:
    bench.execute(TWO + "REVOKE UPDATE ON shop.customers FROM shop_app")
    bench.execute("REVOKE UPDATE (email) ON shop.customers FROM shop_app")
    assert told(bench) == []


FIXED = "tenant_id = '00000000-0000-0000-0000-000000000000'"


def test_rows_that_all_share_are_not_changed_by_all(bench: Bench) -> None:
    bench.execute(
        f"ALTER POLICY app ON shop.customers USING ({OWN}) WITH CHECK ({OWN} OR {FIXED});"
        "CREATE POLICY border ON shop.customers AS RESTRICTIVE FOR INSERT TO shop_app"
        f" WITH CHECK ({OWN}); GRANT UPDATE ON shop.customers TO shop_app"
    )
    assert told(bench) == [("warning", "policy-check", "policy app on shop.customers")]
    bench.execute(
        "CREATE POLICY changes ON shop.customers AS RESTRICTIVE FOR UPDATE TO shop_app"
        f" WITH CHECK ({OWN})"
    )
    assert told(bench) == []


# Unique indexes

TAKEN = f"INSERT INTO shop.customers VALUES ('{A}', gen_random_uuid(), 'bob@b')"


def test_an_included_column_is_no_part_of_what_is_unique(bench: Bench) -> None:
    bench.execute("CREATE UNIQUE INDEX mails ON shop.customers (email) INCLUDE (tenant_id)")
    bench.execute(SEED)
    assert isinstance(attempt(bench, TAKEN), psycopg2.errors.UniqueViolation)
    assert told(bench) == [("warning", "uniq-global", "index mails on shop.customers")]
    mend(bench, "uniq-global")
    assert attempt(bench, TAKEN) == []


PARTS = """
CREATE TABLE shop.log (tenant_id uuid NOT NULL, id uuid NOT NULL, code text,
    PRIMARY KEY (tenant_id, id)) PARTITION BY HASH (id);
CREATE TABLE shop.log_0 PARTITION OF shop.log FOR VALUES WITH (MODULUS 1, REMAINDER 0);
ALTER TABLE shop.log OWNER TO shop_owner;
ALTER TABLE shop.log_0 OWNER TO shop_owner;
ALTER TABLE shop.log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.log TO shop_app USING (tenant_id = (SELECT shop.current_tenant()));
CREATE POLICY owner ON shop.log TO shop_owner USING (true);
GRANT SELECT, INSERT ON shop.log TO shop_app;
"""


def test_a_key_of_a_partition_alone_compares_tenants(bench: Bench) -> None:
    bench.execute(PARTS)
    # What it has of its parent is told of with the parent, here of nothing.
    assert told(bench) == []
    bench.execute("CREATE UNIQUE INDEX codes ON shop.log_0 (code)")
    bench.execute(f"INSERT INTO shop.log VALUES ('{B}', '{B}', 'x')")
    insert = f"INSERT INTO shop.log VALUES ('{A}', '{A}', 'x')"
    assert isinstance(attempt(bench, insert), psycopg2.errors.UniqueViolation)
    assert told(bench) == [("warning", "uniq-global", "index codes on shop.log_0")]
    mend(bench, "uniq-global")
    assert attempt(bench, insert) == []


# Grants and memberships


@pytest.mark.parametrize(
    ("privilege", "rule", "severity"),
    [("TRUNCATE", "grant-truncate", "error"), ("TRIGGER", "grant-references-trigger", "warning")],
)
def test_a_needless_privilege_on_a_partition_is_one(
    bench: Bench, privilege: str, rule: str, severity: str
) -> None:
    bench.execute(PARTS)
    bench.execute(f"INSERT INTO shop.log VALUES ('{B}', '{B}', 'x')")
    bench.execute(f"GRANT {privilege} ON shop.log_0 TO shop_app")
    assert told(bench) == [(severity, rule, "shop.log_0")]
    if privilege == "TRUNCATE":
        bench.execute("SAVEPOINT before")
        assert attempt(bench, "TRUNCATE shop.log_0") == []
        assert bench.execute("SELECT count(*) FROM shop.log") == [(0,)]
        bench.execute("ROLLBACK TO SAVEPOINT before")
    mend(bench, rule)


def own_session(bench: Bench, *statements: str) -> Any:
    """Statements in a session that is the app's own, and what the last one returns."""
    bench.execute("SAVEPOINT session; SET LOCAL SESSION AUTHORIZATION shop_app")
    try:
        for statement in statements:
            bench.cursor.execute(statement)
        return bench.cursor.fetchall()
    except psycopg2.errors.InsufficientPrivilege as error:
        return error
    finally:
        bench.cursor.execute("ROLLBACK TO SAVEPOINT session")


def test_who_may_grant_a_role_may_become_it(bench: Bench) -> None:
    if bench.version < 160000:
        pytest.skip("SET and INHERIT of memberships came with PostgreSQL 16")
    bench.execute(SEED)
    bench.execute(
        "CREATE ROLE shop_admin BYPASSRLS; GRANT USAGE ON SCHEMA shop TO shop_admin;"
        "GRANT SELECT ON shop.customers TO shop_admin;"
        "GRANT shop_admin TO shop_app WITH ADMIN FALSE, INHERIT FALSE, SET FALSE"
    )
    steps = (
        "GRANT shop_admin TO shop_app WITH SET TRUE", "SET LOCAL ROLE shop_admin",
        "SELECT count(*) FROM shop.customers",
    )  # fmt: skip
    assert told(bench) == []
    assert isinstance(own_session(bench, *steps), psycopg2.errors.InsufficientPrivilege)
    bench.execute("GRANT shop_admin TO shop_app WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
    assert own_session(bench, *steps) == [(3,)]
    assert told(bench) == [("error", "role-reach", "role shop_app")]
    mend(bench, "role-reach")


# Who serves, and what is a tenant's


READER = """
CREATE ROLE web_ro LOGIN; GRANT USAGE ON SCHEMA shop TO web_ro;
CREATE TABLE shop.notes (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id));
ALTER TABLE shop.notes OWNER TO shop_owner;
GRANT SELECT ON shop.notes TO web_ro;
"""


def test_a_login_that_only_reads_serves_as_well(bench: Bench) -> None:
    bench.execute(READER)
    assert [role.name for role in bench.subject().app_roles] == ["shop_app", "web_ro"]
    assert ("error", "rls-off", "shop.notes") in told(bench)
    mend(bench, "rls-off")
    assert told(bench, "rls-off") == []


@pytest.mark.parametrize(
    "further",
    [
        # A policy of its own shows it everything: it is meant so.
        "ALTER TABLE shop.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
        "CREATE POLICY all_of_them ON shop.notes FOR SELECT TO web_ro USING (true)",
        "ALTER ROLE web_ro BYPASSRLS",
    ],
)
def test_a_reader_that_is_made_to_see_all_is_named(bench: Bench, further: str) -> None:
    bench.execute(READER + further)
    subject = bench.subject()
    assert [role.name for role in subject.app_roles] == ["shop_app"]
    assert "web_ro" in str(subject.assumed["app_roles"])


def test_a_sure_name_does_not_hide_another(empty: Bench) -> None:
    empty.execute(
        """
        CREATE ROLE web LOGIN; GRANT USAGE ON SCHEMA public TO web;
        CREATE TABLE orgs (id uuid PRIMARY KEY);
        CREATE TABLE sso (tenant_id uuid NOT NULL, id uuid PRIMARY KEY);
        CREATE TABLE a (org_id uuid NOT NULL REFERENCES orgs, id uuid PRIMARY KEY);
        CREATE TABLE b (org_id uuid NOT NULL REFERENCES orgs, id uuid PRIMARY KEY);
        CREATE TABLE c (workspace_id uuid NOT NULL, id uuid PRIMARY KEY);
        GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO web;
        """
    )
    subject = empty.subject()
    assert subject.tenant_columns == ("tenant_id", "org_id")
    assert "org_id" in str(subject.assumed["tenant_columns"])
    off = {object_ for _, rule, object_ in told(empty) if rule == "rls-off"}
    assert off == {"public.sso", "public.a", "public.b"}


# What excuses a function


@pytest.mark.parametrize(
    ("body", "severity"),
    [
        # A column that is set is no secret that was asked for.
        ("UPDATE shop.customers SET email_hash = md5(q) WHERE id = q::uuid", "error"),
        ("UPDATE shop.customers SET email_hash = md5(q), id = id WHERE email = q", "error"),
        ("DELETE FROM shop.customers WHERE email_hash = md5('x')", "error"),
        ("DELETE FROM shop.customers WHERE email_hash IS NOT NULL AND email = q", "error"),
        ("DELETE FROM shop.customers WHERE email_hash = md5(q)", "info"),
        ("DELETE FROM shop.customers c WHERE c.id IS NOT NULL AND c.email_hash = $1", "info"),
        ("DELETE FROM shop.customers c USING shop.tenants t WHERE q = c.email_hash", "info"),
    ],
)
def test_a_secret_chooses_the_row_where_it_is_compared(
    bench: Bench, body: str, severity: str
) -> None:
    bench.execute(
        "ALTER TABLE shop.customers ADD email_hash text;"
        "CREATE FUNCTION shop.f(q text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER"
        f" SET search_path = pg_catalog, pg_temp AS $$ BEGIN {body}; END $$;"
        "GRANT EXECUTE ON FUNCTION shop.f(text) TO shop_app;"
        "ALTER FUNCTION shop.f(text) OWNER TO shop_owner"
    )
    assert told(bench, "secdef-bypass") == [(severity, "secdef-bypass", "shop.f(q text)")]
