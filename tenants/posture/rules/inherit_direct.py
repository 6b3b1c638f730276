"""An inheriting table is granted by itself."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.checks import EVERY_ROW, reached_by_name, reaches
from tenants.posture.grants import revoke
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, listed, roles_named


def check(subject: Subject) -> Iterator[Problem]:
    """Yield inheriting tables that the app reaches by name, past their parent's policies, and
    parents without a tenant, past their children's.
    """
    for part, top in subject.parts:
        if not part.is_partition and part.kind != "foreign":
            yield from reached_by_name(subject, part, top)
    children: dict[int, list[str]] = {}
    for table in subject.tenant_tables:
        for above in subject.facts.ancestors(table):
            children.setdefault(above.oid, []).append(table.label)
    for oid, below in children.items():
        parent = subject.facts.relations[oid]
        reach = tuple(role for role in subject.app_roles if reaches(subject, role, parent))
        if reach:
            yield Problem(
                parent.label,
                f"{roles_named(reach)} can reach the rows of {listed(below)} through it: their"
                " policies do not hold for it",
                "\n".join(revoke(subject.facts, role, parent, EVERY_ROW) for role in reach),
            )


RULE = Rule(
    name="inherit-direct",
    severity="error",
    group="Tables and policies",
    title="An inheriting table is granted by itself",
    why=(
        "As with partitions: the parent's policies hold for queries that name the parent. The "
        "child needs its own, or no grant. And the other way round: a parent that has no tenant "
        "column shows, and deletes, the rows of its children, whose policies are not asked."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-rowsecurity.html",),
    bad="""\
CREATE TABLE shop.paid_invoices () INHERITS (shop.invoices);
ALTER TABLE shop.paid_invoices OWNER TO shop_owner;
GRANT SELECT ON shop.paid_invoices TO shop_app;""",
    good="""\
CREATE TABLE shop.paid_invoices () INHERITS (shop.invoices);
ALTER TABLE shop.paid_invoices OWNER TO shop_owner;""",
    check=check,
)
