"""What the rules on constraints and code must leave alone, or weigh less."""

from __future__ import annotations

import pytest

from .conftest import Bench, needs_15

DEFINER = """
CREATE FUNCTION {name} LANGUAGE {language} SECURITY DEFINER
SET search_path = shop, pg_temp AS $$ {body} $$;
GRANT EXECUTE ON FUNCTION {signature} TO shop_app;
ALTER FUNCTION {signature} OWNER TO {owner};
"""


def severities(bench: Bench, rule: str) -> list[str]:
    return [finding.severity for finding in bench.findings(rule)]


def define(bench: Bench, body: str, owner: str = "shop_owner", language: str = "plpgsql") -> None:
    bench.execute(
        DEFINER.format(
            name="shop.f(wanted uuid) RETURNS text",
            signature="shop.f(uuid)",
            language=language,
            body=body,
            owner=owner,
        )
    )


# Constraints


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("CREATE UNIQUE INDEX ON shop.customers (email)", ["warning"]),
        ("CREATE UNIQUE INDEX ON shop.customers (lower(email))", ["warning"]),
        ("CREATE UNIQUE INDEX ON shop.customers (email) WHERE tenant_id IS NOT NULL", ["warning"]),
        ("CREATE UNIQUE INDEX ON shop.customers (email, tenant_id)", []),
        ("CREATE UNIQUE INDEX ON shop.customers ((tenant_id::text || email))", []),
        ("CREATE UNIQUE INDEX ON shop.customers (email) WHERE tenant_id IS NULL", []),
        ("CREATE INDEX ON shop.customers (email)", []),
        ("CREATE UNIQUE INDEX ON shop.customers (id)", []),
        ("ALTER TABLE shop.customers ADD api_token text UNIQUE", []),
        ("ALTER TABLE shop.customers ADD n int GENERATED ALWAYS AS IDENTITY UNIQUE", ["info"]),
        ("ALTER TABLE shop.customers ADD n int UNIQUE", ["warning"]),
        (
            "REVOKE INSERT, UPDATE (email) ON shop.customers FROM shop_app;"
            "CREATE UNIQUE INDEX ON shop.customers (email)",
            [],
        ),
    ],
)
def test_uniqueness_is_weighed_by_what_a_conflict_tells(
    bench: Bench, statement: str, expected: list[str]
) -> None:
    bench.execute(statement)
    assert severities(bench, "uniq-global") == expected


def test_a_unique_key_that_foreign_keys_need_has_no_fix_yet(bench: Bench) -> None:
    bench.execute(
        "ALTER TABLE shop.customers ADD n int UNIQUE;"
        "ALTER TABLE shop.invoices ADD customer_n int REFERENCES shop.customers (n)"
    )
    (finding,) = bench.findings("uniq-global")
    assert finding.fix_sql is None
    assert "foreign keys onto it first" in finding.message
    for key in bench.findings("fk-single"):
        assert key.fix_sql is not None
        bench.execute(key.fix_sql)
    assert bench.findings("fk-single") == []
    (finding,) = [f for f in bench.findings("uniq-global") if "customers_n_key" in f.object]
    assert finding.fix_sql is not None
    bench.execute(finding.fix_sql)
    assert bench.findings("uniq-global") == []


def test_a_fix_of_an_index_keeps_its_expression_and_condition(bench: Bench) -> None:
    bench.execute("CREATE UNIQUE INDEX mails ON shop.customers (lower(email)) WHERE email <> ''")
    (finding,) = bench.findings("uniq-global")
    assert finding.fix_sql is not None
    bench.execute(finding.fix_sql)
    ((made,),) = bench.execute("SELECT pg_get_indexdef('shop.mails'::regclass)")
    assert made.endswith("(tenant_id, lower(email)) WHERE (email <> ''::text)")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        # To the table of tenants, and to tables that are no tenant's.
        ("ALTER TABLE shop.invoices ADD payer uuid REFERENCES shop.tenants", []),
        (
            "CREATE TABLE shop.countries (code text PRIMARY KEY);"
            "ALTER TABLE shop.invoices ADD country text REFERENCES shop.countries",
            [],
        ),
        (
            "ALTER TABLE shop.invoices ADD previous uuid, ADD FOREIGN KEY (tenant_id, previous)"
            " REFERENCES shop.invoices (tenant_id, id) ON DELETE CASCADE",
            [],
        ),
        # The tenant of the one side against something else of the other.
        (
            "CREATE UNIQUE INDEX ON shop.customers (id, tenant_id);"
            "ALTER TABLE shop.invoices ADD FOREIGN KEY (tenant_id, customer_id)"
            " REFERENCES shop.customers (id, tenant_id)",
            ["error"],
        ),
    ],
)
def test_keys_that_carry_the_tenant_are_fine(
    bench: Bench, statement: str, expected: list[str]
) -> None:
    bench.execute(statement)
    assert severities(bench, "fk-single") == expected
    assert severities(bench, "fk-cascade") == []


def test_a_cascade_that_the_app_cannot_set_off_is_a_single_key(bench: Bench) -> None:
    bench.execute(
        "CREATE UNIQUE INDEX ON shop.customers (id);"
        "ALTER TABLE shop.invoices ADD FOREIGN KEY (customer_id)"
        " REFERENCES shop.customers (id) ON DELETE CASCADE;"
        "REVOKE DELETE ON shop.customers FROM shop_app"
    )
    assert severities(bench, "fk-cascade") == []
    assert severities(bench, "fk-single") == ["error"]


def test_a_cascade_whose_links_the_app_cannot_make_is_a_warning(bench: Bench) -> None:
    bench.execute(
        "CREATE UNIQUE INDEX ON shop.customers (id);"
        "ALTER TABLE shop.invoices ADD FOREIGN KEY (customer_id)"
        " REFERENCES shop.customers (id) ON DELETE CASCADE;"
        "REVOKE INSERT, UPDATE (customer_id) ON shop.invoices FROM shop_app"
    )
    assert severities(bench, "fk-cascade") == ["warning"]


def test_the_foreign_keys_of_partitions_are_their_parents(bench: Bench) -> None:
    bench.execute(
        "CREATE UNIQUE INDEX ON shop.customers (id);"
        "CREATE TABLE shop.log (tenant_id uuid NOT NULL, id uuid NOT NULL, customer_id uuid"
        " REFERENCES shop.customers (id), PRIMARY KEY (tenant_id, id)) PARTITION BY HASH (id);"
        "CREATE TABLE shop.log_0 PARTITION OF shop.log FOR VALUES WITH (MODULUS 1, REMAINDER 0);"
        "GRANT INSERT ON shop.log, shop.log_0 TO shop_app"
    )
    assert [f.object for f in bench.findings("fk-single")] == [
        "constraint log_customer_id_fkey on shop.log"
    ]


# Views


@pytest.mark.parametrize(
    ("statements", "views"),
    [
        # A view within a view reads as its own owner.
        (
            "CREATE VIEW shop.low AS SELECT * FROM shop.customers;"
            "CREATE VIEW shop.top WITH (security_invoker) AS SELECT * FROM shop.low;"
            "GRANT SELECT ON shop.top TO shop_app",
            [],
        ),
        (
            "CREATE VIEW shop.low AS SELECT * FROM shop.customers;"
            "CREATE VIEW shop.top AS SELECT * FROM shop.low;"
            "GRANT SELECT ON shop.top TO shop_app",
            ["shop.low"],
        ),
        (
            "CREATE VIEW shop.low WITH (security_invoker) AS SELECT * FROM shop.customers;"
            "CREATE VIEW shop.top AS SELECT * FROM shop.low;"
            "GRANT SELECT ON shop.top TO shop_app",
            [],
        ),
        (
            "CREATE VIEW shop.low AS SELECT * FROM shop.customers;"
            "CREATE VIEW shop.top WITH (security_barrier) AS SELECT * FROM shop.low"
            " WHERE tenant_id = shop.current_tenant();"
            "GRANT SELECT ON shop.top TO shop_app",
            [],
        ),
        # Nobody of the app's may read it; nothing of a tenant's is in it.
        ("CREATE VIEW shop.low AS SELECT * FROM shop.customers", []),
        (
            "CREATE TABLE shop.countries (code text);"
            "CREATE VIEW shop.low AS SELECT * FROM shop.countries;"
            "GRANT SELECT ON shop.low TO shop_app",
            [],
        ),
        # Its owner is bound by the tenants' policy.
        (
            "CREATE VIEW shop.low AS SELECT * FROM shop.customers;"
            "GRANT CREATE ON SCHEMA shop TO shop_app; ALTER VIEW shop.low OWNER TO shop_app;"
            "REVOKE CREATE ON SCHEMA shop FROM shop_app",
            [],
        ),
        (
            "CREATE VIEW shop.low AS SELECT count(*) FROM shop.customers;"
            "GRANT SELECT ON shop.low TO PUBLIC",
            ["shop.low"],
        ),
    ],
)
def test_views_are_judged_by_whom_they_read_as(
    bench: Bench, statements: str, views: list[str]
) -> None:
    needs_15(bench, statements)
    bench.execute(statements)
    found = [f.object for f in bench.findings() if f.rule in ("view-definer", "view-barrier")]
    assert found == views


def test_a_view_shows_no_more_than_an_open_table_does(bench: Bench) -> None:
    bench.execute(
        "CREATE VIEW shop.low AS SELECT * FROM shop.customers; GRANT SELECT ON shop.low TO shop_app"
    )
    assert severities(bench, "view-definer") == ["error"]
    bench.execute("ALTER TABLE shop.customers DISABLE ROW LEVEL SECURITY")
    assert severities(bench, "view-definer") == []


def test_a_view_with_a_condition_nobody_follows_is_a_warning(bench: Bench) -> None:
    bench.execute(
        "CREATE FUNCTION shop.mine(uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS"
        " 'BEGIN RETURN $1 = shop.current_tenant(); END';"
        "CREATE VIEW shop.low AS SELECT * FROM shop.customers WHERE shop.mine(tenant_id);"
        "GRANT SELECT ON shop.low TO shop_app"
    )
    assert severities(bench, "view-definer") == ["warning"]


# Functions


def test_a_definer_whom_the_policies_bind_is_fine(bench: Bench) -> None:
    body = "SELECT email FROM customers WHERE id = wanted"
    bench.execute("GRANT CREATE ON SCHEMA shop TO shop_app")
    define(bench, body, owner="shop_app", language="sql")
    assert severities(bench, "secdef-bypass") == []


@pytest.mark.parametrize(
    ("language", "body", "expected"),
    [
        ("sql", "SELECT email FROM customers WHERE id = wanted", ["error"]),
        ("sql", "SELECT email FROM customers WHERE tenant_id = wanted", ["error"]),
        ("sql", "SELECT email FROM shop.customers WHERE tenant_id = $1", ["error"]),
        ("sql", "SELECT email FROM customers WHERE tenant_id = shop.current_tenant()", []),
        ("sql", "SELECT name FROM tenants WHERE id = wanted", ["error"]),
        ("sql", "SELECT current_user::text", []),
        ("sql", "SELECT email FROM customers WHERE api_token = wanted", ["info"]),
        ("plpgsql", "BEGIN RETURN (SELECT email FROM customers WHERE id = wanted); END", ["error"]),
        ("plpgsql", "BEGIN DELETE FROM customers; RETURN ''; END", ["error"]),
        (
            "plpgsql",
            "BEGIN RETURN (SELECT email FROM customers"
            " WHERE tenant_id = shop.current_tenant() AND id = wanted); END",
            ["info"],
        ),
        ("plpgsql", "BEGIN -- FROM customers\n RETURN ''; END", []),
    ],
)
def test_definers_are_judged_by_what_they_read(
    bench: Bench, language: str, body: str, expected: list[str]
) -> None:
    bench.execute("ALTER TABLE shop.customers ADD api_token uuid")
    define(bench, body, language=language)
    assert severities(bench, "secdef-bypass") == expected


def test_a_lookup_in_a_table_that_is_closed_to_the_app_is_an_info(bench: Bench) -> None:
    define(bench, "BEGIN RETURN (SELECT email FROM customers WHERE id = wanted); END")
    assert severities(bench, "secdef-bypass") == ["error"]
    bench.execute("REVOKE ALL ON shop.customers FROM shop_app")
    bench.execute("REVOKE UPDATE (email) ON shop.customers FROM shop_app")
    assert severities(bench, "secdef-bypass") == ["info"]


def test_what_a_definer_calls_runs_as_its_owner(bench: Bench) -> None:
    bench.execute(
        "CREATE FUNCTION shop.within(uuid) RETURNS text LANGUAGE sql AS"
        " 'SELECT email FROM shop.customers WHERE id = $1'"
    )
    define(bench, "BEGIN RETURN shop.within(wanted); END")
    assert severities(bench, "secdef-bypass") == ["error"]


def test_a_definer_that_the_app_may_not_call_is_fine(bench: Bench) -> None:
    define(bench, "SELECT email FROM customers WHERE id = wanted", language="sql")
    bench.execute(
        "REVOKE EXECUTE ON FUNCTION shop.f(uuid) FROM shop_app;"
        "REVOKE EXECUTE ON FUNCTION shop.f(uuid) FROM PUBLIC"
    )
    assert severities(bench, "secdef-bypass") == []


@pytest.mark.parametrize(
    ("path", "body", "temporary", "expected"),
    [
        ("shop", "SELECT 1 FROM tenants", True, ["error"]),
        ("shop", "SELECT 1 FROM tenants", False, []),
        ("shop", "SELECT 1 FROM shop.tenants", True, []),
        ("shop, pg_temp", "SELECT 1 FROM tenants", True, []),
        ("''", "SELECT 1 FROM shop.tenants", True, []),
        (None, "SELECT 1 FROM shop.tenants", True, ["error"]),
        (None, "SELECT 1 FROM shop.tenants", False, ["warning"]),
    ],
)
def test_a_search_path_is_judged_by_what_the_app_can_put_in_it(
    bench: Bench, path: str | None, body: str, temporary: bool, expected: list[str]
) -> None:
    if temporary:
        bench.execute(
            "DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO shop_app',"
            " current_database()); END $$"
        )
    fixed = "" if path is None else f"SET search_path = {path}"
    bench.execute(
        "SET LOCAL check_function_bodies = off;"
        f"CREATE FUNCTION shop.f() RETURNS int LANGUAGE sql SECURITY DEFINER {fixed} AS"
        f" '{body}'; ALTER FUNCTION shop.f() OWNER TO shop_owner"
    )
    assert severities(bench, "secdef-path") == expected


def test_a_body_of_the_sql_standard_needs_no_search_path(bench: Bench) -> None:
    bench.execute(
        "CREATE FUNCTION shop.f() RETURNS bigint LANGUAGE sql SECURITY DEFINER"
        " RETURN (SELECT count(*) FROM pg_catalog.pg_class)"
    )
    assert severities(bench, "secdef-path") == []


# Others


def test_a_sequence_of_a_global_table_is_none_of_the_tenants(bench: Bench) -> None:
    bench.execute(
        "CREATE TABLE shop.countries (n serial); GRANT ALL ON shop.countries_n_seq TO shop_app"
    )
    assert severities(bench, "seq-shared") == []


def test_reading_a_sequence_is_an_info(bench: Bench) -> None:
    bench.execute(
        "ALTER TABLE shop.customers ADD n serial; GRANT SELECT ON shop.customers_n_seq TO shop_app"
    )
    assert severities(bench, "seq-shared") == ["info"]


def test_large_objects_of_others_are_none_of_the_apps(bench: Bench) -> None:
    bench.execute("SELECT lo_from_bytea(0, 'x')")
    assert severities(bench, "lobj") == []


def test_a_notification_of_an_id_is_an_info(bench: Bench) -> None:
    bench.execute(
        "CREATE FUNCTION shop.tell() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_notify('c', NEW.id::text); RETURN NEW; END $$;"
        "CREATE TRIGGER tell AFTER INSERT ON shop.customers"
        " FOR EACH ROW EXECUTE FUNCTION shop.tell()"
    )
    assert severities(bench, "notify") == ["info"]


def test_a_trigger_function_that_writes_the_rows_own_tenant_is_fine(bench: Bench) -> None:
    bench.execute(
        "CREATE FUNCTION shop.log() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = shop, pg_temp AS $$ BEGIN"
        " INSERT INTO shop.customers VALUES (NEW.tenant_id, NEW.id, ''); RETURN NEW; END $$;"
        "CREATE TRIGGER log AFTER INSERT ON shop.invoices"
        " FOR EACH ROW EXECUTE FUNCTION shop.log()"
    )
    assert severities(bench, "trigger-secdef") == []
