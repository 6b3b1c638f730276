"""Policies on a table whose row-level security is off."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield tables, parts and the tenants' own, that have policies and do not apply them."""
    facts = subject.facts
    for table in facts.relations.values():
        policies = facts.policies_on(table.oid)
        if policies and not table.row_security and subject.tenant_column(table) is not None:
            names = ", ".join(policy.name for policy in policies)
            yield Problem(
                table.label,
                f"policies ({names}) that do nothing: row-level security is off",
                f"ALTER TABLE {table.sql} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;",
            )


RULE = Rule(
    name="rls-dormant",
    severity="error",
    group="Tables and policies",
    title="Policies on a table whose row-level security is off",
    why=(
        "CREATE POLICY does not switch row-level security on. The table looks guarded to "
        "whoever lists policies, and every row is open."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-createpolicy.html",),
    bad="""\
ALTER TABLE shop.invoices DISABLE ROW LEVEL SECURITY;""",
    good="""\
ALTER TABLE shop.invoices ENABLE ROW LEVEL SECURITY;""",
    check=check,
)
