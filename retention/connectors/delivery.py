"""Work on requests to connectors: files are deleted, webhooks are told, until it is acknowledged.

Invariant: no file goes that is under hold, or by an erasure that was taken back or waits for an
approval, or while all retention is stopped (after a restore: but for what is asked again), and
what went is on record. Files are deleted in the transaction that passed the tenant's gate, took
its turn, and looked for holds behind it (`retention.holds`), a portion at a time: so many, and for
so long. Before each file goes the session is asked whether it is still there; with it, the gate
would be lost. What was there is counted, and committed, before the first of them goes; and the
request ends only when a second count, by another way, finds nothing. Who is killed in between
leaves the request open, and the next attempt goes on.

What may take long and deletes nothing is done outside of any transaction, so that nobody waits for
it: files are counted, a webhook is told. The request is claimed for a minute first, behind the
gate, and what came of it recorded afterwards. That a webhook is told is on record with the claim:
who was told may have begun, whether they answer or not.

Attempts that fail are repeated, at first after a minute, then after twice as long each time, to
every six hours, for as long as the request is open; being late is for an alert to say.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg2

from config.logging import get_logger
from retention.connectors import file_store
from retention.connectors.declarations import Connector, Connectors, FileStore, Receiver
from retention.connectors.protocol import Acknowledgement, read_acknowledgement, request_body
from retention.connectors.requests import Event, add_event, end
from retention.errors import ConnectorError, DeliveryError, InvariantError, SignatureError
from retention.gate import is_restored, is_stopped, pass_gate, take_turn
from retention.graph import held_edges
from retention.held_rows import HeldRows
from retention.hold_records import standing_holds
from retention.webhook import Answer, Webhook
from tenants.catalog import Catalog
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId

_log = get_logger(__name__)

MOST_AT_ONCE = 50
MOST_FILES = 5_000
_BREATH_S = 0.02

_DUE = """
SELECT r.tenant_id::text, r.id::text FROM tenure.connector_requests r
WHERE r.ended_at IS NULL AND (%(now)s OR r.next_attempt_at <= clock_timestamp())
  AND (%(tenant)s::uuid IS NULL OR r.tenant_id = %(tenant)s::uuid)
ORDER BY r.next_attempt_at LIMIT %(most)s
"""
_STILL_THERE = "SELECT 1"
_TAKE = """
SELECT r.connector, r.cause, r.subject, r.told, r.requested_at, r.due_at, r.counted, r.told_at,
       r.problem
FROM tenure.connector_requests r
WHERE r.tenant_id = %(tenant)s::uuid AND r.id = %(request)s::uuid AND r.ended_at IS NULL
FOR UPDATE SKIP LOCKED
"""
# A hold on the tenant, on the subject itself, or on rows among which the subject's was, which may
# be gone by now.
_HELD = """
SELECT h.id::text FROM tenure.holds h
WHERE h.tenant_id = %(tenant)s::uuid
  AND (h.effective_at IS NULL OR h.effective_at > pg_catalog.clock_timestamp())
  AND (h.scope = 'tenant' OR %(key)s::uuid IS NULL OR h.subject_id = %(key)s::uuid
       OR EXISTS (SELECT FROM tenure.hold_rows k
                  WHERE k.tenant_id = h.tenant_id AND k.hold_id = h.id
                    AND k.row_id = %(key)s::uuid))
LIMIT 1
"""
# Locked: who takes the erasure back waits for us, and we see what they decided, and who they are.
_ERASURE = """
SELECT e.state, (
    SELECT v.actor FROM tenure.erasure_events v
    WHERE v.tenant_id = e.tenant_id AND v.erasure_id = e.id AND v.event = e.state
    ORDER BY v.happened_at DESC LIMIT 1)
FROM tenure.erasures e
JOIN tenure.connector_requests r ON r.tenant_id = e.tenant_id AND r.cause_id = e.id
WHERE r.tenant_id = %(tenant)s::uuid AND r.id = %(request)s::uuid AND r.cause = 'erasure'
FOR SHARE OF e
"""
_TAKEN_BACK = ("refused", "withdrawn")
_APPROVED = ("approved", "running", "deferred", "completed")
_CLAIM = """
UPDATE tenure.connector_requests
SET next_attempt_at = clock_timestamp() + interval '1 minute'
WHERE tenant_id = %(tenant)s::uuid AND id = %(request)s::uuid
"""
_TOLD = """
UPDATE tenure.connector_requests SET told_at = clock_timestamp()
WHERE tenant_id = %(tenant)s::uuid AND id = %(request)s::uuid
"""
_COUNTED = """
UPDATE tenure.connector_requests SET counted = %(counts)s::jsonb
WHERE tenant_id = %(tenant)s::uuid AND id = %(request)s::uuid
"""
_LATER = """
UPDATE tenure.connector_requests
SET problem = %(problem)s, failures = failures + 1,
    next_attempt_at = clock_timestamp() + least(
        interval '1 minute' * power(2, least(failures, 10)), interval '6 hours')
WHERE tenant_id = %(tenant)s::uuid AND id = %(request)s::uuid
"""
_DELIVERED = """
UPDATE tenure.connector_requests
SET state = 'delivered', problem = NULL, failures = 0,
    delivered_at = coalesce(delivered_at, clock_timestamp()),
    next_attempt_at = clock_timestamp() + interval '1 day'
WHERE tenant_id = %(tenant)s::uuid AND id = %(request)s::uuid AND ended_at IS NULL
"""

Result = Literal[
    "acknowledged", "refused", "delivered", "deferred", "failed", "withdrawn", "going on", "taken"
]


@dataclass(frozen=True)
class Courier:
    """What delivery needs: retention works, the verifier finds what is due. `now` (Unix seconds)
    is for signatures alone; clocks of requests are the database's. A portion of files is
    `most_files`, and what goes in `portion_s` seconds."""

    retention: RoleConnections
    verifier: RoleConnections
    connectors: Connectors
    catalog: Catalog
    stop: Callable[[], bool] = lambda: False
    now: Callable[[], float] = time.time
    most_files: int = MOST_FILES
    portion_s: float = 1.0


def deliver_due(
    courier: Courier, *, everything: bool = False, tenant_id: TenantId | None = None
) -> dict[Result, int]:
    """Attempt what is due (with `everything`: all that is open); return how often it came to what.

    Any number of processes may. What one request meets, even a fault, keeps no other from its
    turn.
    """
    with courier.verifier.transaction(None, read_only=True) as cursor:
        # tenure: allow TS001 because the requests of all tenants take turns, as tenure_verifier
        cursor.execute(
            _DUE,
            {
                "now": everything,
                "most": MOST_AT_ONCE,
                "tenant": None if tenant_id is None else str(tenant_id),
            },
        )
        due = [(TenantId(UUID(tenant)), UUID(request)) for tenant, request in cursor.fetchall()]
    results: dict[Result, int] = {}
    for tenant, request in due:
        if courier.stop():
            break
        try:
            result = attempt(courier, tenant, request)
        except (psycopg2.Error, ConnectorError, InvariantError) as error:
            # A gate or a row that somebody else has; the next tick tries again.
            _log.warning("connector_attempt", request=str(request), error=type(error).__name__)
            result = "failed"
        results[result] = results.get(result, 0) + 1
    return results


def attempt(courier: Courier, tenant_id: TenantId, request_id: UUID) -> Result:
    """Do what can be done for one request now. "taken": somebody else is at it, or it has ended."""
    while True:
        done = _Attempt(courier, tenant_id, request_id).work()
        if done != "going on" or courier.stop():
            return done
        # Whoever waits at the gate would be passed by: a lock that is shared is not fair.
        time.sleep(_BREATH_S)


@dataclass(frozen=True)
class _Taken:
    connector: str
    cause: str
    subject: str | None
    told: dict[str, Any]
    requested_at: datetime
    due_at: datetime
    counted: dict[str, int] | None
    told_at: datetime | None
    problem: str | None

    @property
    def key(self) -> UUID | None:
        """The person's key; None is all that there is of the tenant. A request about a person is
        never that: raises ConnectorError where it does not say who it is."""
        if self.subject is None:
            return None
        try:
            return UUID(self.told["key"])
        except (KeyError, TypeError, ValueError):
            raise ConnectorError("the request is about a person, and has no key") from None


class _Attempt:
    def __init__(self, courier: Courier, tenant_id: TenantId, request_id: UUID) -> None:
        self.courier = courier
        self.tenant_id = tenant_id
        self.request_id = request_id
        self.values: dict[str, Any] = {"tenant": str(tenant_id), "request": str(request_id)}

    def work(self) -> Result:
        """One transaction's worth of work on files, a count of them, or one message."""
        with self.courier.retention.transaction(self.tenant_id) as cursor:
            pass_gate(cursor, self.tenant_id)
            take_turn(cursor)
            taken = self._take(cursor)
            if taken is None:
                return "taken"
            not_now = self._not_now(cursor, taken)
            if not_now is not None:
                return not_now
            connector = self.courier.connectors[taken.connector]
            target = connector.target
            if isinstance(target, FileStore) and taken.counted is not None:
                try:
                    return self._files(cursor, taken, taken.counted, target)
                except (ConnectorError, OSError) as error:
                    return self._later(cursor, taken, "failed", _said(error))
            cursor.execute(_CLAIM, self.values)
            if isinstance(target, Receiver) and taken.told_at is None:
                cursor.execute(_TOLD, self.values)
                self._event(cursor, taken, "told")
        if isinstance(target, FileStore):
            return self._count(taken, target)
        return self._message(taken, connector, target)

    def _take(self, cursor: Cursor) -> _Taken | None:
        cursor.execute(_TAKE, self.values)
        row = cursor.fetchone()
        return None if row is None else _Taken(row[0], row[1], row[2], row[3] or {}, *row[4:])

    def _not_now(self, cursor: Cursor, taken: _Taken) -> Result | None:
        """End the request if it was taken back, put it off if it has to wait; None to go on."""
        again = taken.cause == "replay"
        if is_stopped(cursor) and not (again and is_restored(cursor)):
            # It goes on as soon as retention does, and not after so many failures' time.
            return "deferred"
        cursor.execute(_ERASURE, self.values)
        row = cursor.fetchone()  # None for a request of another cause
        if row is not None and row[0] in _TAKEN_BACK:
            return self._taken_back(cursor, taken, *row)
        if row is not None and row[0] not in _APPROVED:
            return self._later(cursor, taken, "deferred", "the erasure waits for an approval")
        if self._is_held(cursor, taken):
            return self._later(cursor, taken, "deferred", "under legal hold")
        if taken.connector not in self.courier.connectors:
            return self._later(cursor, taken, "failed", "the connector is not declared")
        return None

    def _is_held(self, cursor: Cursor, taken: _Taken) -> bool:
        """Tell whether a hold is on what is asked about, as it was or as it is: a condition may be
        met since, and a row that is held may refer to the subject's."""
        key = None if taken.key is None else str(taken.key)
        cursor.execute(_HELD, {**self.values, "key": key})
        if cursor.fetchone() is not None:
            return True
        if key is None:
            return False
        standing = standing_holds(cursor, self.tenant_id)
        catalog = self.courier.catalog
        asked = HeldRows(cursor, self.tenant_id, held_edges(catalog), standing.on_rows)
        # The request names no table: keys are of one row among all.
        rows = {table.name: {key} for table in catalog if table.kind == "tenant"}
        return bool(standing.on_rows and asked.needed(rows))

    # -- files --------------------------------------------------------------------------------

    def _count(self, taken: _Taken, store: FileStore) -> Result:
        problem, counts = None, dict[str, int]()
        try:
            file_store.require_store(store)
            there = file_store.count(store, file_store.parts_of(store, self.tenant_id, taken.key))
            counts = {"files": there.files, "bytes": there.bytes, "linked": there.linked}
        except (ConnectorError, OSError) as error:
            problem = _said(error)
        with self.courier.retention.transaction(self.tenant_id) as cursor:
            still = self._take(cursor)
            if still is None:
                return "taken"
            if problem is not None:
                return self._later(cursor, still, "failed", problem)
            if still.counted is None:
                cursor.execute(_COUNTED, {**self.values, "counts": json.dumps(counts)})
                self._event(cursor, still, "counted", counts=counts)
        return "going on"

    def _files(
        self, cursor: Cursor, taken: _Taken, counted: dict[str, int], store: FileStore
    ) -> Result:
        courier = self.courier
        until = time.monotonic() + courier.portion_s

        def stop() -> bool:
            cursor.execute(_STILL_THERE)
            return courier.stop() or time.monotonic() >= until

        parts = file_store.parts_of(store, self.tenant_id, taken.key)
        portion = file_store.delete(store, parts, most=courier.most_files, stop=stop)
        if portion.files:
            self._event(cursor, taken, "deleted", counts={"files": portion.files})
        if portion.problem is not None:
            return self._later(cursor, taken, "failed", portion.problem)
        if not portion.finished:
            return "going on"
        left = file_store.count(store, parts).files
        if left:
            return self._later(cursor, taken, "failed", f"{left} files are left, or came meanwhile")
        self._end(cursor, taken, "acknowledged", counts={**counted, "left": 0})
        return "acknowledged"

    # -- webhooks -----------------------------------------------------------------------------

    def _message(self, taken: _Taken, connector: Connector, receiver: Receiver) -> Result:
        body = request_body(
            {
                "request": self.request_id,
                "connector": connector.name,
                "tenant": self.tenant_id,
                "subject": taken.subject,
                "key": taken.key,
                "identifiers": taken.told.get("identifiers", {}),
                "requested_at": taken.requested_at.isoformat(),
                "due_at": taken.due_at.isoformat(),
            }
        )
        problem = None
        answer = Answer(0, None, b"")
        try:
            secrets = receiver.secrets()
            answer = Webhook(receiver.url, secrets[0], self.courier.now).send(body)
            acknowledged = self._acknowledged(secrets, answer)
        except (DeliveryError, ConnectorError, SignatureError) as error:
            problem, acknowledged = str(error), None
        with self.courier.retention.transaction(self.tenant_id) as cursor:
            pass_gate(cursor, self.tenant_id)
            still = self._take(cursor)
            if acknowledged is not None:
                return self._answered(cursor, taken, acknowledged, answer.body)
            if still is None:
                return "taken"  # acknowledged in the meantime, or withdrawn
            if problem is not None:
                return self._later(cursor, still, "failed", problem)
            cursor.execute(_DELIVERED, self.values)
            self._event(cursor, still, "delivered", detail=f"answered {answer.status}")
            return "delivered"

    def _answered(
        self, cursor: Cursor, taken: _Taken, acknowledged: Acknowledgement, body: bytes
    ) -> Result:
        """Record the answer, also of a request that was withdrawn in the meantime."""
        outcome: Literal["acknowledged", "refused"] = (
            "refused" if acknowledged.outcome == "refused" else "acknowledged"
        )
        try:
            self._end(
                cursor, taken, outcome,
                counts=acknowledged.counts, detail=acknowledged.reference,
                digest=hashlib.sha256(body).hexdigest(),
            )  # fmt: skip
        except ConnectorError:
            return "taken"  # answered in the meantime
        return outcome

    def _acknowledged(self, secrets: tuple[bytes, ...], answer: Answer) -> Acknowledgement | None:
        # Without a signature it is no acknowledgement, whatever the body says.
        if answer.signature is None:
            return None
        found = read_acknowledgement(secrets, answer.signature, answer.body, self.courier.now())
        if found.request != self.request_id:
            raise ConnectorError("the answer acknowledges another request")
        return found

    # -- what it comes to ---------------------------------------------------------------------

    def _later(
        self, cursor: Cursor, taken: _Taken, event: Literal["failed", "deferred"], problem: str
    ) -> Result:
        cursor.execute(_LATER, {**self.values, "problem": problem})
        # What is as it was the last time is not said again: years of it would bury the rest.
        if problem != taken.problem:
            self._event(cursor, taken, event, detail=problem)
        _log.warning(
            "connector_attempt",
            connector=taken.connector,
            request=str(self.request_id),
            result=event,
            problem=problem,
        )
        return event

    def _taken_back(self, cursor: Cursor, taken: _Taken, erasure: str, actor: str | None) -> Result:
        """Withdraw a request of which nobody was told; who took the erasure back did so."""
        end(
            cursor, self.tenant_id, self.request_id, taken.connector, "withdrawn",
            actor=actor or "retention", detail=f"the erasure was {erasure}",
        )  # fmt: skip
        return "withdrawn"

    def _event(
        self,
        cursor: Cursor,
        taken: _Taken,
        event: Event,
        *,
        counts: dict[str, int] | None = None,
        detail: str | None = None,
    ) -> None:
        add_event(
            cursor, self.tenant_id, self.request_id, taken.connector, event,
            actor=f"connector:{taken.connector}", counts=counts, detail=detail,
        )  # fmt: skip

    def _end(
        self,
        cursor: Cursor,
        taken: _Taken,
        outcome: Literal["acknowledged", "refused"],
        *,
        counts: dict[str, int],
        detail: str | None = None,
        digest: str | None = None,
    ) -> None:
        end(
            cursor, self.tenant_id, self.request_id, taken.connector, outcome,
            actor=f"connector:{taken.connector}", counts=counts, detail=detail, digest=digest,
        )  # fmt: skip
        _log.info(
            "connector_answered",
            connector=taken.connector,
            request=str(self.request_id),
            result=outcome,
        )


def _said(error: ConnectorError | OSError) -> str:
    # An OSError's own text has the path, and the path the subject's key.
    said = error.strerror if isinstance(error, OSError) else str(error)
    return said or type(error).__name__
