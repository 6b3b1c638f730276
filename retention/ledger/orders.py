"""Certificates that tenants order over the API, and what is made of their orders.

The application writes at a seat down of what one is wanted (`order`). Whoever ticks makes it of
that tenant's evidence, whatever the order says, and lays it there (`make_orders`); the tenant
fetches it within thirty days. Of an offboarding that is completed one is made unasked: nobody of
the tenant has access any more, and a receipt only reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from config.logging import get_logger
from retention.errors import LedgerError
from retention.ledger.certificate import Issuer
from retention.ledger.certificate_evidence import Kind, Subject
from retention.ledger.publishing import Ledger
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

State = Literal["wanted", "issued", "refused"]
STATES: tuple[State, ...] = ("wanted", "issued", "refused")

_UNSIGNED = "the ledger of this installation is not signed, and bears no certificate out"
_NOT_BORNE_OUT = "the ledger does not bear a certificate out; whoever operates it can say why"
_BATCH = 20

_ORDER = """
INSERT INTO tenure.certificate_orders (tenant_id, id, kind, subject_id, ordered_by)
VALUES (%(tenant)s::uuid, %(id)s::uuid, %(kind)s, %(subject)s::uuid, %(actor)s)
ON CONFLICT DO NOTHING
"""
_OPEN = """
SELECT id::text FROM tenure.certificate_orders
WHERE tenant_id = %(tenant)s::uuid AND kind = %(kind)s AND subject_id = %(subject)s::uuid
  AND state = 'wanted'
"""
_LIST = """
SELECT id::text, kind, subject_id::text, state, ordered_by, ordered_at, problem,
       certificate_id::text, ended_at
FROM tenure.certificate_orders
WHERE tenant_id = %(tenant)s::uuid AND (%(id)s::uuid IS NULL OR id = %(id)s::uuid)
ORDER BY ordered_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
"""
_COUNT = "SELECT count(*) FROM tenure.certificate_orders WHERE tenant_id = %s::uuid"
_CONTENT = """
SELECT content FROM tenure.certificate_orders WHERE tenant_id = %s::uuid AND id = %s::uuid
"""
_WANTED = """
SELECT tenant_id::text, id::text, kind, subject_id::text, ordered_by
FROM tenure.certificate_orders WHERE state = 'wanted' ORDER BY ordered_at, id LIMIT %s
"""
_LEFT = """
SELECT o.tenant_id::text, o.id::text FROM tenure.offboardings o
WHERE o.state = 'completed'
  AND NOT EXISTS (SELECT FROM tenure.certificates c
                  WHERE c.kind = 'tenant' AND c.subject_id = o.id)
  AND NOT EXISTS (SELECT FROM tenure.certificate_orders w
                  WHERE w.kind = 'tenant' AND w.subject_id = o.id)
LIMIT %s
"""
_END = """
UPDATE tenure.certificate_orders
SET state = %(state)s, problem = %(problem)s, certificate_id = %(certificate)s::uuid,
    content = %(content)s, ended_at = clock_timestamp()
WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid AND state = 'wanted'
"""
_OVER = """
SELECT DISTINCT tenant_id::text FROM tenure.certificate_orders
WHERE ended_at < clock_timestamp() - interval '30 days'
"""
_FORGET = """
DELETE FROM tenure.certificate_orders
WHERE tenant_id = %s::uuid AND ended_at < clock_timestamp() - interval '30 days'
"""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a certificate: of a run, an erasure or an offboarding (`kind` tenant), whose id
    `subject_id` is. `problem` says why none was issued."""

    id: UUID
    kind: Kind
    subject_id: UUID
    state: State
    ordered_by: str
    ordered_at: datetime
    problem: str | None
    certificate_id: UUID | None
    ended_at: datetime | None


def order(connections: RoleConnections, tenant_id: TenantId, subject: Subject, actor: str) -> UUID:
    """Order a certificate; return the order's id, of the one that is open already if one is. As
    tenure_app at a seat, or as retention."""
    known = {
        "tenant": str(tenant_id),
        "id": str(new_id()),
        "kind": subject.kind,
        "subject": str(subject.id),
        "actor": actor,
    }
    with connections.transaction(tenant_id) as cursor:
        cursor.execute(_ORDER, known)
        if cursor.rowcount == 1:
            return UUID(known["id"])
        cursor.execute(_OPEN, known)
        ((open_one,),) = cursor.fetchall()
    return UUID(open_one)


def orders(
    cursor: Cursor,
    tenant_id: TenantId,
    order_id: UUID | None = None,
    *,
    limit: int = 1,
    offset: int = 0,
) -> list[Order]:
    """Return a tenant's orders, the latest first, or the one of this id, if it is there."""
    cursor.execute(
        _LIST,
        {
            "tenant": str(tenant_id),
            "id": None if order_id is None else str(order_id),
            "limit": limit,
            "offset": offset,
        },
    )
    return [_order(row) for row in cursor.fetchall()]


def _order(row: Sequence[Any]) -> Order:
    made = None if row[7] is None else UUID(row[7])
    return Order(
        UUID(row[0]), row[1], UUID(row[2]), row[3], row[4], row[5], row[6], made, row[8]
    )  # fmt: skip


def count_orders(cursor: Cursor, tenant_id: TenantId) -> int:
    """Return how many orders of a tenant there are."""
    cursor.execute(_COUNT, (str(tenant_id),))
    ((count,),) = cursor.fetchall()
    return int(count)


def content_of(cursor: Cursor, tenant_id: TenantId, order_id: UUID) -> bytes | None:
    """Return the certificate that was made of an order, as JSON; None where there is none."""
    cursor.execute(_CONTENT, (str(tenant_id), str(order_id)))
    row = cursor.fetchone()
    return None if row is None or row[0] is None else bytes(row[0])


def make_orders(
    ledger: Ledger,
    verifier: RoleConnections,
    *,
    backups_kept_days: int | None,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Make what is ordered, the oldest first, a few at a time; return how many were.

    Raises:
        LedgerError: nothing can be signed now; all stays ordered.
    """
    _order_for_those_who_left(ledger, verifier)
    _forget(ledger.retention, verifier)
    with verifier.transaction(None, read_only=True) as cursor:
        # tenure: allow TS001 because whoever ticks makes what any tenant ordered
        cursor.execute(_WANTED, (_BATCH,))
        wanted = cursor.fetchall()
    if not wanted:
        return 0
    signed = ledger.publish(wait=True).size is not None
    made = 0
    for tenant, order_id, kind, subject_id, actor in wanted:
        if stop():
            break
        # Of the tenant that ordered it, and of nobody else.
        subject = Subject(kind, UUID(subject_id), TenantId(UUID(tenant)))
        ended: dict[str, Any] = {
            "state": "refused",
            "problem": _UNSIGNED,
            "certificate": None,
            "content": None,
        }
        if signed:
            try:
                issued = Issuer(ledger, verifier, actor, backups_kept_days).issue(subject)
            except LedgerError as error:
                _log.warning("certificate_refused", order=order_id, problem=str(error))
                ended["problem"] = _NOT_BORNE_OUT
            else:
                own = issued.certificate.statement["issued"]["id"]
                ended = {
                    "state": "issued",
                    "problem": None,
                    "certificate": own,
                    "content": issued.content,
                }
        with ledger.retention.transaction(subject.tenant) as cursor:
            cursor.execute(_END, {"tenant": tenant, "id": order_id, **ended})
        made += 1
    return made


def _order_for_those_who_left(ledger: Ledger, verifier: RoleConnections) -> None:
    if ledger.outside is None:
        return
    with verifier.transaction(None, read_only=True) as cursor:
        # tenure: allow TS001 because whoever ticks looks for all tenants that have left
        cursor.execute(_LEFT, (_BATCH,))
        left = cursor.fetchall()
    for tenant, id_ in left:
        whose = TenantId(UUID(tenant))
        order(ledger.retention, whose, Subject("tenant", UUID(id_), whose), ledger.actor)


def _forget(retention: RoleConnections, verifier: RoleConnections) -> None:
    with verifier.transaction(None, read_only=True) as cursor:
        # tenure: allow TS001 because whoever ticks deletes what any tenant's time to fetch is over
        cursor.execute(_OVER)
        over = [row[0] for row in cursor.fetchall()]
    for tenant in over:
        with retention.transaction(TenantId(UUID(tenant))) as cursor:
            cursor.execute(_FORGET, (tenant,))
