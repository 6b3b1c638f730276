"""The app may truncate a tenant table."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.checks import needless_privileges
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield tenant tables on which a role of the app holds these privileges."""
    yield from needless_privileges(subject, ("TRUNCATE",), "no policy holds TRUNCATE back")


RULE = Rule(
    name="grant-truncate",
    severity="error",
    group="Roles and grants",
    title="The app may truncate a tenant table",
    why=(
        "TRUNCATE asks for a privilege and for no policy: it empties the table of every "
        "tenant's rows. GRANT ALL contains it."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-rowsecurity.html",),
    bad="""\
GRANT ALL ON shop.invoices TO shop_app;
REVOKE REFERENCES, TRIGGER ON shop.invoices FROM shop_app;""",
    good="""\
GRANT SELECT, INSERT, DELETE ON shop.invoices TO shop_app;""",
    check=check,
)
