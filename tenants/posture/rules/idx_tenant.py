"""A tenant table has no index that begins with the tenant."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.facts import DML
from tenants.posture.keys import is_tenants
from tenants.posture.records import quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield tables that the app reads without an index led by a tenant column."""
    for table in subject.tenant_tables:
        if not table.is_table or not subject.apps_that(table, *DML):
            continue
        if not any(
            index.valid
            and not index.partial
            and is_tenants(subject, table, table.names(index.columns[:1])[0])
            for index in subject.facts.indexes_on(table.oid)
        ):
            column = subject.tables[table.oid]
            yield Problem(
                table.label,
                f"no index begins with {column}: each query of one tenant passes all tenants' rows",
                f"CREATE INDEX ON {table.sql} ({quote(column)});",
            )


RULE = Rule(
    name="idx-tenant",
    severity="warning",
    group="Side channels",
    title="No index begins with the tenant",
    why=(
        "Every query under a policy asks for one tenant. Without an index that begins with the "
        "tenant column, PostgreSQL reads other tenants' rows, or probes an index over all of "
        "them, and drops what does not match: slow for the tenant, and the time it takes tells "
        "how much the others have. On a large table in use, build it with CREATE INDEX "
        "CONCURRENTLY, outside of a transaction."
    ),
    sources=("https://www.postgresql.org/docs/current/indexes-multicolumn.html",),
    bad="""
ALTER TABLE shop.invoices DROP CONSTRAINT invoices_pkey, ADD PRIMARY KEY (id, tenant_id);
ALTER TABLE shop.invoices DROP CONSTRAINT invoices_tenant_id_number_key;
DROP INDEX shop.invoices_customer;
""",
    good="""
ALTER TABLE shop.invoices DROP CONSTRAINT invoices_pkey, ADD PRIMARY KEY (id, tenant_id);
CREATE INDEX invoices_tenant ON shop.invoices (tenant_id);
""",
    check=check,
)
