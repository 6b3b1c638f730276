"""A view reads tenants' rows as its owner."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.reach import INVOKER_VIEWS, ViewReach
from tenants.posture.records import quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, listed


def check(subject: Subject) -> Iterator[Problem]:
    """Yield the app's views whose owner sees all tenants; a warning where a filter is unclear."""
    for reach in subject.reach.views:
        if reach.shows == "limited":
            continue
        owner = subject.facts.role_name(reach.view.owner)
        read = listed([relation.label for relation in reach.relations])
        yield Problem(
            reach.view.label,
            f"it reads {read} as its owner {owner}, who sees every tenant's rows"
            + ("; whether its own condition limits them is not clear" * (reach.shows == "unknown")),
            _mended(subject, reach),
            "warning" if reach.shows == "unknown" else None,
        )


def _mended(subject: Subject, reach: ViewReach) -> str | None:
    if subject.facts.server.version_num >= INVOKER_VIEWS:
        return f"ALTER VIEW {reach.view.sql} SET (security_invoker = true);"
    readers = subject.apps_that(reach.view, "SELECT")
    for role in readers[:1] if len(readers) == 1 else ():
        if all(
            "SELECT" in subject.facts.privileges(role.oid, relation)
            and subject.facts.bound_by(role.oid, relation)
            for relation in reach.relations
        ):
            return f"ALTER VIEW {reach.view.sql} OWNER TO {quote(role.name)};"
    return None


RULE = Rule(
    name="view-definer",
    severity="error",
    group="Code",
    title="A view shows every tenant's rows",
    why=(
        "A view reads its tables as its owner, under the policies that hold for the owner: none "
        "for a superuser, for a role with BYPASSRLS, for the owner of a table that is not forced, "
        "and none that limits a role with a policy `USING (true)`. Whoever may read the view "
        "then reads every tenant. With `security_invoker` (PostgreSQL 15 and later) it reads as "
        "whoever asks, who needs grants on the tables. Before that, let a role own the view that "
        "the tenants' policy binds. Views within views count by their own owners."
    ),
    sources=(
        "https://www.postgresql.org/docs/current/sql-createview.html",
        "https://www.postgresql.org/docs/current/rules-privileges.html",
    ),
    bad="""
CREATE VIEW shop.emails AS SELECT tenant_id, email FROM shop.customers;
ALTER VIEW shop.emails OWNER TO shop_owner;
GRANT SELECT ON shop.emails TO shop_app;
""",
    good="""
CREATE VIEW shop.emails WITH (security_invoker = true) AS
    SELECT tenant_id, email FROM shop.customers;
ALTER VIEW shop.emails OWNER TO shop_owner;
GRANT SELECT ON shop.emails TO shop_app;
""",
    check=check,
)
