"""Writes an export: one snapshot, table after table, in constant memory, on record.

Invariant: what is handed out is on record, and what is on record as finished is whole. The
record is committed before the first row is read; JSON and CSV come out of one REPEATABLE READ
snapshot, and a count that differs between them fails the export; the manifest's digest is
recorded before whoever asked gets the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any
from uuid import UUID

import psycopg2
from psycopg2 import sql

from config.logging import get_logger
from retention.connectors.declarations import Connectors
from retention.errors import ExportError, RetentionError, SubjectError
from retention.exports import records
from retention.exports.bundle import Bundle, Part, csv_line
from retention.exports.queries import Selection, is_number, of_subject, of_tenant
from retention.exports.readme import README, readme
from retention.policies import Policy
from retention.reports.export import jsonable
from retention.subjects import Subject
from tenants.catalog import Catalog, Table, TableName
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId

_log = get_logger(__name__)

FORMAT = "tenure-export/1"
#: A fetch is of so many rows, and of fewer where rows are so large that their texts pass this.
_MOST_ROWS = 2000
_MOST_CHARACTERS = 1024 * 1024

# One at a time for each tenant and kind: each keeps a snapshot and a connection.
_ALONE = "SELECT pg_try_advisory_xact_lock(hashtextextended(%(name)s, 0)), transaction_timestamp()"
_PERIODS = """
SELECT p.policy, p.period FROM tenure.policy_periods p WHERE p.tenant_id = %(tenant)s::uuid
"""


@dataclass(frozen=True)
class _Job:
    tenant_id: TenantId
    selections: tuple[Selection, ...]
    actor: str
    reason: str | None
    subject: Subject | None = None
    key: UUID | None = None
    received_at: datetime | None = None

    @property
    def kind(self) -> records.Kind:
        return "tenant" if self.subject is None else "subject"

    def said(self) -> dict[str, str] | None:
        """Return whom it is about, for the manifest."""
        if self.subject is None:
            return None
        return {"kind": self.subject.name, "table": str(self.subject.table), "key": str(self.key)}


@dataclass(frozen=True)
class _Written:
    table: Table
    rows: int
    parts: tuple[Part, ...]

    @property
    def name(self) -> TableName:
        return self.table.name

    def to_json(self) -> dict[str, Any]:
        return {
            "table": str(self.name),
            "rows": self.rows,
            "columns": [{"name": c.name, "type": c.type} for c in self.table.columns],
            "files": [{"name": p.name, "bytes": p.bytes, "sha256": p.sha256} for p in self.parts],
        }


@dataclass(frozen=True)
class Exporter:
    """What exports need. `stop` is asked between fetches; `on_rows` hears how many rows of a
    table have been read so far."""

    retention: RoleConnections
    catalog: Catalog
    policies: tuple[Policy, ...] = ()
    connectors: Connectors | None = None
    stop: Callable[[], bool] = lambda: False
    on_rows: Callable[[TableName, int], None] = lambda _table, _rows: None

    def of_subject(
        self,
        out: IO[bytes],
        tenant_id: TenantId,
        subject: Subject,
        key: UUID,
        *,
        actor: str,
        reason: str | None = None,
        received_at: datetime | None = None,
    ) -> records.Export:
        """Write all that there is of a person; return the record. `received_at` is when they asked
        for it, if it is not now: the month that they wait at most runs from then.

        Raises ExportError, and SubjectError where there is not a single row.
        """
        reach = subject.reach(self.catalog)
        selections = tuple(
            of_subject(self.catalog.table(name), reach, str(tenant_id), str(key))
            for name in reversed(reach.tables)
        )
        return self._make(
            out, _Job(tenant_id, selections, actor, reason, subject, key, received_at)
        )

    def of_tenant(
        self, out: IO[bytes], tenant_id: TenantId, *, actor: str, reason: str | None = None
    ) -> records.Export:
        """Write all rows of a tenant's in the domain's tables, archives included."""
        selections = tuple(
            of_tenant(table, str(tenant_id)) for table in self.catalog if table.kind == "tenant"
        )
        return self._make(out, _Job(tenant_id, selections, actor, reason))

    def _make(self, out: IO[bytes], job: _Job) -> records.Export:
        subject = None if job.subject is None else job.subject.name
        try:
            with self.retention.transaction(job.tenant_id) as cursor:
                export_id = records.begin(
                    cursor,
                    job.tenant_id,
                    subject=subject,
                    key=job.key,
                    actor=job.actor,
                    reason=job.reason,
                    received_at=job.received_at,
                )
        except psycopg2.errors.CheckViolation as error:
            if job.received_at is None:
                raise
            raise ExportError("nobody can have asked for it later than now") from error
        try:
            made = self._write(out, job, export_id)
            with self.retention.transaction(job.tenant_id) as cursor:
                records.finish(cursor, job.tenant_id, export_id, made)
        except BaseException as error:
            # Ours say what was wrong; others' messages may have values of rows in them.
            problem = str(error) if isinstance(error, RetentionError) else type(error).__name__
            with self.retention.transaction(job.tenant_id) as cursor:
                records.fail(cursor, job.tenant_id, export_id, problem)
            _log.warning("export_failed", export=str(export_id), problem=problem)
            raise
        with self.retention.transaction(job.tenant_id, read_only=True) as cursor:
            (found,) = records.exports(cursor, tenant_id=job.tenant_id, export_id=export_id)
        _log.info("export_finished", export=str(export_id), bytes=made.bytes)
        return found

    # -- the file ----------------------------------------------------------------------------

    def _write(self, out: IO[bytes], job: _Job, export_id: UUID) -> records.Made:
        with Bundle(out) as bundle:
            with self.retention.transaction(
                job.tenant_id, isolation="REPEATABLE READ", read_only=True
            ) as cursor:
                bundle.at = as_of = _alone(cursor, f"tenure.export:{job.kind}:{job.tenant_id}")
                bundle.add(README, readme(job.kind))
                tables = [self._table(cursor, bundle, selection) for selection in job.selections]
                cursor.execute(_PERIODS, {"tenant": str(job.tenant_id)})
                periods = dict(cursor.fetchall())
            counts = {table.name: table.rows for table in tables}
            if job.subject is not None and not any(counts.values()):
                raise SubjectError(f"there is no row of this {job.subject.name}")
            manifest = bundle.end(
                {
                    "format": FORMAT,
                    "kind": job.kind,
                    "export": str(export_id),
                    "tenant": str(job.tenant_id),
                    "subject": job.said(),
                    "as_of": jsonable(as_of),
                    "tables": [
                        table.to_json() | self._kept(table.name, periods, job.subject)
                        for table in tables
                    ],
                    "recipients": self._recipients(job.subject),
                }
            )
        rows = {str(name): count for name, count in counts.items()}
        return records.Made(as_of, rows, bundle.bytes, manifest.sha256)

    def _table(self, cursor: Cursor, bundle: Bundle, selection: Selection) -> _Written:
        table = selection.table
        rows, parts = 0, []
        with bundle.part(f"{table.name}.json") as part:
            part.write("[")
            for (text,) in self._rows(cursor, selection, selection.as_json()):
                part.write(f",\n{text}" if rows else f"\n{text}")
                rows += 1
            part.write("\n]\n")
        parts.append(bundle.parts[-1])
        again = 0
        with bundle.part(f"{table.name}.csv") as part:
            numbers = [is_number(column) for column in table.columns]
            part.write(csv_line([c.name for c in table.columns], [False] * len(numbers)))
            for cells in self._rows(cursor, selection, selection.as_cells()):
                part.write(csv_line(cells, numbers))
                again += 1
        parts.append(bundle.parts[-1])
        if rows != again:
            raise ExportError(
                f"{table.name}: {rows} rows as JSON, and {again} as CSV, in one snapshot"
            )
        return _Written(table, rows, tuple(parts))

    def _rows(
        self, cursor: Cursor, selection: Selection, query: sql.Composable
    ) -> Iterator[tuple[str | None, ...]]:
        """Yield a query's rows by a cursor on the server, as many at a time as are small."""
        cursor.execute(sql.SQL("DECLARE exported NO SCROLL CURSOR FOR ") + query, selection.params)
        most, read = 100, 0
        while True:
            if self.stop():
                raise ExportError("stopped before it was whole")
            cursor.execute(f"FETCH FORWARD {int(most)} FROM exported")
            rows = cursor.fetchall()
            read += len(rows)
            yield from rows
            if len(rows) < most:
                break
            self.on_rows(selection.table.name, read)
            size = sum(len(text or "") for row in rows for text in row)
            most = max(1, min(_MOST_ROWS, most * 2, most * _MOST_CHARACTERS // max(size, 1)))
        cursor.execute("CLOSE exported")

    # -- what there is to say beside the rows ------------------------------------------------

    def _kept(
        self, name: TableName, periods: Mapping[str, str], subject: Subject | None
    ) -> dict[str, Any]:
        """Return how long a table's rows are kept, and what an erasure would do to them."""
        policies = [p for p in self.policies if name == p.table or name in p.along]
        kept: dict[str, Any] = {
            "retention": [
                {
                    "policy": p.name,
                    "period": periods.get(p.name, p.period),
                    "starts": p.starts,
                    "then": p.action,
                    "legal_basis": p.legal_basis,
                }
                for p in policies
            ]
        }
        if subject is not None:
            declared = subject.of(name)
            kept["on_erasure"] = {"action": declared.action, "basis": declared.basis}
        return kept

    def _recipients(self, subject: Subject | None) -> list[str]:
        declared = (self.connectors or {}).values()
        return [c.name for c in declared if subject is None or c.serves(subject.name)]


def _alone(cursor: Cursor, name: str) -> datetime:
    """Take the place of the one export; return the snapshot's instant."""
    cursor.execute(_ALONE, {"name": name})
    row = cursor.fetchone()
    if row is None or not row[0]:
        raise ExportError("another export of this kind is being made for this tenant; wait for it")
    at: datetime = row[1]
    return at
