"""The statement of a period: what was due, became due, went, and is due. It comes to zero.

A period lies between two accounts (verifications that moved the books). What stood at its
opening is what the books last said up to there; what moved is the sum of all accounts in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.reports.paging import Page, PageRequest
from retention.reports.scope import EVERYTHING, Scope
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class AccountMark:
    """An account at an end of the period; as of when its verification looked."""

    account: int
    verification: UUID
    as_of: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Period:
    """What was asked for, and what there is: the books were opened at `opening` (None: they
    begin with nothing) and closed at `closing` (None: no account is that old).

    `accounts` were made after the opening up to the closing. Between two neighbours (or an end
    of what was asked for and its neighbour) lay at most `longest_gap_s` seconds, from when one was
    made to when the next one was.
    """

    since: datetime | None
    until: datetime | None
    opening: AccountMark | None
    closing: AccountMark | None
    accounts: int
    longest_gap_s: float | None


@dataclass(frozen=True, slots=True)
class Figures:
    """Rows of a policy over the period.

    opening + newly_due = deleted + deleted_along + removed + no_longer_due + held
    + undeletable + paused + still_due + difference. Of the difference, `vanished` rows were due
    and are gone without a record.
    """

    policy: str
    table: str
    opening: int
    newly_due: int
    deleted: int
    deleted_along: int
    removed: int
    no_longer_due: int
    held: int
    undeletable: int
    paused: int
    still_due: int
    vanished: int
    difference: int


@dataclass(frozen=True, slots=True)
class Balance(Figures):
    """A policy's figures, all tenants together. `uneven` books (one a tenant) do not come out,
    even where differences of tenants, or of accounts, cancel each other."""

    tenants: int
    uneven: int


@dataclass(frozen=True, slots=True)
class BookLine(Figures):
    """One tenant's book of a policy. It did not come out at the `uneven_accounts`."""

    tenant: str
    tenant_name: str
    uneven_accounts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Population:
    """The query that told, at the closing, which rows of a policy entered and left."""

    policy: str
    query: str


@dataclass(frozen=True, slots=True)
class StatementReport:
    """The statement. `even`: every book comes out, over the period and at each account in it;
    None where none was made, and so nobody knows. `query` made the balances, as it was sent;
    `books` is a page, uneven ones first. A tenant's own auditor is shown no `populations`: they
    are asked for over all tenants."""

    period: Period
    even: bool | None
    balances: tuple[Balance, ...]
    books: tuple[BookLine, ...]
    query: str
    populations: tuple[Population, ...]
    page: Page

    @property
    def result(self) -> str:
        """In words: whether it comes out."""
        if self.even is None:
            return "not known: nobody looked in this period"
        return "comes out even" if self.even else "does not come out even"


_PERIOD = """
WITH accounts AS (
    SELECT account, id, as_of, finished_at FROM tenure.verifications WHERE account IS NOT NULL
), opening AS (
    SELECT * FROM accounts WHERE as_of <= %(since)s::timestamptz ORDER BY account DESC LIMIT 1
), closing AS (
    SELECT * FROM accounts WHERE as_of <= coalesce(%(until)s::timestamptz, 'infinity')
    ORDER BY account DESC LIMIT 1
), inside AS (
    SELECT a.finished_at - coalesce(lag(a.finished_at) OVER (ORDER BY a.account),
                              (SELECT finished_at FROM opening), %(since)s::timestamptz) AS gap
    FROM accounts a
    WHERE a.account >= (SELECT coalesce(max(account) + 1, 1) FROM opening)
      AND a.account <= (SELECT account FROM closing)
)
SELECT o.account, o.id::text, o.as_of, o.finished_at, c.account, c.id::text, c.as_of, c.finished_at,
       (SELECT count(*) FROM inside),
       extract(epoch FROM greatest((SELECT max(gap) FROM inside),
                                   least(%(until)s::timestamptz, now()) - c.finished_at))::float8
FROM (SELECT) one LEFT JOIN opening o ON true LEFT JOIN closing c ON true
"""

_BOOKS = """
WITH opening AS (
    SELECT DISTINCT ON (policy, table_name, tenant_id) policy, table_name, tenant_id, closing
    FROM tenure.reconciliations WHERE account <= %(first)s
      AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s::uuid)
    ORDER BY policy, table_name, tenant_id, account DESC
), moved AS (
    SELECT policy, table_name, tenant_id, sum(newly_due) AS newly_due, sum(deleted) AS deleted,
           sum(deleted_along) AS deleted_along, sum(removed) AS removed,
           sum(no_longer_due) AS no_longer_due, sum(vanished) AS vanished,
           array_agg(account ORDER BY account) FILTER (WHERE difference <> 0 OR vanished <> 0)
               AS uneven_accounts
    FROM tenure.reconciliations WHERE account > %(first)s AND account <= %(last)s
      AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s::uuid)
    GROUP BY policy, table_name, tenant_id
), closing AS (
    SELECT DISTINCT ON (policy, table_name, tenant_id)
           policy, table_name, tenant_id, held, undeletable, paused, still_due
    FROM tenure.reconciliations WHERE account <= %(last)s
      AND (%(tenant)s::uuid IS NULL OR tenant_id = %(tenant)s::uuid)
    ORDER BY policy, table_name, tenant_id, account DESC
), figures AS (
    SELECT c.policy, c.table_name, c.tenant_id, coalesce(o.closing, 0) AS opening,
           coalesce(m.newly_due, 0) AS newly_due, coalesce(m.deleted, 0) AS deleted,
           coalesce(m.deleted_along, 0) AS deleted_along, coalesce(m.removed, 0) AS removed,
           coalesce(m.no_longer_due, 0) AS no_longer_due,
           c.held, c.undeletable, c.paused, c.still_due, coalesce(m.vanished, 0) AS vanished,
           coalesce(m.uneven_accounts, '{}') AS uneven_accounts
    FROM closing c LEFT JOIN opening o USING (policy, table_name, tenant_id)
    LEFT JOIN moved m USING (policy, table_name, tenant_id)
), books AS (
    SELECT *, difference <> 0 OR vanished <> 0 OR uneven_accounts <> '{}' AS uneven
    FROM (SELECT *, opening + newly_due - deleted - deleted_along - removed - no_longer_due
                    - held - undeletable - paused - still_due AS difference
          FROM figures) f
)
"""

_BALANCES = (
    _BOOKS
    + """
SELECT policy, table_name, sum(opening)::bigint, sum(newly_due)::bigint,
       sum(deleted)::bigint, sum(deleted_along)::bigint, sum(removed)::bigint,
       sum(no_longer_due)::bigint, sum(held)::bigint, sum(undeletable)::bigint,
       sum(paused)::bigint, sum(still_due)::bigint, sum(vanished)::bigint,
       sum(difference)::bigint, count(*), count(*) FILTER (WHERE uneven)
FROM books GROUP BY policy, table_name ORDER BY policy, table_name
"""
)

_LINES = (
    _BOOKS
    + """
SELECT b.policy, b.table_name, b.opening, b.newly_due::bigint, b.deleted::bigint,
       b.deleted_along::bigint, b.removed::bigint, b.no_longer_due::bigint, b.held,
       b.undeletable, b.paused, b.still_due, b.vanished::bigint, b.difference::bigint,
       t.slug, t.name, b.uneven_accounts
FROM books b JOIN tenure.tenants t ON t.id = b.tenant_id
WHERE b.opening + b.newly_due + b.held + b.undeletable + b.paused + b.still_due > 0
   OR b.uneven
ORDER BY NOT b.uneven, b.policy, b.table_name, t.slug
LIMIT %(limit)s OFFSET %(offset)s
"""
)

_POPULATIONS = """
SELECT DISTINCT ON (subject) subject, query FROM tenure.verification_results
WHERE verification_id = %s::uuid AND kind = 'reconciliation' ORDER BY subject, id
"""


def statement_report(
    cursor: Cursor, wanted: PageRequest, scope: Scope = EVERYTHING
) -> StatementReport:
    """Return the statement from the last account as of the scope's `since` (None: from nothing
    on) to the last as of its `until` (None: the latest); at most four queries."""
    period = _period(cursor, scope.since, scope.until)
    ends = {
        "first": period.opening.account if period.opening else 0,
        "last": period.closing.account if period.closing else 0,
        "tenant": scope.params["tenant"],
    }
    cursor.execute(_BALANCES, ends)
    query = (cursor.query or b"").decode()
    balances = tuple(Balance(*row) for row in cursor.fetchall())
    cursor.execute(_LINES, {**ends, **wanted.window})
    books, page = wanted.cut([BookLine(*row) for row in cursor.fetchall()])
    populations: tuple[Population, ...] = ()
    if period.closing is not None and not scope.confined:
        cursor.execute(_POPULATIONS, (str(period.closing.verification),))
        populations = tuple(Population(*row) for row in cursor.fetchall())
    even = None
    if period.closing is not None and period.accounts:
        even = not any(balance.uneven for balance in balances)
    return StatementReport(period, even, balances, books, query, populations, page)


def _period(cursor: Cursor, since: datetime | None, until: datetime | None) -> Period:
    cursor.execute(_PERIOD, {"since": since, "until": until})
    (row,) = cursor.fetchall()
    return Period(since, until, _mark(row[:4]), _mark(row[4:8]), row[8], row[9])


def _mark(row: tuple[Any, ...]) -> AccountMark | None:
    account, verification, as_of, finished = row
    return None if account is None else AccountMark(account, UUID(verification), as_of, finished)
