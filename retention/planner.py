"""The planner: counts what is due, what goes along and what is kept. Changes nothing.

Reads as tenure_verifier in one REPEATABLE READ, read-only transaction, so that all counts
are of one state of the database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg2 import sql

from retention.errors import FutureInstantError, PlanError
from retention.graph import Edge, Family, deletion_order, edges_of
from retention.plan import Kept, Plan, PlannedPolicy, Unit, catalog_digest
from retention.policies import Policy, cutoff_value
from retention.policy_records import effective_state, latest_versions, tenant_states
from tenants.catalog import Catalog, TableName
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId


def checked_as_of(as_of: datetime | None, now: datetime) -> datetime:
    """Return `as_of`, or `now` for None, in UTC; raises FutureInstantError beyond `now`."""
    if as_of is None:
        return now.astimezone(UTC)
    if as_of.utcoffset() is None:
        raise PlanError(f"{as_of.isoformat()} has no offset from UTC")
    if as_of > now:
        raise FutureInstantError(
            f"{as_of.isoformat()} is in the future (it is {now.isoformat(timespec='seconds')}); "
            "what is not due yet cannot be deleted"
        )
    return as_of.astimezone(UTC)


def in_run_order(policies: Collection[Policy], catalog: Catalog) -> tuple[Policy, ...]:
    """Return the policies so that what refers to a table is emptied before it."""
    names = [table.name for table in catalog if table.kind == "tenant"]
    groups = deletion_order(names, edges_of(catalog))
    place = {name: number for number, group in enumerate(groups) for name in group}
    return tuple(sorted(policies, key=lambda p: (place[p.table], p.name)))


def plan(
    verifier: RoleConnections,
    catalog: Catalog,
    policies: Collection[Policy],
    *,
    now: datetime,
    as_of: datetime | None = None,
    tenants: Collection[TenantId] | None = None,
) -> Plan:
    """Return the plan for these policies as of an instant (None: `now`).

    `tenants` restricts it to some. Requires policies that were checked against `catalog`.
    Raises FutureInstantError, or PlanError for a cutoff before the year 1.
    """
    as_of = checked_as_of(as_of, now)
    ordered = in_run_order(policies, catalog)
    with verifier.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
        versions = latest_versions(cursor, [policy.name for policy in ordered])
        reader = _Reader(cursor, catalog, _slugs(cursor), tenants)
        planned: list[PlannedPolicy] = []
        units: list[Unit] = []
        for policy in ordered:
            latest = versions.get(policy.name)
            pinned = latest.version if latest and latest.digest == policy.digest else None
            try:
                cutoff = policy.cutoff(as_of)
            except (ValueError, OverflowError) as error:
                raise PlanError(f"{policy.period} before {as_of} is no date: {error}") from error
            order = tuple(str(t) for group in policy.family(catalog).order for t in group)
            planned.append(PlannedPolicy(policy, pinned, cutoff, order))
            units += reader.units(planned[-1])
    return Plan(as_of, catalog_digest(catalog), tuple(planned), tuple(units))


def _slugs(cursor: Cursor) -> dict[TenantId, str]:
    cursor.execute("SELECT id::text, slug FROM tenure.tenants ORDER BY slug")
    return {TenantId(UUID(tenant)): slug for tenant, slug in cursor.fetchall()}


@dataclass
class _Fate:
    """What becomes of one tenant's due rows."""

    goes: dict[int, int] = field(default_factory=dict)
    stays: int = 0
    kept_by: list[str] = field(default_factory=list)


class _Reader:
    """Reads one state of the database; `slugs` is in the order in which tenants are listed."""

    def __init__(
        self,
        cursor: Cursor,
        catalog: Catalog,
        slugs: Mapping[TenantId, str],
        tenants: Collection[TenantId] | None,
    ) -> None:
        self.cursor = cursor
        self.catalog = catalog
        self.slugs = slugs
        self.wanted = list(map(str, slugs if tenants is None else tenants))
        self.states = tenant_states(cursor)
        cursor.execute(
            "SELECT DISTINCT tenant_id::text FROM tenure.holds WHERE released_at IS NULL"
        )
        self.held = {TenantId(UUID(tenant)) for (tenant,) in cursor.fetchall()}

    def units(self, planned: PlannedPolicy) -> list[Unit]:
        """Return the policy's units: the tenants in which something is due or undated."""
        policy = planned.policy
        family = policy.family(self.catalog)
        cutoff = cutoff_value(policy, self.catalog, planned.cutoff)
        counts = self._counts(policy, cutoff)
        free = [
            tenant
            for tenant, (due, _) in counts.items()
            if due and tenant not in self.held and self._state(policy, tenant) == "active"
        ]
        fates = self._fates(policy, family, cutoff, free, counts)
        units = []
        for tenant, slug in self.slugs.items():
            if tenant not in counts:
                continue
            due, undated = counts[tenant]
            fate = fates.get(tenant, _Fate())
            goes = tuple(
                (str(t), fate.goes[family.members.index(t)])
                for group in family.order
                for t in group
                if fate.goes.get(family.members.index(t))
            )
            kept = self._kept(policy, tenant, due, fate)
            units.append(Unit(policy.name, tenant, slug, due, goes, kept, undated))
        return units

    def _state(self, policy: Policy, tenant: TenantId) -> str:
        return effective_state(policy, tenant, self.states)

    def _kept(self, policy: Policy, tenant: TenantId, due: int, fate: _Fate) -> tuple[Kept, ...]:
        if not due:
            return ()
        reasons = []
        # A hold is named before a pause: keeping by law weighs more than keeping by choice.
        if tenant in self.held:
            reasons.append(Kept("held", due))
        elif self._state(policy, tenant) == "paused":
            reasons.append(Kept("paused", due))
        if fate.stays:
            reasons.append(Kept("referenced", fate.stays, ", ".join(sorted(set(fate.kept_by)))))
        return tuple(reasons)

    def _counts(self, policy: Policy, cutoff: Any) -> dict[TenantId, tuple[int, int]]:
        """Return (due, undated) per tenant that has either."""
        starts = sql.Identifier("r", policy.starts)
        self.cursor.execute(
            sql.SQL(
                "SELECT r.tenant_id::text, count(*) FILTER (WHERE {starts} < %(cutoff)s),"
                " count(*) FILTER (WHERE {starts} IS NULL) FROM {table} r"
                " WHERE r.tenant_id = ANY(%(tenants)s::uuid[])"
                " AND ({starts} < %(cutoff)s OR {starts} IS NULL) GROUP BY r.tenant_id"
            ).format(starts=starts, table=_table(policy.table)),
            {"cutoff": cutoff, "tenants": self.wanted},
        )
        return {
            TenantId(UUID(tenant)): (due, undated)
            for tenant, due, undated in self.cursor.fetchall()
        }

    def _fates(
        self,
        policy: Policy,
        family: Family,
        cutoff: Any,
        tenants: Sequence[TenantId],
        counts: Mapping[TenantId, tuple[int, int]],
    ) -> dict[TenantId, _Fate]:
        if len(family.members) == 1 and not family.keeping:
            return {tenant: _Fate({0: counts[tenant][0]}) for tenant in tenants}
        fates: dict[TenantId, _Fate] = defaultdict(_Fate)
        if not tenants:
            return fates
        self.cursor.execute(
            fate_query(family, policy.starts),
            {"cutoff": cutoff, "tenants": list(map(str, tenants))},
        )
        for what, tenant, member, rows, by in self.cursor.fetchall():
            fate = fates[TenantId(UUID(tenant))]
            if what == "goes":
                fate.goes[member] = rows
            elif what == "stays":
                fate.stays = rows
            else:
                fate.kept_by.append(by)
        return fates


_FATES = """
WITH RECURSIVE due AS (
    SELECT r.tenant_id, r.id FROM {root} r
    WHERE r.tenant_id = ANY(%(tenants)s::uuid[]) AND {starts} < %(cutoff)s
), reach(t, tenant_id, id) AS (
    SELECT 0, tenant_id, id FROM due {reach}
), blocked(t, tenant_id, id, child) AS ({blocked}
), stays(t, tenant_id, id) AS (
    SELECT t, tenant_id, id FROM blocked {stays}
), goes(t, tenant_id, id) AS (
    SELECT 0, tenant_id, id FROM due
    WHERE NOT EXISTS (SELECT FROM stays s
                      WHERE s.t = 0 AND s.tenant_id = due.tenant_id AND s.id = due.id) {goes}
)
SELECT 'goes', tenant_id::text, t, count(*), NULL FROM goes GROUP BY tenant_id, t
UNION ALL
SELECT 'stays', due.tenant_id::text, 0, count(*), NULL FROM due
JOIN stays s ON s.t = 0 AND s.tenant_id = due.tenant_id AND s.id = due.id
GROUP BY due.tenant_id
UNION ALL
SELECT DISTINCT 'by', tenant_id::text, t, 0, child FROM blocked
"""


def fate_query(family: Family, starts: str) -> sql.Composable:
    """Return the query for what goes and what stays, with %(cutoff)s and %(tenants)s.

    `reach` is all that could go along with due rows; `blocked` what a row refers to that
    stays whatever happens; `stays` adds what those rows refer to in turn; `goes` is what
    goes along with the due rows that are left.
    """
    number = {table: i for i, table in enumerate(family.members)}
    along = [_rows_that_refer(e, number) for e in family.along]
    refers = [_rows_referred_to(e, number) for e in family.inner]
    blocked = [_blocked(e, number, family.root, starts) for e in family.keeping]
    return sql.SQL(_FATES).format(
        root=_table(family.root),
        starts=sql.Identifier("r", starts),
        reach=_recursion("reach", along),
        blocked=sql.SQL(" UNION ").join(blocked)
        if blocked
        else sql.SQL("SELECT t, tenant_id, id, '' FROM reach WHERE false"),
        stays=_recursion("stays", refers),
        goes=_recursion("goes", along),
    )


def _table(name: TableName) -> sql.Composable:
    return sql.Identifier(name.schema, name.name)


def _kind(edge: Edge, alias: str) -> sql.Composable:
    if edge.kind_column is None:
        return sql.SQL("")
    return sql.SQL(" AND {} = {}").format(
        sql.Identifier(alias, edge.kind_column), sql.Literal(edge.kind)
    )


def _recursion(name: str, branches: Sequence[sql.Composable]) -> sql.Composable:
    if not branches:
        return sql.SQL("")
    return sql.SQL(
        "UNION SELECT e.t, e.tenant_id, e.id FROM {} w CROSS JOIN LATERAL ({}) e"
    ).format(sql.Identifier(name), sql.SQL(" UNION ALL ").join(branches))


def _rows_that_refer(edge: Edge, number: Mapping[TableName, int]) -> sql.Composable:
    return sql.SQL(
        "SELECT {child_no} AS t, c.tenant_id, c.id FROM {child} c WHERE w.t = {parent_no}"
        " AND c.tenant_id = w.tenant_id AND {column} = w.id{kind}"
    ).format(
        child_no=sql.Literal(number[edge.child]),
        child=_table(edge.child),
        parent_no=sql.Literal(number[edge.parent]),
        column=sql.Identifier("c", edge.column),
        kind=_kind(edge, "c"),
    )


def _rows_referred_to(edge: Edge, number: Mapping[TableName, int]) -> sql.Composable:
    return sql.SQL(
        "SELECT {parent_no} AS t, c.tenant_id, {column} AS id FROM {child} c"
        " WHERE w.t = {child_no} AND c.tenant_id = w.tenant_id AND c.id = w.id"
        " AND {column} IS NOT NULL{kind}"
    ).format(
        parent_no=sql.Literal(number[edge.parent]),
        column=sql.Identifier("c", edge.column),
        child=_table(edge.child),
        child_no=sql.Literal(number[edge.child]),
        kind=_kind(edge, "c"),
    )


def _blocked(
    edge: Edge, number: Mapping[TableName, int], root: TableName, starts: str
) -> sql.Composable:
    # A row of the policy's own table goes by itself if it is due, so only others block.
    not_due = (
        sql.SQL(" AND ({starts} >= %(cutoff)s OR {starts} IS NULL)").format(
            starts=sql.Identifier("c", starts)
        )
        if edge.child == root
        else sql.SQL("")
    )
    return sql.SQL(
        "SELECT w.t, w.tenant_id, w.id, {name} FROM reach w JOIN {child} c"
        " ON w.t = {parent_no} AND c.tenant_id = w.tenant_id AND {column} = w.id{kind}{not_due}"
    ).format(
        name=sql.Literal(str(edge.child)),
        child=_table(edge.child),
        parent_no=sql.Literal(number[edge.parent]),
        column=sql.Identifier("c", edge.column),
        kind=_kind(edge, "c"),
        not_due=not_due,
    )
