"""A tenant column that is missing or may be null."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.facts import DML
from tenants.posture.records import Relation, quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, roles_named


def check(subject: Subject) -> Iterator[Problem]:
    """Yield tenant columns that may be null, and tables that only a reference makes a tenant's."""
    for table in subject.tenant_tables:
        column = table.column(subject.tables[table.oid])
        if column is not None and not column.not_null and table.is_table:
            yield Problem(
                table.label,
                f"{column.name} may be null: such a row is nobody's",
                f"ALTER TABLE {table.sql} ALTER COLUMN {quote(column.name)} SET NOT NULL;",
            )
    yield from _without(subject)


def _without(subject: Subject) -> Iterator[Problem]:
    """Tables without a tenant column that refer to tenant tables, and are open to the app."""
    facts = subject.facts
    for constraint in facts.constraints:
        table = facts.relations.get(constraint.relation)
        target = facts.relations.get(constraint.target)
        if table is None or target is None or constraint.target not in subject.tables:
            continue
        if subject.tenant_column(table) is not None or _closed(subject, table):
            continue
        reach = subject.apps_that(table, *DML)
        yield Problem(
            table.label,
            f"its rows belong to rows of {target.label}, no column says to which tenant, and"
            f" {roles_named(reach)} can reach them all",
        )


def _closed(subject: Subject, table: Relation) -> bool:
    return all(
        subject.admits(role, table, "SELECT").at_most("unknown")
        for role in subject.apps_that(table, *DML)
    )


RULE = Rule(
    name="tenant-col",
    severity="warning",
    group="Tables and policies",
    title="A tenant column that is missing or may be null",
    why=(
        "A row without a tenant is seen by nobody or, with an `IS NULL` in a policy, by "
        "everybody, and a unique constraint does not hold for it. A table without the column "
        "cannot be guarded by a plain policy at all."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-rowsecurity.html",),
    bad="""\
ALTER TABLE shop.invoices DROP CONSTRAINT invoices_pkey;
ALTER TABLE shop.invoices ADD PRIMARY KEY (id), ALTER tenant_id DROP NOT NULL;""",
    good="""\
ALTER TABLE shop.invoices ALTER tenant_id SET NOT NULL;""",
    check=check,
)
