"""A row is given another tenant."""

from __future__ import annotations

from collections.abc import Iterator

from lint.prover.assigned import assigned
from lint.rule import Problem, Rule, Seen
from lint.text.words import words


def check(seen: Seen) -> Iterator[Problem]:
    """Yield assignments to the tenant column, or to the columns that name a row's parent."""
    for one in assigned(seen.tokens, seen.catalog):
        table = one.table
        if one.column == table.tenant_column:
            message = f"{table.name.name}.{one.column}, the tenant, is assigned"
            yield Problem(one.at.start, one.at.end, message)


RULE = Rule(
    code="TS021",
    name="tenant-column-written",
    group="Statements",
    what="The tenant column of an existing row is assigned.",
    why=(
        "A row that changes its tenant takes its history, its files and whatever refers to it "
        "along, or leaves them behind in the old one. Even where the value is the current tenant "
        "the assignment does nothing but invite the day when it is not."
    ),
    bad=(
        "UPDATE invoice SET tenant_id = tenure.current_tenant(), status = 'open'\n"
        "WHERE tenant_id = tenure.current_tenant()"
    ),
    good="UPDATE invoice SET status = 'open' WHERE tenant_id = tenure.current_tenant()",
    mend="leave the column out of SET. To move a row, copy it under the other tenant.",
    words=words("SET"),
    check=check,
)
