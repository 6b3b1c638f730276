"""Verifications as they are kept: results, and the account with its movements."""

from __future__ import annotations

import json
from datetime import datetime

from retention.reconciliation import Account
from retention.verification_report import VerificationReport
from tenants.connections import Cursor, RoleConnections
from tenants.models import new_id

_VERIFICATION = """
INSERT INTO tenure.verifications
    (id, trace_id, as_of, started_by, started_at, finished_at, findings, account)
VALUES (%s, %s, %s, %s, %s, clock_timestamp(), %s, %s)
"""
_RESULT = """
INSERT INTO tenure.verification_results
    (verification_id, id, kind, subject, tenant_id, found, held, undeletable, paused, oldest,
     undeletable_oldest, age_p99_s, watermark, reasons, query)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_ENTRY = """
INSERT INTO tenure.reconciliations
    (account, tenant_id, policy, table_name, version, opening, newly_due, deleted, deleted_along,
     removed, no_longer_due, held, undeletable, paused, still_due, vanished)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_MOVEMENT = """
INSERT INTO tenure.movements (account, tenant_id, policy, table_name, movement, part, hashes)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_BATCHES = """
INSERT INTO tenure.accounted_batches (run_id, batch_id, tenant_id, account)
SELECT u.run_id, u.batch_id, u.tenant_id, %s
FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[]) u(run_id, batch_id, tenant_id)
"""


def store(
    retention: RoleConnections, report: VerificationReport, *, started: datetime, actor: str
) -> None:
    """Keep a verification, all of it or nothing.

    Raises psycopg2's UniqueViolation when another one has become that account meanwhile.
    """
    account = report.account
    with retention.transaction(None) as cursor:
        cursor.execute(
            _VERIFICATION,
            (
                str(report.id),
                report.trace_id,
                report.as_of,
                actor,
                started,
                report.findings,
                None if account is None else account.number,
            ),
        )
        for r in report.results:
            cursor.execute(
                _RESULT,
                (
                    str(report.id),
                    str(new_id()),
                    r.kind,
                    r.subject,
                    str(r.tenant_id) if r.tenant_id else None,
                    r.found,
                    r.held,
                    r.undeletable,
                    r.paused,
                    r.oldest,
                    r.undeletable_oldest,
                    r.age_p99_s,
                    r.watermark,
                    json.dumps(dict(r.reasons)),
                    r.query,
                ),
            )
        if account is not None:
            _store_account(cursor, account)


def _store_account(cursor: Cursor, account: Account) -> None:
    for entry in account.entries:
        if not entry.changed:
            continue
        book, due = entry.book, entry.closing
        cursor.execute(
            _ENTRY,
            (
                account.number,
                book.tenant,
                book.policy,
                book.table,
                entry.version,
                entry.opening,
                entry.newly_due,
                entry.deleted,
                entry.deleted_along,
                entry.removed,
                entry.no_longer_due,
                due.held,
                due.undeletable,
                due.paused,
                due.still_due,
                entry.vanished,
            ),
        )
    for movement in account.movements:
        book = movement.book
        cursor.execute(
            _MOVEMENT,
            (
                account.number,
                book.tenant,
                book.policy,
                book.table,
                movement.movement,
                movement.part,
                movement.hashes,
            ),
        )
    cursor.execute(
        _BATCHES,
        (
            account.number,
            [batch.run_id for batch in account.batches],
            [batch.batch_id for batch in account.batches],
            [batch.tenant for batch in account.batches],
        ),
    )
