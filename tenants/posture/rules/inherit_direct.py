"""An inheriting table is granted by itself."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.facts import DML
from tenants.posture.grants import granted, revoke
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, roles_named


def check(subject: Subject) -> Iterator[Problem]:
    """Yield inheriting tables that the app reaches by name, past their parent's policies."""
    for part, top in subject.parts:
        if part.is_partition or part.kind == "foreign":
            continue
        reach = tuple(
            role
            for role in subject.apps_that(part, *DML)
            if not subject.admits(role, part, "SELECT").at_most("unknown")
            # Who owns it or is exempt is told so once, by role-owner and role-bypass.
            and granted(subject.facts, role, part, DML)
        )
        if reach:
            yield Problem(
                part.label,
                f"{roles_named(reach)} can reach it by name: the policies of {top.label} do not"
                " hold for it",
                "\n".join(revoke(subject.facts, r, part, DML) for r in reach),
            )


RULE = Rule(
    name="inherit-direct",
    severity="error",
    group="Tables and policies",
    title="An inheriting table is granted by itself",
    why=(
        "As with partitions: the parent's policies hold for queries that name the parent. The "
        "child needs its own, or no grant."
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
