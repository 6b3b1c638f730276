"""The work as a scheduler or a command has it done: under the lease, from policies to report."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from config.clock import Clock
from config.trace import TraceId, new_trace_id
from retention import lease as leases
from retention.errors import LeaseLostError
from retention.executor import Options, RunReport, close_interrupted
from retention.executor import run as run_plan
from retention.leftovers import Leftovers, delete_expired
from retention.plan import Plan
from retention.planner import plan as make_plan
from retention.policies import Policy
from retention.policy_records import record_policies
from retention.verification import VerificationReport, last_finished, verify
from tenants.catalog import Catalog
from tenants.connections import RoleConnections
from tenants.context import TenantId

VERIFY_EVERY = timedelta(hours=1)
_POLL_S = 0.1


@dataclass(frozen=True)
class Workshop:
    """What the work needs, and who has it done (`actor`)."""

    retention: RoleConnections
    verifier: RoleConnections
    catalog: Catalog
    policies: tuple[Policy, ...]
    clock: Clock
    actor: str
    options: Options = field(default_factory=Options)
    lease_ttl_s: float = leases.DEFAULT_TTL_S

    def plan(
        self,
        *,
        as_of: datetime | None = None,
        only: Collection[Policy] | None = None,
        tenants: Collection[TenantId] | None = None,
    ) -> Plan:
        """Plan; see `retention.planner.plan`. `only` restricts it to some policies."""
        return make_plan(
            self.verifier,
            self.catalog,
            self.policies if only is None else only,
            now=self.clock.now(),
            as_of=as_of,
            tenants=tenants,
            everything=self.policies,
        )

    def record(self) -> Mapping[str, int]:
        """Record changed policies; return every policy's version."""
        return record_policies(self.retention, self.policies, actor=self.actor)

    def run(self, plan: Plan, lease: leases.Lease, *, trace_id: TraceId) -> RunReport:
        """Run a plan under the lease; see `retention.executor.run`."""
        return run_plan(
            plan,
            retention=self.retention,
            verifier=self.verifier,
            catalog=self.catalog,
            lease=lease,
            now=self.clock.now(),
            actor=self.actor,
            trace_id=trace_id,
            options=self.options,
        )

    def verify(self, *, as_of: datetime | None = None, trace_id: TraceId) -> VerificationReport:
        """Verify; see `retention.verification.verify`."""
        return verify(
            self.verifier,
            self.retention,
            self.catalog,
            self.policies,
            now=self.clock.now(),
            actor=self.actor,
            trace_id=trace_id,
            as_of=as_of,
        )


def run_once(
    shop: Workshop,
    planned: Callable[[], Plan],
    *,
    trace_id: TraceId | None = None,
    wait_s: float = 10.0,
) -> RunReport:
    """Take the lease, record the policies, make the plan, run it.

    Waits up to `wait_s` seconds for another executor (a tick is short), then raises
    LeaseLostError.
    """
    lease = _acquire(shop, time.monotonic() + wait_s)
    if lease is None:
        raise LeaseLostError("another executor is at work; see `tenure retention status`")
    with leases.kept(shop.retention, lease):
        shop.record()
        return shop.run(planned(), lease, trace_id=trace_id or new_trace_id())


def _acquire(shop: Workshop, until: float) -> leases.Lease | None:
    while True:
        lease = leases.acquire(shop.retention, ttl_s=shop.lease_ttl_s)
        if lease is not None or time.monotonic() >= until or shop.options.stop():
            return lease
        time.sleep(_POLL_S)


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick did. `worked` is False where another process has the lease."""

    worked: bool
    plan: Plan | None = None
    run: RunReport | None = None
    verification: VerificationReport | None = None
    leftovers: Leftovers = field(default_factory=Leftovers)


def tick(shop: Workshop, *, verify_every: timedelta = VERIFY_EVERY) -> Tick:
    """Do what is due: run if something may go; verify after a run, and every so often; delete
    sessions and tokens whose time is over.

    Any number of processes may tick; the one with the lease works, the others return.
    """
    lease = leases.acquire(shop.retention, ttl_s=shop.lease_ttl_s)
    if lease is None:
        return Tick(worked=False)
    with leases.kept(shop.retention, lease):
        close_interrupted(shop.retention, lease)
        shop.record()
        plan = shop.plan()
        done = Tick(worked=True, plan=plan, leftovers=delete_expired(shop.retention))
        trace_id = new_trace_id()
        if any(unit.may_run and unit.rows for unit in plan.units):
            done = replace(done, run=shop.run(plan, lease, trace_id=trace_id))
        if shop.options.stop():
            return done
        last = last_finished(shop.retention)
        if done.run or last is None or shop.clock.now() - last >= verify_every:
            # As of the plan: what has come due since then is not overdue, but next.
            found = shop.verify(as_of=plan.as_of, trace_id=trace_id)
            done = replace(done, verification=found)
        return done
