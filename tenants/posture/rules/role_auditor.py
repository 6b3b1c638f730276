"""A role that sees every tenant may also write."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.facts import WRITES
from tenants.posture.grants import granted, grantees_of, revoke
from tenants.posture.records import PUBLIC, Relation, Role
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, listed


def check(subject: Subject) -> Iterator[Problem]:
    """Yield roles beside the app's that see every tenant and may also write."""
    facts = subject.facts
    writers = grantees_of(facts, subject.tenant_tables, WRITES)
    for role in facts.roles.values():
        if not role.login or role.superuser or role.oid in subject.apps:
            continue
        if PUBLIC not in writers and not facts.acts_as(role.oid) & writers:
            continue  # most roles of a large cluster
        tables = [table for table in subject.tenant_tables if _everywhere(subject, role, table)]
        if tables:
            yield Problem(
                role.label,
                f"{role.name} may write rows of every tenant in"
                f" {listed([table.label for table in tables])}",
                "\n".join(revoke(facts, role, table, WRITES) for table in tables),
            )


def _everywhere(subject: Subject, role: Role, table: Relation) -> bool:
    held = granted(subject.facts, role, table, WRITES)
    if not held or subject.admits(role, table, "SELECT").at_most("unknown"):
        return False
    return any(
        not subject.admits(role, table, command, check=command == "INSERT").at_most("unknown")
        for command in held
    )


RULE = Rule(
    name="role-auditor",
    severity="warning",
    group="Roles and grants",
    title="A role that sees every tenant may also write",
    why=(
        "A role for reports, support or checks has to see all tenants. With INSERT, UPDATE or "
        "DELETE it can also damage all of them, and one stolen password is enough. Grant it "
        "SELECT alone."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-createpolicy.html",),
    bad="""\
CREATE ROLE shop_support LOGIN;
GRANT USAGE ON SCHEMA shop TO shop_support;
GRANT SELECT, DELETE ON shop.invoices TO shop_support;
CREATE POLICY support ON shop.invoices TO shop_support USING (true);""",
    good="""\
CREATE ROLE shop_support LOGIN;
GRANT USAGE ON SCHEMA shop TO shop_support;
GRANT SELECT ON shop.invoices TO shop_support;
CREATE POLICY support ON shop.invoices FOR SELECT TO shop_support USING (true);""",
    check=check,
)
