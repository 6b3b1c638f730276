"""Row-level security does not bind the table's owner."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield tables with row-level security that is not forced; an error if the app is owner."""
    for table in subject.tenant_tables:
        if not table.row_security or table.forced:
            continue
        owner = subject.facts.role_name(table.owner)
        owning = [r for r in subject.app_roles if table.owner in subject.facts.acts_as(r.oid)]
        yield Problem(
            table.label,
            f"the app's role {owning[0].name} acts as the owner {owner}, whom no policy binds"
            if owning
            else f"no policy binds the owner {owner}, nor whoever acts as it",
            f"ALTER TABLE {table.sql} FORCE ROW LEVEL SECURITY;",
            "error" if owning else "warning",
        )


RULE = Rule(
    name="rls-unforced",
    severity="warning",
    group="Tables and policies",
    title="Row-level security does not bind the table's owner",
    why=(
        "Policies do not hold for a table's owner unless the table is forced. An app that "
        "connects as the owner sees every tenant (then this is an error); so does every view and "
        "SECURITY DEFINER function that the owner has."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-altertable.html",),
    bad="ALTER TABLE shop.invoices NO FORCE ROW LEVEL SECURITY;",
    good="ALTER TABLE shop.invoices FORCE ROW LEVEL SECURITY;",
    check=check,
)
