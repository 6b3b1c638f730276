"""Trace ids for the server: a comment at the end of a statement, as sqlcommenter has it.

https://google.github.io/sqlcommenter/spec/: keys in order, values percent-encoded in single
quotes. Nothing that ends a comment survives the encoding. pg_stat_statements does not look at
comments when it tells statements apart; it keeps the text of the first.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from structlog.contextvars import get_contextvars

from tenants.context import scope_or_none


def trace_in_force() -> str | None:
    """Return the trace id of the scope in force, or the one that logs carry, or None."""
    scope = scope_or_none()
    if scope is not None:
        return scope.trace_id
    bound = get_contextvars().get("trace_id")
    return bound if isinstance(bound, str) else None


def span_in_force() -> str | None:
    """Return the span id that logs carry, or None."""
    bound = get_contextvars().get("span_id")
    return bound if isinstance(bound, str) else None


@lru_cache(maxsize=1024)
def comment_of(trace_id: str | None, span_id: str | None = None) -> str:
    """Return the comment to append, with a space before it.

    Without a span (there are none below a request) the trace's last 16 digits stand for one.
    """
    tags = {"application": "tenure"}
    if trace_id is not None:
        tags["traceparent"] = f"00-{trace_id}-{span_id or trace_id[-16:]}-01"
    listed = ",".join(f"{key}='{quote(value, safe='')}'" for key, value in sorted(tags.items()))
    return f" /*{listed}*/"


@lru_cache(maxsize=1024)
def comment_for_driver(trace_id: str | None, span_id: str | None = None) -> str:
    """Return the comment for a statement with parameters, in which psycopg2 reads `%`."""
    return comment_of(trace_id, span_id).replace("%", "%%")
