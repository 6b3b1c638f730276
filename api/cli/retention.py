"""`tenure retention`: plan, run and look at what is deleted when its time is over."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import IO, Any

import click

from api.cli.retention_control import COMMANDS
from api.cli.retention_rules import COMMANDS as RULES
from api.cli.retention_status import echo_status
from api.cli.retention_support import Instant, read_plan, stop_signals, tenant_id_of
from api.cli.support import actor, echo_json, echo_rows, failures, format_option, installation_of
from api.wiring import Installation
from api.workshop import adaptive_pacers, clock_of, workshop_of
from retention.errors import PolicyError
from retention.executor import Options, Progress, RunReport
from retention.jobs import run_once
from retention.plan import Plan
from retention.policies import Policy, State
from retention.policy_records import set_state
from retention.status import read_status
from retention.workshop import Workshop

_EXIT = {"succeeded": 0, "succeeded_with_skips": 0, "failed": 2}


@click.group(
    epilog="""\b
Example:
  tenure retention plan --as-of 2026-01-01
  tenure retention run"""
)
def command() -> None:
    """Plan and run retention deletes.

    What is kept how long is declared in the domain's policies.toml.
    """


@dataclass(frozen=True, slots=True)
class Selection:
    """What to plan, as the options say."""

    as_of: datetime | None
    policies: tuple[str, ...]
    tenants: tuple[str, ...]


def _selection(function: Callable[..., None]) -> Callable[..., None]:
    """Add --as-of, --policy and --tenant, handed over as `selection`."""

    @click.option("--as-of", type=Instant(), help="As if it were then. Not in the future.")
    @click.option("--policy", "names", multiple=True, metavar="NAME", help="Only this policy.")
    @click.option("--tenant", "slugs", multiple=True, metavar="SLUG", help="Only this tenant.")
    @functools.wraps(function)
    def selected(
        *args: Any,
        as_of: datetime | None,
        names: tuple[str, ...],
        slugs: tuple[str, ...],
        **options: Any,
    ) -> None:
        function(*args, selection=Selection(as_of, names, slugs), **options)

    return selected


@command.command(
    epilog="""\b
Example:
  tenure retention plan --tenant acme --format json > plan.json"""
)
@_selection
@format_option
@click.pass_context
def plan(ctx: click.Context, selection: Selection, output_format: str) -> None:
    """Show what a run would delete, and what is kept and why. Changes nothing."""
    installation = installation_of(ctx)
    with failures():
        shop = workshop_of(installation, actor=actor())
        planned = _plan(installation, shop, selection)
    _echo_plan(planned, output_format)


@command.command(
    epilog="""\b
Example:
  tenure retention run
  tenure retention run --plan plan.json"""
)
@_selection
@click.option("--plan", "plan_file", type=click.File("rb"), help="Run this plan (JSON).")
@click.option("--dry-run", is_flag=True, help="Show the plan; delete nothing.")
@click.option("--batch-size", type=click.IntRange(1, 100_000), help="Rows per batch at most.")
@format_option
@click.pass_context
def run(
    ctx: click.Context,
    selection: Selection,
    *,
    plan_file: IO[bytes] | None,
    dry_run: bool,
    batch_size: int | None,
    output_format: str,
) -> None:
    """Delete what is due, in batches, each recorded in the transaction that deletes.

    Workers that run elsewhere help. Ctrl-C cancels it after the open batch. Exit code 1 when
    work was left undone (stalled, cancelled, paused, outside of a window).
    """
    if plan_file is not None and selection != Selection(None, (), ()):
        raise click.UsageError("--plan says what to run; leave --as-of, --policy, --tenant out")
    installation = installation_of(ctx)
    with failures(), stop_signals() as stopping:
        options = Options(
            batch_size=batch_size or installation.settings.batch_size,
            pacer=None if batch_size else adaptive_pacers(installation),
            stop=stopping.is_set,
            on_progress=_show_progress if sys.stderr.isatty() else _show_nothing,
        )
        shop = workshop_of(installation, actor=actor(), options=options)
        given = read_plan(plan_file) if plan_file else None

        def planned() -> Plan:
            return given or _plan(installation, shop, selection)

        if dry_run:
            _echo_plan(planned(), output_format)
            return
        report = run_once(shop, planned)
    if sys.stderr.isatty():
        click.echo("", err=True)
    if output_format == "json":
        echo_json(report.to_json())
    else:
        _echo_report(report)
    ctx.exit(_EXIT.get(report.state, 1))


@command.command(
    epilog="""\b
Example:
  tenure retention status"""
)
@click.option("--runs", type=click.IntRange(1, 1000), default=10, help="How many of the last.")
@click.option("--verbose", is_flag=True, help="Name every tenant whose state differs.")
@format_option
@click.pass_context
def status(ctx: click.Context, *, runs: int, verbose: bool, output_format: str) -> None:
    """Show the recorded policies, open runs with who works on what, the last runs and the last
    verification."""
    installation = installation_of(ctx)
    with failures():
        found = read_status(
            installation.auditor,
            now=clock_of(installation, installation.auditor).now(),
            tick=timedelta(seconds=installation.settings.retention_tick_s),
            runs=runs,
        )
    if output_format == "json":
        echo_json(found.to_json())
    else:
        echo_status(found, verbose=verbose)


@command.command(
    epilog="""\b
Example:
  tenure retention pause invoices --tenant acme"""
)
@click.argument("policy")
@click.option("--tenant", required=True, metavar="SLUG", help="For which tenant.")
@format_option
@click.pass_context
def pause(ctx: click.Context, policy: str, tenant: str, output_format: str) -> None:
    """Keep what a policy would delete in one tenant, until it is activated."""
    _set_state(installation_of(ctx), policy, tenant, "paused", output_format)


@command.command(
    epilog="""\b
Example:
  tenure retention activate invoices --tenant acme"""
)
@click.argument("policy")
@click.option("--tenant", required=True, metavar="SLUG", help="For which tenant.")
@format_option
@click.pass_context
def activate(ctx: click.Context, policy: str, tenant: str, output_format: str) -> None:
    """Let a policy delete in one tenant (after a pause, or an import)."""
    _set_state(installation_of(ctx), policy, tenant, "active", output_format)


def _set_state(
    installation: Installation, policy: str, slug: str, state: State, output_format: str
) -> None:
    with failures():
        shop = workshop_of(installation, actor=actor())
        _chosen(shop.policies, [policy])
        tenant = tenant_id_of(installation, slug)
        shop.record()
        set_state(installation.retention, tenant, policy, state, actor=shop.actor)
    if output_format == "json":
        echo_json({"policy": policy, "tenant": slug, "state": state})
    else:
        click.echo(f"policy {policy} is {state} for {slug}")


def _plan(installation: Installation, shop: Workshop, selection: Selection) -> Plan:
    return shop.plan(
        as_of=selection.as_of,
        only=_chosen(shop.policies, selection.policies),
        tenants=[tenant_id_of(installation, slug) for slug in selection.tenants] or None,
    )


def _chosen(policies: Collection[Policy], names: Sequence[str]) -> Collection[Policy]:
    known = {policy.name: policy for policy in policies}
    for name in names:
        if name not in known:
            raise PolicyError(f"there is no policy {name!r}; there are {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] or policies


def _echo_plan(planned: Plan, output_format: str) -> None:
    if output_format == "json":
        echo_json(planned.to_json())
    else:
        click.echo(planned.to_text())


def _show_nothing(_progress: Progress) -> None:
    return None


def _show_progress(progress: Progress) -> None:
    line = (
        f"\r\033[K[{progress.unit}/{progress.units}] {progress.policy} of {progress.tenant}: "
        f"{progress.unit_rows} rows, {progress.rows} in all"
    )
    click.echo(line, err=True, nl=False)


def _echo_report(report: RunReport) -> None:
    rows = [
        (unit.policy, unit.tenant, table, count)
        for unit in report.units
        for table, count in unit.deleted
    ]
    if rows:
        echo_rows(("policy", "tenant", "table", "deleted"), rows)
    click.echo(
        f"{report.state}: {report.rows} rows in {report.seconds:.1f} s, trace id {report.trace_id}"
    )
    if report.detail:
        click.echo(report.detail)


for _command in (*COMMANDS, *RULES):
    command.add_command(_command)
