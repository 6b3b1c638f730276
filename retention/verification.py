"""Verification: looks afresh, as tenure_verifier, and believes nobody.

Its queries are its own: neither the planner's nor the executor's SQL is used, so that a
mistake there is found here. What is looked for:

- overdue: rows past their policy's period that no hold, pause or reference keeps. Beside
  them are counted, and are no findings, those that a hold or a pause alone keeps;
- orphans: rows whose parent is gone (or another tenant's), per foreign key and per
  declared soft reference;
- undated: rows without a starting point. They are shown, and are no findings: a row whose
  starting point has not come yet (`deleted_at`) looks the same.

Every query's text is kept with what it found, nothing found included.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg2 import sql

from config.trace import TraceId
from retention.planner import checked_as_of
from retention.policies import Policy, cutoff_value
from retention.verification_queries import orphan_queries, overdue_query, undated_query
from tenants.catalog import Catalog
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId
from tenants.models import new_id

Kind = Literal["overdue", "orphans", "undated"]


@dataclass(frozen=True, slots=True)
class Result:
    """What one query found in one tenant; `tenant_id` is None where it found nothing at all.

    `held` counts rows that are past their period, too, and kept by a hold; `paused` those
    that nothing but their policy's pause keeps. Neither is a finding.
    """

    kind: Kind
    subject: str
    tenant_id: TenantId | None
    tenant: str | None
    found: int
    held: int
    paused: int
    oldest: datetime | None
    query: str

    @property
    def is_finding(self) -> bool:
        """True for what must not be."""
        return self.found > 0 and self.kind != "undated"


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """One verification. `findings` counts rows."""

    id: UUID
    trace_id: str
    as_of: datetime
    results: tuple[Result, ...]

    @property
    def findings(self) -> int:
        """Rows that are overdue or orphaned."""
        return sum(r.found for r in self.results if r.is_finding)

    def overdue(self) -> dict[str, int]:
        """Return overdue rows per policy, zeros included."""
        return self._per_subject("overdue")

    def orphans(self) -> dict[str, int]:
        """Return orphaned rows per reference, zeros included."""
        return self._per_subject("orphans")

    def _per_subject(self, kind: Kind) -> dict[str, int]:
        found: dict[str, int] = {}
        for result in self.results:
            if result.kind == kind:
                found[result.subject] = found.get(result.subject, 0) + result.found
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON's values."""
        return {
            "id": str(self.id),
            "trace_id": self.trace_id,
            "as_of": self.as_of.isoformat(),
            "findings": self.findings,
            "results": [
                {
                    "kind": r.kind,
                    "subject": r.subject,
                    "tenant_id": str(r.tenant_id) if r.tenant_id else None,
                    "tenant": r.tenant,
                    "found": r.found,
                    "held": r.held,
                    "paused": r.paused,
                    "oldest": r.oldest.isoformat() if r.oldest else None,
                    "query": r.query,
                }
                for r in self.results
            ],
        }


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
    """Look for overdue, orphaned and undated rows, and keep the results.

    Reads one state of the database as the verifier; the results are written as
    tenure_retention, for the verifier writes nothing. Raises FutureInstantError.
    """
    as_of = checked_as_of(as_of, now)
    with verifier.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
        cursor.execute("SELECT clock_timestamp()")
        started = _one(cursor)
        cursor.execute("SELECT id::text, slug FROM tenure.tenants")
        slugs = dict(cursor.fetchall())
        results = tuple(_results(cursor, catalog, policies, as_of, slugs))
    report = VerificationReport(new_id(), trace_id, as_of, results)
    _store(retention, report, started, actor)
    return report


def _results(
    cursor: Cursor,
    catalog: Catalog,
    policies: Collection[Policy],
    as_of: datetime,
    slugs: dict[str, str],
) -> Iterator[Result]:
    for policy in sorted(policies, key=lambda p: p.name):
        params = {
            "policy": policy.name,
            "paused": policy.state == "paused",
            "cutoff": cutoff_value(policy, catalog, policy.cutoff(as_of)),
        }
        sent = _send(cursor, overdue_query(catalog, policy), params)
        yield from _read(cursor, ("overdue", policy.name, sent), slugs)
        sent = _send(cursor, undated_query(policy), {})
        yield from _read(cursor, ("undated", policy.name, sent), slugs)
    for subject, query in orphan_queries(catalog):
        sent = _send(cursor, query, {})
        yield from _read(cursor, ("orphans", subject, sent), slugs)


def _send(cursor: Cursor, query: sql.Composable, params: dict[str, Any]) -> str:
    """Run a query; return its text as it was sent, so that an auditor can run it again."""
    cursor.execute(query, params)
    return (cursor.query or b"").decode()


def _read(cursor: Cursor, asked: tuple[Kind, str, str], slugs: dict[str, str]) -> Iterator[Result]:
    kind, subject, query = asked
    rows = cursor.fetchall()
    if not rows:
        yield Result(kind, subject, None, None, 0, 0, 0, None, query)
    for tenant, found, held, paused, oldest in rows:
        tenant_id = TenantId(UUID(tenant))
        slug = slugs.get(tenant)
        yield Result(kind, subject, tenant_id, slug, found, held, paused, oldest, query)


def _store(
    retention: RoleConnections, report: VerificationReport, started: datetime, actor: str
) -> None:
    with retention.transaction(None) as cursor:
        cursor.execute(
            "INSERT INTO tenure.verifications"
            " (id, trace_id, as_of, started_by, started_at, finished_at, findings)"
            " VALUES (%s, %s, %s, %s, %s, clock_timestamp(), %s)",
            (str(report.id), report.trace_id, report.as_of, actor, started, report.findings),
        )
        for r in report.results:
            cursor.execute(
                "INSERT INTO tenure.verification_results"
                " (verification_id, id, kind, subject, tenant_id, found, held, paused,"
                " oldest, query) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    str(report.id),
                    str(new_id()),
                    r.kind,
                    r.subject,
                    str(r.tenant_id) if r.tenant_id else None,
                    r.found,
                    r.held,
                    r.paused,
                    r.oldest,
                    r.query,
                ),
            )


def last_finished(retention: RoleConnections) -> datetime | None:
    """Return when the last verification ended, or None when there was none."""
    with retention.transaction(None, read_only=True) as cursor:
        cursor.execute("SELECT max(finished_at) FROM tenure.verifications")
        value: datetime | None = _one(cursor)
    return value


def _one(cursor: Cursor) -> Any:
    row = cursor.fetchone()
    return row[0] if row else None
