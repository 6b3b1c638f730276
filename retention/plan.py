"""The plan: what a run may delete, as a frozen value that prints and travels as JSON.

A plan pins the instant, the cutoff and version of every policy, and the catalog. What
`goes` is counted at the time of planning; `due` is the most that may go in the same run
once what refers to a row has gone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from retention.errors import PlanError
from retention.policies import Policy, digest_of
from tenants.catalog import Catalog
from tenants.context import TenantId
from tenants.errors import CatalogError

FORMAT = 3

KeptReason = Literal["held", "paused", "referenced", "minimum"]


@dataclass(frozen=True, slots=True)
class Kept:
    """Due rows of the policy's table that stay, and why. `detail` names who refers to them."""

    reason: KeptReason
    rows: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unit:
    """One policy in one tenant. `goes` has (table, rows), children first.

    `period` is the tenant's own, None where it has none.
    """

    policy: str
    tenant_id: TenantId
    tenant: str
    due: int
    goes: tuple[tuple[str, int], ...]
    kept: tuple[Kept, ...]
    undated: int
    period: str | None = None

    @property
    def may_run(self) -> bool:
        """True when something is due that neither a hold nor a pause keeps."""
        return self.due > sum(k.rows for k in self.kept if k.reason in ("held", "paused"))

    @property
    def rows(self) -> int:
        """How many rows go, all tables together."""
        return sum(rows for _, rows in self.goes)


@dataclass(frozen=True, slots=True)
class PlannedPolicy:
    """A policy as planned. `version` is None while the database has not recorded it.

    `order` lists its tables, children first. `beside` are the other policies on them: what
    they keep, or decide alone, is not touched.
    """

    policy: Policy
    version: int | None
    cutoff: datetime
    order: tuple[str, ...]
    beside: tuple[Policy, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run may do. Policies stand in the order in which they run."""

    as_of: datetime
    catalog_digest: str
    policies: tuple[PlannedPolicy, ...]
    units: tuple[Unit, ...]

    @property
    def digest(self) -> str:
        """SHA-256 over the plan's content, as hex."""
        return digest_of(self._content())

    @property
    def rows(self) -> int:
        """How many rows go, all units together."""
        return sum(unit.rows for unit in self.units)

    def without(self, units: Collection[tuple[str, TenantId]]) -> Plan:
        """Return the plan without the units of these policies and tenants."""
        kept = tuple(u for u in self.units if (u.policy, u.tenant_id) not in units)
        return replace(self, units=kept)

    def planned(self, policy: str) -> PlannedPolicy:
        """Return a policy of the plan; raises PlanError when it has none of this name."""
        for planned in self.policies:
            if planned.policy.name == policy:
                return planned
        raise PlanError(f"the plan has no policy {policy!r}")

    def cutoff(self, unit: Unit) -> datetime:
        """Return a unit's cutoff: under the tenant's own period, where it has one."""
        planned = self.planned(unit.policy)
        return (
            planned.cutoff
            if unit.period is None
            else planned.policy.cutoff(self.as_of, unit.period)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON's values, its digest among them."""
        return {**self._content(), "digest": self.digest}

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "as_of": self.as_of.isoformat(),
            "catalog": self.catalog_digest,
            "policies": [
                {
                    "definition": p.policy.definition(),
                    "version": p.version,
                    "cutoff": p.cutoff.isoformat(),
                    "order": list(p.order),
                    "beside": [b.definition() for b in p.beside],
                }
                for p in self.policies
            ],
            "units": [
                {
                    "policy": u.policy,
                    "tenant_id": str(u.tenant_id),
                    "tenant": u.tenant,
                    "due": u.due,
                    "goes": [{"table": table, "rows": rows} for table, rows in u.goes],
                    "kept": [
                        {"reason": k.reason, "rows": k.rows, "detail": k.detail} for k in u.kept
                    ],
                    "undated": u.undated,
                    "period": u.period,
                }
                for u in self.units
            ],
        }

    def to_text(self) -> str:
        """Return the plan for people."""
        return "\n".join(_lines(self))


def plan_from_json(text: str) -> Plan:
    """Read what `to_json` wrote; raises PlanError on anything else, and on a changed plan.

    The message says what is missing or wrong.
    """
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise PlanError("this is no plan: it is not a JSON object")
        if value["format"] != FORMAT:
            raise PlanError(f"the plan has format {value['format']!r}; this release reads {FORMAT}")
        plan = Plan(
            as_of=datetime.fromisoformat(value["as_of"]),
            catalog_digest=value["catalog"],
            policies=tuple(map(_policy, value["policies"])),
            units=tuple(map(_unit, value["units"])),
        )
        digest = value["digest"]
    except json.JSONDecodeError as error:
        raise PlanError(f"this is no plan: it is not JSON: {error}") from error
    except KeyError as error:
        raise PlanError(f"this is no plan: {error} is missing") from error
    except (ValueError, TypeError, AttributeError, RecursionError, CatalogError) as error:
        raise PlanError(f"this is no plan: {error}") from error
    if plan.digest != digest:
        raise PlanError("the plan was changed after it was made: its digest does not match")
    return plan


def _policy(value: Mapping[str, Any]) -> PlannedPolicy:
    return PlannedPolicy(
        policy=Policy.from_definition(value["definition"]),
        version=value["version"],
        cutoff=datetime.fromisoformat(value["cutoff"]),
        order=tuple(value["order"]),
        beside=tuple(map(Policy.from_definition, value["beside"])),
    )


def _unit(value: Mapping[str, Any]) -> Unit:
    return Unit(
        policy=value["policy"],
        tenant_id=TenantId(UUID(value["tenant_id"])),
        tenant=value["tenant"],
        due=value["due"],
        goes=tuple((g["table"], g["rows"]) for g in value["goes"]),
        kept=tuple(Kept(k["reason"], k["rows"], k["detail"]) for k in value["kept"]),
        undated=value["undated"],
        period=value["period"],
    )


def _lines(plan: Plan) -> Iterator[str]:
    yield f"Plan as of {plan.as_of.isoformat()}, digest {plan.digest[:16]}"
    for planned in plan.policies:
        policy = planned.policy
        version = "not recorded yet" if planned.version is None else f"version {planned.version}"
        yield ""
        yield f"{policy.name} ({version}): {policy.table}, {policy.period} after {policy.starts}"
        yield f"  cutoff {planned.cutoff.isoformat()}, order: {', '.join(planned.order)}"
        units = [u for u in plan.units if u.policy == policy.name]
        if not units:
            yield "  nothing is due"
        for unit in units:
            own = f" (after {unit.period})" if unit.period else ""
            yield f"  {unit.tenant}{own}: {', '.join(_parts(unit))}"
    yield ""
    yield f"{plan.rows} rows go."


def _parts(unit: Unit) -> Iterator[str]:
    yield f"{unit.due} due"
    for table, rows in unit.goes:
        if rows:
            yield f"{rows} of {table} go"
    for kept in unit.kept:
        by = f" by {kept.detail}" if kept.detail else ""
        yield f"{kept.rows} kept: {kept.reason}{by}"
    if unit.undated:
        yield f"{unit.undated} undated"


def catalog_digest(catalog: Catalog) -> str:
    """Return SHA-256 over what a plan relies on in a catalog, as hex."""
    return digest_of(
        [
            [
                str(table.name),
                table.kind,
                sorted([c.name, c.type, c.nullable] for c in table.columns),
                list(table.primary_key),
                sorted([k.name, list(k.columns), str(k.target)] for k in table.foreign_keys),
                sorted(
                    [s.column, s.kind_column or "", sorted([k, str(t)] for k, t in s.targets)]
                    for s in table.soft_references
                ),
            ]
            for table in sorted(catalog, key=lambda t: t.name)
        ]
    )
