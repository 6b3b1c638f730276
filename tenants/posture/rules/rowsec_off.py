"""An app's role has row_security = off."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.mending import reset
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield the app's roles that have it off by a setting."""
    for role in subject.app_roles:
        if role.settings.get("row_security") in ("off", "false", "no", "0"):
            yield Problem(
                role.label,
                "row_security is off: queries that a policy would filter raise an error",
                reset(subject, role, "row_security"),
            )


RULE = Rule(
    name="rowsec-off",
    severity="info",
    group="Session",
    title="Filtered queries of the app raise an error",
    why=(
        "`row_security = off` opens nothing: a query whose rows a policy would filter fails "
        "instead. That is right for a role that exports, as an assertion that nothing is missing "
        "from a dump; a role that serves cannot work with it."
    ),
    sources=("https://www.postgresql.org/docs/current/runtime-config-client.html",),
    bad="ALTER ROLE shop_app SET row_security = off;",
    good="ALTER ROLE shop_owner SET row_security = off;",
    check=check,
)
