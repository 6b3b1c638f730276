"""TRUNCATE of a tenant's table."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, Seen
from lint.text.words import words
from lint.verdicts import SCOPED


def check(seen: Seen) -> Iterator[Problem]:
    """Yield the tenants' tables that TRUNCATE names."""
    if seen.tokens[0].word != "TRUNCATE":
        return
    for occurrence in seen.verdict.occurrences:
        if occurrence.verdict != SCOPED:
            yield Problem(
                occurrence.start,
                occurrence.end,
                f"TRUNCATE empties {occurrence.table} for all tenants",
                instead=(occurrence.start, occurrence.end),
            )


RULE = Rule(
    code="TS023",
    name="truncate",
    group="Statements",
    what="TRUNCATE empties a tenant's table.",
    why=(
        "It takes the rows of all tenants, and no policy is asked: row-level security does not "
        "apply to TRUNCATE. Nor does it count what it deletes, or look for a hold."
    ),
    bad="TRUNCATE invoice",
    good="DELETE FROM invoice WHERE tenant_id = tenure.current_tenant()",
    mend="delete the rows of the tenant that is meant.",
    words=words("TRUNCATE"),
    check=check,
)
