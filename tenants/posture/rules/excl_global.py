"""An exclusion constraint compares rows of all tenants."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tenants.posture.keys import may_set
from tenants.posture.records import quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject


def check(subject: Subject) -> Iterator[Problem]:
    """Yield exclusion constraints whose elements have no `tenant WITH =`."""
    for table in subject.tenant_tables:
        column = quote(subject.tables[table.oid])
        same = re.compile(rf"(?<!\w){re.escape(column)}(?!\w)[^,]* WITH (OPERATOR\(pg_catalog\.)?=")
        for constraint in subject.facts.constraints_on(table.oid):
            if constraint.kind != "exclusion" or same.search(constraint.definition):
                continue
            if not may_set(subject, table, constraint.columns, "INSERT", "UPDATE"):
                continue
            name = quote(constraint.name)
            mended = constraint.definition.replace("(", f"({column} WITH =, ", 1)
            gist = "CREATE EXTENSION IF NOT EXISTS btree_gist;\n" if "USING gist" in mended else ""
            yield Problem(
                f"constraint {constraint.name} on {table.label}",
                "rows exclude each other across tenants: a conflict tells what another tenant has",
                f"{gist}ALTER TABLE {table.sql} DROP CONSTRAINT {name},"
                f" ADD CONSTRAINT {name} {mended};",
            )


RULE = Rule(
    name="excl-global",
    severity="warning",
    group="Constraints",
    title="An exclusion constraint compares rows of all tenants",
    why=(
        "Exclusion constraints are checked against all rows, whatever the policies say. A booking "
        "that overlaps another tenant's is refused, which tells when that tenant has booked, and "
        "keeps others out. With `tenant_id WITH =` only rows of one tenant exclude each other; "
        "an index of type gist needs the extension btree_gist for it."
    ),
    sources=("https://www.postgresql.org/docs/current/ddl-rowsecurity.html",),
    bad="ALTER TABLE shop.invoices ADD CONSTRAINT numbers EXCLUDE USING btree (number WITH =);",
    good="""
ALTER TABLE shop.invoices ADD CONSTRAINT numbers
    EXCLUDE USING btree (tenant_id WITH =, number WITH =);
""",
    check=check,
)
