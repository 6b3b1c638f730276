"""Who holds a privilege through which grant, and the REVOKE that takes it away."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tenants.posture.facts import Facts
from tenants.posture.records import PUBLIC, Grant, ObjectClass, Relation, Role, quote


def held_through(
    facts: Facts, role: Role, object_class: ObjectClass, oid: int, privileges: Collection[str]
) -> list[Grant]:
    """The grants on an object that give a role any of these: its own, its groups', PUBLIC's."""
    acting = facts.acts_as(role.oid)
    return [
        grant
        for grant in facts.grants_on(object_class, oid)
        if (grant.grantee == PUBLIC or grant.grantee in acting)
        and grant.privileges & frozenset(privileges)
    ]


def grantees_of(
    facts: Facts, tables: Iterable[Relation], privileges: frozenset[str]
) -> frozenset[int]:
    """Who holds any of these on any table by a grant of its own, PUBLIC included."""
    return frozenset(
        grant.grantee
        for table in tables
        for grant in (
            *facts.grants_on("relation", table.oid),
            *facts.grants_on("column", table.oid),
        )
        if grant.privileges & privileges
    )


def granted(facts: Facts, role: Role, relation: Relation, privileges: Collection[str]) -> list[str]:
    """Which of these a role holds on a table by a grant and not as its owner, sorted."""
    if relation.owner in facts.acts_as(role.oid) or role.superuser:
        return []
    return sorted(facts.privileges(role.oid, relation) & frozenset(privileges))


def revoke(facts: Facts, role: Role, relation: Relation, privileges: Collection[str]) -> str:
    """The SQL after which a role holds none of these on a table, unless it owns it."""
    wanted = frozenset(privileges)
    grantees: dict[int, set[str]] = {}
    for grant in (
        *held_through(facts, role, "relation", relation.oid, wanted),
        *held_through(facts, role, "column", relation.oid, wanted),
    ):
        grantees.setdefault(grant.grantee, set()).update(grant.privileges & wanted)
    return "\n".join(
        f"REVOKE {', '.join(sorted(held))} ON {relation.sql} FROM {facts.role_sql(grantee)};"
        for grantee, held in sorted(grantees.items())
    )


def leave(facts: Facts, role: Role, target: int, *, setting: bool) -> str:
    """The SQL after which a role no longer reaches another by membership."""
    path = facts.may_become if setting else facts.acts_as
    members = path(role.oid)
    found = [
        f"REVOKE {facts.role_sql(m.role)} FROM {facts.role_sql(m.member)};"
        for m in facts.memberships
        if m.member == role.oid
        and m.role in members
        and (m.set_role if setting else m.inherit)
        and target in path(m.role)
    ]
    return "\n".join(sorted(set(found)))


def database_sql(facts: Facts) -> str:
    """The database's name, quoted for SQL."""
    return quote(facts.server.database)
