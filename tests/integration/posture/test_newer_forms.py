"""What newer servers have, ways out of the database, and logins that read what was put aside."""

from __future__ import annotations

import psycopg2
import pytest

from .conftest import Bench


def found(bench: Bench, *rules: str) -> list[tuple[str, str, str]]:
    return [(f.rule, f.severity, f.object) for rule in rules for f in bench.findings(rule)]


def needs_18(bench: Bench) -> None:
    if bench.version < 180000:
        pytest.skip("NOT ENFORCED and WITHOUT OVERLAPS came with PostgreSQL 18")


SINGLE = """
CREATE UNIQUE INDEX invoices_id ON shop.invoices (id);
CREATE TABLE shop.notes (
    tenant_id uuid NOT NULL REFERENCES shop.tenants,
    id uuid NOT NULL,
    invoice_id uuid NOT NULL REFERENCES shop.invoices (id) ON DELETE CASCADE {enforced},
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE shop.notes OWNER TO shop_owner;
ALTER TABLE shop.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.notes TO shop_app USING (tenant_id = (SELECT shop.current_tenant()));
GRANT SELECT, INSERT, DELETE ON shop.notes TO shop_app;
"""
A, B, ROW = (f"'00000000-0000-0000-0000-00000000000{n}'" for n in (1, 2, 3))


@pytest.mark.parametrize(("enforced", "leaks"), [("ENFORCED", True), ("NOT ENFORCED", False)])
def test_a_foreign_key_that_is_not_enforced_checks_and_deletes_nothing(
    bench: Bench, enforced: str, leaks: bool
) -> None:
    needs_18(bench)
    bench.execute(SINGLE.format(enforced=enforced))
    bench.execute(
        f"INSERT INTO shop.tenants VALUES ({A}, 'a'), ({B}, 'b');"
        f"INSERT INTO shop.customers VALUES ({A}, {ROW}, 'x');"
        f"INSERT INTO shop.invoices VALUES ({A}, {ROW}, {ROW}, '1');"
        f"INSERT INTO shop.notes VALUES ({B}, {ROW}, {ROW})"
    )
    bench.as_role("shop_app", f"DELETE FROM shop.invoices WHERE id = {ROW}", A.strip("'"))
    assert bench.execute("SELECT count(*) FROM shop.notes") == [(0 if leaks else 1,)]
    assert bool(found(bench, "fk-single", "fk-cascade")) == leaks


PERIODS = """
CREATE TABLE shop.rooms (
    tenant_id uuid NOT NULL REFERENCES shop.tenants,
    id uuid NOT NULL,
    number int4range NOT NULL,
    rented daterange NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT rooms_once UNIQUE (number, rented WITHOUT OVERLAPS)
);
CREATE TABLE shop.stays (
    tenant_id uuid NOT NULL REFERENCES shop.tenants,
    id uuid NOT NULL,
    room int4range NOT NULL,
    during daterange NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT stays_room FOREIGN KEY (room, PERIOD during)
        REFERENCES shop.rooms (number, PERIOD rented)
);
ALTER TABLE shop.rooms OWNER TO shop_owner;
ALTER TABLE shop.stays OWNER TO shop_owner;
ALTER TABLE shop.rooms ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE shop.stays ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.rooms TO shop_app USING (tenant_id = (SELECT shop.current_tenant()));
CREATE POLICY app ON shop.stays TO shop_app USING (tenant_id = (SELECT shop.current_tenant()));
GRANT SELECT, INSERT, DELETE ON shop.rooms, shop.stays TO shop_app;
"""


def test_keys_over_periods_are_keys_like_others(bench: Bench) -> None:
    """One tenant's overlap tells of another's row, and one tenant's stay holds another's room."""
    needs_18(bench)
    bench.execute(PERIODS)
    bench.execute(
        f"INSERT INTO shop.tenants VALUES ({A}, 'a'), ({B}, 'b');"
        f"INSERT INTO shop.rooms VALUES ({A}, {ROW}, '[1,1]', '[2026-01-01,2026-02-01)')"
    )
    bench.as_role(
        "shop_app",
        f"INSERT INTO shop.stays VALUES ({B}, {ROW}, '[1,1]', '[2026-01-02,2026-01-03)')",
        B.strip("'"),
    )
    with pytest.raises(psycopg2.errors.ExclusionViolation):
        bench.execute("SAVEPOINT s") or bench.as_role(
            "shop_app",
            f"INSERT INTO shop.rooms VALUES ({B}, {ROW}, '[1,1]', '[2026-01-02,2026-01-03)')",
            B.strip("'"),
        )
    bench.cursor.execute("ROLLBACK TO s")
    keys = {(f.rule, f.object): f for r in ("uniq-global", "excl-global", "fk-single")
            for f in bench.findings(r)}  # fmt: skip
    assert set(keys) == {
        ("uniq-global", "constraint rooms_once on shop.rooms"),
        ("fk-single", "constraint stays_room on shop.stays"),
    }
    # What would mend them takes an operator class for the tenant that is an extension's.
    assert [finding.fix_sql for finding in keys.values()] == [None, None]


LOOPBACK = """
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER back FOREIGN DATA WRAPPER other;
CREATE FOREIGN TABLE shop.archive (number text) SERVER back
    OPTIONS (schema_name '{schema}', table_name '{name}');
ALTER FOREIGN TABLE shop.archive OWNER TO shop_owner;
GRANT SELECT ON shop.archive TO shop_app;
"""


@pytest.mark.parametrize(
    ("schema", "name", "leaks"), [("shop", "invoices", True), ("public", "rates", False)]
)
def test_a_foreign_table_may_be_a_tenant_table_without_its_tenant(
    bench: Bench, schema: str, name: str, leaks: bool
) -> None:
    bench.execute(LOOPBACK.format(schema=schema, name=name))
    wanted = [("foreign-table", "error", "shop.archive")] if leaks else []
    assert found(bench, "foreign-table") == wanted


BI = """
CREATE ROLE bi LOGIN;
GRANT USAGE ON SCHEMA shop TO bi;
CREATE MATERIALIZED VIEW shop.totals AS
    SELECT tenant_id, count(*) AS invoices FROM shop.invoices GROUP BY tenant_id;
GRANT SELECT {columns} ON {what} TO bi;
"""


@pytest.mark.parametrize("columns", ["", "(invoices)"])
def test_a_login_that_reads_only_what_was_put_aside_is_judged(bench: Bench, columns: str) -> None:
    bench.execute(BI.format(columns=columns, what="shop.totals"))
    subject = bench.subject()
    assert sorted(role.name for role in subject.app_roles) == ["bi", "shop_app"]
    assert "bi may read" in str(subject.assumed["app_roles"])
    assert found(bench, "matview") == [("matview", "error", "shop.totals")]


def test_a_login_that_reads_what_is_no_tenants_is_not(bench: Bench) -> None:
    bench.execute(
        "CREATE TABLE shop.rates (day date); CREATE VIEW shop.latest AS SELECT * FROM shop.rates;"
        + BI.format(columns="", what="shop.rates, shop.latest")
    )
    assert [role.name for role in bench.subject().app_roles] == ["shop_app"]
