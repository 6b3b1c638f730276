"""Views that read with the rights of whoever asks them, and that can be asked for one tenant.

Defining such a view reads nothing, and what asks it is judged where it asks: it is expanded there.
So its definition is no finding, if a condition over its columns restricts it to one tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lint.prover.prover import Prover
from lint.schema.catalog import Name, Table
from lint.schema.ddl import Cursor, is_invoker
from lint.text.carriers import payload
from lint.text.lexer import Token
from lint.verdicts import SCOPED, Verdict

ASKED = Verdict(SCOPED, "none", "a view that reads as who asks it, which is judged where it does")


def is_asked_for_one(tokens: Sequence[Token], verdict: Verdict, prover: Prover) -> bool:
    """Whether a statement defines a view with security_invoker whose rows can be one tenant's."""
    query = payload(tokens).tokens
    if not query or tokens[0].word != "CREATE":
        return False
    header = [token for token in tokens if token.start < query[0].start]
    words = [token.word for token in header]
    if "VIEW" not in words or "MATERIALIZED" in words or not is_invoker(Cursor(header)):
        return False
    columns = {_tenant_column(o.table, prover) for o in verdict.occurrences} - {None}
    return any(
        prover.prove(list(_restricted(header, query, column))).scoped
        for column in sorted(filter(None, columns))
    )


def _tenant_column(table: str, prover: Prover) -> str | None:
    schema, _, name = table.rpartition(".")
    found = prover.catalog.lookup(Name(schema, name))
    return found.tenant_column if isinstance(found, Table) else None


def _restricted(header: Sequence[Token], query: Sequence[Token], column: str) -> Iterable[Token]:
    """`SELECT 1 FROM (query) asked (columns) WHERE column = $1`."""
    first = query[0]

    def mark(text: str) -> Token:
        return first.other("punct" if text in "()" else "op", text, text)

    yield from (first.other_word("SELECT"), first.other("number", "1", "1"))
    yield from (first.other_word("FROM"), mark("("), *query, mark(")"), first.other_word("asked"))
    view = next(n for n, token in enumerate(header) if token.word == "VIEW")
    opening = next((n for n in range(view, len(header)) if header[n].text == "("), None)
    if opening is not None and header[opening - 1].word != "WITH":
        closing = next(n for n in range(opening, len(header)) if header[n].text == ")")
        yield from header[opening : closing + 1]
    yield from (first.other_word("WHERE"), first.other("quoted", f'"{column}"', column))
    yield from (mark("="), first.other("param", "$1", "$1"))
