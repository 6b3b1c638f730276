"""Large objects."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, Seen
from lint.text.prepare import fold
from lint.text.words import words

_FUNCTIONS = words(
    "lo_creat lo_create lo_export lo_from_bytea lo_get lo_import lo_open lo_put lo_unlink "
    "lo_lseek lo_lseek64 lo_tell lo_tell64 lo_truncate lo_truncate64 loread lowrite"
)
_TABLES = words("pg_largeobject pg_largeobject_metadata")


def check(seen: Seen) -> Iterator[Problem]:
    """Yield calls of the large objects' functions, and uses of their tables."""
    for index, token in enumerate(seen.tokens):
        name = fold(token.text) if token.kind == "word" else token.value
        if token.kind not in ("word", "quoted"):
            continue
        called = index + 1 < len(seen.tokens) and seen.tokens[index + 1].text == "("
        if (called and name in _FUNCTIONS) or name in _TABLES:
            yield Problem(token.start, token.end, f"{name}: large objects belong to no tenant")


RULE = Rule(
    code="TS028",
    name="large-object",
    group="Statements",
    what="Large objects are read or written.",
    why=(
        "They have no row-level security and no tenant: one number space for all, with grants "
        "per object at best. Whoever guesses a number reads another tenant's file."
    ),
    bad="SELECT lo_get(16401)",
    good="SELECT number FROM invoice WHERE tenant_id = tenure.current_tenant()",
    mend="keep files in a `bytea` column of a tenant's table, or outside the database.",
    words=frozenset(name.upper() for name in _FUNCTIONS | _TABLES),
    check=check,
)
