"""Suppressions of the configuration, for files and folders, and what expiry does to any.

Applied after the cache, since they depend on the day and on where a file lies.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lint.inputs.paths import Patterns
from lint.report import Finding

# The findings about suppressions are not themselves suppressed.
FIXED = ("TS010", "TS011")


@dataclass(frozen=True, slots=True)
class Allowance:
    """Findings of some codes under a path are allowed, up to and including the day `expires`."""

    path: str
    codes: tuple[str, ...]
    reason: str
    expires: datetime.date | None = None


class Allowances:
    """The configuration's suppressions, and which of them were of use."""

    def __init__(self, entries: Sequence[Allowance], folder: Path, *, today: datetime.date) -> None:
        self._today = today.isoformat()
        self._entries = [(entry, Patterns((entry.path,), folder)) for entry in entries]
        self._used: set[tuple[int, str]] = set()

    def apply(self, finding: Finding) -> Finding:
        """The finding as it stands today: allowed by its comment, by the configuration, or not."""
        if finding.allowed and finding.until and finding.until < self._today:
            finding = replace(
                finding,
                allowed="",
                message=f"{finding.message} (it was allowed until {finding.until})",
            )
        if finding.allowed:
            return finding
        for number, (entry, patterns) in enumerate(self._entries):
            if finding.code not in entry.codes or not patterns.match(Path(finding.path)):
                continue
            self._used.add((number, finding.code))
            until = entry.expires.isoformat() if entry.expires else ""
            if until and until < self._today:
                message = f"{finding.message} (it was allowed until {until})"
                finding = replace(finding, message=message)
                continue
            return replace(finding, allowed=entry.reason, until=until, external=True)
        return finding

    def unused(self) -> Iterable[tuple[Allowance, str]]:
        """The entries, with a code of theirs, that met no finding."""
        for number, (entry, _) in enumerate(self._entries):
            for code in entry.codes:
                if (number, code) not in self._used:
                    yield entry, code
