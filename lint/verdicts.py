"""What the prover says. Values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lint.value import value

SCOPED, UNSCOPED, UNDECIDABLE = "scoped", "unscoped", "undecidable"
_RANK = {SCOPED: 0, UNDECIDABLE: 1, UNSCOPED: 2}


@value
class Occurrence:
    """One base table in one place of a statement. `start` and `end` are offsets in its text.

    kind: scoped by a `source`, by a `parameter` (one value that is not declared to be the current
    tenant), or `exempt`; unscoped `open`, `by-key` or `two-tenants`; undecidable `opaque` or
    `unsupported`. `value` is what bounds a scoped one: `source`, or the key of a parameter, a
    setting or a literal (`string:abc`, `number:1`).
    """

    table: str
    alias: str
    verdict: str
    kind: str
    reason: str
    start: int = 0
    end: int = 0
    value: str = ""


@value
class Verdict:
    """The worst of the occurrences. kind is `none` for a statement that touches no tenant's
    table, `unparsed` for one that could not be read at all."""

    verdict: str
    kind: str
    reason: str
    occurrences: tuple[Occurrence, ...] = ()

    @property
    def scoped(self) -> bool:
        return self.verdict == SCOPED


def worst(occurrences: tuple[Occurrence, ...]) -> Verdict:
    """The verdict of a statement with these occurrences."""
    owned = [occurrence for occurrence in occurrences if occurrence.kind != "exempt"]
    if not owned:
        return Verdict(SCOPED, "none", "no tenant's table is touched", occurrences)
    chosen = max(owned, key=lambda occurrence: _RANK[occurrence.verdict])
    return Verdict(chosen.verdict, chosen.kind, chosen.reason, occurrences)


def worse(one: Occurrence, other: Occurrence) -> Occurrence:
    return other if _RANK[other.verdict] > _RANK[one.verdict] else one


def together(found: Sequence[Verdict]) -> Verdict:
    """The verdict of several statements: the worst, with the occurrences of all."""
    if not found:
        return Verdict(SCOPED, "none", "there is no statement")
    chosen = max(found, key=lambda verdict: (_RANK[verdict.verdict], verdict.kind != "none"))
    if len(found) > 1 and chosen.scoped:
        chosen = next((verdict for verdict in found if verdict.kind == "parameter"), chosen)
    return replace(chosen, occurrences=tuple(o for verdict in found for o in verdict.occurrences))
