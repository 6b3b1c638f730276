"""The app reads a materialized view made of tenants' rows."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.mending import revoke
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield materialized views over tenant tables that the app may read."""
    for view in subject.facts.relations.values():
        if view.kind != "matview" or not subject.reach.filled_with_tenants(view):
            continue
        if subject.apps_that(view, "SELECT"):
            grants = (
                *subject.facts.grants_on("relation", view.oid),
                *subject.facts.grants_on("column", view.oid),
            )
            yield Problem(
                view.label,
                "it holds the rows of all tenants, and no policy can guard it",
                revoke(subject, view.sql, grants, ("SELECT",)),
            )


RULE = Rule(
    name="matview",
    severity="error",
    group="Code",
    title="A materialized view shows every tenant's rows",
    why=(
        "A materialized view is filled with what its owner sees and cannot have policies: who "
        "may read it reads all of it. Keep it from the app, and let the app read a view over "
        "it that asks for the tenant, with `security_barrier`."
    ),
    sources=(
        "https://www.postgresql.org/docs/current/sql-creatematerializedview.html",
        "https://www.postgresql.org/docs/current/ddl-rowsecurity.html",
    ),
    bad="""
CREATE MATERIALIZED VIEW shop.totals AS
    SELECT tenant_id, count(*) AS invoices FROM shop.invoices GROUP BY tenant_id;
GRANT SELECT ON shop.totals TO shop_app;
""",
    good="""
CREATE MATERIALIZED VIEW shop.totals AS
    SELECT tenant_id, count(*) AS invoices FROM shop.invoices GROUP BY tenant_id;
CREATE VIEW shop.own_totals WITH (security_barrier = true) AS
    SELECT invoices FROM shop.totals WHERE tenant_id = (SELECT shop.current_tenant());
GRANT SELECT ON shop.own_totals TO shop_app;
""",
    check=check,
)
