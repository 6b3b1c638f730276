"""Erasures with their clocks: which are open, overdue, deferred and by what; what went and stayed.

Nothing here says whom an erasure is about: the auditor does not see it, and nobody does any more
once it has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.reports.paging import Page, PageRequest
from retention.reports.scope import Scope
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class ErasureLine:
    """An erasure. `outcome` is in time, overdue, answered in time or answered late; its clocks:
    how long is left until the answer is due (below zero: overdue), and how long it took.

    `approved_by` approved the plan that counts last. `waits_for` are holds, policies and
    connectors; `waits_until` is null where nobody can say.
    """

    id: UUID
    tenant: str
    tenant_name: str
    subject: str
    state: str
    outcome: str
    entered_by: str
    approved_by: str | None
    received_at: datetime
    due_at: datetime
    extended_months: int
    left_s: float | None
    took_s: float | None
    plan: int | None
    rows: int
    batches: int
    waits_for: tuple[str, ...]
    waits_until: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class WaitingLine:
    """What a deferred erasure waits for: rows of a table under a hold ("tenant": on all of it) or
    under a policy's minimum; or a connector."""

    erasure_id: UUID
    table: str | None
    rows: int | None
    hold: str | None
    policy: str | None
    connector: str | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ErasedLine:
    """Rows of a table that went or were changed, as their keys say; `action` "cut" took a
    reference to the person's rows away."""

    erasure_id: UUID
    table: str
    action: str
    rows: int


@dataclass(frozen=True, slots=True)
class KeptLine:
    """Rows that are kept, on which basis, and which policies take them when: `ends`."""

    erasure_id: UUID
    table: str
    rows: int
    basis: str | None
    ends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ErasureEventLine:
    """A step: what, by whom, when. `facts` are grounds, reasons, counts; `digest` is the plan's
    that was made, `trace_id` the execution's that began."""

    erasure_id: UUID
    event: str
    actor: str
    happened_at: datetime
    facts: Mapping[str, Any]
    digest: str | None
    trace_id: str | None


@dataclass(frozen=True, slots=True)
class ErasuresReport:
    """How many are open, overdue and deferred now; a page of those that were open at some time of
    the period, open ones first, those due first ahead; and of these the rest."""

    open: int
    overdue: int
    deferred: int
    erasures: tuple[ErasureLine, ...]
    waiting: tuple[WaitingLine, ...]
    erased: tuple[ErasedLine, ...]
    kept: tuple[KeptLine, ...]
    events: tuple[ErasureEventLine, ...]
    page: Page


_OF_TENANT = "(%(tenant)s::uuid IS NULL OR e.tenant_id = %(tenant)s::uuid)"
_NOW = f"""
SELECT count(*), count(*) FILTER (WHERE e.due_at < clock_timestamp()),
       count(*) FILTER (WHERE e.state = 'deferred')
FROM tenure.erasures e WHERE e.ended_at IS NULL AND {_OF_TENANT}
"""  # noqa: S608 - a constant
_ERASURES = f"""
SELECT e.id::text, t.slug, t.name, e.subject, e.state,
       CASE WHEN e.ended_at IS NULL
           THEN CASE WHEN e.due_at < clock_timestamp() THEN 'overdue' ELSE 'in time' END
           ELSE CASE WHEN e.due_at < e.ended_at THEN 'answered late' ELSE 'answered in time' END
       END,
       e.entered_by,
       (SELECT v.actor FROM tenure.erasure_events v
        WHERE v.tenant_id = e.tenant_id AND v.erasure_id = e.id AND v.event = 'approved'
        ORDER BY v.happened_at DESC, v.id DESC LIMIT 1),
       e.received_at, e.due_at, e.extended_months,
       CASE WHEN e.ended_at IS NULL
           THEN extract(epoch FROM e.due_at - clock_timestamp())::float8 END,
       extract(epoch FROM e.ended_at - e.received_at)::float8,
       e.plan, coalesce(b.rows, 0), coalesce(b.batches, 0), e.waits_until, e.ended_at
FROM tenure.erasures e
JOIN tenure.tenants t ON t.id = e.tenant_id
LEFT JOIN LATERAL (
    SELECT sum(b.rows)::bigint AS rows, count(*) AS batches FROM tenure.erasure_batches b
    WHERE b.tenant_id = e.tenant_id AND b.erasure_id = e.id) b ON true
WHERE {_OF_TENANT} AND e.received_at < %(until)s::timestamptz
  AND (e.ended_at IS NULL OR e.ended_at >= %(since)s::timestamptz)
ORDER BY e.ended_at IS NOT NULL, CASE WHEN e.ended_at IS NULL THEN e.due_at END,
    e.ended_at DESC, e.id DESC
LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - a constant
_EVENTS = """
SELECT v.erasure_id::text, v.event, v.actor, v.happened_at, v.facts
FROM tenure.erasure_events v WHERE v.erasure_id = ANY(%(erasures)s::uuid[])
ORDER BY v.happened_at DESC, v.id DESC
"""
_ERASED = """
SELECT k.erasure_id::text, k.table_name, k.action, (sum(octet_length(k.hashes)) / 16)::bigint
FROM tenure.erased_keys k WHERE k.erasure_id = ANY(%(erasures)s::uuid[])
GROUP BY k.erasure_id, k.table_name, k.action ORDER BY k.erasure_id, k.table_name, k.action
"""
#: What of an event's facts has a table, or a column, of its own.
_ELSEWHERE = ("waiting", "erased", "kept", "digest", "trace_id", "received_at")


def erasures_report(cursor: Cursor, wanted: PageRequest, scope: Scope) -> ErasuresReport:
    """Return a page of erasures, and what there is of each; four queries."""
    cursor.execute(_NOW, scope.params)
    ((is_open, overdue, deferred),) = cursor.fetchall()
    cursor.execute(_ERASURES, {**scope.params, **wanted.window})
    rows, page = wanted.cut(cursor.fetchall())
    ids = {"erasures": [row[0] for row in rows]}
    cursor.execute(_EVENTS, ids)
    events = [(UUID(row[0]), *row[1:]) for row in cursor.fetchall()]
    cursor.execute(_ERASED, ids)
    erased = tuple(ErasedLine(UUID(row[0]), *row[1:]) for row in cursor.fetchall())
    waits: dict[UUID, tuple[WaitingLine, ...]] = {}
    kept: list[KeptLine] = []
    for erasure_id, event, _, _, facts in events:  # the latest first
        if event == "deferred":
            waits.setdefault(erasure_id, tuple(_waiting(erasure_id, facts)))
        elif event == "completed":
            kept += _kept(erasure_id, facts)
    waits = {UUID(row[0]): waits.get(UUID(row[0]), ()) for row in rows if row[4] == "deferred"}
    return ErasuresReport(
        is_open,
        overdue,
        deferred,
        tuple(_line(row, _causes(waits.get(UUID(row[0]), ()))) for row in rows),
        tuple(line for lines in waits.values() for line in lines),
        erased,
        tuple(kept),
        tuple(_event(*event) for event in events),
        page,
    )


def _line(row: Sequence[Any], causes: tuple[str, ...]) -> ErasureLine:
    values = [UUID(row[0]), *row[1:16], causes, *row[16:]]
    return ErasureLine(*values)


def _event(
    erasure_id: UUID, event: str, actor: str, at: datetime, facts: Mapping[str, Any]
) -> ErasureEventLine:
    rest = {key: value for key, value in facts.items() if key not in _ELSEWHERE}
    return ErasureEventLine(
        erasure_id, event, actor, at, rest, facts.get("digest"), facts.get("trace_id")
    )


def _waiting(erasure_id: UUID, facts: Mapping[str, Any]) -> Iterator[WaitingLine]:
    for table, waits in facts["waiting"].items():
        for one in waits:
            until = None if one["until"] is None else datetime.fromisoformat(one["until"])
            yield WaitingLine(
                erasure_id, table, one["rows"], one["hold"], one["policy"], None, until
            )
    for connector in facts.get("connectors", ()):
        yield WaitingLine(erasure_id, None, None, None, None, connector, None)


def _kept(erasure_id: UUID, facts: Mapping[str, Any]) -> Iterator[KeptLine]:
    for one in facts["kept"]:
        ends = (f"{e['policy']} until {(e['until'] or 'nobody can say')[:10]}" for e in one["ends"])
        yield KeptLine(erasure_id, one["table"], one["rows"], one["basis"], tuple(ends))


def _causes(waits: tuple[WaitingLine, ...]) -> tuple[str, ...]:
    found = (
        ("hold on the tenant" if one.hold == "tenant" else f"hold {one.hold}")
        if one.hold
        else f"minimum of {one.policy}"
        if one.policy
        else f"connector {one.connector}"
        for one in waits
    )
    return tuple(dict.fromkeys(found))
