"""Replaying: after a restore, tenant by tenant, batch by batch, until nothing goes any more.

Invariant: a replay that was begun is on record before anything goes by it. What there is left to
do is in no list: each time it is looked for in the tables, by the hashes on record. So whoever
dies at any step, the next one goes on, and does nothing twice. It is completed only when another
role, with a question of its own, found nothing; what holds or references keep makes it
incomplete, and is found again the next time.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2 import errorcodes
from structlog.contextvars import bound_contextvars

from config.logging import get_logger
from config.trace import TraceId, new_trace_id
from retention.connectors.delivery import Courier, attempt
from retention.connectors.requests import Request, requests
from retention.errors import ConnectorError, InvariantError
from retention.gate import is_restored, is_stopped
from retention.graph import deletion_order, edges_of, held_edges
from retention.interventions import restored
from retention.ledger.gone_head import Writer, read_head
from retention.ledger.nodes import size_of_tree
from retention.ledger.recording import is_in, sign_record
from retention.ledger.sequencer import sequence
from retention.replays.batch import Outcome, Rows, Step, Work, run_batch
from retention.replays.checking import still_there
from retention.replays.elsewhere import Elsewhere, Outside
from retention.replays.finding import Found, find
from retention.replays.wanted import Change, Records, Sources, Wanted, read_records
from tenants.catalog import Catalog, TableName
from tenants.connections import RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

_RETRIED = (
    errorcodes.LOCK_NOT_AVAILABLE,
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.SERIALIZATION_FAILURE,
    errorcodes.FOREIGN_KEY_VIOLATION,
    errorcodes.QUERY_CANCELED,
)
_TRIES = 5
_PAUSE_S = 0.05

_OPEN = """
SELECT id::text, trace_id, cause ->> 'offboarding' FROM tenure.purges
WHERE tenant_id = %(tenant)s::uuid AND kind = 'replay' AND state = 'running'
"""
_BEGIN = """
INSERT INTO tenure.purges (tenant_id, id, kind, cause, trace_id, begun_by)
VALUES (%(tenant)s::uuid, %(id)s::uuid, 'replay', %(cause)s, %(trace)s, %(actor)s)
"""
_COUNTS = """
SELECT t.name, a.action, sum((a.entry ->> 'rows')::bigint)
FROM tenure.purge_batches b CROSS JOIN LATERAL jsonb_each(b.counts) t(name, actions)
CROSS JOIN LATERAL jsonb_each(t.actions) a(action, entry)
WHERE b.tenant_id = %(tenant)s::uuid AND b.purge_id = %(id)s::uuid GROUP BY 1, 2
"""
_END = """
UPDATE tenure.purges SET state = %(state)s, counts = %(counts)s, kept = %(kept)s,
       ended_at = clock_timestamp()
WHERE tenant_id = %(tenant)s::uuid AND id = %(id)s::uuid AND state = 'running'
"""

_log = get_logger(__name__)


def _never() -> bool:
    return False


def _nothing(_: object) -> None:
    return None


@dataclass(frozen=True)
class Replayer:
    """What a replay needs. `sources` have the records of what went; `goes_on` writes the one of
    them, if any, that is to be written on from the restored database. `outside` are those who are
    asked again to erase, `limit` is how many rows a batch takes, `before` what was last given out
    of the ledger. `only` these tenants, where it is given."""

    retention: RoleConnections
    verifier: RoleConnections
    catalog: Catalog
    actor: str
    sources: Sources
    goes_on: Writer | None = None
    outside: Outside = field(default_factory=Outside)
    before: str | None = None
    limit: int = 1000
    lock_timeout_ms: int = 2000
    only: Collection[TenantId] | None = None
    stop: Callable[[], bool] = _never
    on_step: Callable[[str], None] = _nothing
    on_rows: Callable[[int], None] = _nothing

    def plan(self) -> Planned:
        """Return what went and is there again; changes nothing. Raises LedgerError."""
        with self.verifier.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
            records = read_records(cursor, self.sources)
            if self.only is not None:
                mine = tuple(w for w in records.wanted if w.tenant_id in self.only)
                records = replace(records, wanted=mine)
            asked = {w.tenant: self.outside.look(cursor, self.catalog, w) for w in records.wanted}
            wanted = tuple(
                w
                for w in records.wanted
                if w.deleted or w.changed or w.offboarding or asked[w.tenant]
            )
            found = {w.tenant: find(cursor, self.catalog, w) for w in wanted}
        return Planned(replace(records, wanted=wanted), found, asked)

    def run(self) -> Replayed:
        """Have it all go; return what went, what stays and why.

        Raises LedgerError for records that cannot be read, InvariantError when what it relies on
        does not hold, or the verifier finds what should be gone; psycopg2's errors that no other
        try gets past.
        """
        trace_id = new_trace_id()
        with bound_contextvars(trace_id=trace_id):
            planned = self.plan()
            left = planned.records.left
            done: list[TenantReplayed] = []
            if self._is_stopped(planned.records):
                return Replayed(trace_id, (), left, stopped=True)
            for wanted in planned.records.wanted:
                while True:
                    if self.stop():
                        return Replayed(trace_id, tuple(done), left, stopped=True)
                    elsewhere = planned.elsewhere[wanted.tenant]
                    replay = _Replay(self, wanted, planned.records, trace_id, elsewhere)
                    done.append(replay.run())
                    if done[-1].stopped:
                        return Replayed(trace_id, tuple(done), left, stopped=True)
                    if not replay.is_of_before:
                        break
            self._write_on(trace_id)
            with self.retention.transaction(None, read_only=True) as cursor:
                return Replayed(trace_id, tuple(done), left, restored=is_restored(cursor))

    def _is_stopped(self, records: Records) -> bool:
        """Stop all else where the database was restored; True where people stopped this, too."""
        with self.retention.transaction(None, read_only=True) as cursor:
            if is_stopped(cursor):
                return not is_restored(cursor)
        if records.restored:
            restored(self.retention, actor=self.actor)
            self.on_step("stopped")
        return False

    def _write_on(self, trace_id: TraceId) -> None:
        """Say in the records where the restored database goes on."""
        # That it goes on says that all was replayed: of some tenants nothing is said.
        if self.goes_on is None or self.only is not None:
            return
        folder, signers = self.goes_on.folder, self.goes_on.signers
        sequence(self.retention, wait=True)
        with folder.writing() as pen, self.retention.transaction(None, read_only=True) as cursor:
            keys = (*self.sources.keys, *(each.verifier_key for each in signers))
            head, last = read_head(folder, keys), pen.last
            if last is None or last.entry is None:
                return
            # A line that says where to go on, and is not signed, may be anybody's.
            unsigned = last.number >= (head.lines if head else 0)
            if is_in(cursor, last) and not (last.kind == "rewound" and unsigned):
                return
            position, entry = -1, None
            for line in folder.lines():
                if line.is_batch and is_in(cursor, line):
                    position, entry = line.position, line.entry
            cursor.execute("SELECT clock_timestamp()")
            ((now,),) = cursor.fetchall()
            pen.write("rewound", position, entry, now, {"replay": trace_id, "by": "replay"})
            self.on_step("rewound")
            sign_record(pen, head, size_of_tree(cursor), signers)
        self.on_step("written on")


@dataclass(frozen=True)
class Planned:
    """What the records want to go, what of it is there, and who else is to be asked again, by
    tenant."""

    records: Records
    found: Mapping[str, Found]
    elsewhere: Mapping[str, Elsewhere] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values."""
        return {
            "tenants": [
                {
                    "tenant": wanted.tenant,
                    "batches": wanted.batches,
                    "rows": self.found[wanted.tenant].counts(),
                    "asked_again": self.elsewhere[wanted.tenant].counts(),
                    "access_ends": wanted.offboarding is not None,
                }
                for wanted in self.records.wanted
            ],
            "left": dict(self.records.left),
            "records": [dict(each) for each in self.records.cause],
        }


@dataclass(frozen=True)
class TenantReplayed:
    """What became of a tenant's rows: those that went again by table and action; those that are
    kept, by reason and table. `elsewhere` are requests to connectors that are not answered, or
    could not be made, by reason and connector. `stopped`: it was told to, or somebody stopped all
    retention."""

    tenant: str
    purge_id: UUID
    batches: int
    rows: Mapping[str, Mapping[str, int]]
    kept: Mapping[str, Mapping[str, int]]
    elsewhere: Mapping[str, Mapping[str, int]]
    stopped: bool = False


@dataclass(frozen=True)
class Replayed:
    """What a replay did. `left` counts what it leaves to others. `restored`: all other retention is
    stopped, until somebody says that the holds are in."""

    trace_id: TraceId
    tenants: tuple[TenantReplayed, ...]
    left: Mapping[str, int]
    stopped: bool = False
    restored: bool = False

    @property
    def whole(self) -> bool:
        """True where nothing that went is there any more, here or elsewhere."""
        return not self.stopped and not any(t.kept or t.elsewhere for t in self.tenants)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values."""
        return {
            "trace_id": self.trace_id,
            "stopped": self.stopped,
            "restored": self.restored,
            "tenants": [
                {
                    "tenant": t.tenant,
                    "replay_id": str(t.purge_id),
                    "batches": t.batches,
                    "rows": {name: dict(of) for name, of in t.rows.items()},
                    "kept": {why: dict(of) for why, of in t.kept.items()},
                    "elsewhere": {why: dict(of) for why, of in t.elsewhere.items()},
                }
                for t in self.tenants
            ],
            "left": dict(self.left),
        }


@dataclass
class _Replay:
    replayer: Replayer
    wanted: Wanted
    records: Records
    trace_id: TraceId
    elsewhere: Elsewhere
    kept: dict[str, dict[TableName, set[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    batches: int = 0
    # Gone on with, and begun before it was known that the tenant had left: it is not all.
    is_of_before: bool = False

    def run(self) -> TenantReplayed:
        replayer, wanted = self.replayer, self.wanted
        purge_id, trace_id = self._begin()
        self.replayer.on_step("begun")
        self._ask()
        work = Work(
            purge_id,
            wanted.tenant_id,
            replayer.catalog,
            held_edges(replayer.catalog),
            wanted.cut,
            trace_id,
            replayer.lock_timeout_ms,
            self._stepped,
            again=True,
        )
        stopped = not all(self._batch(work, rows, how) for rows, how in self._portions())
        open_requests = [] if stopped else self._delivered()
        if not stopped:
            self._end(purge_id)
        elsewhere = {why: dict(of) for why, of in
                     (self.elsewhere.waits | self.elsewhere.lost).items()}  # fmt: skip
        for request in open_requests:
            of = elsewhere.setdefault("asked again, and not answered yet", {})
            of[request.connector] = of.get(request.connector, 0) + 1
        counts = self._counts(purge_id)
        return TenantReplayed(
            wanted.tenant, purge_id, self.batches, counts, self._kept(), elsewhere, stopped=stopped
        )

    def _ask(self) -> None:
        """Write down who is asked again, while it is known how they know the person."""
        if self.elsewhere.again:
            with self.replayer.retention.transaction(self.wanted.tenant_id) as cursor:
                self.replayer.outside.ask(
                    cursor, self.wanted, self.elsewhere, actor=self.replayer.actor
                )
            self.replayer.on_step("asked")

    def _delivered(self) -> list[Request]:
        """Try each request once; return those that are open then, for ticks to go on with."""
        replayer, tenant_id = self.replayer, self.wanted.tenant_id
        courier = Courier(
            replayer.retention,
            replayer.verifier,
            replayer.outside.connectors,
            replayer.catalog,
            replayer.stop,
        )
        for request in self._open():
            try:
                attempt(courier, tenant_id, request.id)
            except (psycopg2.Error, ConnectorError) as error:
                _log.warning(
                    "connector_attempt", request=str(request.id), error=type(error).__name__
                )
        return self._open()

    def _open(self) -> list[Request]:
        tenant_id = self.wanted.tenant_id
        with self.replayer.retention.transaction(tenant_id, read_only=True) as cursor:
            return [r for r in requests(cursor, tenant_id=tenant_id) if r.cause == "replay"]

    def _stepped(self, step: Step) -> None:
        self.replayer.on_step(step)

    def _begin(self) -> tuple[UUID, str]:
        """Record the intent, or go on with what was begun."""
        known = {"tenant": str(self.wanted.tenant_id)}
        with self.replayer.retention.transaction(self.wanted.tenant_id) as cursor:
            cursor.execute(_OPEN, known)
            row = cursor.fetchone()
            if row:
                left = self.wanted.offboarding
                self.is_of_before = left is not None and row[2] != str(left)
                return UUID(row[0]), row[1]
            purge_id = new_id()
            cause: dict[str, Any] = {
                "records": self.records.cause,
                "checkpoint": self.replayer.before,
            }
            if self.wanted.offboarding is not None:
                # The database ends the tenant's access with this row.
                cause["offboarding"] = str(self.wanted.offboarding)
            cursor.execute(
                _BEGIN,
                {
                    **known,
                    "id": str(purge_id),
                    "cause": json.dumps(cause),
                    "trace": self.trace_id,
                    "actor": self.replayer.actor,
                },
            )
        return purge_id, self.trace_id

    def _portions(self) -> Iterator[tuple[Rows, Change | None]]:
        """Yield what goes in a batch each: changes first, then children before parents."""
        replayer, limit = self.replayer, self.replayer.limit
        with replayer.retention.transaction(self.wanted.tenant_id, read_only=True) as cursor:
            found = find(cursor, replayer.catalog, self.wanted)
        for how, ids in found.change.items():
            for portion in _cut_up(ids, limit):
                yield {how.table: portion}, how
        edges = edges_of(replayer.catalog)
        for group in deletion_order(found.delete, edges):
            rows = {name: found.delete[name] for name in group}
            loops = len(group) > 1 or any(e.child == e.parent == group[0] for e in edges)
            if loops:
                yield rows, None
            else:
                for portion in _cut_up(rows[group[0]], limit):
                    yield {group[0]: portion}, None

    def _batch(self, work: Work, rows: Rows, how: Change | None) -> bool:
        """Run a batch, again where others are in the way; False when told to stop."""
        for tries in range(1, _TRIES + 1):
            if self.replayer.stop():
                return False
            try:
                outcome = run_batch(self.replayer.retention, work, rows, how)
            except psycopg2.Error as error:
                if error.pgcode not in _RETRIED or tries == _TRIES:
                    raise
                _log.warning("replay_batch_again", error=str(error).strip().splitlines()[0])
                time.sleep(_PAUSE_S * tries)
            else:
                return self._took(outcome)
        raise AssertionError("unreachable")

    def _took(self, outcome: Outcome) -> bool:
        if outcome.stopped:
            return False
        count = sum(sum(of.values()) for of in outcome.rows.values())
        if count:
            self.batches += 1
            self.replayer.on_rows(count)
        for why, rows in outcome.kept.items():
            for name, ids in rows.items():
                self.kept[why][name] |= ids
        return True

    def _end(self, purge_id: UUID) -> None:
        """Look afresh, and say what it came to."""
        with self.replayer.verifier.transaction(
            None, isolation="REPEATABLE READ", read_only=True
        ) as cursor:
            there = still_there(cursor, self.replayer.catalog, self.wanted)
        self.replayer.on_step("verified")
        kept = sum(len(ids) for rows in self.kept.values() for ids in rows.values())
        if sum(there.values()) != kept:
            said = "; ".join(f"{what}: {count}" for what, count in sorted(there.items()))
            raise InvariantError(
                f"replay {purge_id} is not done, says the verifier: {said or 'nothing'} is there, "
                f"and {kept} rows were kept"
            )
        with self.replayer.retention.transaction(self.wanted.tenant_id) as cursor:
            cursor.execute(
                _END,
                {
                    "tenant": str(self.wanted.tenant_id),
                    "id": str(purge_id),
                    "state": "incomplete" if kept or self.elsewhere.waits else "completed",
                    "counts": json.dumps(self._counts(purge_id)),
                    "kept": json.dumps(
                        {**self._kept(), **self.elsewhere.waits, **self.elsewhere.lost}
                    ),
                },
            )
            self.replayer.on_step("ending")
        self.replayer.on_step("ended")

    def _counts(self, purge_id: UUID) -> dict[str, dict[str, int]]:
        counts: dict[str, dict[str, int]] = defaultdict(dict)
        tenant_id: TenantId = self.wanted.tenant_id
        with self.replayer.retention.transaction(tenant_id, read_only=True) as cursor:
            cursor.execute(_COUNTS, {"tenant": str(tenant_id), "id": str(purge_id)})
            for name, action, rows in cursor.fetchall():
                counts[name][action] = int(rows)
        return dict(counts)

    def _kept(self) -> dict[str, dict[str, int]]:
        return {
            why: {str(name): len(ids) for name, ids in rows.items()}
            for why, rows in self.kept.items()
        }


def _cut_up(ids: set[str], limit: int) -> Iterator[set[str]]:
    ordered = sorted(ids)
    for at in range(0, len(ordered), limit):
        yield set(ordered[at : at + limit])
