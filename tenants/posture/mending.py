"""Statements that several rules give as their fix."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tenants.posture.records import PUBLIC, Grant, Role, quote
from tenants.posture.subject import Subject


def revoke(
    subject: Subject, what: str, grants: Iterable[Grant], privileges: Collection[str]
) -> str | None:
    """`REVOKE .. ON what FROM ..` whoever gives the app these privileges; None if no grant does.

    `what` is as REVOKE has it: `shop.invoices`, `SEQUENCE shop.numbers`, `FUNCTION shop.f()`.
    """
    acting = {a for role in subject.app_roles for a in subject.facts.acts_as(role.oid)} | {PUBLIC}
    held: set[str] = set()
    grantees: set[str] = set()
    for grant in grants:
        if grant.grantee in acting and grant.privileges & set(privileges):
            held |= grant.privileges & set(privileges)
            grantees.add(subject.facts.role_sql(grant.grantee))
    if not held:
        return None
    return f"REVOKE {', '.join(sorted(held))} ON {what} FROM {', '.join(sorted(grantees))};"


def reset(subject: Subject, role: Role, setting: str) -> str:
    """The statements that take back a setting of a role, wherever it comes from."""
    database = quote(subject.facts.server.database)
    name = quote(role.name)
    what = ".".join(quote(part) for part in setting.split("."))
    return (
        f"ALTER ROLE {name} RESET {what};\n"
        f"ALTER ROLE {name} IN DATABASE {database} RESET {what};\n"
        f"ALTER DATABASE {database} RESET {what};"
    )
