"""Schemas that are not ours: what is found out of them, and no false alarm."""

from __future__ import annotations

import pytest

from .conftest import Bench


def names(bench: Bench, severity: str | None = None, **given: list[str]) -> set[tuple[str, str]]:
    """(rule, object) of the findings, without what the server's version is."""
    return {
        (finding.rule, finding.object)
        for finding in bench.findings(**given)
        if finding.rule != "version-floor" and severity in (None, finding.severity)
    }


def roles(bench: Bench) -> list[str]:
    return sorted(role.name for role in bench.subject().app_roles)


OWNER_IS_APP = """
CREATE ROLE web LOGIN;
GRANT CREATE, USAGE ON SCHEMA public TO web;
SET LOCAL ROLE web;
CREATE TABLE accounts (id bigserial PRIMARY KEY, name text);
CREATE TABLE projects (account_id bigint NOT NULL REFERENCES accounts, id bigserial PRIMARY KEY);
CREATE TABLE tasks (account_id bigint NOT NULL REFERENCES accounts, id bigserial PRIMARY KEY,
    project_id bigint);
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM web;
"""


def test_owner_and_app_may_be_the_same_role(empty: Bench) -> None:
    empty.execute(OWNER_IS_APP)
    subject = empty.subject()
    assert roles(empty) == ["web"]
    assert "owner and app are the same role" in str(subject.assumed["app_roles"])
    assert subject.tenant_columns == ("account_id",)
    found = names(empty)
    assert ("rls-off", "public.projects") in found
    assert ("rls-off", "public.tasks") in found
    assert ("role-owner", "role web") in found


def test_an_owner_that_serves_is_bound_where_the_table_is_forced(empty: Bench) -> None:
    empty.execute(OWNER_IS_APP)
    for table in ("projects", "tasks"):
        empty.execute(
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON {table} USING"
            " (account_id = nullif(current_setting('app.account', true), '')::bigint)"
        )
    assert ("rls-unforced", "public.tasks") in names(empty, "error")
    for table in ("projects", "tasks"):
        empty.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    kinds = {rule for rule, _ in names(empty, "error")}
    assert not kinds & {"rls-off", "rls-unforced", "policy-true", "rls-nopolicy"}
    assert ("role-owner", "role web") in names(empty, "warning")


def test_without_any_role_the_superuser_is_judged(empty: Bench) -> None:
    empty.execute("CREATE TABLE orders (tenant_id int NOT NULL PRIMARY KEY)")
    assert ("role-bypass", f"role {empty.facts().server.user}") in names(empty, "error")


PLATFORM = """
CREATE ROLE gate LOGIN NOINHERIT;
CREATE ROLE visitor;
CREATE ROLE member;
CREATE ROLE machine BYPASSRLS;
GRANT visitor, member TO gate;
CREATE ROLE keeper;
CREATE SCHEMA auth AUTHORIZATION keeper;
CREATE SCHEMA app AUTHORIZATION keeper;
SET LOCAL ROLE keeper;
GRANT USAGE ON SCHEMA auth, app TO visitor, member, machine;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid
$$;
CREATE TABLE app.teams (id uuid PRIMARY KEY, name text);
CREATE TABLE app.team_members (team_id uuid NOT NULL REFERENCES app.teams, user_id uuid NOT NULL,
    PRIMARY KEY (team_id, user_id));
CREATE FUNCTION app.is_member(team uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM app.team_members m
                   WHERE m.team_id = team AND m.user_id = auth.uid())
$$;
REVOKE EXECUTE ON FUNCTION app.is_member(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION app.is_member(uuid) TO member;
CREATE TABLE app.documents (team_id uuid NOT NULL REFERENCES app.teams, id uuid NOT NULL,
    body text, PRIMARY KEY (team_id, id));
CREATE INDEX ON app.team_members (user_id);
ALTER TABLE app.teams ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE app.team_members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE app.documents ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON app.teams TO keeper USING (true);
CREATE POLICY owner ON app.team_members TO keeper USING (true);
CREATE POLICY owner ON app.documents TO keeper USING (true);
CREATE POLICY read ON app.teams FOR SELECT TO member USING (app.is_member(id));
CREATE POLICY read ON app.team_members FOR SELECT TO member USING (user_id = auth.uid());
CREATE POLICY read ON app.documents FOR SELECT TO member USING (app.is_member(team_id));
CREATE POLICY add ON app.documents FOR INSERT TO member WITH CHECK (app.is_member(team_id));
CREATE POLICY change ON app.documents FOR UPDATE TO member USING (
    team_id IN (SELECT team_id FROM app.team_members WHERE user_id = auth.uid()));
GRANT SELECT ON app.teams, app.team_members TO member;
GRANT SELECT, INSERT, UPDATE (body) ON app.documents TO member;
RESET ROLE;
"""


def test_memberships_and_helper_functions_bind(empty: Bench) -> None:
    empty.execute(PLATFORM)
    subject = empty.subject()
    assert subject.tenant_columns == ("team_id",)
    assert subject.facts.relations[subject.registry].label == "app.teams"
    assert roles(empty) == ["member"]
    assert names(empty, "error") == set()
    assert ("policy-unjudged", "app.documents") not in names(empty)


def test_a_membership_that_anybody_may_write_is_believed(empty: Bench) -> None:
    empty.execute(PLATFORM)
    empty.execute(
        "CREATE POLICY join_in ON app.team_members FOR INSERT TO member WITH CHECK (true);"
        "GRANT INSERT ON app.team_members TO member"
    )
    found = names(empty, "error")
    assert ("policy-xref", "policy change on app.documents") in found
    assert ("policy-xref", "policy read on app.documents") in found  # through is_member()
    assert ("policy-check", "policy join_in on app.team_members") in found


def test_who_connects_may_not_become_an_exempt_role(empty: Bench) -> None:
    empty.execute(PLATFORM)
    empty.execute("GRANT machine TO member; GRANT SELECT ON app.documents TO machine")
    assert ("role-reach", "role member") in names(empty, "error")


SHARDED = """
CREATE ROLE service LOGIN;
GRANT USAGE ON SCHEMA public TO service;
CREATE TABLE companies (id bigserial PRIMARY KEY, name text NOT NULL);
CREATE TABLE campaigns (id bigserial, company_id bigint REFERENCES companies, name text,
    PRIMARY KEY (company_id, id));
CREATE TABLE ads (id bigserial, company_id bigint, campaign_id bigint, PRIMARY KEY (company_id, id),
    FOREIGN KEY (company_id, campaign_id) REFERENCES campaigns (company_id, id));
CREATE TABLE clicks (id bigserial, company_id bigint, ad_id bigint, PRIMARY KEY (company_id, id),
    FOREIGN KEY (company_id, ad_id) REFERENCES ads (company_id, id));
GRANT SELECT, INSERT, UPDATE, DELETE ON companies, campaigns, ads, clicks TO service;
"""


def test_a_sharded_schema_without_policies_is_open(empty: Bench) -> None:
    empty.execute(SHARDED)
    subject = empty.subject()
    assert subject.tenant_columns == ("company_id",)
    assert subject.facts.relations[subject.registry].label == "public.companies"
    found = names(empty, "error")
    assert {o for rule, o in found if rule == "rls-off"} == {
        "public.campaigns", "public.ads", "public.clicks",
    }  # fmt: skip
    assert ("tenants-open", "public.companies") in found
    # The keys are composite: a single-column one would be a leak.
    assert not {rule for rule, _ in found} & {"fk-single", "fk-cascade", "uniq-global"}


def test_what_policies_ask_functions_about_is_a_tenant_column(empty: Bench) -> None:
    empty.execute(
        """
        CREATE ROLE web LOGIN; CREATE ROLE keeper;
        GRANT USAGE ON SCHEMA public TO web;
        CREATE FUNCTION of_mine() RETURNS SETOF uuid LANGUAGE plpgsql STABLE
            AS $$ BEGIN RETURN; END $$;
        CREATE TABLE accounts (id uuid PRIMARY KEY, primary_owner_user_id uuid NOT NULL);
        CREATE TABLE notes (id uuid PRIMARY KEY, account_id uuid NOT NULL REFERENCES accounts);
        ALTER TABLE accounts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        ALTER TABLE notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        ALTER TABLE accounts OWNER TO keeper; ALTER TABLE notes OWNER TO keeper;
        CREATE POLICY owner ON accounts USING (
            primary_owner_user_id = nullif(current_setting('a.user', true), '')::uuid);
        CREATE POLICY member ON notes USING (account_id IN (SELECT of_mine()));
        GRANT SELECT, INSERT ON accounts, notes TO web;
        """
    )
    subject = empty.subject()
    assert subject.tenant_columns == ("account_id",)
    assert subject.facts.relations[subject.registry].label == "public.accounts"


def test_several_tenant_columns(empty: Bench) -> None:
    empty.execute(
        """
        CREATE ROLE web LOGIN; CREATE ROLE keeper;
        GRANT USAGE ON SCHEMA public TO web;
        CREATE TABLE a (tenant_id uuid NOT NULL, id uuid, PRIMARY KEY (tenant_id, id));
        CREATE TABLE b (org_id bigint NOT NULL, id uuid, PRIMARY KEY (org_id, id));
        ALTER TABLE a OWNER TO keeper; ALTER TABLE b OWNER TO keeper;
        ALTER TABLE a ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        ALTER TABLE b ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY p ON a USING (tenant_id = nullif(current_setting('a.t', true), '')::uuid);
        CREATE POLICY p ON b USING (org_id = nullif(current_setting('a.o', true), '')::bigint);
        GRANT SELECT, INSERT, DELETE ON a, b TO web;
        """
    )
    subject = empty.subject()
    assert subject.tenant_columns == ("tenant_id", "org_id")
    assert set(subject.tables.values()) == {"tenant_id", "org_id"}
    assert names(empty) == set()
    empty.execute("ALTER POLICY p ON b USING (org_id IS NOT NULL)")
    given = {"tenant_columns": ["tenant_id", "org_id"]}
    assert ("policy-true", "policy p on public.b") in names(empty, "error", **given)


def test_partitions_of_partitions_are_the_parents_affair(bench: Bench) -> None:
    bench.execute(
        """
        SET LOCAL ROLE shop_owner;
        CREATE TABLE shop.events (tenant_id uuid NOT NULL, id uuid, kind int, at date,
            PRIMARY KEY (tenant_id, id, kind, at)) PARTITION BY RANGE (at);
        CREATE TABLE shop.events_a PARTITION OF shop.events
            FOR VALUES FROM ('2030-01-01') TO ('2031-01-01') PARTITION BY LIST (kind);
        CREATE TABLE shop.events_a1 PARTITION OF shop.events_a FOR VALUES IN (1);
        ALTER TABLE shop.events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY app ON shop.events TO shop_app
            USING (tenant_id = (SELECT shop.current_tenant()));
        GRANT SELECT ON shop.events TO shop_app;
        """
    )
    assert names(bench) == set()
    assert {part.label for part, _ in bench.subject().parts} == {"shop.events_a", "shop.events_a1"}
    bench.execute("GRANT SELECT (id) ON shop.events_a1 TO shop_app")
    assert names(bench, "error") == {("part-direct", "shop.events_a1")}
    bench.execute(
        "ALTER TABLE shop.events_a1 OWNER TO shop_owner;"
        "ALTER TABLE shop.events_a1 ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
        "CREATE POLICY app ON shop.events_a1 TO shop_app"
        " USING (tenant_id = (SELECT shop.current_tenant()))"
    )
    assert names(bench, "error") == set()


def test_a_shop_for_one_has_no_tenants(empty: Bench) -> None:
    empty.execute(
        """
        CREATE ROLE web LOGIN; GRANT USAGE ON SCHEMA public TO web;
        CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE);
        CREATE TABLE products (id int PRIMARY KEY, name text);
        CREATE TABLE prices (product_id int REFERENCES products, price int);
        CREATE TABLE categories (id int PRIMARY KEY, name text);
        CREATE TABLE pages (id int PRIMARY KEY, body text);
        CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers);
        CREATE TABLE addresses (id int PRIMARY KEY, customer_id int REFERENCES customers);
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO web;
        """
    )
    assert empty.subject().tables == {}
    assert empty.findings() == []


def test_a_role_that_is_made_to_see_all_is_no_app(bench: Bench) -> None:
    bench.execute(
        """
        CREATE ROLE shop_support LOGIN; CREATE ROLE shop_dump LOGIN BYPASSRLS;
        GRANT USAGE ON SCHEMA shop TO shop_support, shop_dump;
        GRANT SELECT, UPDATE ON shop.invoices TO shop_support;
        GRANT SELECT, DELETE ON shop.invoices TO shop_dump;
        CREATE POLICY support ON shop.invoices TO shop_support USING (true);
        """
    )
    assert roles(bench) == ["shop_app"]
    assert "made to see all tenants" in str(bench.subject().assumed["app_roles"])
    assert names(bench, "error") == set()
    assert names(bench, "warning") == {
        ("role-auditor", "role shop_support"),
        ("role-auditor", "role shop_dump"),
    }


def test_a_restrictive_policy_bounds_whatever_is_permitted(bench: Bench) -> None:
    bench.execute(
        """
        ALTER POLICY app ON shop.invoices USING (true) WITH CHECK (true);
        CREATE POLICY border ON shop.invoices AS RESTRICTIVE TO shop_app
            USING (tenant_id = (SELECT shop.current_tenant()));
        """
    )
    assert names(bench) == set()
    bench.execute("ALTER POLICY border ON shop.invoices TO shop_owner")
    found = names(bench, "error")
    assert ("policy-true", "policy app on shop.invoices") in found
    assert ("policy-check", "policy app on shop.invoices") in found


def test_policies_are_judged_per_role_and_group(bench: Bench) -> None:
    bench.execute(
        "CREATE ROLE shop_staff; CREATE POLICY staff ON shop.invoices TO shop_staff USING (true)"
    )
    assert names(bench) == set()
    bench.execute("GRANT shop_staff TO shop_app")  # inherited: the policy now holds for the app
    assert names(bench, "error") == {("policy-stack", "policy staff on shop.invoices")}


def test_odd_names_are_quoted_in_what_mends(bench: Bench) -> None:
    bench.execute(
        """
        SET LOCAL ROLE shop_owner;
        CREATE TABLE shop."Order ""Items" (tenant_id uuid NOT NULL, "user" uuid,
            PRIMARY KEY (tenant_id, "user"));
        GRANT SELECT ON shop."Order ""Items" TO shop_app;
        """
    )
    (finding,) = [f for f in bench.findings() if f.rule == "rls-off"]
    assert finding.object == 'shop.Order "Items'
    assert finding.fix_sql is not None
    bench.execute(finding.fix_sql)
    assert [f for f in bench.findings() if f.rule == "rls-off"] == []


@pytest.mark.parametrize("through", ["PUBLIC", "shop_app"])
def test_temporary_tables_are_told_where_they_are_allowed(bench: Bench, through: str) -> None:
    bench.execute(
        "DO $$ BEGIN EXECUTE format("
        f"'GRANT TEMPORARY ON DATABASE %I TO {through}', current_database()); END $$"
    )
    (finding,) = bench.findings("grant-temp-create")
    assert finding.object == "database"
    assert finding.fix_sql is not None
    bench.execute(finding.fix_sql)
    assert bench.findings("grant-temp-create") == []
