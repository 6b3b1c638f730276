"""What an audit of the ledger found: values, the first of each kind in full, the rest counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

#: Findings of one kind that are shown; of more, how many there are.
SHOWN = 50

Check = Literal[
    "entry",
    "order",
    "node",
    "checkpoint",
    "attestation",
    "text",
    "row",
    "keys",
    "instant",
    "trigger",
    "record",
]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is not as it was entered or signed. `subject` is what; it names nobody."""

    check: Check
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.check}: {self.subject}: {self.detail}"


def entry_number(position: int | None) -> str:
    """Return how an entry is called: by its place, once it has one."""
    return "that waits" if position is None else str(position)


@dataclass
class Findings:
    """Takes findings, and keeps so many of each kind as can be read."""

    shown: list[Finding] = field(default_factory=list)
    counts: Counter[Check] = field(default_factory=Counter)

    def add(self, check: Check, subject: str, detail: str, *, count: int = 1) -> None:
        """Take a finding; `count` is how many it stands for."""
        if self.counts[check] < SHOWN:
            self.shown.append(Finding(check, subject, detail))
        self.counts[check] += count
