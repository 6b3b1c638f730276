"""An upsert that meets other tenants' rows."""

from __future__ import annotations

from collections.abc import Iterator

from lint.prover.assigned import arbiters
from lint.rule import Problem, Rule, Seen
from lint.text.words import words


def check(seen: Seen) -> Iterator[Problem]:
    """Yield arbiters of tenants' tables that lack the tenant column."""
    for arbiter in arbiters(seen.tokens, seen.catalog):
        tenant = arbiter.table.tenant_column
        if tenant is None or arbiter.columns is None or tenant in arbiter.columns:
            continue
        if any(key.columns == (tenant,) for key in arbiter.table.keys):
            continue  # one row for a tenant, as in the tenants table
        instead = None
        for occurrence in seen.verdict.occurrences:
            about = occurrence.start <= arbiter.target.start < occurrence.end
            if about and "the row in conflict" in occurrence.reason:
                # The proof fails for this reason alone.
                instead = (occurrence.start, occurrence.end)
        yield Problem(
            arbiter.at[0].start,
            arbiter.at[-1].end,
            f"the row in conflict may be another tenant's: the arbiter lacks {tenant}",
            instead=instead,
        )


RULE = Rule(
    code="TS022",
    name="upsert-arbiter",
    group="Statements",
    what="ON CONFLICT decides by a key without the tenant column.",
    why=(
        "The row in the way may be another tenant's: DO UPDATE changes it (or fails on its "
        "policy), DO NOTHING drops the new row and tells that the other exists."
    ),
    bad=(
        "INSERT INTO invoice (tenant_id, id, number) VALUES (tenure.current_tenant(), $1, $2)\n"
        "ON CONFLICT (number) DO UPDATE SET status = 'open'"
    ),
    good=(
        "INSERT INTO invoice (tenant_id, id, number) VALUES (tenure.current_tenant(), $1, $2)\n"
        "ON CONFLICT (tenant_id, number) DO UPDATE SET status = 'open'"
    ),
    mend="make the unique key `(tenant_id, ..)`, and name it whole.",
    words=words("CONFLICT"),
    check=check,
)
