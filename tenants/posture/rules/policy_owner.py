"""A policy asks a function that the app owns."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.paths import creators
from tenants.posture.policies import label_of
from tenants.posture.records import Function, Role, quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, listed


def check(subject: Subject) -> Iterator[Problem]:
    """Yield functions that policies ask and that an app's role owns, by itself or by a group."""
    asked: dict[int, tuple[Function, list[str]]] = {}
    for policy, relation in subject.policies:
        for function in subject.policies_judged.reads(policy)[1]:
            asked.setdefault(function.oid, (function, []))[1].append(label_of(policy, relation))
    creating = creators(subject)
    owners = {table.owner for table in subject.tenant_tables}
    for function, labels in asked.values():
        for role in subject.app_roles:
            acting = subject.facts.acts_as(role.oid)
            # Who owns the tables has no need of it: role-owner.
            if function.owner not in acting or owners & acting or role.superuser:
                continue
            asking = listed(sorted(set(labels)))
            yield Problem(
                function.label,
                f"{role.name} owns it and may change what it says; who believes it: {asking}",
                _handed_over(subject, role, function, sorted(owners)),
                None if role in creating.get(function.schema, ()) else "warning",
            )


def _handed_over(subject: Subject, role: Role, function: Function, owners: list[int]) -> str | None:
    if len(owners) != 1:
        return None
    owner = subject.facts.role_sql(owners[0])
    return (
        f"ALTER ROUTINE {function.sql} OWNER TO {owner};\n"
        f"GRANT EXECUTE ON ROUTINE {function.sql} TO {quote(role.name)};"
    )


RULE = Rule(
    name="policy-owner",
    severity="error",
    group="Tables and policies",
    title="A policy asks a function that the app owns",
    why=(
        "Who owns a function and may make objects in its schema may replace its body, and every "
        "policy that asks it believes the new one: `SELECT true` opens all tables at once. One "
        "injected statement is enough. Without CREATE on the schema it may still alter what the "
        "function finds, by its search_path (a warning). "
        "Let the functions that policies ask belong to the tables' owner."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-createfunction.html",),
    bad="""\
GRANT CREATE ON SCHEMA shop TO shop_app;
ALTER FUNCTION shop.current_tenant() OWNER TO shop_app;""",
    good="""\
ALTER FUNCTION shop.current_tenant() OWNER TO shop_owner;""",
    check=check,
)
