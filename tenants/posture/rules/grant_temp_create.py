"""The app may make tables that shadow real ones."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.facts import Facts
from tenants.posture.grants import database_sql, held_through
from tenants.posture.records import PUBLIC, ObjectClass, Role, quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield TEMPORARY and CREATE on the database and CREATE on schemas, in the app's hands."""
    facts = subject.facts
    for role in subject.app_roles:
        if role.superuser:
            continue
        if facts.server.database_owner not in facts.acts_as(role.oid):
            name = f"DATABASE {database_sql(facts)}"
            for privilege in ("TEMPORARY", "CREATE"):
                yield from _held(facts, role, ("database", 0), (privilege, name, "database"))
        for schema in facts.schemas.values():
            if schema.owner not in facts.acts_as(role.oid):
                name = f"SCHEMA {quote(schema.name)}"
                place: tuple[ObjectClass, int] = ("schema", schema.oid)
                yield from _held(facts, role, place, ("CREATE", name, schema.label))


def _held(
    facts: Facts, role: Role, place: tuple[ObjectClass, int], what: tuple[str, str, str]
) -> Iterator[Problem]:
    privilege, name, label = what
    grants = held_through(facts, role, *place, {privilege})
    if grants:
        through = "PUBLIC" if any(g.grantee == PUBLIC for g in grants) else "a grant"
        yield Problem(
            label,
            f"{role.name} holds {privilege} through {through}:"
            " a table that it makes can stand before a real one",
            "\n".join(
                f"REVOKE {privilege} ON {name} FROM {facts.role_sql(g.grantee)};" for g in grants
            ),
        )


RULE = Rule(
    name="grant-temp-create",
    severity="warning",
    group="Roles and grants",
    title="The app may make tables that shadow real ones",
    why=(
        "A temporary table, or one in a schema that search_path names first, answers in place "
        "of the real one, and no policy guards it; in a pool it waits there for the next "
        "tenant. With CREATE on the database it makes the schema of its own name, which "
        "search_path names first unless told otherwise. PUBLIC holds TEMPORARY on every new "
        "database, and CREATE on `public` before PostgreSQL 15. Revoke them, qualify names, and "
        "put pg_temp last in search_path."
    ),
    sources=(
        "CVE-2018-1058",
        "https://www.postgresql.org/docs/current/ddl-schemas.html",
    ),
    bad="""\
GRANT CREATE ON SCHEMA public TO PUBLIC;""",
    good="""\
GRANT USAGE ON SCHEMA public TO PUBLIC;""",
    check=check,
)
