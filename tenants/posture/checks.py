"""What several rules look for, each with its own words."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from tenants.posture.facts import DML
from tenants.posture.grants import granted, revoke
from tenants.posture.records import Relation, Role
from tenants.posture.rule import Problem
from tenants.posture.subject import Subject, roles_named


def needless_privileges(
    subject: Subject, privileges: Collection[str], why: str
) -> Iterator[Problem]:
    """Yield tenant tables, their parts and the table of tenants itself, on which a role of the
    app holds any of these privileges.
    """
    tables = [*subject.tenant_tables, *(part for part, _ in subject.parts)]
    if subject.registry:
        tables.append(subject.facts.relations[subject.registry])
    for role in subject.app_roles:
        for table in tables:
            held = granted(subject.facts, role, table, privileges)
            if held:
                yield Problem(
                    table.label,
                    f"{role.name} holds {' and '.join(held)}: {why}",
                    revoke(subject.facts, role, table, privileges),
                )


# What reads or changes rows by the table's name.
EVERY_ROW = DML | {"TRUNCATE"}


def reaches(subject: Subject, role: Role, table: Relation) -> bool:
    """Whether a role was granted rows of a table that no policy of the table bounds.

    Who owns it or is exempt is told so once, by role-owner and role-bypass.
    """
    return bool(granted(subject.facts, role, table, DML)) and not subject.admits(
        role, table, "SELECT"
    ).at_most("unknown")


def reached_by_name(subject: Subject, part: Relation, top: Relation) -> Iterator[Problem]:
    """Yield a part of a table if the app reaches it past the policies of the whole."""
    reach = tuple(role for role in subject.app_roles if reaches(subject, role, part))
    if reach:
        yield Problem(
            part.label,
            f"{roles_named(reach)} can reach it by name: the policies of {top.label} do not"
            " hold for it",
            "\n".join(revoke(subject.facts, role, part, DML) for role in reach),
        )
