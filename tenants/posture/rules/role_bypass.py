"""The app's role is a superuser, or has another attribute that goes past every policy."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.records import quote
from tenants.posture.rule import Problem, Rule, Severity
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield the attributes of the app's roles that policies do not bind."""
    # Since 16 a role that may create roles can hand out only what it administers.
    creator: Severity = "error" if subject.facts.server.version_num < 160000 else "warning"
    for role in subject.app_roles:
        attributes: tuple[tuple[bool, str, str, Severity], ...] = (
            (role.superuser, "NOSUPERUSER", "is a superuser: no policy binds it", "error"),
            (role.bypass, "NOBYPASSRLS", "has BYPASSRLS: no policy binds it", "error"),
            (role.replication, "NOREPLICATION", "may stream every tenant's changes", "error"),
            (role.create_role, "NOCREATEROLE", "may make roles and grant them", creator),
        )
        for has, without, what, severity in attributes:
            if has:
                yield Problem(
                    role.label,
                    f"the app's role {role.name} {what}",
                    f"ALTER ROLE {quote(role.name)} {without};",
                    severity,
                )


RULE = Rule(
    name="role-bypass",
    severity="error",
    group="Roles and grants",
    title="The app's role is exempt from row-level security",
    why=(
        "A superuser and a role with BYPASSRLS see every row, whatever the policies say: "
        "row-level security is there and does nothing. REPLICATION streams all tables, and "
        "CREATEROLE makes the role that sees them. Let the app connect as a role of its own."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-createrole.html",),
    bad="ALTER ROLE shop_app BYPASSRLS REPLICATION CREATEROLE;",
    good="ALTER ROLE shop_app NOBYPASSRLS NOREPLICATION NOCREATEROLE;",
    check=check,
)
