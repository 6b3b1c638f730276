"""How `tenure retention status` prints what it finds."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

import click

from api.cli.support import echo_rows
from retention.progress import RunProgress
from retention.reports.words import span_in_words
from retention.status import PolicyStatus, Status

_NAMED = 3


def _differing(policy: PolicyStatus, *, verbose: bool) -> str:
    """Return the tenants whose state or period is not the policy's: by name if few, else how
    many."""
    own = [(slug, state) for slug, state in policy.overrides.items() if state != policy.state]
    own += policy.periods.items()
    if verbose or len(own) <= _NAMED:
        return ", ".join(f"{slug}: {what}" for slug, what in own)
    counts = Counter(what for _, what in own)
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def echo_status(found: Status, *, verbose: bool) -> None:
    """Print the status for people; with `verbose`, every tenant whose state differs by name."""
    if found.stopped is not None:
        since = found.stopped.taken_at.isoformat(timespec="seconds")
        click.echo(f"STOPPED by {found.stopped.actor} since {since}: {found.stopped.reason}\n")
    echo_rows(
        ("policy", "version", "table", "period", "state", "next run", "tenants that differ"),
        [
            (
                p.policy,
                p.version,
                p.table,
                f"{p.period} after {p.starts}",
                p.state,
                _instant(p.next_run) if p.next_run else "never" if p.schedule else "every tick",
                _differing(p, verbose=verbose),
            )
            for p in found.policies
        ],
    )
    click.echo("")
    for alert in found.alerts:
        click.echo(
            f"ALERT {alert.kind} {alert.subject} since {_instant(alert.raised_at)}: {alert.detail}"
        )
    for gap in found.gaps:
        until = f"until {_instant(gap.until)}" if gap.until else "up to now"
        click.echo(f"GAP: nobody ticked from {_instant(gap.since)} {until}")
    for lease in found.leases:
        until = lease.lease_until.isoformat(timespec="seconds")
        who = f"held by {lease.holder} until {until}" if lease.in_force else "free"
        click.echo(f"lease {lease.name}: {who}, fence {lease.fence}")
    last = found.verification
    click.echo(
        "no verification yet"
        if last is None
        else f"last verification {last.finished_at.isoformat(timespec='seconds')}: "
        f"{last.findings} findings"
    )
    asked = found.erasures
    if asked.open:
        due = f", next due {_instant(asked.next_due)}" if asked.next_due else ""
        click.echo(
            f"erasures: {asked.open} open, {asked.overdue} overdue, {asked.deferred} deferred{due}"
        )
    click.echo("")
    for run in found.open_runs:
        _echo_open_run(run)
    echo_rows(
        ("run", "started", "as of", "state", "rows", "detail"),
        [
            (
                r.trace_id,
                r.started_at.isoformat(timespec="seconds"),
                r.as_of.isoformat(timespec="seconds"),
                r.state,
                r.rows,
                r.detail,
            )
            for r in found.runs
        ],
    )


def _echo_open_run(run: RunProgress) -> None:
    waiting = run.units - run.done - run.working - run.outside
    left = run.seconds_left
    soon = "nothing moves" if left is None else f"{span_in_words(timedelta(seconds=left))} left"
    click.echo(
        f"open run {run.trace_id}: {run.state}, {run.done} of {run.units} units done, "
        f"{run.working} worked on, {run.outside} outside of their window, {waiting} waiting; "
        f"{run.rows} of {run.planned} rows, {run.rate:g} rows/s, {soon}"
    )
    echo_rows(
        ("unit", "policy", "tenant", "rows", "planned", "worker", "until"),
        [
            (
                unit.number,
                unit.policy,
                unit.tenant,
                unit.rows,
                unit.planned,
                unit.holder if unit.in_force else f"{unit.holder} (silent)",
                unit.lease_until.isoformat(timespec="seconds"),
            )
            for unit in run.held
        ],
    )
    click.echo("")
