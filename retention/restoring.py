"""Restoring: what a batch archived comes back, all of it or nothing, and is recorded.

Invariant: a batch is brought back once, whole, in one transaction that takes its rows out of
the archive, puts them where they were, and records it. What is recorded as gone from the archive
since, a person's who was erased say, stays gone; that anything else is missing rolls it back, and
so does a column that would stay behind (`retention.whole_rows`). What comes back stays until the
time that was said, or the next run would archive or delete it again: each row of it, by whichever
policy, by itself or along with others. Nothing that is under a hold leaves the archive, and nothing
at all while retention is stopped: a database that was restored itself lacks holds. The database's
own constraints decide whether a row still fits: a parent that is gone, or a key in use again, rolls
it back.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg2
from psycopg2 import sql

from retention.deletions import HASH_BYTES, key_hash
from retention.errors import RestoreError
from retention.gate import is_stopped, take_turn, turn_gate
from retention.graph import held_edges
from retention.held_rows import HeldRows
from retention.hold_records import standing_holds
from retention.policies import Policy
from retention.statements import table
from retention.whole_rows import columns_left_behind
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.errors import CatalogError
from tenants.models import new_id

# A row that does not fit where it was.
_UNFIT = (
    psycopg2.errors.ForeignKeyViolation,
    psycopg2.errors.CheckViolation,
    psycopg2.errors.NotNullViolation,
)

_BATCHES = """
SELECT b.run_id::text, b.id::text, b.tenant_id::text, t.slug, v.definition, b.rows_deleted,
       b.recorded_at, EXISTS (SELECT FROM tenure.restorations r
                              WHERE r.tenant_id = b.tenant_id AND r.batch_id = b.id)
FROM tenure.batches b
JOIN tenure.tenants t ON t.id = b.tenant_id
JOIN tenure.policy_versions v ON v.policy = b.policy AND v.version = b.policy_version
WHERE b.trace_id = %(trace)s AND b.action = 'archive'
  AND (%(tenant)s::uuid IS NULL OR b.tenant_id = %(tenant)s::uuid)
ORDER BY b.recorded_at DESC, b.id
"""


# Of these hashes of keys, those of rows that are recorded as gone from an archive.
_GONE = """
SELECT count(*) FROM unnest(%(hashes)s::bytea[]) h WHERE EXISTS (
    SELECT FROM (
        SELECT hashes, table_name FROM tenure.deleted_keys WHERE tenant_id = %(tenant)s::uuid
        UNION ALL
        SELECT hashes, table_name FROM tenure.erased_keys WHERE tenant_id = %(tenant)s::uuid
        UNION ALL
        SELECT hashes, table_name FROM tenure.purged_keys WHERE tenant_id = %(tenant)s::uuid
    ) k WHERE k.table_name = %(archive)s AND mod(position(h IN k.hashes), 16) = 1)
"""


@dataclass(frozen=True, slots=True)
class ArchivedBatch:
    """A batch that archived rows. `restored`: they are back already."""

    run_id: UUID
    id: UUID
    tenant_id: TenantId
    tenant: str
    policy: Policy
    rows: int
    recorded_at: datetime
    restored: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """Why rows come back, who says so, and until when they stay."""

    reason: str
    actor: str
    keep_until: datetime


def archived_batches(
    cursor: Cursor, trace_id: str, tenant_id: TenantId | None = None
) -> list[ArchivedBatch]:
    """Return the batches of a run that archived, the last first, as verifier or auditor."""
    tenant = None if tenant_id is None else str(tenant_id)
    # tenure: allow TS001 because operators ask for the batches of a run over all tenants
    cursor.execute(_BATCHES, {"trace": trace_id, "tenant": tenant})
    return [
        ArchivedBatch(
            UUID(run), UUID(batch), TenantId(UUID(owner)), slug, Policy.from_definition(definition),
            rows, at, back,
        )
        for run, batch, owner, slug, definition, rows, at, back in cursor.fetchall()
    ]  # fmt: skip


def restore(
    retention: RoleConnections, catalog: Catalog, batch: ArchivedBatch, wish: Wish
) -> dict[str, int]:
    """Bring a batch back; return how many rows per table, parents first: all of it, but for what
    has gone from the archive since and is recorded.

    Raises RestoreError for a batch that is back already or not in the archive any more, and
    where the database refuses a row; then nothing has come back.
    """
    if not wish.reason.strip():
        raise RestoreError("a restoration needs a reason")
    try:
        with retention.transaction(batch.tenant_id) as cursor:
            return _Restoration(cursor, catalog, batch, wish).run()
    except psycopg2.errors.UniqueViolation as error:
        if error.diag.table_name == "restorations":
            raise RestoreError(f"batch {batch.id} was restored before") from error
        raise RestoreError(f"batch {batch.id}: {_said(error)}") from error
    except _UNFIT as error:
        raise RestoreError(f"batch {batch.id}: {_said(error)}") from error


def _said(error: psycopg2.Error) -> str:
    # Not the detail: it holds values of the row.
    return (error.diag.message_primary or str(error)).strip()


class _Restoration:
    def __init__(self, cursor: Cursor, catalog: Catalog, batch: ArchivedBatch, wish: Wish) -> None:
        self.cursor = cursor
        self.catalog = catalog
        self.batch = batch
        self.wish = wish
        self.params = {"tenant": str(batch.tenant_id), "batch": str(batch.id)}
        self.back: dict[TableName, list[str]] = {}

    def run(self) -> dict[str, int]:
        # As a hold does: batches that are open are waited for, those that come see what came back.
        turn_gate(self.cursor, self.batch.tenant_id)
        take_turn(self.cursor)
        if is_stopped(self.cursor):
            raise RestoreError("all retention is stopped; nothing was restored")
        restored: dict[str, int] = {}
        try:
            groups = self.batch.policy.family(self.catalog).order[::-1]
        except CatalogError as error:
            raise RestoreError(f"batch {self.batch.id}: {error}") from error
        self._require_free([name for group in groups for name in group])
        for group in groups:
            restored |= {str(name): rows for name, rows in self._group(group)}
        self._require_whole([name for group in groups for name in group])
        back = sum(restored.values())
        gone = self.batch.rows - back and self._gone()
        if back + gone != self.batch.rows:
            also = f", {gone} went from there by record" if gone else ""
            raise RestoreError(
                f"batch {self.batch.id} archived {self.batch.rows} rows, and "
                f"{back} of them are in the archive{also}; nothing was restored"
            )
        if not back:
            raise RestoreError(f"all rows of batch {self.batch.id} have gone from the archive")
        self._record({name: rows for name, rows in restored.items() if rows})
        return restored

    def _archive_of(self, name: TableName) -> TableName:
        schema = self.batch.policy.archive
        if schema is None:
            raise RestoreError(f"policy {self.batch.policy.name!r} archives nothing")
        return TableName(schema, name.name)

    def _require_free(self, tables: Collection[TableName]) -> None:
        """Raise RestoreError where a hold is on the tenant, or on a row of the batch."""
        standing = standing_holds(self.cursor, self.batch.tenant_id)
        matters = set(standing.matters)
        if standing.on_rows:
            rows = {}
            for archive in map(self._archive_of, tables):
                query = sql.SQL(
                    "SELECT id::text FROM {} WHERE tenant_id = %(tenant)s::uuid"
                    " AND archived_batch = %(batch)s::uuid"
                ).format(table(archive))
                self.cursor.execute(query, self.params)
                rows[archive] = [row[0] for row in self.cursor.fetchall()]
            edges = held_edges(self.catalog)
            asked = HeldRows(self.cursor, self.batch.tenant_id, edges, standing.on_rows)
            matters |= {hold.matter for hold in asked.among(rows).values()}
        if matters:
            said = "; ".join(sorted(matters))
            raise RestoreError(f"batch {self.batch.id} is under legal hold: {said}")

    def _require_whole(self, tables: Collection[TableName]) -> None:
        """Raise RestoreError where an archive has more of a row than comes back."""
        copied = {
            self._archive_of(name): {
                "archived_at", "archived_batch", *(c.name for c in self.catalog.table(name).columns)
            }
            for name in tables
        }  # fmt: skip
        left = columns_left_behind(self.cursor, copied)
        if left:
            raise RestoreError(
                f"{', '.join(left)}: no model knows it, and it would be lost; nothing was restored"
            )

    def _group(self, group: Sequence[TableName]) -> Iterator[tuple[TableName, int]]:
        """Bring back tables that may refer to each other: in one statement, references among
        them are checked at its end."""
        parts, counts = [], []
        for number, name in enumerate(group):
            columns = sql.SQL(", ").join(
                sql.Identifier(c.name) for c in self.catalog.table(name).columns
            )
            parts.append(
                sql.SQL(
                    "out{n} AS (DELETE FROM {archive} WHERE tenant_id = %(tenant)s::uuid"
                    " AND archived_batch = %(batch)s::uuid RETURNING {columns}),"
                    " in{n} AS (INSERT INTO {table} ({columns}) SELECT {columns} FROM out{n}"
                    " RETURNING id)"
                ).format(
                    n=sql.SQL(str(number)),
                    archive=table(self._archive_of(name)),
                    columns=columns,
                    table=table(name),
                )
            )
            counts.append(
                sql.SQL("SELECT {0}, count(*), array_agg(id::text) FROM in{0}").format(
                    sql.SQL(str(number))
                )
            )
        query = sql.SQL("WITH {} {}").format(
            sql.SQL(", ").join(parts), sql.SQL(" UNION ALL ").join(counts)
        )
        self.cursor.execute(query, self.params)
        for number, rows, ids in self.cursor.fetchall():
            self.back[group[number]] = ids or []
            yield group[number], rows

    def _gone(self) -> int:
        """Return how many rows of the batch did not come back because they had gone by record."""
        self.cursor.execute(
            "SELECT table_name, hashes FROM tenure.deleted_keys WHERE tenant_id = %(tenant)s::uuid"
            " AND run_id = %(run)s::uuid AND batch_id = %(batch)s::uuid",
            {**self.params, "run": str(self.batch.run_id)},
        )
        gone = 0
        for written, packed in self.cursor.fetchall():
            name, hashes = TableName.parse(written), bytes(packed)
            archived = {
                hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)
            } - {key_hash(UUID(key)) for key in self.back[name]}
            archive = str(self._archive_of(name))
            asked = {**self.params, "archive": archive, "hashes": sorted(archived)}
            self.cursor.execute(_GONE, asked)
            ((count,),) = self.cursor.fetchall()
            gone += count
        return gone

    def _record(self, counts: Mapping[str, int]) -> None:
        restoration = str(new_id())
        self.cursor.execute(
            "INSERT INTO tenure.restorations (tenant_id, id, run_id, batch_id, counts, reason,"
            " restored_by, kept_until) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                self.params["tenant"], restoration, str(self.batch.run_id), str(self.batch.id),
                json.dumps(counts), self.wish.reason, self.wish.actor, self.wish.keep_until,
            ),
        )  # fmt: skip
        for name, ids in self.back.items():
            self.cursor.execute(
                "INSERT INTO tenure.restored_rows (tenant_id, table_name, row_id, restoration_id,"
                " kept_until) SELECT %(tenant)s, %(table)s, row_id, %(restoration)s, %(until)s"
                " FROM unnest(%(ids)s::uuid[]) row_id",
                {
                    **self.params,
                    "table": str(name),
                    "ids": ids,
                    "restoration": restoration,
                    "until": self.wish.keep_until,
                },
            )
