"""`[[posture.suppress]]` in tenure.toml: what is known and accepted, with a reason."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tenants.posture.errors import SuppressionError
from tenants.posture.rule import Finding

_KEYS = {"rule", "object", "reason", "expires"}


@dataclass(frozen=True, slots=True)
class Suppression:
    """`object` is a glob over a finding's object; after `expires` it suppresses nothing."""

    rule: str
    object: str
    reason: str
    expires: datetime.date | None = None

    def covers(self, finding: Finding, today: datetime.date) -> bool:
        """Whether a finding is suppressed on a day."""
        return (
            not self.expired(today)
            and finding.rule == self.rule
            and fnmatchcase(finding.object, self.object)
        )

    def expired(self, today: datetime.date) -> bool:
        """Whether its last day is over."""
        return self.expires is not None and today > self.expires

    def __str__(self) -> str:
        return f"{self.rule} on {self.object!r}"


def load_suppressions(file: Path, rules: Sequence[str]) -> tuple[Suppression, ...]:
    """Return a file's suppressions; none if there is no such table.

    Raises SuppressionError, naming file and entry, for one that says less or more than it must.
    """
    try:
        document: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SuppressionError(f"{file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SuppressionError(f"{file}: not TOML: {error}") from error
    for key in ("tool", "tenure") if file.name == "pyproject.toml" else ():
        document = document.get(key, {})
        if not isinstance(document, dict):
            raise SuppressionError(f"{file}: {key} is no table")
    table = document.get("posture", {})
    if not isinstance(table, dict) or set(table) - {"suppress"}:
        raise SuppressionError(f"{file}: [posture] holds [[posture.suppress]] and nothing else")
    entries = table.get("suppress", [])
    if not isinstance(entries, list):
        raise SuppressionError(f"{file}: write [[posture.suppress]], with two brackets")
    return tuple(_read(file, number, entry, rules) for number, entry in enumerate(entries, 1))


def _read(file: Path, number: int, entry: Any, rules: Sequence[str]) -> Suppression:
    where = f"{file}: [[posture.suppress]] number {number}"
    if not isinstance(entry, dict):
        raise SuppressionError(f"{where} is no table")
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise SuppressionError(f"{where}: unknown key {unknown[0]!r}")
    for key in ("rule", "object", "reason"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise SuppressionError(f"{where}: {key} must be a text")
    if entry["rule"] not in rules:
        raise SuppressionError(f"{where}: there is no rule {entry['rule']!r}")
    expires = entry.get("expires")
    if expires is not None and type(expires) is not datetime.date:
        raise SuppressionError(f"{where}: expires must be a date, as in 2030-01-31")
    return Suppression(entry["rule"], entry["object"], entry["reason"].strip(), expires)
