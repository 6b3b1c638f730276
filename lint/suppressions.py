"""`-- tenure: allow CODE because REASON` and its counterpart in Python comments.

`-- tenure: allow CODE until 2030-01-31 because REASON` ends with that day.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from lint.allowances import FIXED
from lint.codes import CODES
from lint.inputs.sources import MENTIONS, Note

_FORM = re.compile(
    r"\btenure:\s*allow\s+(?P<codes>TS\d{3}(?:\s*,\s*TS\d{3})*)"
    r"(?:\s+until\s+(?P<until>\S+))?\s+because\s+(?P<reason>\S.*?)"
    r"\s*(?:\*/)?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_EXPECTED = "tenure: allow CODE because REASON"


@dataclass(frozen=True, slots=True)
class Suppression:
    """`until` is its last day (ISO), or empty."""

    note: Note
    codes: tuple[str, ...]
    reason: str
    until: str = ""


@dataclass(frozen=True, slots=True)
class BadSuppression:
    note: Note
    message: str


def read(note: Note) -> Suppression | BadSuppression | None:
    """What a comment suppresses; None if it is about something else."""
    if not MENTIONS.search(note.text):
        return None
    match = _FORM.search(note.text)
    if match is None:
        return BadSuppression(note, f"expected `{_EXPECTED}`")
    codes = tuple(code.strip().upper() for code in match["codes"].split(","))
    for code in codes:
        if code not in CODES or code in FIXED:
            return BadSuppression(note, f"{code} is no code that can be allowed")
    until = match["until"] or ""
    if until and not _is_day(until):
        return BadSuppression(note, f"{until} is no day, as in 2030-01-31")
    return Suppression(note, codes, match["reason"], until)


def _is_day(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def covers(suppression: Suppression, first: int, last: int, above: frozenset[int]) -> bool:
    """Whether it stands on the lines of a statement, or alone on a line directly above.

    `above` are the lines of the comments that stand without a gap over the statement.
    """
    line = suppression.note.line
    return first <= line <= last or (suppression.note.alone and line in above)
