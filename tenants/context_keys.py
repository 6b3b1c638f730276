"""The sealed context's keys in the database: installed, and exchanged while traffic runs.

Two keys are good while an exchange lasts: the one that processes had, and the next. Whoever
seals with either is served, so processes can be restarted with the next key one by one; what
ends the exchange takes the first key's power away. Each step is recorded.

All functions run as tenure_owner, in the transaction that is open on the cursor.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from tenants.errors import ContextKeyError
from tenants.models import new_id
from tenants.seal import key_id, padded_keys

Step = Literal["installed", "begun", "finished", "abandoned"]


@dataclass(frozen=True)
class KeyStep:
    """What was done with which key; `key_id` tells nothing of the key itself."""

    step: Step
    key_id: str
    actor: str
    taken_at: datetime


def install_key(cursor: Any, key: bytes, *, actor: str, put_back: bool = False) -> None:
    """Make `key` the one that contexts are sealed with.

    Changes nothing where it is good already. Raises ContextKeyError while two other keys are
    being exchanged, and for one that was exchanged for another before: who still has it in their
    environment must not undo that. With `put_back` it is meant so.
    """
    current, following = _keys(cursor)
    inner, outer = padded_keys(key)
    if current is None:
        setting_inner, setting_outer = padded_keys(secrets.token_bytes(64))
        cursor.execute(
            "INSERT INTO tenure.context_key"
            " (token_inner, token_outer, setting_inner, setting_outer) VALUES (%s, %s, %s, %s)",
            (inner, outer, setting_inner, setting_outer),
        )
    elif _same(inner, current) or _same(inner, following):
        return
    elif following is not None:
        raise ContextKeyError(
            "TENURE_CONTEXT_KEY is neither of the two keys that are being exchanged: "
            "give one of them, and end the exchange with `tenure context rotate`"
        )
    elif not put_back and _was_good(cursor, key):
        raise ContextKeyError(
            f"TENURE_CONTEXT_KEY (id {key_id(key)}) is an old key, exchanged for another: "
            "set the present one; or, if this one is to be good again, "
            "`tenure migrate up --put-key-back`"
        )
    else:
        cursor.execute(
            "UPDATE tenure.context_key SET token_inner = %s, token_outer = %s", (inner, outer)
        )
    _record(cursor, "installed", key, actor)


def begin_rotation(cursor: Any, key: bytes, following: bytes, *, actor: str) -> None:
    """Accept `following` beside `key`, which is the one in use.

    Raises ContextKeyError when `key` is not the database's, or an exchange is under way.
    """
    current, already = _keys(cursor)
    if current is None or not _same(padded_keys(key)[0], current):
        raise ContextKeyError("TENURE_CONTEXT_KEY is not the key of this database")
    if already is not None:
        raise ContextKeyError(
            "keys are being exchanged already: finish that, or abandon it, before the next"
        )
    inner, outer = padded_keys(following)
    cursor.execute("UPDATE tenure.context_key SET next_inner = %s, next_outer = %s", (inner, outer))
    _record(cursor, "begun", following, actor)


def end_rotation(cursor: Any, key: bytes, *, finish: bool, actor: str) -> None:
    """Accept `key` alone from now on: the next one to `finish`, the first one to abandon.

    Raises ContextKeyError when no exchange is under way, or `key` is not the one that stays.
    """
    current, following = _keys(cursor)
    if following is None:
        raise ContextKeyError("no keys are being exchanged")
    if not _same(padded_keys(key)[0], following if finish else current):
        raise ContextKeyError(
            "TENURE_CONTEXT_KEY is not the next key: set it, here and for every process, "
            "before the old one goes"
            if finish
            else "TENURE_CONTEXT_KEY is not the first key: set it again, here and for every "
            "process, before the next one goes"
        )
    if finish:
        cursor.execute(
            "UPDATE tenure.context_key SET token_inner = next_inner, token_outer = next_outer"
        )
    cursor.execute("UPDATE tenure.context_key SET next_inner = NULL, next_outer = NULL")
    _record(cursor, "finished" if finish else "abandoned", key, actor)


def rotation_steps(cursor: Any) -> list[KeyStep]:
    """Return every step that was taken, oldest first."""
    # tenure: allow TS005 because what was done with the keys belongs to no tenant
    cursor.execute(
        "SELECT step, key_id, actor, taken_at FROM tenure.context_key_steps ORDER BY taken_at, id"
    )
    return [KeyStep(*row) for row in cursor.fetchall()]


def _keys(cursor: Any) -> tuple[bytes | None, bytes | None]:
    """Return the inner halves of the key in use and the next one, None where there is none."""
    cursor.execute("SELECT token_inner, next_inner FROM tenure.context_key FOR UPDATE")
    row = cursor.fetchone()
    if row is None:
        return None, None
    current, following = (None if part is None else bytes(part) for part in row)
    return current, following


def _was_good(cursor: Any, key: bytes) -> bool:
    # tenure: allow TS005 because what was done with the keys belongs to no tenant
    cursor.execute(
        "SELECT EXISTS (SELECT FROM tenure.context_key_steps WHERE key_id = %s)", (key_id(key),)
    )
    return bool(cursor.fetchone()[0])


def _same(one: bytes, other: bytes | None) -> bool:
    return other is not None and hmac.compare_digest(one, other)


def _record(cursor: Any, step: Step, key: bytes, actor: str) -> None:
    # tenure: allow TS005 because what was done with the keys belongs to no tenant
    cursor.execute(
        "INSERT INTO tenure.context_key_steps (id, step, key_id, actor) VALUES (%s, %s, %s, %s)",
        (new_id(), step, key_id(key), actor),
    )
