"""The codes of findings: what each means, why it matters, a bad and a good example.

The one place that defines them: `tenure lint --explain` and the documentation read it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    code: str
    name: str
    what: str
    why: str
    bad: str
    good: str


CODES: dict[str, Code] = {
    code.code: code
    for code in (
        Code(
            "TS001",
            "unscoped",
            "A tenant's table is read or written without being restricted to one tenant.",
            "The statement returns or changes rows of every tenant. Row-level security may still "
            "catch it; then the result is not what the statement says.",
            "SELECT * FROM invoice WHERE status = 'open'",
            "SELECT * FROM invoice WHERE tenant_id = tenure.current_tenant() AND status = 'open'",
        ),
        Code(
            "TS002",
            "by-key",
            "A tenant's table is reached by a key of its own and not by the tenant.",
            "The rows are fixed by an id from outside. No leak as long as the id was checked "
            "before; nothing here prevents that it was not.",
            "UPDATE invoice SET status = 'paid' WHERE id = $1",
            "UPDATE invoice SET status = 'paid' WHERE tenant_id = tenure.current_tenant() "
            "AND id = $1",
        ),
        Code(
            "TS003",
            "two-tenants",
            "Tables of one statement are restricted to different values.",
            "Two parameters may name two tenants, and the statement then mixes their rows.",
            "SELECT * FROM invoice i, customer c WHERE i.tenant_id = $1 AND c.tenant_id = $2",
            "SELECT * FROM invoice i JOIN customer c ON c.tenant_id = i.tenant_id "
            "WHERE i.tenant_id = $1",
        ),
        Code(
            "TS004",
            "opaque",
            "Part of the statement is not known before it runs.",
            "What cannot be read cannot be proven: a text put together at run time, the body of "
            "a DO block or a function, rows that COPY loads.",
            'cursor.execute(f"SELECT * FROM invoice WHERE {condition}")',
            'cursor.execute("SELECT * FROM invoice WHERE tenant_id = %(tenant_id)s", values)',
        ),
        Code(
            "TS005",
            "unsupported",
            "The statement is known, but contains something the prover does not follow.",
            "It may be scoped; it is not proven to be. Often a table that is missing in the "
            "schema, a table without a known tenant, or a function of your own.",
            "SELECT total_of(id) FROM invoice WHERE tenant_id = tenure.current_tenant()",
            "SELECT sum(amount) FROM invoice WHERE tenant_id = tenure.current_tenant()",
        ),
        Code(
            "TS006",
            "unparsed",
            "The statement cannot be parsed.",
            "A statement that is not read may do anything. It hides no other: the ones around "
            "it are judged.",
            "SELEC * FROM invoice",
            "SELECT * FROM invoice WHERE tenant_id = tenure.current_tenant()",
        ),
        Code(
            "TS010",
            "bad-suppression",
            "A suppression is not of the form `tenure: allow CODE because REASON`.",
            "Whoever reads it later has to know why it is allowed; a wrong code suppresses "
            "nothing.",
            "-- tenure: allow TS001",
            "-- tenure: allow TS001 because the nightly count covers all tenants on purpose",
        ),
        Code(
            "TS011",
            "unused-suppression",
            "A suppression matches no finding.",
            "It would silently allow the next finding that comes to stand there.",
            "-- tenure: allow TS001 because of the count\nSELECT 1",
            "SELECT 1",
        ),
    )
}

# The code of each kind of verdict that is not scoped.
CODE_OF_KIND = {
    "open": "TS001",
    "by-key": "TS002",
    "two-tenants": "TS003",
    "opaque": "TS004",
    "unsupported": "TS005",
    "unparsed": "TS006",
}


def explain(code: str) -> str | None:
    """The page of a code, or None if there is no such code."""
    found = CODES.get(code.upper())
    if found is None:
        return None
    return "\n".join(
        (
            f"{found.code} ({found.name})",
            "",
            found.what,
            "",
            found.why,
            "",
            "Bad:",
            *(f"    {line}" for line in found.bad.splitlines()),
            "",
            "Good:",
            *(f"    {line}" for line in found.good.splitlines()),
        )
    )
