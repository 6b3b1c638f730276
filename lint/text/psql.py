"""Where psql's backslash commands end, and the data that follows COPY.

What stands behind a command on its line may be SQL again (`\\set x 1 \\\\ DELETE ..`), so a command
is read by psql's own rules and not to the end of the line. Where a text is not clear, less is
taken for a command or for data: what is left is read as SQL.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"\\(?:[!?;]|[^\W\d]\w*\+?|.)", re.DOTALL)
# They take the whole rest of the line, whatever is in it.
_WHOLE_LINE = frozenset(("!", "copy", "ef", "ev", "sf", "sv", "h", "help"))
# They send what has been typed so far, or throw it away, which is not to be relied upon.
SENDING = frozenset(
    (
        "g", "gx", "gset", "gexec", "gdesc", "watch", "crosstabview", "parse", "sendpipeline",
        "r", "reset",
    )
)  # fmt: skip
CONDITIONS = frozenset(("if", "elif", "else", "endif"))
_DATA_END = re.compile(r"^\\\.[ \t]*\r?$", re.MULTILINE)
_COPIES = re.compile(r"\bFROM\s+STDIN\b", re.IGNORECASE)


def line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def command(text: str, start: int) -> tuple[str, int]:
    """The name of the command whose backslash stands at `start`, and where its arguments end:
    with the line, or at a backslash outside quotes, which begins another or leads back to SQL."""
    match = _NAME.match(text, start)
    if match is None:
        return "", start + 1
    name = match.group()[1:].rstrip("+")
    at, end = match.end(), line_end(text, start)
    if name in ("\\", ";"):
        return name, at
    if name in _WHOLE_LINE or text[at:end].lstrip().startswith("|"):
        return name, max(at, end)
    while at < end and text[at] != "\\":
        at = _after_quoted(text, at, end) if text[at] in "'\"`" else at + 1
    return name, at


def _after_quoted(text: str, start: int, end: int) -> int:
    """The position after a quoted argument; one that does not end is none."""
    quote, at = text[start], start + 1
    while at < end:
        if text[at] == "\\" and quote == "'":
            at += 2
        elif text[at] == quote:
            return at + 1
        else:
            at += 1
    return start + 1


def after_copy_data(text: str, line: int) -> int:
    """Where the data ends that follows a COPY .. FROM STDIN, from the end of its line on.

    The same position if none follows, or if what follows is another's.
    """
    match = _DATA_END.search(text, line)
    if match is None or _COPIES.search(text, line, match.start()) is not None:
        return line
    return match.end()
