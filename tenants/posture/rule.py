"""What a rule is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tenants.posture.subject import Subject

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

Group = Literal[
    "Roles and grants", "Tables and policies", "Constraints", "Code", "Session", "Side channels"
]


@dataclass(frozen=True, slots=True)
class Problem:
    """What a rule's check yields: one fault of one object.

    `object` is an object's `label`. `fix_sql` mends it when run as it stands by whoever owns
    the object; None where no statement can be known. `severity` where it differs from the
    rule's own.
    """

    object: str
    message: str
    fix_sql: str | None = None
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, the whole of it: its page, its `--explain` and its tests come from here.

    `bad` and `good` are SQL run on top of `examples.BASE`, where the rule says nothing: it
    finds something after `bad`, and nothing after `good`. `manual` is the reason why its
    problems have no `fix_sql`, or one that does not mend them by itself.
    """

    name: str
    severity: Severity
    group: Group
    title: str
    why: str
    sources: tuple[str, ...]
    bad: str
    good: str
    check: Callable[[Subject], Iterable[Problem]]
    manual: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem under the name of its rule."""

    rule: str
    severity: Severity
    object: str
    message: str
    fix_sql: str | None
