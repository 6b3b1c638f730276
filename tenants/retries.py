"""Trying a transaction again that PostgreSQL broke off because of another one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import peewee
import psycopg2

from config.logging import get_logger
from tenants.comments import trace_in_force

R = TypeVar("R")
_log = get_logger(__name__)

#: serialization_failure and deadlock_detected: nothing was done, and once more may succeed.
RETRIED = frozenset({"40001", "40P01"})
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 1.0


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of a driver's error, also of one that peewee has wrapped."""
    if isinstance(error, peewee.PeeweeException):
        error = error.__cause__ or error.__context__ or error
    return error.pgcode if isinstance(error, psycopg2.Error) else None


def run_with_retries(
    attempt: Callable[[], R], *, retries: int, on_retry: Callable[[], None] | None
) -> R:
    """Call `attempt`, up to `retries` times more while its transaction is broken off.

    `attempt` is one whole outermost transaction. Between attempts a random pause, so that two
    that met do not meet again; each retry is counted by `on_retry`, and logged.
    """
    tried = 0
    while True:
        try:
            return attempt()
        except Exception as error:
            sqlstate = sqlstate_of(error)
            if sqlstate not in RETRIED or tried >= retries:
                raise
        tried += 1
        if on_retry is not None:
            on_retry()
        _log.warning(
            "transaction_retried", attempt=tried, sqlstate=sqlstate, trace_id=trace_in_force()
        )
        longest = min(_FIRST_PAUSE_S * 2**tried, _LONGEST_PAUSE_S)
        time.sleep(random.uniform(0, longest))  # noqa: S311 - no secret
