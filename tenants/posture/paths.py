"""Where names in a function's body are looked up, and who can put something there."""

from __future__ import annotations

from collections.abc import Mapping

from tenants.posture.records import Function, Role
from tenants.posture.subject import Subject


def is_bound(function: Function) -> bool:
    """Whether its names were looked up when it was made (a body of the SQL standard)."""
    return function.language == "sql" and function.body.lstrip().startswith(
        ("BEGIN ATOMIC", "RETURN ")
    )


def path_of(function: Function) -> list[str] | None:
    """The schemas that a function looks in, whoever calls it; None if its caller says."""
    if is_bound(function):
        return []
    text = function.settings.get("search_path")
    if text is None:
        return None
    return [part for part in (p.strip().strip('"') for p in text.split(",")) if part]


def creators(subject: Subject) -> Mapping[str, tuple[Role, ...]]:
    """The app's roles that can make objects, by schema."""
    facts = subject.facts
    return {
        schema.name: tuple(
            role
            for role in subject.app_roles
            if "CREATE" in facts.schema_privileges(role.oid, schema.oid)
        )
        for schema in facts.schemas.values()
    }


def temporary(subject: Subject) -> tuple[Role, ...]:
    """The app's roles that can make temporary tables."""
    return tuple(role for role in subject.app_roles if _may_make_temporary(subject, role))


def makers(subject: Subject) -> Mapping[int, Role]:
    """The app's roles that can make a table anywhere, by oid."""
    able = (*creators(subject).values(), temporary(subject))
    return {role.oid: role for roles in able for role in roles}


def _may_make_temporary(subject: Subject, role: Role) -> bool:
    facts = subject.facts
    acting = facts.acts_as(role.oid)
    return (
        role.superuser
        or facts.server.database_owner in acting
        or any(
            "TEMPORARY" in grant.privileges and (grant.grantee == 0 or grant.grantee in acting)
            for grant in facts.grants
            if grant.object_class == "database"
        )
    )
