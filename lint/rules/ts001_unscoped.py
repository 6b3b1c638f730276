"""A tenant's table is read or written without being restricted to one tenant."""

from __future__ import annotations

from lint.rule import Rule

RULE = Rule(
    code="TS001",
    name="unscoped",
    group="The proof",
    what=("A tenant's table is read or written without being restricted to one tenant."),
    why=(
        "The statement returns or changes rows of every tenant. Row-level security may "
        "still catch it; then the result is not what the statement says."
    ),
    bad="SELECT * FROM invoice WHERE status = 'open'",
    good=("SELECT * FROM invoice WHERE tenant_id = tenure.current_tenant() AND status = 'open'"),
    mend=(
        "compare the tenant column with the current tenant in every place the table "
        "stands, or join it to a table that is, on the tenant column. The finding says "
        "at which occurrence it is missing."
    ),
    kinds=("open",),
)
