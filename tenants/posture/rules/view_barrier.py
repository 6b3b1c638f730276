"""A view limits tenants' rows by a condition of its own, which is no barrier."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.reach import is_on
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, listed


def check(subject: Subject) -> Iterator[Problem]:
    """Yield views of exempt owners that rely on their WHERE without security_barrier."""
    for reach in subject.reach.views:
        barrier = is_on(reach.view.options.get("security_barrier", "off"))
        if reach.shows == "limited" and not barrier:
            read = listed([relation.label for relation in reach.relations])
            yield Problem(
                reach.view.label,
                f"its condition limits {read} to the tenant, but a caller's condition may be "
                "evaluated before it",
                f"ALTER VIEW {reach.view.sql} SET (security_barrier = true);",
            )


RULE = Rule(
    name="view-barrier",
    severity="warning",
    group="Code",
    title="A view's own tenant condition is no barrier",
    why=(
        "A view that reads as its owner and picks the tenant's rows by its WHERE clause does "
        "what a policy does, but PostgreSQL may evaluate a caller's condition first, on every "
        "tenant's rows. A condition that fails on a value, a cast for one, then prints the value. "
        "`security_barrier` forbids that order. It says nothing of what is written through the "
        "view: that is `view-check`, and a view that is written to needs `check_option` as well."
    ),
    sources=("https://www.postgresql.org/docs/current/rules-privileges.html",),
    bad="""
CREATE VIEW shop.emails AS
    SELECT email FROM shop.customers WHERE tenant_id = shop.current_tenant();
GRANT SELECT ON shop.emails TO shop_app;
""",
    good="""
-- check_option: for what is written through it (view-check)
CREATE VIEW shop.emails WITH (security_barrier = true, check_option = cascaded) AS
    SELECT email FROM shop.customers WHERE tenant_id = shop.current_tenant();
GRANT SELECT ON shop.emails TO shop_app;
""",
    check=check,
)
