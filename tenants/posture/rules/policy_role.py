"""The app's role may become one whose policies admit every tenant."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.grants import leave
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, listed


def check(subject: Subject) -> Iterator[Problem]:
    """Yield roles that SET ROLE leads to, and whose policies admit every tenant's rows."""
    facts = subject.facts
    for role in subject.app_roles:
        if role.exempt:
            continue
        for oid in sorted(facts.may_become(role.oid) - facts.acts_as(role.oid)):
            other = facts.roles[oid]
            # An exempt role and an owner are role-reach.
            tables = [
                table.label
                for table in subject.tenant_tables
                if facts.bound_by(oid, table)
                and oid not in subject.apps
                and table.owner not in facts.acts_as(oid)
                and subject.admits(other, table, "SELECT").kind == "open"
                and facts.privileges(oid, table)
            ]
            if tables:
                yield Problem(
                    role.label,
                    f"{role.name} may SET ROLE to {other.name}, whose policies admit every tenant"
                    f" in {listed(tables)}",
                    leave(facts, role, oid, setting=True),
                )


RULE = Rule(
    name="policy-role",
    severity="error",
    group="Tables and policies",
    title="The app's role may become one whose policies admit every tenant",
    why=(
        "A policy for a role that checks all tenants is meant so, as long as the app cannot "
        "become that role. One SET ROLE is all it takes; and roles with different policies in "
        "one session are what CVE-2016-2193 and CVE-2024-10976 were about."
    ),
    sources=(
        "CVE-2016-2193",
        "CVE-2024-10976",
    ),
    bad="""\
CREATE ROLE shop_checker;
GRANT USAGE ON SCHEMA shop TO shop_checker;
GRANT SELECT ON shop.invoices TO shop_checker;
CREATE POLICY checker ON shop.invoices FOR SELECT TO shop_checker USING (true);
ALTER ROLE shop_app NOINHERIT;
GRANT shop_checker TO shop_app;
DO $$ BEGIN
    IF current_setting('server_version_num')::int >= 160000 THEN
        EXECUTE 'GRANT shop_checker TO shop_app WITH INHERIT FALSE';
    END IF;
END $$;""",
    good="""\
CREATE ROLE shop_checker;
GRANT USAGE ON SCHEMA shop TO shop_checker;
GRANT SELECT ON shop.invoices TO shop_checker;
CREATE POLICY checker ON shop.invoices FOR SELECT TO shop_checker USING (true);""",
    check=check,
)
