"""Forgets a person whom the evidence names: who acted, approved, asked, or is told of in a reason.

Invariant: in one transaction a text is replaced in its rows by a mark that says which forgetting it
fell to, the ledger's text of it goes with its salt, and both are recorded, counted by column;
nothing else changes, and no row says anything it did not say before. What the ledger is committed
to stays, and says nothing any more.

The database does it, by a function (`migrations/0039_forgettings.py`), for the second of two
people: what is sought is kept nowhere, and given twice. A tenant under a legal hold keeps its texts
(GDPR 17(3)(e)). Texts of a request that is open go with it when it ends; what a domain's own rows
say of a person, erasures do (`retention.erasures`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2 import errors

from retention.errors import LedgerError
from tenants.connections import RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

_WHERE = """
SELECT t.table_name, t.column_name, t.tenant::text, t.rows,
       EXISTS (SELECT FROM tenure.holds h WHERE h.tenant_id = t.tenant
               AND (h.effective_at IS NULL OR h.effective_at > pg_catalog.clock_timestamp()))
FROM tenure.texts_naming(%s, %s, %s) AS t ORDER BY 1, 2, 3
"""
_ASK = """
INSERT INTO tenure.forgettings (id, tenant_id, parts, salt, sought_sha256, requested_by, reason)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_DO = "SELECT tenure.forget(%s, %s, %s, %s)"
_LIST = """
SELECT f.id::text, f.tenant_id::text, f.parts, f.requested_by, f.reason, f.requested_at,
       f.done_by, f.done_at, f.counts
FROM tenure.forgettings f ORDER BY f.requested_at, f.id
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A column with texts that name them: in how many rows, of which tenant (None: of none), and
    whether that one is under a hold. Of the ledger's own texts (`ledger_texts`), `column` says
    the table and the column that they were entered from."""

    table: str
    column: str
    tenant_id: str | None
    rows: int
    held: bool


@dataclass(frozen=True, slots=True)
class Forgetting:
    """One that was asked for; and done, by whom and when, with how many texts in which column."""

    id: str
    tenant_id: str | None
    parts: bool
    requested_by: str
    reason: str
    requested_at: datetime
    done_by: str | None
    done_at: datetime | None
    counts: Mapping[str, int] | None

    def to_json(self) -> dict[str, Any]:
        """Return it for a program; instants in ISO 8601."""
        done = self.done_at.isoformat() if self.done_at else None
        return asdict(self) | {"requested_at": self.requested_at.isoformat(), "done_at": done}


def places_naming(
    verifier: RoleConnections, sought: str, *, parts: bool, tenant_id: TenantId | None
) -> tuple[Place, ...]:
    """Return where texts are `sought`, or with `parts` contain it, whatever the case of letters.

    `verifier` is tenure_verifier's connections. Raises LedgerError for fewer than three characters.
    """
    try:
        with verifier.transaction(None, read_only=True) as cursor:
            cursor.execute(_WHERE, (sought, parts, None if tenant_id is None else str(tenant_id)))
            return tuple(Place(*row) for row in cursor.fetchall())
    except errors.InvalidParameterValue as error:
        raise _said(error) from None


def ask(
    retention: RoleConnections,
    sought: str,
    *,
    parts: bool,
    tenant_id: TenantId | None,
    reason: str,
    actor: str,
) -> UUID:
    """Record that somebody wants to have a text forgotten; returns the id for who does it.

    Raises LedgerError without a reason.
    """
    if not reason.strip():
        raise LedgerError("a forgetting needs a reason")
    which, salt = new_id(), secrets.token_bytes(32)
    digest = hashlib.sha256(salt + sought.encode()).digest()
    tenant = None if tenant_id is None else str(tenant_id)
    with retention.transaction(None) as cursor:
        cursor.execute(_ASK, (str(which), tenant, parts, salt, digest, actor, reason))
    return which


def forget(
    retention: RoleConnections, which: UUID, sought: str, *, actor: str, alone: bool
) -> dict[str, int]:
    """Forget what was asked for; returns how many texts by `table.column`, and `ledger_texts`.

    `alone`: who asked may do it as well.

    Raises:
        LedgerError: nothing waits under this id, another text was meant, the same person asked
            for it, a tenant whose records have it is under a hold, or they can still log in.
    """
    try:
        with retention.transaction(None) as cursor:
            # It may wait for others, and rows of many years are looked through.
            cursor.execute("SET LOCAL statement_timeout = '30min'")
            cursor.execute(_DO, (str(which), sought, actor, alone))
            ((counts,),) = cursor.fetchall()
    except (
        errors.NoDataFound,
        errors.InvalidParameterValue,
        errors.InsufficientPrivilege,
        errors.ObjectInUse,
    ) as error:
        raise _said(error) from None
    return dict(counts)


def forgettings(auditor: RoleConnections) -> list[Forgetting]:
    """Return all that were asked for, the first one first."""
    with auditor.transaction(None, read_only=True) as cursor:
        cursor.execute(_LIST)
        return [Forgetting(*row) for row in cursor.fetchall()]


def _said(error: psycopg2.Error) -> LedgerError:
    return LedgerError(error.diag.message_primary or "the database refused")
