"""The app's role owns tenant tables."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.facts import Facts
from tenants.posture.records import Relation, Role, quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, listed


def check(subject: Subject) -> Iterator[Problem]:
    """Yield the app's roles that own tenant tables, themselves or through a group."""
    for role in subject.app_roles:
        acting = subject.facts.acts_as(role.oid)
        owned = [table for table in subject.tenant_tables if table.owner in acting]
        if owned and not role.exempt:
            names = listed([table.label for table in owned])
            yield Problem(
                role.label,
                f"the app's role {role.name} owns {names}: it may switch row-level security off",
                _hand_over(subject.facts, role, owned),
            )
        elif not role.exempt:
            yield from _around(subject, role)


def _around(subject: Subject, role: Role) -> Iterator[Problem]:
    """The schemas of tenant tables that it owns: whoever does may drop what is in them."""
    facts, acting = subject.facts, subject.facts.acts_as(role.oid)
    owners = sorted({table.owner for table in subject.tenant_tables})
    for name in sorted({table.schema for table in subject.tenant_tables}):
        schema = next(s for s in facts.schemas.values() if s.name == name)
        if schema.owner in acting:
            owner = facts.role_sql(owners[0]) if len(owners) == 1 else None
            yield Problem(
                role.label,
                f"the app's role {role.name} owns {schema.label}: it may drop the tables in it, "
                "and make others of their names",
                f"ALTER SCHEMA {quote(name)} OWNER TO {owner};\n"
                f"GRANT USAGE ON SCHEMA {quote(name)} TO {quote(role.name)};"
                if owner
                else None,
            )


def _hand_over(facts: Facts, role: Role, tables: list[Relation]) -> str:
    """Give the tables to a role that does not serve, and the app what it needs of them."""
    taken = {known.name for known in facts.roles.values()}
    name = f"{role.name}_owner"
    while name in taken:
        name += "_"
    owner, app = quote(name), quote(role.name)
    statements = [f"CREATE ROLE {owner} NOLOGIN;"]
    for schema in sorted({table.schema for table in tables}):
        statements.append(f"GRANT USAGE, CREATE ON SCHEMA {quote(schema)} TO {owner};")
        statements.append(f"GRANT USAGE ON SCHEMA {quote(schema)} TO {app};")
    for table in tables:
        kind = "FOREIGN TABLE" if table.kind == "foreign" else "TABLE"
        statements.append(f"ALTER {kind} {table.sql} OWNER TO {owner};")
        statements.append(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table.sql} TO {app};")
    return "\n".join(statements)


RULE = Rule(
    name="role-owner",
    severity="warning",
    group="Roles and grants",
    title="The app's role owns tenant tables",
    why=(
        "An owner may disable row-level security, drop policies and hand out grants, FORCE or "
        "not. An injected statement can do so as well. Let tables belong to a role that only "
        "migrates. The owner of their schema, or of the database where that owns `public`, may "
        "drop them and put others in their place."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-rowsecurity.html",),
    bad="""\
ALTER TABLE shop.invoices OWNER TO shop_app;""",
    good="""\
ALTER TABLE shop.invoices OWNER TO shop_owner;""",
    check=check,
)
