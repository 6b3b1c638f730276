"""Findings that were there when the gate was put up: known, not repaired, and not to be joined.

An entry names a finding by code, table and statement, not by line: what moves or is reformatted
stays known, and a second statement like it is new. What is mended drops out with the next
`--write-baseline`, and cannot come back unseen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lint.errors import ConfigError, SourceError
from lint.report import Finding

_KEYS = ("code", "table", "statement", "path", "shown")
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Known:
    """An entry: `count` findings of a code, in a table, in statements that read the same.

    `path` and `shown` say where the first of them was, for the reader.
    """

    code: str
    table: str
    statement: str
    path: str
    shown: str
    count: int = 1

    @property
    def key(self) -> Key:
        return self.code, self.table, self.statement


@dataclass(frozen=True, slots=True)
class Compared:
    """The findings that are new, those that are known, and the entries with findings too few."""

    new: tuple[Finding, ...]
    known: tuple[Finding, ...]
    stale: tuple[Known, ...]


@dataclass(frozen=True, slots=True)
class Baseline:
    entries: tuple[Known, ...] = ()

    def compare(self, findings: Sequence[Finding]) -> Compared:
        """Which findings are known; of several that read the same, as many as there were."""
        left = Counter({entry.key: entry.count for entry in self.entries})
        new: list[Finding] = []
        known: list[Finding] = []
        for finding in findings:
            key = _key(finding)
            if left[key] > 0:
                left[key] -= 1
                known.append(finding)
            else:
                new.append(finding)
        stale = tuple(entry for entry in self.entries if left[entry.key] > 0)
        return Compared(tuple(new), tuple(known), stale)

    def renewed(
        self,
        findings: Iterable[Finding],
        *,
        place: Callable[[str], str],
        kept: Callable[[Known], bool],
    ) -> Baseline:
        """A baseline of these findings, and of the entries that a run did not look at.

        `place` turns a finding's path into the one to keep.
        """
        counted: dict[Key, Known] = {}
        for finding in findings:
            key = _key(finding)
            known = counted.get(key)
            counted[key] = Known(
                *key,
                known.path if known else place(finding.path),
                known.shown if known else finding.shown.strip()[:100],
                known.count + 1 if known else 1,
            )
        for entry in self.entries:
            if entry.key not in counted and kept(entry):
                counted[entry.key] = entry
        return Baseline(tuple(sorted(counted.values(), key=lambda e: (e.path, e.key))))

    def to_json(self) -> str:
        """One line an entry, in a fixed order, so that a change of it can be read and merged."""
        lines = []
        for entry in self.entries:
            told: dict[str, Any] = {name: getattr(entry, name) for name in _KEYS}
            if entry.count != 1:
                told["count"] = entry.count
            lines.append(json.dumps(told, ensure_ascii=False))
        body = ",\n  ".join(lines)
        return '{"version": 1, "findings": [' + (f"\n  {body}\n" if lines else "") + "]}\n"


def _key(finding: Finding) -> Key:
    return finding.code, finding.table, finding.statement


def load(file: Path) -> Baseline:
    """Raises SourceError or ConfigError, naming the file."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"{file}: not JSON: {error}") from error
    try:
        if document["version"] != 1:
            raise ConfigError(f"{file}: a baseline of version 1 was expected")
        entries = [
            Known(
                str(entry["code"]),
                str(entry["table"]),
                str(entry["statement"]),
                str(entry["path"]),
                str(entry["shown"]),
                int(entry.get("count", 1)),
            )
            for entry in document["findings"]
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"{file}: no baseline: {type(error).__name__}: {error}") from error
    if any(entry.count < 1 for entry in entries):
        raise ConfigError(f"{file}: a count must be 1 or more")
    return Baseline(tuple(entries))
