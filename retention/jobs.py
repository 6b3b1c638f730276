"""What a command or a tick has done: a run, a slice of open ones, requests to connectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from math import inf
from uuid import UUID

from structlog.contextvars import bound_contextvars

from config.trace import TraceId, new_trace_id
from retention import lease as leases
from retention.alerts import CONNECTORS, Looked, of_requests
from retention.connectors.delivery import Result, deliver_due
from retention.connectors.requests import requests
from retention.interventions import intervene
from retention.plan import Plan
from retention.run_report import OPEN_STATES, RunReport
from retention.runs import report_of
from retention.workshop import Workshop


def run_once(
    shop: Workshop, planned: Callable[[], Plan], *, trace_id: TraceId | None = None
) -> RunReport:
    """Record the policies, make the plan, open a run, and work on it until it has ended.

    Other workers may help. Where nobody can go on now (it was paused, or what is left waits
    for its window), the report says that it is open. When told to stop, the run is cancelled.
    Raises PlanError, RunError.
    """
    trace_id = trace_id or new_trace_id()
    with bound_contextvars(trace_id=trace_id):
        shop.look_for_restore()
        shop.record()
        run_id, report = open_and_work(shop, planned(), trace_id)
        if shop.options.stop() and report.state in OPEN_STATES:
            intervene(shop.retention, run_id, "cancel", actor=shop.actor, reason="told to stop")
            report = report_of(
                shop.verifier, run_id, round_trips=report.round_trips, seconds=report.seconds
            )
        shop.publish()
        return report


def open_and_work(
    shop: Workshop,
    plan: Plan,
    trace_id: TraceId,
    *,
    lease: leases.Lease | None = None,
    for_s: float = inf,
) -> tuple[UUID, RunReport]:
    began = time.monotonic()
    run_id = shop.open(plan, trace_id=trace_id, lease=lease)
    worker = shop.worker()
    worker.work(run_id, for_s=for_s)
    seconds = time.monotonic() - began
    return run_id, report_of(shop.verifier, run_id, round_trips=worker.round_trips, seconds=seconds)


def help_out(shop: Workshop, *, for_s: float = inf) -> int:
    """Work on whatever runs are open, as long as there is something to be had, for about so
    many seconds; return how many slices that were."""
    shop.look_for_restore()
    return shop.worker().work(for_s=for_s)


def ask_connectors(shop: Workshop, *, everything: bool = False) -> Mapping[Result, int]:
    """Attempt the requests to connectors that are due, or all; warn of those that are late.

    Returns how many attempts came to what.
    """
    results = deliver_due(shop.courier, everything=everything)
    with shop.verifier.transaction(None, read_only=True) as cursor:
        left = requests(cursor)
    shop.warn(of_requests(left), Looked(CONNECTORS))
    return results
