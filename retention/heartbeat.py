"""Heartbeats: what is held for a while is renewed from a thread, as long as the work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg2

from config.logging import get_logger
from retention.errors import LeaseLostError
from tenants.errors import TenantError

#: How long something is held at the most; what says that it is longer is from before the clock
#: was set back.
LONGEST_TTL_S = 600.0

_log = get_logger(__name__)


@contextmanager
def beating(what: str, ttl_s: float, renew: Callable[[], None]) -> Iterator[None]:
    """Call `renew` three times in `ttl_s` seconds while the block runs.

    One that fails is logged and tried again, until LeaseLostError says that it is of no use:
    whether what is held is still ours is decided in the transactions that need it.
    """
    done = threading.Event()

    def beat() -> None:
        while not done.wait(ttl_s / 3):
            try:
                renew()
            except LeaseLostError as error:
                _log.warning("lease_lost", what=what, error=str(error))
                return
            except (psycopg2.Error, TenantError) as error:
                _log.warning("lease_renewal_failed", what=what, error=str(error))

    thread = threading.Thread(target=beat, name=f"heartbeat-{what}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
