"""Audits which batches the books have counted: each once, in the account of a verification that
was made after it.

What an account counts is committed to by its verification's entry since that enters
(`tenure.ledger_sources`). In accounts from before, a batch that came later cannot have been
counted: who says so hides it from the account that should.
"""

from __future__ import annotations

from retention.ledger.findings import SHOWN, Findings
from tenants.connections import Cursor

# Account 0 is that of the batches that were there before there were books.
_STRAY = """
WITH stray AS (
    SELECT a.batch_id, a.account
    FROM tenure.accounted_batches a
    LEFT JOIN tenure.batches b
        ON b.tenant_id = a.tenant_id AND b.run_id = a.run_id AND b.id = a.batch_id
    LEFT JOIN tenure.verifications v ON v.account = a.account
    WHERE b.id IS NULL
       OR b.recorded_at > CASE WHEN a.account <> 0 THEN v.finished_at ELSE coalesce(
              (SELECT min(finished_at) FROM tenure.verifications WHERE account IS NOT NULL),
              'infinity') END
       OR a.account <> 0 AND v.id IS NULL
)
"""
_COUNT = "SELECT count(*) FROM stray"
_FIRST = "SELECT batch_id::text, account FROM stray ORDER BY account, batch_id LIMIT %s"


def audit_books(cursor: Cursor, findings: Findings) -> None:
    """Compare the batches that were counted with those there are, and with when."""
    cursor.execute(_STRAY + _COUNT)
    ((count,),) = cursor.fetchall()
    if not count:
        return
    cursor.execute(_STRAY + _FIRST, (SHOWN,))
    rows = cursor.fetchall()
    for batch, account in rows:
        findings.add(
            "row",
            f"tenure.accounted_batches of batch {batch}",
            f"says that account {account} counted it: there is no such batch, or it came later",
        )
    findings.counts["row"] += count - len(rows)
