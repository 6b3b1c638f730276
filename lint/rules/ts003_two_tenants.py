"""Tables of one statement are restricted to different values."""

from __future__ import annotations

from lint.rule import Rule

RULE = Rule(
    code="TS003",
    name="two-tenants",
    group="The proof",
    what="Tables of one statement are restricted to different values.",
    why=("Two parameters may name two tenants, and the statement then mixes their rows."),
    bad=("SELECT * FROM invoice i, customer c WHERE i.tenant_id = $1 AND c.tenant_id = $2"),
    good=(
        "SELECT * FROM invoice i JOIN customer c ON c.tenant_id = i.tenant_id WHERE "
        "i.tenant_id = $1"
    ),
    mend=(
        "restrict one table by the value and join the others to it on the tenant "
        "column, or name the parameter in `parameters` of the configuration: both are "
        "then the current tenant."
    ),
    kinds=("two-tenants",),
)
