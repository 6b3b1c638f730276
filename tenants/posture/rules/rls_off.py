"""Row-level security is off on a tenant table that the app can reach."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.facts import DML
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, roles_named


def check(subject: Subject) -> Iterator[Problem]:
    """Yield tenant tables without row-level security and without a policy."""
    for table in subject.tenant_tables:
        if not table.is_table or table.row_security or subject.facts.policies_on(table.oid):
            continue
        reach = subject.apps_that(table, *DML)
        if reach:
            yield Problem(
                table.label,
                f"{roles_named(reach)} can reach every tenant's rows: row-level security is off",
                f"ALTER TABLE {table.sql} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;",
            )


RULE = Rule(
    name="rls-off",
    severity="error",
    group="Tables and policies",
    title="Row-level security is off on a tenant table",
    why=(
        "Nothing in the database keeps one tenant's session from another tenant's rows: one "
        "query without its WHERE clause reads or changes all of them. The fix closes the table; "
        "it then needs a policy (`rls-nopolicy`)."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-rowsecurity.html",),
    bad="ALTER TABLE shop.invoices DISABLE ROW LEVEL SECURITY;\nDROP POLICY app ON shop.invoices;\n"
    "DROP POLICY owner ON shop.invoices;",
    good="ALTER TABLE shop.invoices ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;",
    check=check,
)
