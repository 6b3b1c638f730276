"""The app may make references to a tenant table, or triggers on it."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.checks import needless_privileges
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield tenant tables on which a role of the app holds these privileges."""
    yield from needless_privileges(subject, ("REFERENCES", "TRIGGER"), "it needs neither to serve")


RULE = Rule(
    name="grant-references-trigger",
    severity="warning",
    group="Roles and grants",
    title="The app may make references to a tenant table, or triggers on it",
    why=(
        "A foreign key's check ignores policies and so tells which keys exist in other "
        "tenants. A trigger of the app's runs with the rights of whoever writes the table "
        "next, the owner among them."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-priv.html",),
    bad="""\
GRANT REFERENCES, TRIGGER ON shop.invoices TO shop_app;""",
    good="""\
GRANT SELECT ON shop.invoices TO shop_app;""",
    check=check,
)
