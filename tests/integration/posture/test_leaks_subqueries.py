"""Policies whose subquery looks like a bound and is none: tenant A's person reads B's invoice."""

from __future__ import annotations

import pytest

from .conftest import Bench

A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"
SCHEMA = f"""
CREATE TABLE shop.members (tenant_id uuid NOT NULL, person text NOT NULL, team int NOT NULL,
    PRIMARY KEY (tenant_id, person));
CREATE TABLE shop.teams (id int PRIMARY KEY, person text NOT NULL);
CREATE TABLE shop.blocked (tenant_id uuid NOT NULL, person text NOT NULL,
    PRIMARY KEY (tenant_id, person));
ALTER TABLE shop.members OWNER TO shop_owner;
ALTER TABLE shop.teams OWNER TO shop_owner;
ALTER TABLE shop.blocked OWNER TO shop_owner;
GRANT SELECT ON shop.members, shop.teams, shop.blocked TO shop_app;
INSERT INTO shop.tenants VALUES ('{A}', 'A'), ('{B}', 'B');
INSERT INTO shop.customers VALUES ('{A}', '{A}', 'a@a'), ('{B}', '{B}', 'b@b');
INSERT INTO shop.invoices VALUES ('{A}', '{A}', '{A}', '1'), ('{B}', '{B}', '{B}', '1');
INSERT INTO shop.members VALUES ('{A}', 'ann', 1), ('{B}', 'bob', 2);
INSERT INTO shop.teams VALUES (1, 'ann'), (2, 'bob');
"""
MEMBER = "m.tenant_id = invoices.tenant_id AND m.person = current_setting('app.person', true)"
HELPER = """
CREATE FUNCTION shop.may(t uuid) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$ {} $$;
ALTER FUNCTION shop.may(uuid) OWNER TO shop_owner;
GRANT EXECUTE ON FUNCTION shop.may(uuid) TO shop_app;
"""
OF_T = "{0}.tenant_id = t AND {0}.person = current_setting('app.person', true)"
BLOCKED = f"FROM shop.blocked b WHERE {OF_T.format('b')}"
KNOWN = f"FROM shop.members m WHERE {OF_T.format('m')}"
SEEN = "SELECT tenant_id::text FROM shop.invoices"

# (the rule that tells, the policy's condition, the helper's body, the mended ones)
CASES = {
    "aggregate": (
        "policy-true",
        (f"EXISTS (SELECT count(*) FROM shop.members m WHERE {MEMBER})", ""),
        (f"(SELECT count(*) > 0 FROM shop.members m WHERE {MEMBER})", ""),
    ),
    "inverted": (
        "policy-unjudged",
        ("shop.may(tenant_id)", f"SELECT count(*) = 0 {BLOCKED}"),
        ("shop.may(tenant_id)", f"SELECT count(*) > 0 {KNOWN}"),
    ),
    "coalesced": (
        "policy-unjudged",
        ("shop.may(tenant_id)", f"SELECT coalesce(bool_or(true), true) {KNOWN}"),
        ("shop.may(tenant_id)", f"SELECT coalesce(bool_or(true), false) {KNOWN}"),
    ),
    "not joined": (
        "policy-true",
        (
            "EXISTS (SELECT 1 FROM shop.members m, shop.teams o WHERE"
            " m.tenant_id = invoices.tenant_id AND o.person = current_setting('app.person', true))",
            "",
        ),
        (
            "EXISTS (SELECT 1 FROM shop.members m, shop.teams o WHERE o.id = m.team AND"
            " m.tenant_id = invoices.tenant_id AND o.person = current_setting('app.person', true))",
            "",
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("mended", [False, True])
def test_what_reads_another_tenants_invoice_is_told(
    bench: Bench, name: str, *, mended: bool
) -> None:
    rule, *forms = CASES[name]
    condition, body = forms[mended]
    bench.execute(SCHEMA)
    if body:
        bench.execute(HELPER.format(body))
    bench.execute(f"ALTER POLICY app ON shop.invoices USING ({condition})")
    bench.execute("SELECT set_config('app.person', 'ann', true)")
    seen = {
        row[0] for row in bench.as_role("shop_app", "SELECT tenant_id::text FROM shop.invoices")
    }
    assert seen == ({A} if mended else {A, B})
    told = [f for f in bench.findings(rule) if "shop.invoices" in f.object]
    assert bool(told) is not mended, told
