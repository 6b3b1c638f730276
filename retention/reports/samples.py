"""Samples: single rows that went, drawn at random from all of them, or found by a key that
somebody presents; each traced from its rule to its entry in the ledger.

No key is stored: what there is of a row is its key's hash and, of a row of the policy's own table,
when its period began. A row that went along began with the row that it belongs to: that is one of
its batch, so of it the first and the last beginning in the batch are said. Of what went before
beginnings were kept it can be said that they were before the cutoff.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from retention import deletions
from retention.deletions import Deletion, key_hash
from retention.ledger import proofs
from retention.policies import Period, cutoff
from retention.reports.commitments import PROVEN, Commitment, Entered, Place, committed
from retention.reports.drawing import Draw, Presented
from retention.reports.presented import (
    ErasedRow,
    Proven,
    PurgedRow,
    erased_rows,
    place_of,
    purged_rows,
)
from retention.reports.scope import Scope
from retention.reports.words import period_in_words
from retention.starting_points import Started
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class Population:
    """Rows that went in the period, until `until`: how many, in how many batches; and the SHA-256
    over a line each for batch and table ("batch table rows sha256", ascending, with line feeds
    between): where it is the same, `size` and `seed` draw the same rows again.

    Beside them, `rows_without_keys` in `batches_without_keys`: rows that batches of the period
    record, and whose keys' hashes are not there. They cannot be drawn, and there must be none."""

    rows: int
    batches: int
    rows_without_keys: int
    batches_without_keys: int
    digest: str
    until: datetime
    size: int | None
    seed: str | None


@dataclass(frozen=True, slots=True)
class Sample:
    """A row that went. `number` counts samples from 1; `place` is its number in the population,
    None where its `key` was presented.

    `trigger` is the column that its period was counted from, which was before `cutoff`. It began at
    `started_at`; of a row that went along, that which it belongs to began from `along_from` to
    `along_until`. It was due at `due_at` (of one that went along, at the latest), and at `due_by`,
    when the run was made, in any case. `was_due`: it began before the cutoff. `cutoff_agrees`:
    cutoff and due_by are the period apart, as the period was when the run began. `went` is how: as
    itself, or along with the row it belongs to.
    `approved_by` recorded the version of the policy, `started_by` the run. `restored_at` is when
    its batch, which was archived, came back.
    """

    number: int
    place: int | None
    key: UUID | None
    key_hash: str
    tenant: str
    tenant_name: str
    table: str
    action: str
    went: str
    trigger: str
    started_at: date | None
    along_from: date | None
    along_until: date | None
    was_due: bool | None
    cutoff: datetime
    period: str
    period_words: str
    period_of: str
    cutoff_agrees: bool
    due_at: datetime | None
    due_by: datetime
    purged_at: datetime
    restored_at: datetime | None
    trace_id: str
    run_id: UUID
    batch_id: UUID
    started_by: str
    policy: str
    version: int
    approved_by: str
    approved_at: datetime
    deletion_class: str
    legal_basis: str
    proof: str
    index: int | None
    checkpoint: int | None


@dataclass(frozen=True, slots=True)
class SamplesReport:
    """The population; samples of it, or of what went by a `key` that was presented; per batch
    what proves them; and what erasures and purges did to the row of that key."""

    population: Population
    key: UUID | None
    samples: tuple[Sample, ...]
    commitments: tuple[Commitment, ...]
    entries: tuple[Entered, ...]
    erased: tuple[ErasedRow, ...]
    purged: tuple[PurgedRow, ...]


# What batches record, which the ledger has, and of it what there are hashes of.
_POPULATION = """
WITH recorded AS (
    SELECT b.tenant_id, b.run_id, b.id AS batch_id, t.name AS table_name, b.action,
           (t.entry->>'rows')::bigint AS recorded, octet_length(k.hashes) / 16 AS rows,
           t.entry->>'sha256' AS sha256
    FROM tenure.batches b CROSS JOIN LATERAL jsonb_each(b.counts) t(name, entry)
    LEFT JOIN tenure.deleted_keys k ON k.tenant_id = b.tenant_id AND k.run_id = b.run_id
        AND k.batch_id = b.id AND k.table_name = t.name
    WHERE b.recorded_at >= %(since)s::timestamptz AND b.recorded_at < %(until)s::timestamptz
      AND (%(tenant)s::uuid IS NULL OR b.tenant_id = %(tenant)s::uuid)
), population AS (
    SELECT * FROM recorded WHERE rows > 0
)
"""
_SIZE = f"""{_POPULATION}, missing AS (
    SELECT batch_id, recorded - coalesce(rows, 0) AS rows FROM recorded
    WHERE recorded > coalesce(rows, 0)
)
SELECT coalesce(sum(rows), 0)::bigint, count(DISTINCT batch_id),
       (SELECT coalesce(sum(rows), 0)::bigint FROM missing),
       (SELECT count(DISTINCT batch_id) FROM missing),
       encode(sha256(convert_to(coalesce(string_agg(
           batch_id || ' ' || table_name || ' ' || rows || ' ' || coalesce(sha256, '-'), E'\\n'
           ORDER BY batch_id, table_name COLLATE "C"), ''), 'UTF8')), 'hex')
FROM population
"""  # noqa: S608 - a constant
_DRAWN = f"""{_POPULATION}, numbered AS (
    SELECT p.*, (sum(rows) OVER (ORDER BY batch_id, table_name COLLATE "C"))::bigint AS upto
    FROM population p
)
SELECT d.place, n.tenant_id, n.run_id, n.batch_id, n.table_name, n.action,
       substr(k.hashes, place.n * 16 + 1, 16), started.kept, started.width, started.along
FROM unnest(%(places)s::bigint[]) WITH ORDINALITY AS d(place, nth)
JOIN numbered n ON d.place >= n.upto - n.rows AND d.place < n.upto
JOIN tenure.deleted_keys k ON k.tenant_id = n.tenant_id AND k.table_name = n.table_name
    AND k.batch_id = n.batch_id
CROSS JOIN LATERAL (SELECT (d.place - (n.upto - n.rows))::integer AS n) place
{deletions.STARTS}
ORDER BY d.nth
"""  # noqa: S608 - a constant
# The period is the tenant's own where it had one when the run began.
_BATCHES = f"""
SELECT b.id::text, t.slug, t.name, b.action, b.cutoff, b.recorded_at, r.trace_id, r.as_of,
       r.started_by, b.policy, b.policy_version, v.definition, v.recorded_by, v.recorded_at,
       own.period,
       (SELECT r.restored_at FROM tenure.restorations r
        WHERE r.tenant_id = b.tenant_id AND r.run_id = b.run_id AND r.batch_id = b.id)
FROM tenure.batches b
JOIN tenure.tenants t ON t.id = b.tenant_id
JOIN tenure.runs r ON r.id = b.run_id
JOIN tenure.policy_versions v ON v.policy = b.policy AND v.version = b.policy_version
{deletions.OWN_PERIOD}
WHERE b.run_id = ANY(%(runs)s::uuid[]) AND b.id = ANY(%(batches)s::uuid[])
"""  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class _Row:
    number: int | None
    place: Place
    hash: bytes
    started: Started

    @property
    def places(self) -> tuple[Place, ...]:
        """What it rests on: of a row that went along, the rows that it can have gone with, too."""
        along = self.started.along
        return (self.place,) if along is None else (self.place, replace(self.place, table=along))


def samples_report(
    cursor: Cursor, scope: Scope, now: datetime, asked: Draw | Presented | None
) -> SamplesReport:
    """Return the population of the period, and samples of it: drawn, or found by a key, which is
    looked for in all there is, whatever the period."""
    period = scope if scope.until is not None else replace(scope, until=now)
    cursor.execute(_SIZE, period.params)
    rows, batches, rows_without_keys, batches_without_keys, digest = cursor.fetchall()[0]
    draw = asked if isinstance(asked, Draw) else None
    key = asked.key if isinstance(asked, Presented) else None
    found: list[_Row] = []
    every: list[Deletion] = []
    if draw is not None:
        cursor.execute(_DRAWN, {**period.params, "places": draw.numbers(rows)})
        found = [
            _Row(number, Place("run", *place), bytes(hashed), Started.read(kept, width, along))
            for number, *place, hashed, kept, width, along in cursor.fetchall()
        ]
    elif isinstance(asked, Presented):
        tenant = None if scope.tenant is None else scope.tenant.id
        every = deletions.find(cursor, tenant, asked.table, asked.key)
        hashed = key_hash(asked.key)
        found = [_Row(None, place_of(d), hashed, d.started) for d in every if d.run_id is not None]
    commitments, entries = committed(
        cursor,
        {place for row in found for place in row.places} | set(map(place_of, every)),
        for_tenant=scope.confined,
    )
    proven = Proven(commitments, entries)
    return SamplesReport(
        Population(
            rows,
            batches,
            rows_without_keys,
            batches_without_keys,
            digest,
            period.until or now,
            None if draw is None else draw.size,
            None if draw is None else draw.seed,
        ),
        key,
        _samples(cursor, found, key, commitments, entries),
        commitments,
        entries,
        erased_rows(cursor, every, proven),
        purged_rows(cursor, every, proven),
    )


def _samples(
    cursor: Cursor,
    found: Sequence[_Row],
    key: UUID | None,
    commitments: Sequence[Commitment],
    entries: Sequence[Entered],
) -> tuple[Sample, ...]:
    ids = {
        "runs": [str(row.place.cause_id) for row in found],
        "batches": [str(row.place.batch_id) for row in found],
    }
    cursor.execute(_BATCHES, ids)
    batches = {UUID(row[0]): row[1:] for row in cursor.fetchall()}
    proofs_of = {(c.batch_id, c.table): c.proof for c in commitments}
    entered = {e.batch_id: e for e in entries}
    return tuple(
        _sample(
            number,
            row,
            key=key,
            batch=batches[row.place.batch_id],
            proof=_first_problem(proofs_of[row.place.batch_id, p.table] for p in row.places),
            entered=entered.get(row.place.batch_id),
        )
        for number, row in enumerate(found, 1)
        if row.place.batch_id in batches
    )


def _first_problem(proofs: Iterable[str]) -> str:
    return next((proof for proof in proofs if proof != PROVEN), PROVEN)


def _sample(
    number: int,
    row: _Row,
    *,
    key: UUID | None,
    batch: tuple[Any, ...],
    proof: str,
    entered: Entered | None,
) -> Sample:
    slug, name, action, before, purged_at, trace_id, as_of, started_by = batch[:8]
    policy, version, definition, approved_by, approved_at, own, restored_at = batch[8:]
    known: dict[str, Any] = definition if isinstance(definition, dict) else {}
    period = own or str(known.get("period", ""))
    table = str(known.get("table", ""))
    return Sample(
        number=number,
        place=row.number,
        key=key,
        key_hash=row.hash.hex(),
        tenant=slug,
        tenant_name=name,
        table=row.place.table,
        action=action,
        went="itself" if row.place.table == table else f"along with {table}",
        trigger=f"{table}.{known.get('starts', '')}",
        started_at=row.started.at,
        along_from=row.started.along_from,
        along_until=row.started.along_until,
        was_due=row.started.is_before(before),
        cutoff=before,
        period=period,
        period_words=period_in_words(period),
        period_of="the tenant" if own else "the policy",
        cutoff_agrees=_agrees(period, as_of, before),
        due_at=row.started.due_at(period),
        due_by=as_of,
        purged_at=purged_at,
        restored_at=restored_at,
        trace_id=trace_id,
        run_id=row.place.cause_id,
        batch_id=row.place.batch_id,
        started_by=started_by,
        policy=policy,
        version=version,
        approved_by=approved_by,
        approved_at=approved_at,
        deletion_class=str(known.get("class", "")),
        legal_basis=str(known.get("legal_basis", "")),
        proof=proof,
        index=None if entered is None else entered.index,
        checkpoint=None if entered is None else entered.checkpoint,
    )


def _agrees(period: str, as_of: datetime, before: datetime) -> bool:
    try:
        return cutoff(Period.parse(period), as_of) == before
    except (ValueError, OverflowError):
        return False


# By their name, which of a run's is the table's, and of others' the table's and the action's.
_KEYS = """
SELECT k.hashes, k.starts FROM tenure.deleted_keys k
WHERE k.batch_id = %(batch)s::uuid AND k.table_name = %(name)s
UNION ALL
SELECT k.hashes, NULL FROM tenure.erased_keys k
WHERE k.batch_id = %(batch)s::uuid AND k.table_name || '.' || k.action = %(name)s
UNION ALL
SELECT k.hashes, NULL FROM tenure.purged_keys k
WHERE k.batch_id = %(batch)s::uuid AND k.table_name || '.' || k.action = %(name)s
"""
_ROWS = """
SELECT 'batches', b.run_id || '/' || b.id FROM tenure.batches b WHERE b.id = %(batch)s::uuid
UNION ALL
SELECT 'erasure_batches', b.tenant_id || '/' || b.id FROM tenure.erasure_batches b
WHERE b.id = %(batch)s::uuid
UNION ALL
SELECT 'purge_batches', b.tenant_id || '/' || b.id FROM tenure.purge_batches b
WHERE b.id = %(batch)s::uuid
"""


class Kept(NamedTuple):
    """What is kept of rows that a batch took, end to end, in the order in which they are drawn
    from: `hashes` of their keys, 16 bytes each; `starts`, when their periods began (8 bytes each,
    or 4, see `retention.starting_points`), None where that is not kept. The SHA-256 of each is in
    the ledger."""

    hashes: bytes
    starts: bytes | None


def kept_of(cursor: Cursor, batch_id: UUID, name: str) -> Kept | None:
    """Return what is kept of a batch's rows by their `Commitment.name`; None where there is nothing
    to be seen."""
    cursor.execute(_KEYS, {"batch": str(batch_id), "name": name})
    row = cursor.fetchone()
    if row is None:
        return None
    hashes, starts = row
    return Kept(bytes(hashes), None if starts is None else bytes(starts))


def proof_of(cursor: Cursor, batch_id: UUID, *, for_tenant: bool = False) -> str | None:
    """Return the proof that a batch is in the ledger, as tlog-proof@v1; None where it is under no
    checkpoint, or is not to be seen."""
    cursor.execute(_ROWS, {"batch": str(batch_id)})
    row = cursor.fetchone()
    if row is None:
        return None
    for found in proofs.of_row(cursor, *row, for_tenant=for_tenant):
        if found.proof is not None and found.leaf is not None:
            return found.proof.text(found.leaf)
    return None
