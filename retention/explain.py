"""Explaining one row: which rule decides over it, what holds or keeps it, and when it goes; or,
for a key that is gone, when it went, and under which run and rule, by which erasure, or with its
tenant.

Reads as tenure_verifier. What is said of a row that is there is `retention.precedence`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg2 import sql

from retention import deletions
from retention.deletions import Deletion
from retention.graph import Edge, edges_of
from retention.policies import Period, Policy, instant_of
from retention.policy_records import effective_state, tenant_periods, tenant_states
from retention.precedence import Decision, Standing, decide
from retention.rules import rule_of
from retention.starting_points import readable
from retention.statements import kind_of
from retention.statements import table as table_name
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor
from tenants.context import TenantId

#: Returns the matters of the holds in force on a row.
HeldBy = Callable[[TenantId, TableName, UUID], Collection[str]]


@dataclass(frozen=True, slots=True)
class Reference:
    """Rows that refer to a row, and keep it unless a policy takes them along."""

    table: TableName
    column: str
    rows: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """One row of one tenant, or one that is gone.

    `held_by` are the matters of holds on it, whether it is due or not.
    `removal` and `change` are None for a row that is gone, `deletions` are oldest first: a row
    that was restored can be there and have gone before. `with_` are the rows it would go along
    with: (policy, table, id).
    """

    tenant_id: TenantId
    tenant: str
    table: TableName
    id: UUID
    removal: Decision | None = None
    change: Decision | None = None
    held_by: tuple[str, ...] = ()
    kept_by: tuple[Reference, ...] = ()
    with_: tuple[tuple[str, TableName, UUID], ...] = ()
    deletions: tuple[Deletion, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON's values; instants remain datetimes."""
        return {
            "tenant_id": str(self.tenant_id),
            "tenant": self.tenant,
            "table": str(self.table),
            "id": str(self.id),
            "there": self.removal is not None,
            "removal": _decision(self.removal),
            "change": _decision(self.change),
            "held_by": list(self.held_by),
            "kept_by": [
                {"table": str(r.table), "column": r.column, "rows": r.rows} for r in self.kept_by
            ],
            "goes_with": [
                {"policy": policy, "table": str(table), "id": str(row)}
                for policy, table, row in self.with_
            ],
            "deletions": [_deletion(d) for d in self.deletions],
        }


def _deletion(d: Deletion) -> dict[str, Any]:
    return {
        "started_at": d.started.at,
        "along_from": d.started.along_from,
        "along_until": d.started.along_until,
        "requested_at": d.requested_at,
        "due_at": d.due_at,
        "deleted_at": d.deleted_at,
        "run_id": None if d.run_id is None else str(d.run_id),
        "trace_id": d.trace_id,
        "batch_id": str(d.batch_id),
        "policy": d.policy,
        "version": d.version,
        "cutoff": d.cutoff,
        "action": d.action,
        "erasure_id": None if d.erasure_id is None else str(d.erasure_id),
        "purge_id": None if d.purge_id is None else str(d.purge_id),
        "purge": d.purge,
    }


def _decision(decision: Decision | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    return {
        "outcome": decision.outcome,
        "policy": decision.policy,
        "at": decision.at,
        "because": decision.because,
    }


@dataclass(frozen=True)
class Question:
    """What is asked: a table and a key, in all tenants or in some."""

    table: TableName
    id: UUID
    tenants: Collection[TenantId] | None = None


def explain(
    cursor: Cursor,
    question: Question,
    *,
    catalog: Catalog,
    policies: Collection[Policy],
    held_by: HeldBy,
    now: datetime,
) -> list[Explanation]:
    """Return what there is to say of a key, per tenant; empty when nobody has or had it.

    Raises CatalogError for a table there is none of.
    """
    catalog.table(question.table)
    reader = _Reader(cursor, question, catalog, policies, now)
    found = []
    for tenant, slug in reader.tenants():
        there = reader.is_there(tenant)
        every = deletions.find(cursor, tenant, question.table, question.id)
        gone = tuple(_with_periods(cursor, every))
        if there:
            held = held_by(tenant, question.table, question.id)
            found.append(reader.row(tenant, slug, held, gone))
        elif gone:
            found.append(Explanation(tenant, slug, question.table, question.id, deletions=gone))
    return found


_PERIODS = f"""
SELECT b.id, coalesce(own.period, v.definition->>'period')
FROM tenure.batches b JOIN tenure.runs r ON r.id = b.run_id
JOIN tenure.policy_versions v ON v.policy = b.policy AND v.version = b.policy_version
{deletions.OWN_PERIOD}
WHERE b.run_id = ANY(%(runs)s::uuid[]) AND b.id = ANY(%(batches)s::uuid[])
"""  # noqa: S608 - a constant


def _with_periods(cursor: Cursor, found: Collection[Deletion]) -> list[Deletion]:
    ids = {
        "runs": [str(d.run_id) for d in found if d.run_id is not None],
        "batches": [str(d.batch_id) for d in found],
    }
    cursor.execute(_PERIODS, ids)
    periods = dict(cursor.fetchall())
    return [replace(d, period=periods.get(d.batch_id)) for d in found]


class _Reader:
    def __init__(
        self,
        cursor: Cursor,
        question: Question,
        catalog: Catalog,
        policies: Collection[Policy],
        now: datetime,
    ) -> None:
        self.cursor = cursor
        self.question = question
        self.catalog = catalog
        self.policies = policies
        self.now = now
        self.states = tenant_states(cursor)
        self.periods = tenant_periods(cursor)

    def tenants(self) -> list[tuple[TenantId, str]]:
        wanted = self.question.tenants
        self.cursor.execute("SELECT id::text, slug FROM tenure.tenants ORDER BY slug")
        every = [(TenantId(UUID(tenant)), slug) for tenant, slug in self.cursor.fetchall()]
        return [pair for pair in every if wanted is None or pair[0] in wanted]

    def is_there(self, tenant: TenantId) -> bool:
        query = sql.SQL("SELECT FROM {} r WHERE r.tenant_id = %s AND r.id = %s")
        self.cursor.execute(
            query.format(table_name(self.question.table)), (str(tenant), str(self.question.id))
        )
        return bool(self.cursor.fetchall())

    def row(
        self, tenant: TenantId, slug: str, held: Collection[str], gone: tuple[Deletion, ...]
    ) -> Explanation:
        standings = [self._standing(policy, tenant) for policy in self._on_the_table()]
        removal = decide(standings, removes=True, held_by=held, now=self.now)
        change = decide(standings, removes=False, held_by=held, now=self.now)
        decider = next((p for p in self.policies if p.name == removal.policy), None)
        return Explanation(
            tenant_id=tenant,
            tenant=slug,
            table=self.question.table,
            id=self.question.id,
            removal=removal,
            change=change if change.outcome != "no rule" else None,
            held_by=tuple(held),
            kept_by=tuple(self._references(tenant, decider)),
            with_=tuple(self._company(tenant)),
            deletions=gone,
        )

    def _on_the_table(self) -> list[Policy]:
        return [policy for policy in self.policies if policy.table == self.question.table]

    def _standing(self, policy: Policy, tenant: TenantId) -> Standing:
        rule = rule_of(policy, (), self.catalog, self.now)
        ((matches, started, done),) = self._ask(
            sql.SQL(
                "SELECT f.matches, {}, f.done FROM (SELECT {} FROM {} r"
                " WHERE r.tenant_id = %(tenant)s AND r.id = %(id)s) f(matches, started, done)"
            ).format(
                readable(sql.Identifier("f", "started")), rule.facts("r"), table_name(policy.table)
            ),
            tenant,
        )
        own = self.periods.get((policy.name, tenant))
        return Standing(
            policy=policy.name,
            matches=matches,
            explicit=policy.condition is not None,
            started=None if started is None else instant_of(started),
            period=Period.parse(own or policy.period),
            minimum=None if policy.minimum is None else Period.parse(policy.minimum),
            paused=effective_state(policy, tenant, self.states) == "paused",
            removes=policy.removes,
            done=done,
            restored_until=self._restored(tenant) if policy.removes else None,
        )

    def _restored(self, tenant: TenantId) -> datetime | None:
        ((until,),) = self._ask(
            sql.SQL(
                "SELECT max(kept_until) FROM tenure.restored_rows WHERE tenant_id = %(tenant)s"
                " AND table_name = {} AND row_id = %(id)s"
            ).format(sql.Literal(str(self.question.table))),
            tenant,
        )
        found: datetime | None = until
        return found

    def _references(self, tenant: TenantId, decider: Policy | None) -> Iterator[Reference]:
        along = decider.along if decider else ()
        for edge in edges_of(self.catalog):
            if edge.parent != self.question.table or edge.child in along:
                continue
            ((rows,),) = self._ask(
                sql.SQL(
                    "SELECT count(*) FROM {child} c WHERE c.tenant_id = %(tenant)s"
                    " AND {column} = %(id)s{kind}"
                ).format(
                    child=table_name(edge.child),
                    column=sql.Identifier("c", edge.column),
                    kind=kind_of(edge),
                ),
                tenant,
            )
            if rows:
                yield Reference(edge.child, edge.column, rows)

    def _company(self, tenant: TenantId) -> Iterator[tuple[str, TableName, UUID]]:
        for policy in self.policies:
            if self.question.table not in policy.along:
                continue
            for edge in policy.family(self.catalog).along:
                if edge.child == self.question.table:
                    yield from self._parents(policy, edge, tenant)

    def _parents(
        self, policy: Policy, edge: Edge, tenant: TenantId
    ) -> Iterator[tuple[str, TableName, UUID]]:
        rows = self._ask(
            sql.SQL(
                "SELECT {column}::text FROM {child} c WHERE c.tenant_id = %(tenant)s"
                " AND c.id = %(id)s AND {column} IS NOT NULL{kind}"
            ).format(
                column=sql.Identifier("c", edge.column),
                child=table_name(edge.child),
                kind=kind_of(edge),
            ),
            tenant,
        )
        for (parent,) in rows:
            yield policy.name, edge.parent, UUID(parent)

    def _ask(self, query: sql.Composable, tenant: TenantId) -> list[tuple[Any, ...]]:
        self.cursor.execute(query, {"tenant": str(tenant), "id": str(self.question.id)})
        return self.cursor.fetchall()
