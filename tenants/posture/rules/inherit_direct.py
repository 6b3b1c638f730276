"""An inheriting table is granted by itself."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.checks import reached_by_name
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield inheriting tables that the app reaches by name, past their parent's policies."""
    for part, top in subject.parts:
        if not part.is_partition and part.kind != "foreign":
            yield from reached_by_name(subject, part, top)


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
