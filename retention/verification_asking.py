"""Asking the verifier's questions so that one that fails ends none of the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2

from config.logging import get_logger
from retention.troubles import is_away, one_line
from tenants.connections import Cursor

#: How the reason of a question that failed begins: its class (SQLSTATE) follows, and no word of the
#: error, which may quote a row.
NOT_ASKED = "could not be asked"

_log = get_logger(__name__)


@contextmanager
def savepoint(cursor: Cursor) -> Iterator[None]:
    """Run the block so that an error in it leaves the transaction as it was before."""
    cursor.execute("SAVEPOINT asking")
    try:
        yield
    except Exception as error:
        if not is_away(error):
            cursor.execute("ROLLBACK TO SAVEPOINT asking")
        raise
    cursor.execute("RELEASE SAVEPOINT asking")


def not_asked(error: Exception) -> str:
    """Return the reason of a question that failed, as it may be kept for good; log the rest."""
    _log.error("question_failed", error=one_line(error), exc_info=True)
    code = error.pgcode if isinstance(error, psycopg2.Error) else type(error).__name__
    return f"{NOT_ASKED} ({code})"
