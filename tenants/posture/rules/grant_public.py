"""A tenant table is granted to PUBLIC."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.records import PUBLIC
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield tenant tables, and parts of them, on which PUBLIC holds anything."""
    facts = subject.facts
    for table in (*subject.tenant_tables, *(part for part, _ in subject.parts)):
        held: set[str] = set()
        for grant in (
            *facts.grants_on("relation", table.oid),
            *facts.grants_on("column", table.oid),
        ):
            if grant.grantee == PUBLIC:
                held |= grant.privileges
        if held:
            yield Problem(
                table.label,
                f"every role of the server holds {', '.join(sorted(held))}",
                f"REVOKE ALL ON {table.sql} FROM PUBLIC;",
            )


RULE = Rule(
    name="grant-public",
    severity="warning",
    group="Roles and grants",
    title="A tenant table is granted to PUBLIC",
    why=(
        "PUBLIC is every role, those of other databases' applications and those that are yet "
        "to be made. What guards the rows from them is then the policies alone."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-priv.html",),
    bad="""\
GRANT SELECT ON shop.invoices TO PUBLIC;""",
    good="""\
GRANT SELECT ON shop.invoices TO shop_app;""",
    check=check,
)
