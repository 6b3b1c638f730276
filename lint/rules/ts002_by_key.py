"""A tenant's table is reached by a key of its own and not by the tenant."""

from __future__ import annotations

from lint.rule import Rule

RULE = Rule(
    code="TS002",
    name="by-key",
    group="The proof",
    what=("A tenant's table is reached by a key of its own and not by the tenant."),
    why=(
        "The rows are fixed by an id from outside. No leak as long as the id was "
        "checked before; nothing here prevents that it was not."
    ),
    bad="UPDATE invoice SET status = 'paid' WHERE id = $1",
    good=(
        "UPDATE invoice SET status = 'paid' WHERE tenant_id = tenure.current_tenant() AND id = $1"
    ),
    mend=(
        "add the tenant column to the condition; the key `(tenant_id, id)` serves it as "
        "well as `(id)` did."
    ),
    kinds=("by-key",),
)
