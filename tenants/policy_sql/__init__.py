"""What a policy's expression admits, read from its meaning and not from its text.

For the posture audit and for the linter's rules on DDL: knows sqlglot and nothing else. An
expression is put on a scale, from admitting no row to admitting every row:

- `closed`: no row.
- `bound`: rows whose tenant is the caller's, as the session has it.
- `keyed`: rows that another column ties to the caller.
- `fixed`: rows of one tenant that the policy names; `shared`: those beside the caller's.
- `unknown`: not judged; a function's body is not readable, a construct is not followed.
- `partial`: some rows, chosen by what they are and not by who asks.
- `switch`: every row, in sessions where a condition holds that no row has a part in.
- `open`: every row, or every row as long as the context is missing.

AND takes the narrower of two, OR the wider. An expression that is doubtful is `unknown`,
never `bound`.
"""

from __future__ import annotations

from tenants.policy_sql.reader import Reader
from tenants.policy_sql.scale import (
    NOTHING,
    SCALE,
    Judgement,
    Kind,
    Knowledge,
    Routine,
    Row,
    narrower,
    wider,
)
from tenants.policy_sql.trees import body_of, calls_of, conjuncts, function_name, parsed, tables_of

__all__ = [
    "NOTHING",
    "SCALE",
    "Judgement",
    "Kind",
    "Knowledge",
    "Routine",
    "Row",
    "body_of",
    "calls_of",
    "conjuncts",
    "function_name",
    "judge",
    "narrower",
    "parsed",
    "tables_of",
    "wider",
]


def judge(expression: str | None, row: Row, knowledge: Knowledge | None = None) -> Judgement:
    """Judge a policy's USING or WITH CHECK; None, a policy without one, admits nothing."""
    if expression is None:
        return NOTHING
    tree = parsed(expression)
    if tree is None:
        return Judgement("unknown", "the expression cannot be parsed")
    return Reader(row, knowledge or Knowledge()).condition(tree)
