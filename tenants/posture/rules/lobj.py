"""There are large objects that the app can read."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.records import PUBLIC
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, roles_named


def check(subject: Subject) -> Iterator[Problem]:
    """Yield one problem, if an app's role has rights on a large object, or needs none."""
    facts = subject.facts
    grants = facts.grants_on("largeobject", 0)
    unguarded = facts.server.settings.get("lo_compat_privileges") == "on"
    readers = tuple(
        role
        for role in subject.app_roles
        if any(
            unguarded or grant.grantee == PUBLIC or grant.grantee in facts.acts_as(role.oid)
            for grant in grants
        )
    )
    if readers:
        yield Problem(
            "database",
            f"{roles_named(readers)} can read large objects, which belong to no tenant",
        )


RULE = Rule(
    name="lobj",
    severity="error",
    group="Side channels",
    title="Large objects are open to every tenant",
    why=(
        "Large objects have an owner and grants, but no policies and no tenant. An app that "
        "stores files in them owns them all, so any tenant's session reads and writes every one "
        "by its number, and the numbers are listed in `pg_largeobject_metadata`. Keep files in "
        "a table with a tenant column (bytea), or outside of the database."
    ),
    sources=("https://www.postgresql.org/docs/current/lo-implementation.html",),
    bad="SET LOCAL ROLE shop_app;\nSELECT lo_from_bytea(0, 'a contract');",
    good="""
CREATE TABLE shop.files (
    tenant_id uuid NOT NULL REFERENCES shop.tenants,
    id uuid NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE shop.files OWNER TO shop_owner;
ALTER TABLE shop.files ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY app ON shop.files TO shop_app
    USING (tenant_id = (SELECT shop.current_tenant()));
GRANT SELECT, INSERT, DELETE ON shop.files TO shop_app;
""",
    check=check,
    manual="their contents belong in a table with a tenant column",
)
