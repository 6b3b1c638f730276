"""COPY of a tenant's table."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, Seen
from lint.text.words import words
from lint.verdicts import SCOPED


def check(seen: Seen) -> Iterator[Problem]:
    """Yield the tenants' tables that COPY names whole."""
    if seen.tokens[0].word != "COPY" or (seen.tokens[1:2] and seen.tokens[1].text == "("):
        return
    for occurrence in seen.verdict.occurrences:
        if occurrence.verdict != SCOPED:
            yield Problem(
                occurrence.start,
                occurrence.end,
                f"{occurrence.table}: {occurrence.reason}",
                instead=(occurrence.start, occurrence.end),
            )


RULE = Rule(
    code="TS024",
    name="copy",
    group="Statements",
    what="COPY takes a tenant's table whole, or loads rows into one.",
    why=(
        "COPY TO gives out the rows of all tenants. COPY FROM is refused under row-level "
        "security, so whoever runs it is exempt from the policies, and the tenants of the rows "
        "stand in the data, where nobody checks them."
    ),
    bad="COPY invoice TO STDOUT",
    good="COPY (SELECT * FROM invoice WHERE tenant_id = tenure.current_tenant()) TO STDOUT",
    mend="copy a query that is scoped; load through INSERT, under the policies.",
    words=words("COPY"),
    check=check,
)
