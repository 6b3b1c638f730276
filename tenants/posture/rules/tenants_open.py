"""The table of tenants itself is open."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.facts import DML, WRITES
from tenants.posture.records import quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield the table of tenants where a role of the app sees more than its own row in it."""
    facts = subject.facts
    registry = facts.relations.get(subject.registry)
    if registry is None:
        return
    for role in subject.apps_that(registry, *DML):
        held = facts.privileges(role.oid, registry)
        wide = [
            command
            for command in ("SELECT", "UPDATE", "DELETE")
            if command in held and not subject.admits(role, registry, command).at_most("unknown")
        ]
        if not wide or (role.exempt and registry.row_security):
            continue
        usual = subject.policies_judged.usual(registry)
        yield Problem(
            registry.label,
            f"{role.name} reaches every tenant's row by {', '.join(wide)}:"
            f" {subject.admits(role, registry, wide[0]).reason}",
            None
            if registry.row_security
            else f"ALTER TABLE {registry.sql} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
            + (
                f"\nCREATE POLICY own ON {registry.sql} TO {quote(role.name)} USING ({usual});"
                if usual and not facts.policies_on(registry.oid)
                else ""
            ),
            "error" if WRITES & set(wide) else "warning",
        )


RULE = Rule(
    name="tenants-open",
    severity="warning",
    group="Tables and policies",
    title="The table of tenants itself is open",
    why=(
        "Names, plans and addresses of all customers stand in one table, which has no tenant "
        "column and so is often left out. One that the app may also change or delete lets one "
        "tenant end another: then this is an error."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-rowsecurity.html",),
    bad="""\
ALTER TABLE shop.tenants DISABLE ROW LEVEL SECURITY;""",
    good="""\
ALTER TABLE shop.tenants ENABLE ROW LEVEL SECURITY;""",
    check=check,
)
