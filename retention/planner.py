"""The planner: counts what is due, what goes along and what is kept. Changes nothing.

Reads as tenure_verifier in one REPEATABLE READ, read-only transaction, so that all counts
are of one state of the database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2 import sql

from retention.errors import FutureInstantError, PlanError
from retention.fates import fate_query
from retention.graph import Family, deletion_order, edges_of
from retention.hold_records import holds
from retention.plan import Kept, Plan, PlannedPolicy, Unit, catalog_digest
from retention.planned_holds import held_among_reach
from retention.policies import Policy, cutoff_value
from retention.policy_records import (
    effective_state,
    latest_versions,
    tenant_periods,
    tenant_states,
)
from retention.rules import Rule, beside, rule_of
from retention.statements import table
from tenants.catalog import Catalog
from tenants.connections import Cursor, RoleConnections
from tenants.context import TenantId

# Data exceptions: what a value brings about.
_OF_A_ROW = "22"
# Of so many looks for whose row it is; then it is nobody's alone.
_MOST_TRIES = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """That a policy's rows could not be counted: of these tenants (by slug), or, without any, at
    all."""

    policy: Policy
    error: psycopg2.Error
    tenants: tuple[str, ...] = ()


OnFailure = Callable[[Failure], None]


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
    everything: Collection[Policy] | None = None,
    without: Collection[UUID] = (),
    undated: bool = True,
    on_failure: OnFailure | None = None,
) -> Plan:
    """Return the plan for these policies as of an instant (None: `now`).

    `tenants` restricts it to some; `everything` are all policies there are, None where that
    is these. The holds `without` are left out of account, for a look at what they keep: such a
    plan is not for running. Rows without a starting point are counted only with `undated`: it may
    take a scan. Of a policy those tenants are left out whose rows cannot be counted, as where its
    condition fails on one, and `on_failure` told; the policy, where it is not they alone.

    Requires policies that were checked against `catalog`. Raises FutureInstantError, PlanError for
    a cutoff before the year 1, and without `on_failure` psycopg2's errors.
    """
    as_of = checked_as_of(as_of, now)
    ordered = in_run_order(policies, catalog)
    everything = policies if everything is None else everything
    with verifier.transaction(None, isolation="REPEATABLE READ", read_only=True) as cursor:
        versions = latest_versions(cursor, [policy.name for policy in ordered])
        reader = _Reader(cursor, catalog, _slugs(cursor), tenants, without, undated=undated)
        planned: list[PlannedPolicy] = []
        units: list[Unit] = []
        for policy in ordered:
            latest = versions.get(policy.name)
            pinned = latest.version if latest and latest.has(policy) else None
            try:
                cutoff = policy.cutoff(as_of)
            except (ValueError, OverflowError) as error:
                raise PlanError(f"{policy.period} before {as_of} is no date: {error}") from error
            order = tuple(str(t) for group in policy.family(catalog).order for t in group)
            others = beside(policy, everything)
            wanted = PlannedPolicy(policy, pinned, cutoff, order, others)
            found, failed = _units(reader, wanted, as_of, alone=on_failure is not None)
            if failed is not None and on_failure is not None:
                on_failure(failed)
            if failed is None or failed.tenants:
                planned.append(wanted)
                units += found
    return Plan(as_of, catalog_digest(catalog), tuple(planned), tuple(units))


def _units(
    reader: _Reader, wanted: PlannedPolicy, as_of: datetime, *, alone: bool
) -> tuple[list[Unit], Failure | None]:
    """Return a policy's units, and what could not be counted: with `alone` nothing is raised.

    Where some row makes it fail, tenants are halved until it is alone.
    """
    units: list[Unit] = []
    failed: dict[str, psycopg2.Error] = {}
    left, tries = [list(reader.wanted)], 0
    while left:
        among, tries = left.pop(), tries + 1
        try:
            with _savepoint(reader.cursor):
                units += reader.units(wanted, as_of, among)
        except psycopg2.Error as error:
            if not alone or error.pgcode is None:
                raise
            if error.pgcode[:2] != _OF_A_ROW or tries > _MOST_TRIES:
                return [], Failure(wanted.policy, error)
            if len(among) == 1:
                failed[among[0]] = error
            else:
                half = len(among) // 2
                left += [among[half:], among[:half]]
    if not failed:
        return units, None
    if len(failed) == len(reader.wanted):
        return [], Failure(wanted.policy, next(iter(failed.values())))
    place = {TenantId(UUID(tenant)): number for number, tenant in enumerate(reader.wanted)}
    slugs = tuple(reader.slugs[TenantId(UUID(tenant))] for tenant in failed)
    units.sort(key=lambda unit: place[unit.tenant_id])
    return units, Failure(wanted.policy, next(iter(failed.values())), slugs)


@contextmanager
def _savepoint(cursor: Cursor) -> Iterator[None]:
    cursor.execute("SAVEPOINT counting")
    try:
        yield
    except psycopg2.Error as error:
        if error.pgcode is not None:
            cursor.execute("ROLLBACK TO SAVEPOINT counting")
        raise
    cursor.execute("RELEASE SAVEPOINT counting")


def _slugs(cursor: Cursor) -> dict[TenantId, str]:
    cursor.execute("SELECT id::text, slug FROM tenure.tenants ORDER BY slug")
    return {TenantId(UUID(tenant)): slug for tenant, slug in cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class _Count:
    """Rows that are due, that a minimum keeps, and that have no starting point."""

    due: int
    kept: int
    undated: int


@dataclass
class _Fate:
    """What becomes of one tenant's due rows."""

    goes: dict[int, int] = field(default_factory=dict)
    held: int = 0
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
        without: Collection[UUID],
        *,
        undated: bool,
    ) -> None:
        self.cursor = cursor
        self.undated = undated
        self.catalog = catalog
        self.slugs = slugs
        self.wanted = list(map(str, slugs if tenants is None else tenants))
        self.states = tenant_states(cursor)
        self.periods = tenant_periods(cursor)
        found = [hold for hold in holds(cursor) if hold.id not in without]
        self.held = {hold.tenant_id for hold in found if hold.scope.kind == "tenant"}
        self.holds_on_rows = [hold for hold in found if hold.scope.kind != "tenant"]

    def units(self, planned: PlannedPolicy, as_of: datetime, among: Sequence[str]) -> list[Unit]:
        """Return the policy's units: the tenants among these with anything due or undated."""
        policy = planned.policy
        family = policy.family(self.catalog)
        rule = rule_of(policy, planned.beside, self.catalog, as_of)
        counts: dict[TenantId, _Count] = {}
        fates: dict[TenantId, _Fate] = {}
        for period, tenants in self._by_period(policy, among).items():
            cutoff = cutoff_value(policy, self.catalog, policy.cutoff(as_of, period))
            found = self._counts(rule, cutoff, tenants)
            free = [
                tenant
                for tenant, count in found.items()
                if count.due and tenant not in self.held and self._state(policy, tenant) == "active"
            ]
            counts |= found
            fates |= self._fates(rule, family, cutoff, free, found)
        units = []
        for tenant, slug in self.slugs.items():
            if tenant not in counts:
                continue
            count = counts[tenant]
            fate = fates.get(tenant, _Fate())
            goes = tuple(
                (str(t), fate.goes[family.members.index(t)])
                for group in family.order
                for t in group
                if fate.goes.get(family.members.index(t))
            )
            kept = self._kept(policy, tenant, count, fate)
            period = self.periods.get((policy.name, tenant))
            units.append(
                Unit(policy.name, tenant, slug, count.due, goes, kept, count.undated, period)
            )
        return units

    def _by_period(self, policy: Policy, among: Sequence[str]) -> dict[str | None, list[str]]:
        """Return these tenants by their own period under a policy; None: the policy's."""
        groups: dict[str | None, list[str]] = defaultdict(list)
        for tenant in among:
            groups[self.periods.get((policy.name, TenantId(UUID(tenant))))].append(tenant)
        return groups

    def _state(self, policy: Policy, tenant: TenantId) -> str:
        return effective_state(policy, tenant, self.states)

    def _kept(
        self, policy: Policy, tenant: TenantId, count: _Count, fate: _Fate
    ) -> tuple[Kept, ...]:
        reasons = []
        if count.kept:
            reasons.append(Kept("minimum", count.kept))
        if not count.due:
            return tuple(reasons)
        # A hold is named before a pause: keeping by law weighs more than keeping by choice.
        if tenant in self.held:
            reasons.append(Kept("held", count.due))
        elif self._state(policy, tenant) == "paused":
            reasons.append(Kept("paused", count.due))
        elif fate.held:
            reasons.append(Kept("held", fate.held))
        if fate.stays:
            reasons.append(Kept("referenced", fate.stays, ", ".join(sorted(set(fate.kept_by)))))
        return tuple(reasons)

    def _counts(self, rule: Rule, cutoff: Any, tenants: Sequence[str]) -> dict[TenantId, _Count]:
        """Return what there is of rows past their period, or without one, per tenant."""
        # The way over a key is walked from the parent's side, where the index is.
        point = rule.point
        source, started = sql.SQL("{} r").format(table(rule.policy.table)), rule.started("r")
        if point.via is not None:
            started = sql.Identifier("p", point.column.name)
            source = sql.SQL("{} LEFT JOIN {} p ON p.tenant_id = r.tenant_id AND p.id = {}").format(
                source, table(point.table), sql.Identifier("r", point.via)
            )
        past = "{started} < %(cutoff)s"
        among = sql.SQL(f"({past} OR {{started}} IS NULL)" if self.undated else past)
        self.cursor.execute(
            sql.SQL(
                "SELECT r.tenant_id::text,"
                " count(*) FILTER (WHERE {started} < %(cutoff)s AND NOT {kept}),"
                " count(*) FILTER (WHERE {started} < %(cutoff)s AND {kept}),"
                " count(*) FILTER (WHERE {started} IS NULL) FROM {source}"
                " WHERE r.tenant_id = ANY(%(tenants)s::uuid[])"
                " AND {among} AND {matches}"
                " GROUP BY r.tenant_id"
            ).format(
                started=started,
                among=among.format(started=started),
                source=source,
                matches=rule.matches("r"),
                kept=rule.is_kept(rule.policy.table, "r") or sql.SQL("false"),
            ),
            {"cutoff": cutoff, "tenants": list(tenants)},
        )
        return {
            TenantId(UUID(tenant)): _Count(*numbers) for tenant, *numbers in self.cursor.fetchall()
        }

    def _fates(
        self,
        rule: Rule,
        family: Family,
        cutoff: Any,
        tenants: Sequence[TenantId],
        counts: Mapping[TenantId, _Count],
    ) -> dict[TenantId, _Fate]:
        if not rule.policy.removes:
            # Whoever refers to a row that is changed finds it there.
            family = Family((family.root,), (), (), ((family.root,),))
        fates: dict[TenantId, _Fate] = defaultdict(_Fate)
        partly = {hold.tenant_id for hold in self.holds_on_rows}.intersection(tenants)
        if len(family.members) == 1 and not family.keeping:
            fates |= {t: _Fate({0: counts[t].due}) for t in tenants if t not in partly}
            tenants = list(partly)
        if not tenants:
            return fates
        held = held_among_reach(
            [hold for hold in self.holds_on_rows if hold.tenant_id in partly], family, self.catalog
        )
        self.cursor.execute(
            fate_query(family, rule, held),
            {"cutoff": cutoff, "tenants": list(map(str, tenants))},
        )
        for what, tenant, member, rows, by in self.cursor.fetchall():
            fate = fates[TenantId(UUID(tenant))]
            if what == "goes":
                fate.goes[member] = rows
            elif what == "held":
                fate.held = rows
            elif what == "stays":
                fate.stays = rows
            else:
                fate.kept_by.append(by)
        return fates
