"""The two ways of a migration in one file: what puts a change in, and what takes it out again.

Both run, and each statement is judged. But what the way back drops is not gone from what the way
there leaves behind.
"""

from __future__ import annotations

import re
from pathlib import PurePath

# dbmate, goose, sql-migrate, micrate, rambler, Play; tern's line between the two.
_MARKER = re.compile(
    r"--\s*(?:migrate:\s*|\+\s*(?:goose|migrate|micrate)\s+|rambler\s+|!+\s*)(up|down)s?\b"
    r"|----\s*create above / (drop) below\s*----|--\s*//\s*@(undo)\b",
    re.IGNORECASE,
)
# Functions of Alembic, peewee's and other migrations in Python.
_BACK = re.compile(
    r"(?:downgrade|down|rollback|backwards?|revert|reverse|undo|unapply)(?:_\w*)?", re.IGNORECASE
)
# golang-migrate, diesel, Flyway, sqitch.
_BACK_FILE = re.compile(r"(?:.*\.)?down\.(?:sql|py)|U\d[\w.]*__.*\.sql", re.IGNORECASE)


def marker(comment: str) -> bool | None:
    """Whether a comment begins the way back (True) or the way there (False); None: neither."""
    match = _MARKER.match(comment)
    if match is None:
        return None
    return (match[1] or "down").lower() == "down"


def leads_back(function: str) -> bool:
    """Whether a function of this name takes a migration out again."""
    return _BACK.fullmatch(function) is not None


def is_way_back(path: PurePath) -> bool:
    """Whether a whole file does, by its name."""
    return _BACK_FILE.fullmatch(path.name) is not None or path.parent.name == "revert"
