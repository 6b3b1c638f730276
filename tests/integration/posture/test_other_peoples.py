"""Schemas as other people make them, whole: what is found of each, and nothing besides."""

from __future__ import annotations

from .conftest import Bench


def found(bench: Bench, *severities: str) -> set[tuple[str, str]]:
    return {
        (finding.rule, finding.object)
        for finding in bench.findings()
        if finding.severity in severities and finding.rule != "version-floor"
    }


def apps(bench: Bench) -> list[str]:
    return sorted(role.name for role in bench.subject().app_roles)


# Roles of a hosted platform, memberships, helpers that run as their owner.
MEMBERSHIPS = """
CREATE ROLE anon NOINHERIT; CREATE ROLE authenticated NOINHERIT; CREATE ROLE keeper;
CREATE ROLE authenticator LOGIN NOINHERIT; GRANT anon, authenticated TO authenticator;
CREATE SCHEMA auth AUTHORIZATION keeper; CREATE SCHEMA app AUTHORIZATION keeper;
SET LOCAL ROLE keeper;
GRANT USAGE ON SCHEMA auth, app TO anon, authenticated;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
CREATE TABLE app.organizations (id uuid PRIMARY KEY, name text);
CREATE TABLE app.members (organization_id uuid NOT NULL REFERENCES app.organizations,
    user_id uuid NOT NULL, role text NOT NULL, PRIMARY KEY (organization_id, user_id));
CREATE TABLE app.projects (organization_id uuid NOT NULL REFERENCES app.organizations,
    id uuid PRIMARY KEY, name text);
CREATE INDEX ON app.projects (organization_id);
CREATE TABLE app.tasks (id uuid PRIMARY KEY, project_id uuid NOT NULL REFERENCES app.projects);
CREATE TABLE app.comments (organization_id uuid NOT NULL REFERENCES app.organizations,
    id uuid PRIMARY KEY, project_id uuid NOT NULL, author_id uuid NOT NULL, body text);
CREATE INDEX ON app.comments (organization_id);
CREATE FUNCTION app.is_member(org uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT count(*) > 0 FROM app.members m
    WHERE m.organization_id = org AND m.user_id = (SELECT auth.uid()) $$;
CREATE FUNCTION app.has_role(org uuid, VARIADIC roles text[]) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT EXISTS (SELECT 1 FROM app.members m WHERE m.organization_id = org
                   AND m.user_id = auth.uid() AND m.role = ANY (roles)) $$;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA app FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA app TO authenticated;
ALTER TABLE app.organizations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE app.members ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE app.projects ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE app.tasks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE app.comments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY keeper ON app.members TO keeper USING (true);
CREATE POLICY seen ON app.organizations FOR SELECT TO authenticated USING (app.is_member(id));
CREATE POLICY made ON app.organizations FOR INSERT TO authenticated WITH CHECK (true);
CREATE POLICY seen ON app.members FOR SELECT TO authenticated
    USING (app.is_member(organization_id));
CREATE POLICY managed ON app.members TO authenticated
    USING (app.has_role(organization_id, 'owner', 'admin'));
CREATE POLICY all_of_it ON app.projects TO authenticated
    USING ((SELECT app.is_member(organization_id)));
-- By way of the project, whose organization is one of the person's.
CREATE POLICY of_projects ON app.tasks TO authenticated USING (EXISTS (
    SELECT 1 FROM app.projects p WHERE p.id = tasks.project_id AND p.organization_id IN (
        SELECT m.organization_id FROM app.members m WHERE m.user_id = auth.uid())));
CREATE POLICY read ON app.comments FOR SELECT TO authenticated USING (organization_id IN (
    SELECT organization_id FROM app.members WHERE user_id = auth.uid()));
CREATE POLICY written ON app.comments FOR INSERT TO authenticated WITH CHECK (
    author_id = auth.uid() AND EXISTS (
        SELECT 1 FROM app.projects p JOIN app.members m ON m.organization_id = p.organization_id
        WHERE p.id = comments.project_id AND p.organization_id = comments.organization_id
        AND m.user_id = auth.uid()));
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA app TO anon, authenticated;
RESET ROLE;
"""


def test_memberships_on_a_hosted_platform(empty: Bench) -> None:
    empty.execute(MEMBERSHIPS)
    assert apps(empty) == ["anon", "authenticated"]
    assert found(empty, "error") == {("fk-single", "constraint tasks_project_id_fkey on app.tasks")}
    # Sign-up is open to everybody, which is what it is for.
    assert found(empty, "warning") == {("policy-check", "policy made on app.organizations")}
    # What is closed to visitors alone is meant so.
    assert ("rls-nopolicy", "app.projects") in found(empty, "info")
    empty.execute("GRANT TRUNCATE ON app.organizations TO anon")
    assert ("grant-truncate", "app.organizations") in found(empty, "error")


# A login that becomes whom the token names; an api of views, one of them over the others.
VIEWS = """
CREATE ROLE authn LOGIN NOINHERIT; CREATE ROLE visitor; CREATE ROLE person; CREATE ROLE keeper;
GRANT visitor, person TO authn;
CREATE SCHEMA priv AUTHORIZATION keeper; CREATE SCHEMA api AUTHORIZATION keeper;
SET LOCAL ROLE keeper;
GRANT USAGE ON SCHEMA api TO visitor, person; GRANT USAGE ON SCHEMA priv TO person;
CREATE FUNCTION api.tenant() RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN RETURN nullif(current_setting('request.tenant', true), '')::bigint; END $$;
CREATE TABLE priv.tenants (id bigint PRIMARY KEY, name text);
CREATE TABLE priv.devices (tenant_id bigint NOT NULL REFERENCES priv.tenants, id bigint NOT NULL,
    serial text NOT NULL, PRIMARY KEY (tenant_id, id)) PARTITION BY HASH (tenant_id);
CREATE TABLE priv.devices_0 PARTITION OF priv.devices FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE priv.readings (tenant_id bigint NOT NULL, device_id bigint NOT NULL, at date,
    PRIMARY KEY (tenant_id, device_id, at),
    FOREIGN KEY (tenant_id, device_id) REFERENCES priv.devices (tenant_id, id));
ALTER TABLE priv.devices ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE priv.readings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY keeper ON priv.devices TO keeper USING (true);
CREATE POLICY keeper ON priv.readings TO keeper USING (true);
CREATE POLICY own ON priv.devices TO person USING (tenant_id = (SELECT api.tenant()));
CREATE POLICY own ON priv.readings TO person USING (EXISTS (SELECT 1 FROM priv.devices d
    WHERE d.tenant_id = readings.tenant_id AND d.id = readings.device_id));
GRANT SELECT, INSERT, DELETE ON priv.devices, priv.readings TO person;
CREATE VIEW api.devices WITH (security_barrier) AS
    SELECT id, serial, tenant_id FROM priv.devices WHERE tenant_id = api.tenant();
CREATE VIEW api.latest WITH (security_barrier) AS
    SELECT d.id, d.serial, (SELECT max(r.at) FROM priv.readings r
        WHERE r.tenant_id = d.tenant_id AND r.device_id = d.id) AS seen FROM api.devices d;
CREATE VIEW api.report WITH (security_barrier) AS
    SELECT l.serial, count(r.at) AS n FROM api.latest l LEFT JOIN priv.readings r
    ON r.device_id = l.id AND r.tenant_id = api.tenant() GROUP BY 1;
GRANT SELECT ON api.devices, api.latest, api.report TO person;
CREATE FUNCTION api.make_part(parent regclass, day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES FROM (%L) TO (%L)',
                   parent::text || to_char(day, '_YYYY'), parent, day, day + 365);
END $$;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api FROM PUBLIC;
GRANT EXECUTE ON FUNCTION api.tenant(), api.make_part(regclass, date) TO person;
RESET ROLE;
"""


def test_views_of_views_over_partitions(empty: Bench) -> None:
    empty.execute(VIEWS)
    assert apps(empty) == ["person"]
    assert found(empty, "error") == set()
    assert found(empty, "warning") == {
        ("secdef-bypass", "api.make_part(parent regclass, day date)")
    }
    # The lower view no longer limits what the upper ones join with it.
    empty.execute(
        "CREATE OR REPLACE VIEW api.devices WITH (security_barrier) AS"
        " SELECT id, serial, tenant_id FROM priv.devices"
    )
    assert found(empty, "error") == {
        ("view-definer", "api.devices"),
        ("view-definer", "api.latest"),
    }


def test_what_a_login_may_become_beside_serves_as_well(empty: Bench) -> None:
    empty.execute(VIEWS)
    empty.execute(
        "CREATE VIEW api.all AS SELECT serial FROM priv.devices;"
        "ALTER VIEW api.all OWNER TO keeper; GRANT SELECT ON api.all TO visitor"
    )
    assert apps(empty) == ["person", "visitor"]
    assert found(empty, "error") == {("view-definer", "api.all")}


# An app that owns its tables, and a login for whoever looks.
OWNER = """
CREATE ROLE rails LOGIN; CREATE ROLE viewer LOGIN;
GRANT CREATE, USAGE ON SCHEMA public TO rails; GRANT USAGE ON SCHEMA public TO viewer;
SET LOCAL ROLE rails;
CREATE TABLE accounts (id bigserial PRIMARY KEY, name varchar);
CREATE TABLE users (id bigserial PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts);
CREATE TABLE projects (id bigserial PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts);
CREATE INDEX ON users (account_id); CREATE INDEX ON projects (account_id);
ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON users
    USING (account_id = nullif(current_setting('app.account', true), '')::bigint);
GRANT SELECT ON users, projects TO viewer;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM rails;
"""


def test_who_looks_at_an_owners_tables_is_judged_with_it(empty: Bench) -> None:
    empty.execute(OWNER)
    assert apps(empty) == ["rails", "viewer"]
    assert ("rls-off", "public.projects") in found(empty, "error")
    assert ("role-owner", "role rails") in found(empty, "warning")
    (off,) = (f for f in empty.findings("rls-off"))
    assert "rails and viewer" in off.message
