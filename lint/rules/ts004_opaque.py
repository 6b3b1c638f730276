"""Part of the statement is not known before it runs."""

from __future__ import annotations

from lint.rule import Rule

RULE = Rule(
    code="TS004",
    name="opaque",
    group="The proof",
    what="Part of the statement is not known before it runs.",
    why=(
        "What cannot be read cannot be proven: a text put together at run time, the "
        "body of a DO block or a function, rows that COPY loads."
    ),
    bad='cursor.execute(f"SELECT * FROM invoice WHERE {condition}")',
    good=(
        "cursor.execute(\n"
        '    "SELECT * FROM invoice WHERE tenant_id = tenure.current_tenant() AND status = %s",\n'
        "    (status,),\n"
        ")"
    ),
    mend=(
        "write the text out, and pass values as parameters; choose between whole "
        "statements instead of putting one together. Where that cannot be, prove the "
        "composed text when it runs (`lint.guard`) and suppress the finding with that "
        "reason."
    ),
    language="python",
    kinds=("opaque",),
)
