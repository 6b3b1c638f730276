"""Where in the application a statement came from, by the comments that frameworks put into it.

Understood are sqlcommenter's `key='value'` (values are URL-encoded), Rails' query logs and
marginalia, `key:value`. The keys: `file` and `line`, `code.filepath` and `code.lineno`,
`source_location`, and `line` with the file in it.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_COMMENT = re.compile(r"/\*(.*?)\*/", re.DOTALL)
_FILES = ("file", "filename", "file_path", "filepath", "code.filepath", "code.file.path")
_LINES = ("line", "lineno", "line_number", "code.lineno", "code.line.number")
_BOTH = ("source_location", "line", "location", "caller")
_KEYS = frozenset((*_FILES, *_LINES, *_BOTH))
_WORTH = re.compile("file|line|location|caller", re.IGNORECASE)
_WITH_LINE = re.compile(r"(.+?):(\d+)(?::.*)?$", re.DOTALL)


def place_in_tags(text: str) -> tuple[str, int] | None:
    """File and line of the application, or None if no comment says them."""
    if "/*" not in text or _WORTH.search(text) is None:
        return None
    tags: dict[str, str] = {}
    for comment in _COMMENT.findall(text):
        for part in comment.split(","):
            key, sign, value = part.partition("=")
            if not sign or ":" in key:
                key, sign, value = part.partition(":")
            key = key.strip()
            if "%" in key:
                key = unquote(key)
            key = key.lower()
            if key in _KEYS:
                tags.setdefault(key, unquote(value.strip().strip("'").replace("\\'", "'")))
    if not tags:
        return None
    for key in _BOTH:
        found = _WITH_LINE.match(tags.get(key, ""))
        if found is not None:
            return found[1], int(found[2])
    path = next((tags[key] for key in _FILES if tags.get(key)), None)
    line = next((tags[key] for key in _LINES if tags.get(key, "").isdigit()), None)
    if path is None:
        return None
    return path, int(line) if line is not None else 1
