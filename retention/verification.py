"""Verification: looks afresh, as tenure_verifier, and believes nobody.

Its queries are its own: neither the planner's nor the executor's SQL is used, so that a
mistake there is found here. What is looked for:

- overdue: rows past their policy's period that no hold, pause or reference keeps. Beside
  them are counted, and are no findings, those that something keeps, by what keeps them;
- orphans: rows whose parent is gone (or another tenant's), per foreign key and per
  declared soft reference;
- held_missing: rows that were under a hold when it was placed, and are gone while it is in force;
- returned: rows whose deletion is recorded, and which are there;
- records: batches whose counts and digests are not those of the keys they deleted; tenants' own
  terms that are not as recorded, or not within their policy's bounds; an account that is as of a
  time to come, from before the clock was put back;
- reconciliation: books that do not come out even (`retention.reconciliation`);
- erasures: people who asked to be erased and had no answer in time;
- undated: rows without a starting point. They are shown, and are no findings: a row whose
  starting point has not come yet (`deleted_at`) looks the same.

A question that cannot be asked, as where a policy's condition fails on a row, is a finding, and
ends none of the others.

Every query's text is kept with what it found, nothing found included. It is kept for good, with
each tenant's results, and so says nothing of any: queries look up whose period is longer and what
is under which hold, and the conditions of holds are left out of what is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2 import sql

from config.trace import TraceId
from retention.errors import VerificationError
from retention.orphan_queries import orphan_queries
from retention.planner import checked_as_of
from retention.policies import Policy
from retention.reconciliation import AHEAD_AT_MOST, Account, Bookkeeper
from retention.reconciliation_queries import (
    AHEAD,
    ERASED_RECORDS,
    HASH_JOINS,
    OVERDUE_ERASURES,
    PURGED_RECORDS,
    RECORDS,
    returned_query,
)
from retention.schedule import last_taken, policy_schedule
from retention.troubles import is_away
from retention.verification_asking import not_asked, savepoint
from retention.verification_holds import (
    HeldCondition,
    archives_of,
    held_conditions,
    missing_queries,
)
from retention.verification_queries import overdue_query, undated_query
from retention.verification_records import store
from retention.verification_report import Kind, Result, VerificationReport
from retention.verification_rules import Ground
from retention.verification_terms import OWN_TERMS, Term, wrong_terms
from tenants.catalog import Catalog
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

__all__ = ["Result", "VerificationReport", "last_finished", "verify"]

# How often a verification is made anew because another one was quicker to be the next account.
_TRIES = 5


def verify(
    verifier: RoleConnections,
    retention: RoleConnections,
    catalog: Catalog,
    policies: Collection[Policy],
    *,
    now: datetime,
    actor: str,
    trace_id: TraceId,
    as_of: datetime | None = None,
) -> VerificationReport:
    """Look for everything above, move the books on, and keep the results.

    Reads one state of the database as the verifier; the results are written as
    tenure_retention, for the verifier writes nothing. Of several that look at once, one is the
    next account and the others look again. Raises FutureInstantError, or VerificationError when
    others keep being quicker.
    """
    as_of = checked_as_of(as_of, now)
    for _ in range(_TRIES):
        with verifier.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
            started, report = _look(cursor, catalog, policies, (now, as_of), trace_id)
        try:
            store(retention, report, started=started, actor=actor)
        except psycopg2.errors.UniqueViolation:
            continue
        return report
    raise VerificationError(
        f"overtaken by other verifications {_TRIES} times; is something verifying in a loop?"
    )


def _look(
    cursor: Cursor,
    catalog: Catalog,
    policies: Collection[Policy],
    clock: tuple[datetime, datetime],
    trace_id: TraceId,
) -> tuple[datetime, VerificationReport]:
    """Return when it began, by the database's clock, and the report, not yet kept; `clock` is
    what time it is, and as of when it looks."""
    now, as_of = clock
    cursor.execute("SET LOCAL statement_timeout = '30min'")
    cursor.execute("SELECT clock_timestamp()")
    started: datetime = _one(cursor)
    cursor.execute("SELECT id::text, slug FROM tenure.tenants")
    slugs = dict(cursor.fetchall())
    taken = last_taken(cursor, as_of)
    turns = {
        p.name: taken[policy_schedule(p.name)]
        for p in policies
        if p.schedule and policy_schedule(p.name) in taken
    }
    ground = Ground(catalog, policies, as_of, turns)
    found: list[Result] = []
    for question in _questions_of_rows(ground, held_conditions(cursor)):
        found += _answer(cursor, question, slugs)
    found += _own_terms(cursor, policies, slugs)
    cursor.execute(HASH_JOINS)
    of_clocks = _Question("records", "accounts", AHEAD, {"now": now, "ahead": AHEAD_AT_MOST})
    for question in (*_questions_of_keys(catalog), *_questions_of_erasures(as_of), of_clocks):
        found += _answer(cursor, question, slugs)
    books = Bookkeeper(cursor, ground, now)
    account = None
    if books.moves_on:
        past = [r for r in found if r.kind == "overdue" and r.tenant_id]
        unasked = {
            r.subject: r.could_not_be_asked
            for r in found
            if r.kind == "overdue" and r.could_not_be_asked
        }
        account = books.account(
            {(r.subject, str(r.tenant_id)): r.due for r in past}, unasked=unasked
        )
        found += _balances(account, slugs)
        for policy in account.unasked.keys() - unasked.keys():
            why = {account.unasked[policy]: 1}
            found.append(Result("reconciliation", policy, "", found=1, reasons=why))
    return started, VerificationReport(new_id(), trace_id, as_of, tuple(found), account)


@dataclass(frozen=True)
class _Question:
    kind: Kind
    subject: str
    query: sql.Composable
    params: Mapping[str, Any] = field(default_factory=dict)
    # How far a policy is done where nothing at all is past its period.
    watermark: datetime | None = None
    # The text that is kept, where it is not the query's own.
    kept: sql.Composable | None = None


def _questions_of_rows(ground: Ground, conditions: Sequence[HeldCondition]) -> Iterator[_Question]:
    for policy in sorted(ground.policies, key=lambda p: p.name):
        cutoff = ground.cutoff(policy)
        params = {
            "policy": policy.name,
            "paused": policy.state == "paused",
            "cutoff": cutoff,
        }
        yield _Question(
            "overdue",
            policy.name,
            overdue_query(policy, ground, conditions),
            params,
            cutoff if isinstance(cutoff, datetime) else datetime.combine(cutoff, time(), UTC),
            kept=overdue_query(policy, ground),
        )
        yield _Question("undated", policy.name, undated_query(policy, ground))
    for subject, query in orphan_queries(ground.catalog):
        yield _Question("orphans", subject, query)
    for subject, query in missing_queries(ground.catalog):
        yield _Question("held_missing", subject, query)


def _questions_of_keys(catalog: Catalog) -> Iterator[_Question]:
    copies = archives_of(catalog)
    for table in catalog:
        if table.kind == "tenant":
            tables = [str(name) for name in (table.name, *copies[table.name])]
            query = returned_query(table.name)
            yield _Question("returned", str(table.name), query, {"tables": tables})
    yield _Question("records", "batches", RECORDS)
    yield _Question("records", "purges", PURGED_RECORDS)


def _questions_of_erasures(as_of: datetime) -> Iterator[_Question]:
    yield _Question("erasures", "overdue", OVERDUE_ERASURES, {"as_of": as_of})
    yield _Question("records", "erasures", ERASED_RECORDS)


def _answer(cursor: Cursor, asked: _Question, slugs: Mapping[str, str]) -> Iterator[Result]:
    """Yield what a query found per tenant, with its text, so that an auditor can run it again."""
    text = cursor.mogrify(asked.kept or asked.query, asked.params).decode()
    try:
        with savepoint(cursor):
            cursor.execute(asked.query, asked.params)
            names = [column.name for column in cursor.description or ()]
            rows = cursor.fetchall()
    except Exception as error:
        if is_away(error):
            raise
        # Whatever it is, it is of this question (a condition that one row makes fail): it is found.
        found = int(asked.kind != "undated")
        yield Result(asked.kind, asked.subject, text, found=found, reasons={not_asked(error): 1})
        return
    if not rows:
        yield Result(asked.kind, asked.subject, text, watermark=asked.watermark)
    for row in rows:
        tenant, figures = row[0], dict(zip(names[1:], row[1:], strict=True))
        yield Result(
            asked.kind,
            asked.subject,
            text,
            None if tenant is None else TenantId(UUID(tenant)),
            slugs.get(tenant),
            **figures,
        )


def _own_terms(
    cursor: Cursor, policies: Collection[Policy], slugs: Mapping[str, str]
) -> Iterator[Result]:
    """Yield a result per tenant whose own terms are not what they must be, or one if none is."""
    cursor.execute(OWN_TERMS)
    wrong = wrong_terms([Term(*row) for row in cursor.fetchall()], policies)
    if not wrong:
        yield Result("records", "own terms", OWN_TERMS)
    for tenant, reasons in wrong.items():
        yield Result(
            "records",
            "own terms",
            OWN_TERMS,
            TenantId(UUID(tenant)),
            slugs.get(tenant),
            found=sum(reasons.values()),
            reasons=reasons,
        )


def _balances(account: Account, slugs: Mapping[str, str]) -> Iterator[Result]:
    """Yield a result per book that does not come out even, and one per policy that does."""
    for (policy, table), query in account.queries.items():
        uneven = [
            entry
            for entry in account.entries
            if (entry.book.policy, entry.book.table) == (policy, table) and entry.unexplained
        ]
        if not uneven:
            yield Result("reconciliation", policy, query)
        for entry in uneven:
            reasons = {
                "due, and gone without a record": entry.vanished,
                "figures differ": entry.unexplained - entry.vanished,
            }
            yield Result(
                "reconciliation",
                policy,
                query,
                TenantId(UUID(entry.book.tenant)),
                slugs.get(entry.book.tenant),
                found=entry.unexplained,
                reasons={reason: rows for reason, rows in reasons.items() if rows},
            )


def last_finished(retention: RoleConnections) -> datetime | None:
    """Return when the last verification that moved the books on ended, or None when there was
    none: one that looked back does not stand for it, nor one that has not ended yet, by a clock
    that was wrong."""
    with retention.transaction(None, read_only=True) as cursor:
        cursor.execute(
            "SELECT max(finished_at) FROM tenure.verifications"
            " WHERE account IS NOT NULL AND finished_at <= clock_timestamp()"
        )
        value: datetime | None = _one(cursor)
    return value


def _one(cursor: Cursor) -> Any:
    row = cursor.fetchone()
    return row[0] if row else None
