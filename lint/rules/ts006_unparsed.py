"""The statement cannot be parsed."""

from __future__ import annotations

from lint.rule import Rule

RULE = Rule(
    code="TS006",
    name="unparsed",
    group="The proof",
    what="The statement cannot be parsed.",
    why=(
        "A statement that is not read may do anything. It hides no other: the ones "
        "around it are judged."
    ),
    bad="SELEC * FROM invoice",
    good="SELECT * FROM invoice WHERE tenant_id = tenure.current_tenant()",
    mend=(
        "correct the statement. If PostgreSQL accepts it, it is a limit of the parser: "
        "suppress it with that reason."
    ),
    kinds=("unparsed",),
)
