"""The app's role may become one that is exempt."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.grants import leave
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield roles that SET ROLE leads to, and that no policy binds or that own tenant tables."""
    facts = subject.facts
    owners = {table.owner for table in subject.tenant_tables}
    for role in subject.app_roles:
        if role.superuser:
            continue  # it need not become anybody: role-bypass
        for oid in sorted(facts.may_become(role.oid) - {role.oid}):
            other = facts.roles[oid]
            if other.superuser or (other.bypass and _reads(subject, oid)):
                what = "whom no policy binds"
            elif oid in owners and oid not in facts.acts_as(role.oid):
                what = "who owns tenant tables"
            else:
                continue
            yield Problem(
                role.label,
                f"{role.name} may SET ROLE to {other.name}, {what}",
                leave(facts, role, oid, setting=True),
            )


def _reads(subject: Subject, role: int) -> bool:
    """Whether a role has any grant on a tenant table: BYPASSRLS alone reads nothing."""
    return any(subject.facts.privileges(role, table) for table in subject.tenant_tables)


RULE = Rule(
    name="role-reach",
    severity="error",
    group="Roles and grants",
    title="The app's role may become one that is exempt",
    why=(
        "SET ROLE needs no password. Whoever can run SQL as the app's role, by an injection "
        "for instance, becomes the other role first and then reads every tenant."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-set-role.html",),
    bad="""\
CREATE ROLE shop_admin BYPASSRLS;
GRANT USAGE ON SCHEMA shop TO shop_admin;
GRANT SELECT ON shop.invoices TO shop_admin;
GRANT shop_admin TO shop_app;""",
    good="""\
CREATE ROLE shop_admin BYPASSRLS;
GRANT USAGE ON SCHEMA shop TO shop_admin;
GRANT SELECT ON shop.invoices TO shop_admin;
CREATE ROLE shop_reader;
GRANT shop_reader TO shop_app;""",
    check=check,
)
