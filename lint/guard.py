"""A guard for query layers: is this text restricted to the current tenant?"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from lint.declared import Sources
from lint.prover.prover import Prover
from lint.schema.catalog import Catalog

# They read no tenant's row, which is all that the gate asks; but here a role is shared. With these
# one tenant ends another's session, has it wait or listen, or learns how much there is of all
# tenants' rows, and how much is written. So of the server's own names few pass.
_BEYOND = re.compile(
    r"\b(?:pg_(?!(?:catalog|typeof|size_pretty|size_bytes|column_size|input_is_valid)\b)\w+"
    r"|nextval|currval|lastval|setval|txid_\w+)\b",
    re.IGNORECASE,
)


def make_prover(
    catalog: Catalog, sources: Sources | None = None, *, remember: int = 1024
) -> Callable[[str], str | None]:
    """A function that says None of SQL proven scoped by a declared source, else the reason.

    "Scoped by a parameter" is not enough here: the parameter may be anybody's. A text that
    touches no tenant's table passes. Requires `remember` > 0: so many texts are kept with their
    answers. The function is thread-safe. Raises ConfigError if a source is not an expression.
    """
    if remember < 1:
        raise ValueError(f"remember must be positive, not {remember}")
    prover = Prover(catalog, sources)
    answers: OrderedDict[str, str | None] = OrderedDict()
    lock = Lock()

    def check(sql: str) -> str | None:
        with lock:
            if sql in answers:
                answers.move_to_end(sql)
                return answers[sql]
        verdict = prover.prove_text(sql)
        answer = None if verdict.scoped and verdict.kind in ("source", "none") else verdict.reason
        if answer is None and "set_config" in sql.lower():
            # To a gate over sources that is how a context is set; here it would change ours.
            answer = "it changes a setting"
        beyond = _BEYOND.search(sql) if answer is None else None
        if beyond is not None:
            answer = f"{beyond[0].lower()} reaches beyond the statement's own rows"
        with lock:
            answers[sql] = answer
            answers.move_to_end(sql)
            while len(answers) > remember:
                answers.popitem(last=False)
        return answer

    return check
