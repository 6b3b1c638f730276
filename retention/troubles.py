"""What went wrong, told apart: what may be over the next time, what ends a tick, what one says.

A tenant's own rows can bring about what nobody thought of. So who works for many catches everything
that is of one of them (`Exception`), says it, and goes on with the others.
"""

from __future__ import annotations

import psycopg2

from retention.errors import LeaseLostError, RetentionError, SupersededError
from tenants.errors import PoolTimeoutError, TenantError

# Connection, resources, operator, system; and transactions that another one broke off.
_PASSING_CLASSES = ("08", "40", "53", "57", "58")
_PASSING = ("25P03", "25P04")


def is_passing(error: Exception) -> bool:
    """Tell whether it may be over the next time: the connection, resources, a shutdown."""
    if isinstance(error, PoolTimeoutError):
        return True
    if not isinstance(error, psycopg2.Error):
        return False
    if error.pgcode is None:
        return is_away(error)
    return error.pgcode[:2] in _PASSING_CLASSES or error.pgcode in _PASSING


def is_away(error: Exception) -> bool:
    """Tell whether it is what psycopg2 says of a connection that is gone."""
    gone = psycopg2.OperationalError | psycopg2.InterfaceError
    return isinstance(error, gone) and error.pgcode is None


def ends_the_tick(error: Exception) -> bool:
    """Tell whether no further step has any chance, or any right: another leads, or others'
    policies count, or nobody reaches the database."""
    ending = LeaseLostError | SupersededError | PoolTimeoutError
    return isinstance(error, ending) or is_away(error)


def is_unforeseen(error: Exception) -> bool:
    """Tell whether nobody thought of it: neither the database's nor one of ours."""
    return not isinstance(error, psycopg2.Error | RetentionError | TenantError)


def one_line(error: Exception) -> str:
    """Return what went wrong, as it may be kept and sent: without PostgreSQL's DETAIL, which may
    quote a row, and without the words of an error that nobody thought of, which may, too."""
    if is_unforeseen(error):
        return f"{type(error).__name__}, which nobody expected; the log says where"
    primary = error.diag.message_primary if isinstance(error, psycopg2.Error) else None
    return " ".join((primary or str(error)).split())
