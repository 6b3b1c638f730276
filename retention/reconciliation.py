"""The books: what was due, what became due, what went and how, what is due now. To zero.

Per policy and tenant, from one account to the next:

    opening + newly due = deleted + deleted along + removed + no longer due
                          + held + undeletable + paused + still due

The figures come from different places, so that the sum can fail to come out: opening and
closing are counted from the rows, `deleted` from the batches' counts, and what entered and left
from the rows' keys, compared with those of the account before. A row that was due and is neither
there nor in any record (`vanished`) is on no side: the difference shows it.

A batch counts in the first account that sees it, whatever the clocks say. What no account can
see: a row that became due and vanished between two of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from retention.policy_records import latest_versions
from retention.reconciliation_queries import (
    BATCHES,
    CLOSINGS,
    LAST_ACCOUNT,
    LAST_ASKED,
    movements_query,
)
from retention.troubles import is_away
from retention.verification_asking import NOT_ASKED, not_asked, savepoint
from retention.verification_rules import Ground
from tenants.connections import Cursor

# A removal is recorded in its own transaction; one that was open for longer than this when the
# account before looked would have run into every time limit there is.
_OPEN_AT_MOST = timedelta(days=1)
# A verification is as of the plan before it, and so behind by as long as a run takes. Beyond that
# it looks back, and is no account: a night in which nobody looked is not filled in afterwards.
_BEHIND_AT_MOST = timedelta(days=1)
#: An account that is as of later than this from now is from before the clock was put back. What is
#: ahead by less is waited for.
AHEAD_AT_MOST = timedelta(hours=1)


@dataclass(frozen=True, order=True, slots=True)
class Book:
    """Whose rows: a policy's, of a table, in a tenant (its id, as text)."""

    policy: str
    table: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Due:
    """Rows past their period, each counted once by what keeps it, or by nothing doing so."""

    held: int = 0
    undeletable: int = 0
    paused: int = 0
    still_due: int = 0

    @property
    def rows(self) -> int:
        """All of them."""
        return self.held + self.undeletable + self.paused + self.still_due


@dataclass(frozen=True, slots=True)
class Entry:
    """A book from one account to the next. `version` is the policy's, None where none is
    recorded; `vanished` rows are part of the difference. Only what is `changed` is kept: a book
    without an entry at an account stands as it stood."""

    book: Book
    version: int | None
    opening: int
    newly_due: int
    deleted: int
    deleted_along: int
    removed: int
    no_longer_due: int
    closing: Due
    vanished: int
    changed: bool

    @property
    def difference(self) -> int:
        """What is left over: 0 where the book comes out even."""
        gone = self.deleted + self.deleted_along + self.removed + self.no_longer_due
        return self.opening + self.newly_due - gone - self.closing.rows

    @property
    def unexplained(self) -> int:
        """Rows that vanished, and rows by which the figures differ beyond those."""
        return self.vanished + abs(self.difference - self.vanished)


@dataclass(frozen=True, slots=True)
class Movement:
    """Keys (16 bytes each, ascending) that entered or left a book, and how."""

    book: Book
    movement: str
    part: int
    hashes: bytes


@dataclass(frozen=True, slots=True)
class CountedBatch:
    """A batch that this account counts."""

    run_id: str
    batch_id: str
    tenant: str


@dataclass(frozen=True)
class Account:
    """An account: entries of the books that hold or held anything, and what they rest on.

    `queries` has, by policy and table, the query that told what entered and left. The books of
    policies of which that could not be asked (`unasked`, why) stand as they stood, and what was
    deleted under them counts in the next account.
    """

    number: int
    entries: tuple[Entry, ...]
    movements: tuple[Movement, ...]
    batches: tuple[CountedBatch, ...]
    queries: Mapping[tuple[str, str], str]
    unasked: Mapping[str, str] = field(default_factory=dict)


class Bookkeeper:
    """Makes the account of one verification, in that verification's transaction.

    `now` is when it looks; `moves_on` says whether it is one, and does not look back.
    """

    def __init__(self, cursor: Cursor, ground: Ground, now: datetime) -> None:
        self._cursor = cursor
        self._ground = ground
        self._catalog = ground.catalog
        self._policies = {policy.name: policy for policy in ground.policies}
        cursor.execute(LAST_ACCOUNT)
        last = cursor.fetchone()
        self._last: int = last[0] if last else 0
        ahead = last is not None and last[1] > now + AHEAD_AT_MOST
        self._since: datetime | None = last[2] - _OPEN_AT_MOST if last and not ahead else None
        self._asked = self._last_asked()
        looks_back = now - ground.as_of > _BEHIND_AT_MOST
        self.moves_on = not looks_back and (last is None or ahead or last[1] <= ground.as_of)

    def account(
        self, due: Mapping[tuple[str, str], Due], *, unasked: Mapping[str, str] | None = None
    ) -> Account:
        """Return the account; requires `moves_on`. `due` is what the verification counted, per
        policy and tenant (by its id); `unasked` are policies of which it could not, and why."""
        opening = self._closings()
        deleted, batches = self._deletions()
        current = {(p.name, str(p.table)) for p in self._policies.values()}
        open_books = {(b.policy, b.table) for b, rows in opening.items() if rows.rows}
        wanted = current | open_books | {(b.policy, b.table) for b in deleted}
        changes: dict[Book, Counter[str]] = defaultdict(Counter)
        movements: list[Movement] = []
        queries = {}
        unknown = dict(unasked or {})
        for policy, table in sorted(wanted):
            if policy in unknown:
                continue
            try:
                with savepoint(self._cursor):
                    query = self._ask(policy, table)
                    moved = list(self._moved(policy, table))
            except Exception as error:
                if is_away(error):
                    raise
                # One policy's condition that fails is no reason to keep no books at all.
                unknown[policy] = not_asked(error)
                continue
            queries[policy, table] = query
            for movement, rows in moved:
                changes[movement.book][movement.movement] += rows
                if movement.movement != "passed":
                    movements.append(movement)
        for book in [book for book in changes if book.policy in unknown]:
            del changes[book]
        for book in [book for book in deleted if book.policy in unknown]:
            del deleted[book]
        closing = {
            Book(policy, str(self._policies[policy].table), tenant): rows
            for (policy, tenant), rows in due.items()
            if policy not in unknown
        } | {book: rows for book, rows in opening.items() if book.policy in unknown}
        versions = self._versions()
        entries = []
        for book in sorted(opening.keys() | closing.keys() | changes.keys() | deleted.keys()):
            before, after = opening.get(book, Due()), closing.get(book, Due())
            changed = bool(changes[book] or deleted[book] or before != after)
            if changed or after.rows:
                version = versions.get(book.policy)
                entry = _entry(book, version, (before, after), deleted[book], changes[book])
                entries.append(replace(entry, changed=changed))
        return Account(
            self._last + 1,
            tuple(entries),
            tuple(m for m in movements if m.book.policy not in unknown),
            tuple(counted for policy, counted in batches if policy not in unknown),
            {key: query for key, query in queries.items() if key[0] not in unknown},
            unknown,
        )

    def _last_asked(self) -> dict[str, tuple[int, datetime | None]]:
        """Return in which account policies were asked last that could not be in the last one, and
        since when what users deleted counts (None: from the beginning)."""
        self._cursor.execute(LAST_ASKED, {"account": self._last, "not_asked": NOT_ASKED})
        return {
            policy: (account or 0, started and started - _OPEN_AT_MOST)
            for policy, account, started in self._cursor.fetchall()
        }

    def _closings(self) -> dict[Book, Due]:
        self._cursor.execute(CLOSINGS)
        return {
            Book(policy, table, tenant): Due(*figures)
            for policy, table, tenant, *figures in self._cursor.fetchall()
        }

    def _deletions(self) -> tuple[Counter[Book], list[tuple[str, CountedBatch]]]:
        """Return what was deleted, and the batches with their policies."""
        deleted: Counter[Book] = Counter()
        batches = []
        self._cursor.execute(BATCHES)
        for run, batch, tenant, policy, table, rows in self._cursor.fetchall():
            deleted[Book(policy, table, tenant)] += rows
            batches.append((policy, CountedBatch(run, batch, tenant)))
        return deleted, batches

    def _ask(self, policy_name: str, table: str) -> str:
        name = next((t.name for t in self._catalog if str(t.name) == table), None)
        policy = self._policies.get(policy_name)
        if policy is not None and policy.table != name:
            policy = None
        account, since = self._asked.get(policy_name, (self._last, self._since))
        params: dict[str, Any] = {
            "policy": policy_name,
            "table": table,
            "asked": account,
            "since": since or "-infinity",
        }
        if policy is not None:
            params["cutoff"] = self._ground.cutoff(policy)
        self._cursor.execute(movements_query(name, policy, self._ground), params)
        return (self._cursor.query or b"").decode()

    def _moved(self, policy: str, table: str) -> Iterator[tuple[Movement, int]]:
        parts: Counter[tuple[str, str]] = Counter()
        for tenant, movement, rows, hashes in self._cursor:
            part = parts[tenant, movement]
            parts[tenant, movement] += 1
            book = Book(policy, table, tenant)
            yield Movement(book, movement, part, bytes(hashes or b"")), rows

    def _versions(self) -> dict[str, int]:
        latest = latest_versions(self._cursor, self._policies)
        return {
            name: version.version
            for name, version in latest.items()
            if version.digest == self._policies[name].digest
        }


def _entry(
    book: Book,
    version: int | None,
    due: tuple[Due, Due],
    deleted: int,
    changes: Counter[str],
) -> Entry:
    opening, closing = due
    return Entry(
        book=book,
        version=version,
        opening=opening.rows,
        newly_due=changes["entered"] + changes["passed"],
        deleted=deleted,
        deleted_along=changes["deleted_along"],
        removed=changes["removed"],
        no_longer_due=changes["no_longer_due"],
        closing=closing,
        vanished=changes["vanished"],
        changed=True,
    )
