"""A table is bound to one value that is not declared to be the current tenant."""

from __future__ import annotations

from lint.rule import Rule

RULE = Rule(
    code="TS007",
    name="undeclared-parameter",
    group="The proof",
    what=(
        "Under `--strict-source`: a table is restricted to one value that is not declared to be "
        "the current tenant."
    ),
    why=(
        "The statement stays within one tenant, but which one is the caller's word: a tenant "
        "taken from the request is a tenant that the request may choose."
    ),
    bad="SELECT * FROM invoice WHERE tenant_id = $1",
    good="SELECT * FROM invoice WHERE tenant_id = tenure.current_tenant()",
    mend=(
        "compare with a declared source, or name the parameter in `parameters` of the "
        "configuration, if nothing but the current tenant is ever bound to it."
    ),
    kinds=("parameter",),
    strict=True,
)
