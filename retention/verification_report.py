"""What a verification found, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from retention.reconciliation import Account, Due, Entry
from retention.verification_asking import NOT_ASKED
from tenants.context import TenantId

Kind = Literal[
    "overdue",
    "orphans",
    "held_missing",
    "undated",
    "returned",
    "records",
    "reconciliation",
    "erasures",
]


@dataclass(frozen=True, slots=True)
class Result:
    """What one query found in one tenant; `tenant_id` is None where it found nothing at all, could
    not be asked, or is about none.

    Rows past their period that are no findings: `held` by a legal hold, `undeletable` for
    references, `paused` where nothing but their policy's pause keeps them. `reasons` counts by
    reason the undeletable rows, or those found. `age_p99_s` is for how long the rows found have
    been due, 99 of 100 for less; what started before the `watermark` was deleted or is kept.
    """

    kind: Kind
    subject: str
    query: str
    tenant_id: TenantId | None = None
    tenant: str | None = None
    found: int = 0
    held: int = 0
    undeletable: int = 0
    paused: int = 0
    oldest: datetime | None = None
    undeletable_oldest: datetime | None = None
    age_p99_s: int | None = None
    watermark: datetime | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def could_not_be_asked(self) -> str | None:
        """Why nobody knows, where the query failed; it counts as found, once."""
        return next((why for why in self.reasons if why.startswith(NOT_ASKED)), None)

    @property
    def is_finding(self) -> bool:
        """True for what must not be."""
        return self.found > 0 and self.kind != "undated"

    @property
    def due(self) -> Due:
        """The rows past their period, by what keeps them."""
        return Due(self.held, self.undeletable, self.paused, self.found)


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """One verification. `findings` counts rows (of `records`, batches' tables and own terms).

    `account` is None where it looked back, by more than a run takes or to before the last account.
    """

    id: UUID
    trace_id: str
    as_of: datetime
    results: tuple[Result, ...]
    account: Account | None = None

    @property
    def findings(self) -> int:
        """How much was found that must not be."""
        return sum(r.found for r in self.results if r.is_finding)

    def overdue(self) -> dict[str, int]:
        """Return overdue rows per policy, zeros included."""
        return self.found("overdue")

    def orphans(self) -> dict[str, int]:
        """Return orphaned rows per reference, zeros included."""
        return self.found("orphans")

    def found(self, kind: Kind) -> dict[str, int]:
        """Return what was found of a kind per subject, zeros included."""
        found: dict[str, int] = {}
        for result in self.results:
            if result.kind == kind:
                found[result.subject] = found.get(result.subject, 0) + result.found
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON's values."""
        entries = () if self.account is None else self.account.entries
        return {
            "id": str(self.id),
            "trace_id": self.trace_id,
            "as_of": self.as_of.isoformat(),
            "findings": self.findings,
            "account": None if self.account is None else self.account.number,
            "results": [_result_json(result) for result in self.results],
            "reconciliation": [_entry_json(entry) for entry in entries],
        }


def _result_json(result: Result) -> dict[str, Any]:
    return {
        "kind": result.kind,
        "subject": result.subject,
        "tenant_id": str(result.tenant_id) if result.tenant_id else None,
        "tenant": result.tenant,
        "found": result.found,
        "held": result.held,
        "undeletable": result.undeletable,
        "paused": result.paused,
        "oldest": _instant(result.oldest),
        "undeletable_oldest": _instant(result.undeletable_oldest),
        "age_p99_s": result.age_p99_s,
        "watermark": _instant(result.watermark),
        "reasons": dict(result.reasons),
        "query": result.query,
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "policy": entry.book.policy,
        "table": entry.book.table,
        "tenant_id": entry.book.tenant,
        "version": entry.version,
        "opening": entry.opening,
        "newly_due": entry.newly_due,
        "deleted": entry.deleted,
        "deleted_along": entry.deleted_along,
        "removed": entry.removed,
        "no_longer_due": entry.no_longer_due,
        "held": entry.closing.held,
        "undeletable": entry.closing.undeletable,
        "paused": entry.closing.paused,
        "still_due": entry.closing.still_due,
        "vanished": entry.vanished,
        "difference": entry.difference,
    }


def _instant(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
