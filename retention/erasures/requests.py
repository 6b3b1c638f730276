"""What people do with erasures: enter a request, confirm who asks, approve, extend, refuse.

Each step is one transaction that locks the erasure, looks whether the step may be taken, takes
it, and records who took it. Texts about the person go to `tenure.erasure_subjects` alone; what
is recorded for good says grounds by their names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg2

from retention.actors import is_another
from retention.deletions import key_hash
from retention.erasures.planning import ErasurePlan
from retention.erasures.records import (
    ENDED,
    MONTHS,
    MORE_MONTHS,
    Erasure,
    Event,
    State,
    add_event,
    erased_counts,
    lock_erasure,
)
from retention.errors import ErasureError
from retention.ledger.verifier import months_after
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

#: Why an answer may take longer (GDPR 12(3)).
REASONS: Mapping[str, str] = {
    "complexity": "the complexity of the request",
    "number": "the number of requests",
}
#: Why a person is not erased, by the name that is recorded: the ground, as the letter says it.
GROUNDS: Mapping[str, str] = {
    "identity": "it could not be established that the request comes from the person concerned "
    "(Art. 11(2), 12(2) GDPR)",
    "unfounded": "the request is manifestly unfounded (Art. 12(5)(b) GDPR)",
    "excessive": "the request is excessive, in particular because it is repeated "
    "(Art. 12(5)(b) GDPR)",
    "not-applicable": "none of the grounds on which erasure can be asked for applies "
    "(Art. 17(1) GDPR)",
    "expression": "the data is needed for exercising the right of freedom of expression and "
    "information (Art. 17(3)(a) GDPR)",
    "legal-obligation": "the data must be kept to comply with a legal obligation "
    "(Art. 17(3)(b) GDPR)",
    "public-health": "the data is kept for reasons of public interest in the area of public "
    "health (Art. 17(3)(c) GDPR)",
    "archiving": "the data is kept for archiving in the public interest, research or statistics, "
    "which erasure would make impossible or seriously impair (Art. 17(3)(d) GDPR)",
    "legal-claims": "the data is needed for the establishment, exercise or defence of legal "
    "claims (Art. 17(3)(e) GDPR)",
}

_PLANNABLE: tuple[State, ...] = ("confirmed", "planned", "approved", "running", "deferred")
_BEFORE: tuple[State, ...] = ("received", "confirmed", "planned", "approved")
_ENTER = """
INSERT INTO tenure.erasures
    (tenant_id, id, subject, subject_hash, entered_by, received_at, due_at)
VALUES (%(tenant)s::uuid, %(id)s::uuid, %(subject)s, %(hash)s, %(actor)s, %(received)s, %(due)s)
"""
_ASKED = """
INSERT INTO tenure.erasure_subjects (tenant_id, erasure_id, key, asked_by, requester)
VALUES (%(tenant)s::uuid, %(id)s::uuid, %(key)s::uuid, %(asked_by)s, %(requester)s)
"""
# Who is to be asked and was not told yet is not asked any more (retention.connectors.delivery). Who
# was told may have erased, whether they have answered or not (`tenure.not_begun`).
_BEGUN_ELSEWHERE = """
SELECT r.connector FROM tenure.connector_requests r
WHERE r.tenant_id = %(tenant)s::uuid AND r.cause_id = %(id)s::uuid
  AND (r.told_at IS NOT NULL OR r.counted IS NOT NULL OR r.state IN ('acknowledged', 'refused'))
"""


@dataclass(frozen=True, slots=True)
class Request:
    """Who is to be erased, who asks, since when. `asked_by` is the lookup it came with."""

    tenant_id: TenantId
    subject: str
    key: UUID
    requester: str
    received_at: datetime
    asked_by: str | None = None


def enter(retention: RoleConnections, request: Request, *, actor: str, now: datetime) -> UUID:
    """Enter a request; return the erasure's id.

    Due a month after it was received. Raises ErasureError for a request from the future, one
    without a requester, or a second one while the first is open.
    """
    if not request.requester.strip():
        raise ErasureError("a request says who asks: the person, or who asks for them")
    if request.received_at > now:
        raise ErasureError(f"received at {request.received_at.isoformat()}: that is in the future")
    erasure_id = new_id()
    known = {
        "tenant": str(request.tenant_id),
        "id": str(erasure_id),
        "subject": request.subject,
        "hash": key_hash(request.key),
        "actor": actor,
        "received": request.received_at,
        "due": months_after(request.received_at, MONTHS),
        "key": str(request.key),
        "asked_by": request.asked_by,
        "requester": request.requester,
    }
    try:
        with retention.transaction(request.tenant_id) as cursor:
            cursor.execute(_ENTER, known)
            cursor.execute(_ASKED, known)
            erasure = lock_erasure(cursor, erasure_id, request.tenant_id)
            add_event(cursor, erasure, "received", actor, {"received_at": request.received_at})
    except psycopg2.errors.UniqueViolation as error:
        raise ErasureError(
            f"an erasure of this {request.subject} is open already: tenure erasure list"
        ) from error
    return erasure_id


def confirm(retention: RoleConnections, erasure: Erasure, *, how: str, actor: str) -> Erasure:
    """Record that the requester is who they say, confirmed by `actor`, and how.

    How stands with what is erased at the end. Raises ErasureError when it says nothing, or for
    an erasure that is past it.
    """
    if not how.strip():
        raise ErasureError("say how the requester's identity was confirmed")

    def step(cursor: Cursor, _erasure: Erasure, known: Mapping[str, Any]) -> None:
        cursor.execute(
            "UPDATE tenure.erasure_subjects SET identity = %(how)s"
            " WHERE tenant_id = %(tenant)s::uuid AND erasure_id = %(id)s::uuid",
            {**known, "how": how},
        )
        _move(cursor, known, "confirmed")

    return _take(retention, erasure, step, allowed=("received",), event="confirmed", actor=actor)


def keep_plan(
    retention: RoleConnections, erasure: Erasure, plan: ErasurePlan, *, actor: str
) -> Erasure:
    """Keep a plan, as it is; it is the one to approve now.

    Whoever plans again asks for another approval; what went is gone all the same. Raises
    ErasureError before the requester's identity is confirmed, or for an erasure that has ended.
    """
    number = (erasure.plan or 0) + 1

    def step(cursor: Cursor, locked: Erasure, known: Mapping[str, Any]) -> None:
        if (locked.plan or 0) != number - 1:
            raise ErasureError(f"erasure {erasure.id} was planned by another meanwhile")
        cursor.execute(
            "INSERT INTO tenure.erasure_plans (tenant_id, erasure_id, number, digest, plan,"
            " made_by) VALUES (%(tenant)s::uuid, %(id)s::uuid, %(number)s, %(digest)s, %(plan)s,"
            " %(actor)s)",
            {
                **known, "number": number, "digest": plan.digest,
                "plan": json.dumps(plan.to_json()),
            },
        )  # fmt: skip
        cursor.execute(
            "UPDATE tenure.erasures SET state = 'planned', plan = %(number)s,"
            " definition = %(definition)s, waits_until = NULL, plan_wanted_by = NULL"
            " WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid",
            {**known, "number": number, "definition": json.dumps(plan.definition)},
        )

    facts = {"plan": number, "digest": plan.digest}
    return _take(
        retention, erasure, step, allowed=_PLANNABLE, event="planned", actor=actor, facts=facts
    )


def want_plan(app: RoleConnections, erasure: Erasure, *, actor: str) -> Erasure:
    """Ask the worker for a plan, which it keeps as `actor`'s at its next tick.

    Raises ErasureError before the requester's identity is confirmed, or for an erasure that has
    ended.
    """

    def step(cursor: Cursor, _erasure: Erasure, known: Mapping[str, Any]) -> None:
        cursor.execute(
            "UPDATE tenure.erasures SET plan_wanted_by = %(actor)s"
            " WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid",
            known,
        )

    return _take(app, erasure, step, allowed=_PLANNABLE, event=None, verb="planned", actor=actor)


def approve(
    retention: RoleConnections, erasure: Erasure, *, actor: str, alone: bool = False
) -> Erasure:
    """Approve the plan that counts; after that the erasure may be executed.

    By another person than who entered the request, as far as that can be shown (`is_another`),
    unless `alone`. Raises ErasureError.
    """
    another = is_another(actor, erasure.entered_by)

    def step(cursor: Cursor, locked: Erasure, known: Mapping[str, Any]) -> None:
        if locked.plan != erasure.plan:
            raise ErasureError(f"erasure {erasure.id} was planned anew: look at the plan again")
        if locked.plan_wanted_by is not None:
            raise ErasureError(f"a new plan of erasure {erasure.id} is being made: wait for it")
        if not (another or alone):
            why = "" if actor == erasure.entered_by else (
                f", and nothing shows that {actor} is another: who entered it over the API is "
                "followed by another login, who did so by a command by another account"
            )  # fmt: skip
            raise ErasureError(
                f"{erasure.entered_by} entered erasure {erasure.id}, and another person approves "
                f"it{why}"
            )
        _move(cursor, known, "approved")

    facts = {"plan": erasure.plan, "alone": not another}
    return _take(
        retention, erasure, step, allowed=("planned",), event="approved", actor=actor, facts=facts
    )


def extend(
    retention: RoleConnections,
    erasure: Erasure,
    *,
    months: int,
    reason: str,
    actor: str,
    now: datetime,
) -> Erasure:
    """Put the due date off; the person is told within the first month, and why.

    At most two months in all. Raises ErasureError for more, for another reason than there are
    (`REASONS`), and when the first month is over.
    """
    if reason not in REASONS:
        raise ErasureError(f"{reason!r} is no reason; there are {', '.join(REASONS)}")

    def step(cursor: Cursor, locked: Erasure, known: Mapping[str, Any]) -> None:
        if now > months_after(locked.received_at, MONTHS):
            raise ErasureError(
                "the person must be told within a month of the request, which is over (GDPR 12(3))"
            )
        in_all = locked.extended_months + months
        if months < 1 or in_all > MORE_MONTHS:
            raise ErasureError(
                f"{months} months: it can be put off by {MORE_MONTHS} in all, and was by "
                f"{locked.extended_months} (GDPR 12(3))"
            )
        due = months_after(locked.received_at, MONTHS + in_all)
        cursor.execute(
            "UPDATE tenure.erasures SET due_at = %(due)s, extended_months = %(months)s"
            " WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid",
            {**known, "due": due, "months": in_all},
        )

    facts = {"months": months, "reason": reason}
    still_open: tuple[State, ...] = (*_BEFORE, "running", "deferred")
    return _take(
        retention, erasure, step, allowed=still_open, event="extended", actor=actor, facts=facts
    )


def refuse(retention: RoleConnections, erasure: Erasure, *, ground: str, actor: str) -> Erasure:
    """Refuse a request, on one of the `GROUNDS`; who it was about is forgotten here.

    Raises ErasureError for another ground, and once something may have been erased.
    """
    if ground not in GROUNDS:
        raise ErasureError(f"{ground!r} is no ground; there are {', '.join(GROUNDS)}")
    return _end(retention, erasure, "refused", {"ground": ground}, actor=actor)


def withdraw(retention: RoleConnections, erasure: Erasure, *, actor: str) -> Erasure:
    """Record that the person took the request back; who it was about is forgotten here.

    Raises ErasureError once something may have been erased.
    """
    return _end(retention, erasure, "withdrawn", {}, actor=actor)


def forget(cursor: Cursor, erasure: Erasure) -> None:
    """Take away what says whom an erasure is about; in the transaction that ends it."""
    known = {"tenant": str(erasure.tenant_id), "id": str(erasure.id)}
    cursor.execute(
        "DELETE FROM tenure.erasure_subjects WHERE tenant_id = %(tenant)s::uuid"
        " AND erasure_id = %(id)s::uuid",
        known,
    )
    cursor.execute(
        "DELETE FROM tenure.erasure_rows WHERE tenant_id = %(tenant)s::uuid"
        " AND erasure_id = %(id)s::uuid",
        known,
    )


def _end(
    retention: RoleConnections,
    erasure: Erasure,
    state: Literal["refused", "withdrawn"],
    facts: Mapping[str, Any],
    *,
    actor: str,
) -> Erasure:
    def step(cursor: Cursor, locked: Erasure, known: Mapping[str, Any]) -> None:
        if erased_counts(cursor, locked):
            raise ErasureError(f"erasure {erasure.id} has begun: what went does not come back")
        cursor.execute(_BEGUN_ELSEWHERE, known)
        if cursor.fetchall():
            raise ErasureError(
                f"erasure {erasure.id} has begun: others were told, and may have erased already"
            )
        forget(cursor, locked)
        cursor.execute(
            "UPDATE tenure.erasures SET state = %(state)s, ended_at = clock_timestamp(),"
            " plan_wanted_by = NULL"
            " WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid",
            {**known, "state": state},
        )

    return _take(retention, erasure, step, allowed=_BEFORE, event=state, actor=actor, facts=facts)


def _take(
    retention: RoleConnections,
    erasure: Erasure,
    step: Callable[[Cursor, Erasure, Mapping[str, Any]], None],
    *,
    allowed: tuple[State, ...],
    event: Event | None,
    actor: str,
    facts: Mapping[str, Any] | None = None,
    verb: str | None = None,
) -> Erasure:
    """Take a step in one transaction, where the erasure is in an `allowed` state, and record it
    as an `event`; return the erasure."""
    known = {"tenant": str(erasure.tenant_id), "id": str(erasure.id), "actor": actor}
    with retention.transaction(erasure.tenant_id) as cursor:
        locked = lock_erasure(cursor, erasure.id, erasure.tenant_id)
        if locked.state not in allowed:
            over = " for good" if locked.state in ENDED else ""
            raise ErasureError(
                f"erasure {erasure.id} is {locked.state}{over}; it can be {verb or event} while it "
                f"is {' or '.join(allowed)}"
            )
        step(cursor, locked, known)
        if event is not None:
            add_event(cursor, locked, event, actor, facts)
        return lock_erasure(cursor, erasure.id, erasure.tenant_id)


def _move(cursor: Cursor, known: Mapping[str, Any], state: State) -> None:
    cursor.execute(
        "UPDATE tenure.erasures SET state = %(state)s"
        " WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid",
        {**known, "state": state},
    )
