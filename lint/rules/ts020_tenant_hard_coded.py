"""A tenant written into the text."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, Seen


def check(seen: Seen) -> Iterator[Problem]:
    """Yield tables that a literal restricts, in a statement that is otherwise in order."""
    if not seen.verdict.scoped or seen.ran:
        return
    for occurrence in seen.verdict.occurrences:
        kind, _, value = occurrence.value.partition(":")
        if kind in ("string", "number"):
            yield Problem(
                occurrence.start,
                occurrence.end,
                f"{occurrence.alias} is restricted to the tenant {value!r}, which is written "
                "into the text",
            )


RULE = Rule(
    code="TS020",
    name="tenant-hard-coded",
    group="Statements",
    what="A tenant's table is restricted to a tenant that is written into the text.",
    why=(
        "The statement serves one tenant, whoever runs it: what was tried out for one customer "
        "reaches all of them, or shows them that customer's rows."
    ),
    bad="SELECT * FROM invoice WHERE tenant_id = 'b1a5c0de-0000-7000-8000-000000000001'",
    good="SELECT * FROM invoice WHERE tenant_id = tenure.current_tenant()",
    mend=(
        "compare with the current tenant or a parameter. Where a literal does stand for the "
        "current tenant (in tests, say), declare it: `--tenant-value`, or `sources`."
    ),
    check=check,
)
