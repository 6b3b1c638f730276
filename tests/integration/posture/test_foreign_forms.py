"""Forms that other projects' schemas have, and that the audit once misread (docs: field notes)."""

from __future__ import annotations

import pytest

from .conftest import Bench


def found(bench: Bench, rule: str) -> list[tuple[str, str]]:
    return sorted((finding.severity, finding.object) for finding in bench.findings(rule))


def test_one_name_may_be_spelled_in_two_ways(empty: Bench) -> None:
    empty.execute(
        """
        CREATE ROLE web LOGIN; GRANT USAGE ON SCHEMA public TO web;
        CREATE TABLE "Tenant" (id uuid PRIMARY KEY);
        CREATE TABLE "Job" ("tenantId" uuid NOT NULL REFERENCES "Tenant", id uuid PRIMARY KEY);
        CREATE TABLE task (tenant_id uuid NOT NULL, id uuid PRIMARY KEY);
        CREATE TABLE run (tenant_id uuid NOT NULL, id uuid PRIMARY KEY);
        GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO web;
        """
    )
    subject = empty.subject()
    assert subject.tenant_columns == ("tenant_id", "tenantId")
    assert subject.facts.relations[subject.registry].label == "public.Tenant"
    assert ("error", "public.Job") in found(empty, "rls-off")


def test_a_name_that_a_policy_compares_is_looked_for_in_other_spellings(bench: Bench) -> None:
    bench.execute(
        """
        CREATE TABLE shop."Notes" ("tenantID" uuid NOT NULL, id uuid PRIMARY KEY);
        GRANT SELECT ON shop."Notes" TO shop_app;
        """
    )
    assert found(bench, "rls-off") == [("error", "shop.Notes")]


MEMBERS = """
CREATE TABLE shop.members (tenant_id uuid NOT NULL, person text NOT NULL, role text NOT NULL,
    PRIMARY KEY (tenant_id, person));
ALTER TABLE shop.members OWNER TO shop_owner;
ALTER TABLE shop.members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON shop.members TO shop_owner USING (true);
CREATE FUNCTION shop.has_role(tenant_id uuid, role text DEFAULT NULL) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM shop.members m
                   WHERE m.person = current_setting('app.person', true)
                   AND m.tenant_id = has_role.tenant_id
                   AND (m.role = has_role.role OR has_role.role IS NULL))
$$;
ALTER FUNCTION shop.has_role(uuid, text) OWNER TO shop_owner;
REVOKE EXECUTE ON FUNCTION shop.has_role(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION shop.has_role(uuid, text) TO shop_app;
"""


@pytest.mark.parametrize(
    "condition", ["shop.has_role(tenant_id)", "shop.has_role(tenant_id, 'admin') = true"]
)
def test_a_helper_is_read_with_the_arguments_that_a_call_leaves_out(
    bench: Bench, condition: str
) -> None:
    bench.execute(MEMBERS)
    bench.execute(f"ALTER POLICY app ON shop.invoices USING ({condition})")
    assert [f for f in bench.findings() if "polic" in f.rule and "invoices" in f.object] == []


def test_which_of_two_helpers_a_policy_asks_is_not_guessed(bench: Bench) -> None:
    bench.execute(
        """
        CREATE FUNCTION shop.mine(t uuid) RETURNS boolean LANGUAGE sql STABLE
            AS $$ SELECT t = shop.current_tenant() $$;
        CREATE FUNCTION shop.mine(t text) RETURNS boolean LANGUAGE sql STABLE
            AS $$ SELECT true $$;
        ALTER POLICY app ON shop.invoices USING (shop.mine(tenant_id::text));
        """
    )
    assert found(bench, "policy-unjudged") == [("info", "shop.invoices")]
    bench.execute(
        "ALTER POLICY app ON shop.invoices USING (tenant_id = shop.current_tenant());"
        "DROP FUNCTION shop.mine(uuid);"
        "ALTER POLICY app ON shop.invoices USING (shop.mine(tenant_id::text))"
    )
    assert found(bench, "policy-true") == [("error", "policy app on shop.invoices")]


PEOPLE = """
CREATE TABLE shop.people (id text PRIMARY KEY, tenant_id uuid, blocked boolean NOT NULL);
ALTER TABLE shop.people OWNER TO shop_owner;
GRANT SELECT, INSERT ON shop.people TO shop_app;
"""
OF_A_PERSON = (
    "SELECT p.tenant_id FROM shop.people p WHERE p.id = current_setting('app.person', true)"
)


def test_a_look_up_that_only_narrows_is_not_believed(bench: Bench) -> None:
    bench.execute(PEOPLE)
    bench.execute(
        "ALTER POLICY app ON shop.invoices USING (tenant_id = (SELECT shop.current_tenant())"
        " AND number NOT IN (SELECT p.id FROM shop.people p WHERE p.blocked))"
    )
    assert found(bench, "policy-xref") == []
    bench.execute(f"ALTER POLICY app ON shop.invoices USING (tenant_id IN ({OF_A_PERSON}))")
    assert found(bench, "policy-xref") == [("error", "policy app on shop.invoices")]


SHARED = "tenant_id = '00000000-0000-0000-0000-000000000000' OR tenant_id = shop.current_tenant()"


def test_rows_that_all_tenants_read_are_not_for_all_to_write(bench: Bench) -> None:
    bench.execute(f"ALTER POLICY app ON shop.invoices USING ({SHARED})")
    assert found(bench, "policy-true") == []
    (finding,) = bench.findings("policy-check")
    assert (finding.severity, finding.object) == ("warning", "policy app on shop.invoices")
    assert finding.fix_sql is not None
    bench.execute(finding.fix_sql)
    assert found(bench, "policy-check") == []


def test_a_second_policy_that_shares_rows_is_seen_with_the_first(bench: Bench) -> None:
    fixed = SHARED.partition(" OR ")[0]
    bench.execute(f"CREATE POLICY everybodys ON shop.invoices FOR SELECT USING ({fixed})")
    assert found(bench, "policy-check") == []
    bench.execute(f"CREATE POLICY too_much ON shop.invoices FOR INSERT WITH CHECK ({fixed})")
    assert found(bench, "policy-check") == [("warning", "policy too_much on shop.invoices")]


def test_a_policy_per_tenants_own_role_shares_nothing(bench: Bench) -> None:
    fixed = SHARED.partition(" OR ")[0]
    bench.execute(f"ALTER POLICY app ON shop.invoices USING ({fixed})")
    assert found(bench, "policy-check") == []


NAMED = """
CREATE TABLE shop.named (tenant_id {type} NOT NULL, id uuid NOT NULL, PRIMARY KEY (tenant_id, id));
ALTER TABLE shop.named OWNER TO shop_owner;
ALTER TABLE shop.named ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.named TO shop_app
    USING (tenant_id::{cast} = nullif(current_setting('app.tenant_id', true), '')::{cast});
GRANT SELECT ON shop.named TO shop_app;
"""


@pytest.mark.parametrize(
    ("type_", "cast", "hides"),
    [("varchar(36)", "text", False), ("text", "varchar", False), ("uuid", "text", True),
     ("text", "uuid", True), ("int", "bigint", True)],
)  # fmt: skip
def test_a_cast_that_an_index_does_not_mind_is_none(
    bench: Bench, type_: str, cast: str, hides: bool
) -> None:
    bench.execute(NAMED.format(type=type_, cast=cast))
    findings = bench.findings("policy-cast")
    assert bool(findings) == hides
    for finding in findings:
        assert finding.fix_sql is not None
        bench.execute(finding.fix_sql)
    assert bench.findings("policy-cast") == []
    bench.execute("SET LOCAL enable_seqscan = off")
    plan = str(bench.as_role("shop_app", "EXPLAIN SELECT id FROM shop.named"))
    assert "Index Cond" in plan


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("made_at timestamptz, n bigint GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (made_at, n)",
         ["info"]),
        ("id text PRIMARY KEY", ["info"]),
        ("code text PRIMARY KEY", ["warning"]),
        ("made_at timestamptz, code text, PRIMARY KEY (made_at, code)", ["warning"]),
    ],
)  # fmt: skip
def test_a_key_with_a_generated_part_tells_little(
    bench: Bench, columns: str, expected: list[str]
) -> None:
    bench.execute(f"CREATE TABLE shop.things (tenant_id uuid NOT NULL, {columns})")
    bench.execute("GRANT SELECT, INSERT ON shop.things TO shop_app")
    severities = [f.severity for f in bench.findings("uniq-global") if "things" in f.object]
    assert severities == expected


def test_adding_tenants_is_weighed_less_than_changing_them(bench: Bench) -> None:
    bench.execute(
        "GRANT INSERT, UPDATE ON shop.tenants TO shop_app;"
        "CREATE POLICY sign_up ON shop.tenants FOR INSERT TO shop_app WITH CHECK (true)"
    )
    assert found(bench, "policy-check") == [("warning", "policy sign_up on shop.tenants")]
    bench.execute(
        "CREATE POLICY move ON shop.tenants FOR UPDATE TO shop_app USING (id ="
        " shop.current_tenant()) WITH CHECK (true)"
    )
    assert ("error", "policy move on shop.tenants") in found(bench, "policy-check")


TRIGGER = """
CREATE TABLE shop.messages (tenant_id uuid NOT NULL, id uuid PRIMARY KEY, state text, topic text);
ALTER TABLE shop.messages OWNER TO shop_owner;
GRANT SELECT, INSERT ON shop.messages TO shop_app;
CREATE FUNCTION shop.sent() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN UPDATE shop.messages SET state = 'sent' WHERE {where}; RETURN NULL; END $$;
ALTER FUNCTION shop.sent() OWNER TO shop_owner;
CREATE TRIGGER sent AFTER INSERT ON shop.messages FOR EACH ROW EXECUTE FUNCTION shop.sent();
"""


@pytest.mark.parametrize(("where", "reaches"), [("id = new.id", 0), ("topic = new.topic", 1)])
def test_a_trigger_that_changes_its_own_row_reaches_no_other(
    bench: Bench, where: str, reaches: int
) -> None:
    bench.execute(TRIGGER.format(where=where))
    assert len(found(bench, "trigger-secdef")) == reaches
