"""The statement is known, but contains something the prover does not follow."""

from __future__ import annotations

from lint.rule import Rule

RULE = Rule(
    code="TS005",
    name="unsupported",
    group="The proof",
    what=("The statement is known, but contains something the prover does not follow."),
    why=(
        "It may be scoped; it is not proven to be. Often a table that is missing in the "
        "schema, a table without a known tenant, or a function of your own."
    ),
    bad=("SELECT total_of(id) FROM invoice WHERE tenant_id = tenure.current_tenant()"),
    good=("SELECT sum(amount) FROM invoice WHERE tenant_id = tenure.current_tenant()"),
    mend=(
        "add what is missing to the configuration (the table's tenant column, its "
        "parent, its exemption, a function that reads no tenant's rows), or write the "
        "statement with what the prover knows."
    ),
    kinds=("unsupported",),
)
