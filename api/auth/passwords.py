"""Passwords: argon2id, and the same time for an address that nobody has."""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MAX_LENGTH = 1024
_hasher = PasswordHasher()
# A comparison takes 64 MiB: many at once would take the machine down. Who waits holds one of
# the server's threads, and does not wait long.
_slots = threading.BoundedSemaphore(2)
_WAIT_S = 2.0


class BusyError(Exception):
    """Too many passwords are being compared."""


def hash_password(password: str) -> str:
    """Return the hash to store, in argon2's own format."""
    return _hasher.hash(password)


def check_password(stored: str | None, password: str) -> bool:
    """Tell whether the password is the stored one. With None, take as long and say no.

    Raises BusyError when others are being compared for long.
    """
    if len(password) > MAX_LENGTH:
        return False
    if not _slots.acquire(timeout=_WAIT_S):
        raise BusyError
    try:
        _hasher.verify(_nobodys() if stored is None else stored, password)
    except (VerificationError, InvalidHashError):
        return False
    finally:
        _slots.release()
    return stored is not None


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody's password")
