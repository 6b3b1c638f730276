"""One run under its trace id: what was planned, what went, batch by batch, and whether
the figures agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from retention.errors import PlanError
from retention.plan import Plan, plan_from_json
from retention.reports.paging import Page, PageRequest
from retention.reports.runs import RunLine, run_line
from retention.reports.units import (
    Done,
    RunTotals,
    TableLine,
    UnitLine,
    Worked,
    run_totals,
    table_lines,
    unit_lines,
)
from retention.reports.words import seconds_between
from tenants.connections import Cursor


@dataclass(frozen=True, slots=True)
class PlanLine:
    """What the plan pinned; `digest` is its SHA-256, found unchanged."""

    digest: str
    catalog_digest: str
    policies: int
    tenants: int


@dataclass(frozen=True, slots=True)
class TableCount:
    """Rows of one table to which a batch did something; `sha256` is over their keys in order."""

    table: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BatchLine:
    """A batch as recorded in the transaction that did it; `action`: delete, archive, anonymise or
    pseudonymise. `restored_at` is when what was archived came back."""

    id: UUID
    tenant: str
    tenant_name: str
    policy: str
    version: int
    action: str
    cutoff: datetime
    rows: int
    counts: tuple[TableCount, ...]
    started_at: datetime
    recorded_at: datetime
    restored_at: datetime | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class BatchTableLine:
    """A table of a batch, for lists that have a line for each."""

    batch: UUID
    tenant: str
    policy: str
    version: int
    action: str
    table: str
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class InterventionLine:
    """That somebody paused, resumed or cancelled the run."""

    action: str
    actor: str
    reason: str
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run with all about it, and a page of its batches in the order they were begun.

    `plan` is None where the recorded plan cannot be read or was changed; `plan_problem`
    says which.
    """

    run: RunLine
    plan: PlanLine | None
    plan_problem: str | None
    totals: RunTotals
    units: tuple[UnitLine, ...]
    tables: tuple[TableLine, ...]
    interventions: tuple[InterventionLine, ...]
    batches: tuple[BatchLine, ...]
    page: Page

    @property
    def batch_tables(self) -> tuple[BatchTableLine, ...]:
        """Return the page's batches with a line for each of their tables."""
        return tuple(
            BatchTableLine(b.id, b.tenant, b.policy, b.version, b.action, c.table, c.rows, c.sha256)
            for b in self.batches
            for c in b.counts
        )


_PLAN = "SELECT plan::text FROM tenure.runs WHERE id = %(run)s::uuid"

_DONE = """
SELECT policy, tenant_id::text, sum(rows)::bigint, sum(batches)::bigint,
       array_agg(DISTINCT version), array_agg(DISTINCT cutoff), jsonb_object_agg(action, of_action)
FROM (SELECT policy, tenant_id, action, policy_version AS version, cutoff,
             sum(rows_deleted) AS rows, count(*) AS batches,
             sum(sum(rows_deleted)) OVER (PARTITION BY policy, tenant_id, action)::bigint
                 AS of_action
      FROM tenure.batches WHERE run_id = %(run)s::uuid
      GROUP BY policy, tenant_id, action, policy_version, cutoff) b
GROUP BY policy, tenant_id
"""
_COUNTED = """
SELECT b.policy, b.tenant_id::text, c.key, b.action,
       sum(CASE jsonb_typeof(c.value->'rows') WHEN 'number' THEN (c.value->>'rows')::numeric
           ELSE 0 END)::bigint
FROM tenure.batches b
CROSS JOIN LATERAL jsonb_each(
    CASE jsonb_typeof(b.counts) WHEN 'object' THEN b.counts ELSE '{}' END) c
WHERE b.run_id = %(run)s::uuid GROUP BY b.policy, b.tenant_id, c.key, b.action
"""
_WORKED = """
SELECT policy, tenant_id::text, state, holder, detail, skips FROM tenure.units
WHERE run_id = %(run)s::uuid
"""
_INTERVENTIONS = """
SELECT action, actor, reason, taken_at FROM tenure.interventions
WHERE run_id = %(run)s::uuid ORDER BY number
"""
_TENANTS = "SELECT id::text, slug, name FROM tenure.tenants WHERE id = ANY(%s::uuid[])"

_BATCHES = """
SELECT b.id::text, t.slug, t.name, b.policy, b.policy_version, b.action, b.cutoff, b.rows_deleted,
       b.counts, b.started_at, b.recorded_at, r.restored_at
FROM tenure.batches b JOIN tenure.tenants t ON t.id = b.tenant_id
LEFT JOIN tenure.restorations r
    ON r.tenant_id = b.tenant_id AND r.run_id = b.run_id AND r.batch_id = b.id
WHERE b.run_id = %(run)s::uuid
ORDER BY b.id LIMIT %(limit)s OFFSET %(offset)s
"""


def run_report(cursor: Cursor, trace_id: str, wanted: PageRequest) -> RunReport | None:
    """Return the run under a trace id, None where there is none; eight queries."""
    run = run_line(cursor, trace_id)
    if run is None:
        return None
    params = {"run": str(run.id)}
    plan, plan_problem = _read_plan(cursor, params)
    cursor.execute(_DONE, params)
    done = {(p, t): Done(n, b, tuple(v), tuple(c), a) for p, t, n, b, v, c, a in cursor.fetchall()}
    cursor.execute(_COUNTED, params)
    counted: dict[tuple[str, str, str], int] = {}
    by_table: dict[tuple[str, str], int] = {}
    for p, t, table, action, rows in cursor.fetchall():
        counted[p, t, table] = counted.get((p, t, table), 0) + rows
        by_table[table, action] = by_table.get((table, action), 0) + rows
    planned_units = () if plan is None else plan.units
    keys = {(u.policy, str(u.tenant_id)) for u in planned_units} | done.keys()
    cursor.execute(_TENANTS, (sorted({tenant for _, tenant in keys}),))
    tenants = {tenant: (slug, name) for tenant, slug, name in cursor.fetchall()}
    cursor.execute(_BATCHES, {**params, **wanted.window})
    batches, page = wanted.cut([_batch(row) for row in cursor.fetchall()])
    cursor.execute(_WORKED, params)
    worked = {
        (p, t): Worked(state, who, _reasons(*left)) for p, t, state, who, *left in cursor.fetchall()
    }
    cursor.execute(_INTERVENTIONS, params)
    interventions = tuple(InterventionLine(*row) for row in cursor.fetchall())
    units = unit_lines(plan, done, counted, tenants, worked)
    return RunReport(
        run=run,
        plan=None if plan is None else _plan_line(plan),
        plan_problem=plan_problem,
        totals=run_totals(units, counted.values(), run.actions),
        units=units,
        tables=table_lines(planned_units, counted, by_table),
        interventions=interventions,
        batches=batches,
        page=page,
    )


def _reasons(detail: str | None, skips: Any) -> tuple[str, ...]:
    found = [] if detail is None else [detail]
    for skip in skips if isinstance(skips, list) else []:
        rows = skip.get("rows")
        found.append(f"{skip.get('reason')}" + ("" if rows is None else f" ({rows} rows)"))
    return tuple(found)


def _read_plan(cursor: Cursor, params: Mapping[str, str]) -> tuple[Plan | None, str | None]:
    cursor.execute(_PLAN, params)
    row = cursor.fetchone()
    try:
        plan = plan_from_json(row[0] if row else "")
        for unit in plan.units:
            plan.planned(unit.policy)
    except PlanError as error:
        return None, str(error)
    return plan, None


def _plan_line(plan: Plan) -> PlanLine:
    return PlanLine(
        digest=plan.digest,
        catalog_digest=plan.catalog_digest,
        policies=len(plan.policies),
        tenants=len({unit.tenant_id for unit in plan.units}),
    )


def _batch(row: tuple[Any, ...]) -> BatchLine:
    batch_id, slug, name, policy, version, action, cutoff, rows, counts, *times = row
    started, recorded, restored = times
    return BatchLine(
        id=UUID(batch_id),
        tenant=slug,
        tenant_name=name,
        policy=policy,
        version=version,
        action=action,
        cutoff=cutoff,
        rows=rows,
        counts=_counts(counts),
        started_at=started,
        recorded_at=recorded,
        restored_at=restored,
        seconds=seconds_between(started, recorded),
    )


def _counts(value: Any) -> tuple[TableCount, ...]:
    # What cannot be read counts as nothing, here as in the sums: then they do not add up.
    tables = value if isinstance(value, dict) else {}
    return tuple(
        TableCount(
            table,
            rows if isinstance(rows := count.get("rows"), int) else 0,
            str(count.get("sha256", "")),
        )
        for table, count in sorted(tables.items())
        if isinstance(count, dict)
    )
