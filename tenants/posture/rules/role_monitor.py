"""The app's role is a member of a powerful predefined role."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.grants import leave
from tenants.posture.rule import Problem, Rule, Severity
from tenants.posture.subject import Subject

# What each opens; a role that is not here opens no tenant's data.
_POWERS: dict[str, tuple[Severity, str]] = {
    "pg_read_server_files": ("error", "reads the server's files, tables among them"),
    "pg_write_server_files": ("error", "writes the server's files"),
    "pg_execute_server_program": ("error", "runs programs as the server"),
    "pg_write_all_data": ("warning", "writes every table that no policy guards"),
    "pg_read_all_data": ("warning", "reads every table that no policy guards"),
    "pg_maintain": ("warning", "may lock every table"),
    "pg_read_all_stats": ("warning", "reads other sessions' statements, values in them"),
    "pg_signal_backend": ("warning", "may end other sessions"),
}


def check(subject: Subject) -> Iterator[Problem]:
    """Yield the app's memberships in PostgreSQL's own powerful roles."""
    facts = subject.facts
    by_name = {role.name: role.oid for role in facts.roles.values()}
    for role in subject.app_roles:
        for name, (severity, what) in _POWERS.items():
            oid = by_name.get(name, 0)
            if role.superuser or not oid:
                continue
            setting = oid not in facts.acts_as(role.oid)
            if not setting or oid in facts.may_become(role.oid):
                yield Problem(
                    role.label,
                    f"{role.name} is a member of {name}: it {what}",
                    leave(facts, role, oid, setting=setting),
                    severity,
                )


RULE = Rule(
    name="role-monitor",
    severity="error",
    group="Roles and grants",
    title="The app's role is a member of a powerful predefined role",
    why=(
        "These roles are made for administrators and monitoring. Reading the server's files "
        "or running programs goes past every policy; statistics show other tenants' values in "
        "statements."
    ),
    sources=("https://www.postgresql.org/docs/current/predefined-roles.html",),
    bad="""\
GRANT pg_read_server_files TO shop_app;""",
    good="""\
REVOKE pg_read_server_files FROM shop_app;
CREATE ROLE shop_monitor LOGIN;
GRANT pg_monitor TO shop_monitor;""",
    check=check,
)
