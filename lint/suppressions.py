"""`-- tenure: allow CODE because REASON` and its counterpart in Python comments."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lint.codes import CODES
from lint.sources import Note

_MENTIONS = re.compile(r"\btenure:\s*allow\b", re.IGNORECASE)
_FORM = re.compile(
    r"\btenure:\s*allow\s+(?P<codes>TS\d{3}(?:\s*,\s*TS\d{3})*)\s+because\s+(?P<reason>\S.*?)"
    r"\s*(?:\*/)?\s*$",
    re.IGNORECASE | re.DOTALL,
)
# The findings about suppressions are not themselves suppressed.
_FIXED = ("TS010", "TS011")


@dataclass(frozen=True, slots=True)
class Suppression:
    note: Note
    codes: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class BadSuppression:
    note: Note
    message: str


def read(note: Note) -> Suppression | BadSuppression | None:
    """What a comment suppresses; None if it is about something else."""
    if not _MENTIONS.search(note.text):
        return None
    match = _FORM.search(note.text)
    if match is None:
        return BadSuppression(note, "expected `tenure: allow CODE because REASON`")
    codes = tuple(code.strip().upper() for code in match["codes"].split(","))
    for code in codes:
        if code not in CODES or code in _FIXED:
            return BadSuppression(note, f"{code} is no code that can be allowed")
    return Suppression(note, codes, match["reason"])


def covers(suppression: Suppression, first: int, last: int, above: frozenset[int]) -> bool:
    """Whether it stands on the lines of a statement, or alone on a line directly above.

    `above` are the lines of the comments that stand without a gap over the statement.
    """
    line = suppression.note.line
    return first <= line <= last or (suppression.note.alone and line in above)
