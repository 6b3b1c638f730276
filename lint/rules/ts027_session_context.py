"""The tenant's setting outlives the transaction."""

from __future__ import annotations

from collections.abc import Iterator

from lint.rule import Problem, Rule, Seen
from lint.text.setting import settings
from lint.text.words import words

# Settings with a dot that belong to extensions, not to an application.
_EXTENSIONS = words(
    "auto_explain citus columnar cron hnsw ivfflat pg_hint_plan pg_stat_statements pg_trgm pgaudit "
    "pgcrypto pgtap plpgsql plperl plpython pltcl postgis postgres_fdw timescaledb vector "
    "auth_delay basic_archive passwordcheck sepgsql"
)


def check(seen: Seen) -> Iterator[Problem]:
    """Yield settings of an application that are made for the whole session."""
    for one in settings(seen.tokens):
        owner, dot, _ = one.name.partition(".")
        if one.local or not dot or (one.value is None and seen.tokens[0].word == "RESET"):
            continue
        if one.name in seen.settings or owner not in _EXTENSIONS:
            message = f"{one.name} is set for the session, and outlives the transaction"
            yield Problem(one.start, one.end, message)


RULE = Rule(
    code="TS027",
    name="session-context",
    group="Statements",
    what="A setting of the application (`app.tenant_id`, say) is made for the session.",
    why=(
        "A pooled connection keeps it: the next request runs as the tenant of the last one. "
        "Behind a pooler in transaction mode even the next statement may meet another session."
    ),
    bad="SET app.tenant_id = 'b1a5c0de-0000-7000-8000-000000000001'",
    good="SET LOCAL app.tenant_id = 'b1a5c0de-0000-7000-8000-000000000001'",
    mend="use SET LOCAL, or `set_config(name, value, true)`, inside the transaction it is for.",
    words=words("SET SET_CONFIG"),
    check=check,
)
