"""Patterns for paths, as the configuration writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path


class Patterns:
    """Paths that any of some patterns names.

    A pattern is a path relative to the configuration's folder and names what lies under it, or
    the end of a path (`models.py`, `*_pb2.py`, `db/*.sql`). `*` and `?` stop at a slash, `**`
    does not.
    """

    def __init__(self, patterns: Iterable[str], folder: Path) -> None:
        self._folder = folder
        alternatives = [_regex(pattern) for pattern in patterns]
        self._matches = re.compile("|".join(alternatives)).fullmatch if alternatives else None
        self._real = cache(lambda parent: parent.resolve())

    def match(self, path: Path) -> bool:
        """Whether a path is named. One outside the configuration's folder never is."""
        if self._matches is None:
            return False
        real = self._real(path.parent) / path.name  # one look at the disk per folder
        try:
            relative = real.relative_to(self._real(self._folder))
        except ValueError:
            return False
        return self._matches(relative.as_posix()) is not None


def _regex(pattern: str) -> str:
    plain = pattern.removeprefix("./").rstrip("/")
    parts = [
        ".*" if part == "**" else _part(part) for part in re.split(r"(\*\*|\*|\?)", plain) if part
    ]
    body = "".join(parts).replace(".*/", "(?:.*/)?")
    # The whole of a path's beginning, or of its end.
    return f"(?:{body}(?:/.*)?|(?:.*/)?{body})"


def _part(part: str) -> str:
    return {"*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
