"""The two ways of a migration in one file: what puts a change in, and what takes it out again.

Both run, and each statement is judged. But what the way back drops is not gone from what the way
there leaves behind.
"""

from __future__ import annotations

import re
from pathlib import PurePath

# dbmate, goose, sql-migrate, micrate, rambler; tern's line between the two.
_MARKER = re.compile(
    r"--\s*(?:migrate:\s*|\+\s*(?:goose|migrate|micrate)\s+|rambler\s+)(up|down)\b"
    r"|----\s*create above / (drop) below\s*----|--\s*//\s*@(undo)\b",
    re.IGNORECASE,
)
# Functions of Alembic, peewee's and other migrations in Python.
_BACK = re.compile(r"downgrade(?:_\w*)?|down|rollback|backwards?|revert|reverse|undo|unapply")
# golang-migrate, diesel, Flyway, sqitch.
_BACK_FILE = re.compile(r"(?:.*\.)?down\.sql|U\d[\w.]*__.*\.sql", re.IGNORECASE)


def marker(comment: str) -> str | None:
    """Which way a comment begins: `up`, `down`, or `rest` (both stand in the file, and what follows
    is the way back); None: none."""
    match = _MARKER.match(comment)
    if match is None:
        return None
    return (match[1] or "rest").lower()


def leads_back(function: str) -> bool:
    """Whether a function of this name takes a migration out again."""
    return _BACK.fullmatch(function) is not None


def is_way_back(path: PurePath) -> bool:
    """Whether a whole SQL file does, by its name."""
    of_sqitch = path.parent.name == "revert" and path.suffix.lower() == ".sql"
    return of_sqitch or _BACK_FILE.fullmatch(path.name) is not None
