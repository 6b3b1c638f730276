"""A view that limits what is read of other tenants, and not what is written."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.records import Relation
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, roles_named
from tenants.posture.writable import written_through

_WRITTEN = ("INSERT", "UPDATE")


def check(subject: Subject) -> Iterator[Problem]:
    """Yield limited views of exempt owners that the app writes through without check_option."""
    limited = {reach.view.oid for reach in subject.reach.views if reach.shows == "limited"}
    for view in subject.facts.relations.values():
        if view.kind != "view" or not subject.apps_that(view, *_WRITTEN):
            continue
        for relation, tenant in _unchecked(subject, view, limited):
            columns = {column.number for column in view.columns if column.name == tenant}
            roles = tuple(
                role
                for role in subject.app_roles
                if subject.facts.privileges_on(role.oid, view, columns) & set(_WRITTEN)
            )
            if roles:
                yield Problem(
                    view.label,
                    f"{roles_named(roles)} may write rows of other tenants into {relation.label}"
                    " through it: its condition is asked of what is read alone",
                    f"ALTER VIEW {view.sql} SET (check_option = cascaded);",
                )


def _unchecked(
    subject: Subject, view: Relation, limited: set[int]
) -> Iterator[tuple[Relation, str]]:
    """The tenant table that a view writes past a condition, and the view's tenant column."""
    tenants = {name: name for name in (column.name for column in view.columns)}
    past = False
    for step in written_through(subject, view):
        if step.checked:
            return
        past = past or step.view.oid in limited
        tenants = {own: step.columns[name] for own, name in tenants.items() if name in step.columns}
        if step.target.kind == "view":
            continue
        column = subject.tenant_column(step.target)
        owner = subject.facts.roles[step.view.owner]
        if past and column and subject.reach.open_to(owner, step.target):
            yield from ((step.target, own) for own, name in tenants.items() if name == column)


RULE = Rule(
    name="view-check",
    severity="error",
    group="Code",
    title="A view lets rows of other tenants be written",
    why=(
        "A view of one table can be written to, and what is written goes to the table under the "
        "policies that hold for the view's owner. The view's WHERE says which rows are found; "
        "of new rows it is not asked, and `security_barrier` does not change that: whoever may "
        "INSERT into the view, or UPDATE its tenant column, writes rows of any tenant. "
        "`check_option` asks it of what is written as well."
    ),
    sources=(
        "https://www.postgresql.org/docs/current/sql-createview.html#SQL-CREATEVIEW-UPDATABLE-VIEWS",
    ),
    bad="""
CREATE VIEW shop.contacts WITH (security_barrier = true) AS
    SELECT tenant_id, id, email FROM shop.customers WHERE tenant_id = shop.current_tenant();
ALTER VIEW shop.contacts OWNER TO shop_owner;
GRANT SELECT, INSERT ON shop.contacts TO shop_app;
""",
    good="""
CREATE VIEW shop.contacts WITH (security_barrier = true, check_option = cascaded) AS
    SELECT tenant_id, id, email FROM shop.customers WHERE tenant_id = shop.current_tenant();
ALTER VIEW shop.contacts OWNER TO shop_owner;
GRANT SELECT, INSERT ON shop.contacts TO shop_app;
""",
    check=check,
)
