"""A publication streams the tables of all tenants, present and to come."""

from __future__ import annotations

from collections.abc import Iterator

from tenants.posture.records import quote
from tenants.posture.rule import Problem, Rule
from tenants.posture.subject import Subject, listed


def check(subject: Subject) -> Iterator[Problem]:
    """Yield publications of everything, or of whole schemas with tenant tables in them."""
    schemas = {table.schema for table in subject.tenant_tables}
    for publication in subject.facts.publications:
        covered = sorted(schemas & set(publication.schemas))
        if publication.all_tables or covered:
            what = "all tables" if publication.all_tables else f"all of {listed(covered)}"
            yield Problem(
                f"publication {publication.name}",
                f"it streams {what}, every tenant's rows, past every policy",
                f"DROP PUBLICATION {quote(publication.name)};",
            )


RULE = Rule(
    name="publication-all",
    severity="warning",
    group="Code",
    title="A publication streams every tenant's rows",
    why=(
        "Logical replication knows no policies: a subscriber gets every row of the tables that a "
        "publication names. One of all tables, or of a whole schema, takes tables that come "
        "later with it, unseen. Name the tables, and where a subscriber is to have one tenant's, "
        "its rows (`WHERE`, PostgreSQL 15 and later)."
    ),
    sources=(
        "https://www.postgresql.org/docs/current/logical-replication-security.html",
        "https://www.postgresql.org/docs/current/logical-replication-row-filter.html",
    ),
    bad="CREATE PUBLICATION stream FOR ALL TABLES;",
    good="CREATE PUBLICATION stream FOR TABLE shop.customers;",
    check=check,
)
