"""A foreign table with tenants' rows."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.facts import DML
from tenants.posture.grants import granted, revoke
from tenants.posture.records import Relation
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, roles_named


def check(subject: Subject) -> Iterator[Problem]:
    """Yield foreign tables of tenants' rows, or parts of tenant tables, in the app's hands."""
    tables = {table.oid: table for table in subject.tenant_tables if table.kind == "foreign"}
    tables |= {part.oid: part for part, _ in subject.parts if part.kind == "foreign"}
    # Its server may be this one, and the tenant's column left out of it.
    tables |= {t.oid: t for t in subject.facts.relations.values() if _stands_for_one(subject, t)}
    for table in tables.values():
        reach = subject.apps_that(table, *DML)
        if reach:
            fixes = [
                revoke(subject.facts, role, table, DML)
                for role in reach
                if granted(subject.facts, role, table, DML)
            ]
            yield Problem(
                table.label,
                f"{roles_named(reach)} can reach a foreign table, which no policy can guard",
                "\n".join(fixes) or None,
            )


def _stands_for_one(subject: Subject, table: Relation) -> bool:
    """Whether what it reads at its server has the name of a tenant table."""
    if table.kind != "foreign":
        return False
    schema = table.options.get("schema_name", table.schema)
    name = table.options.get("table_name", table.name)
    return any((t.schema, t.name) == (schema, name) for t in subject.tenant_tables)


RULE = Rule(
    name="foreign-table",
    severity="error",
    group="Tables and policies",
    title="A foreign table with tenants' rows",
    why=(
        "Row-level security cannot be enabled on a foreign table: whoever may read it reads "
        "every tenant's rows, as the user mapping lets it. So does one without a tenant column, "
        "whose options name a tenant table: its server may be this one."
    ),
    sources=("https://www.postgresql.org/docs/current/sql-createforeigntable.html",),
    bad="""\
CREATE FOREIGN DATA WRAPPER archive;
CREATE SERVER archive FOREIGN DATA WRAPPER archive;
CREATE FOREIGN TABLE shop.old_invoices (tenant_id uuid NOT NULL, number text) SERVER archive;
ALTER FOREIGN TABLE shop.old_invoices OWNER TO shop_owner;
GRANT SELECT ON shop.old_invoices TO shop_app;""",
    good="""\
CREATE FOREIGN DATA WRAPPER archive;
CREATE SERVER archive FOREIGN DATA WRAPPER archive;
CREATE FOREIGN TABLE shop.old_invoices (tenant_id uuid NOT NULL, number text) SERVER archive;
ALTER FOREIGN TABLE shop.old_invoices OWNER TO shop_owner;""",
    check=check,
)
