"""What people do to runs, as commands: `pause-run`, `resume-run`, `cancel-run`, `stop`, `start`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from api.cli.support import actor, echo_json, failures, format_option, installation_of
from retention import interventions
from retention.interventions import PATIENCE_S, Action

_reason = click.option("--reason", required=True, help="Why; it is recorded with your name.")
_patience = click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=PATIENCE_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for open batches to end.",
)


def _on_run(action: Action, what: str, done: str) -> click.Command:
    """Return the command that does `action` to a run, known by its trace id."""

    @click.argument("trace_id", metavar="TRACE_ID")
    @_reason
    @_patience
    @format_option
    @click.pass_context
    def command(
        ctx: click.Context, *, trace_id: str, reason: str, wait: float, output_format: str
    ) -> None:
        installation = installation_of(ctx)
        with failures():
            retention = installation.retention
            run_id = interventions.find_run(retention, trace_id)
            interventions.intervene(
                retention, run_id, action, actor=actor(), reason=reason, patience_s=wait
            )
        _echo({"run_id": run_id, "action": action, "reason": reason}, done, output_format)

    command.__doc__ = (
        f"{what}\n\nTRACE_ID is the run's trace id, or at least its first eight digits."
    )
    example = f'tenure retention {action}-run 01a22ab5 --reason "month-end"'
    make: Callable[[Callable[..., Any]], click.Command] = click.command(
        f"{action}-run", epilog=f"\b\nExample:\n  {example}"
    )
    return make(command)


pause_run = _on_run(
    "pause",
    "Pause a run. Once this returns, none of its batches commits until it is resumed.",
    "the run is paused",
)
resume_run = _on_run("resume", "Let a paused run go on where it was.", "the run goes on")
cancel_run = _on_run(
    "cancel",
    "End a run. Once this returns, none of its batches commits; what it left is planned again.",
    "the run is cancelled",
)


@click.command(
    epilog="""\b
Example:
  tenure retention stop --reason "restoring a backup" """
)
@_reason
@_patience
@format_option
@click.pass_context
def stop(ctx: click.Context, *, reason: str, wait: float, output_format: str) -> None:
    """Stop all retention, on every machine, leftovers of ours included. Once this returns, no
    batch commits.

    Runs stay open and go on after `tenure retention start`. Verification goes on.
    """
    installation = installation_of(ctx)
    with failures():
        interventions.stop(installation.retention, actor=actor(), reason=reason, patience_s=wait)
    _echo({"action": "stop", "reason": reason}, "retention is stopped", output_format)


@click.command(
    epilog="""\b
Example:
  tenure retention start --reason "the backup is restored" """
)
@_reason
@format_option
@click.pass_context
def start(ctx: click.Context, *, reason: str, output_format: str) -> None:
    """Let retention go on after a stop."""
    installation = installation_of(ctx)
    with failures():
        interventions.start(installation.retention, actor=actor(), reason=reason)
    _echo({"action": "start", "reason": reason}, "retention goes on", output_format)


def _echo(value: dict[str, Any], text: str, output_format: str) -> None:
    if output_format == "json":
        echo_json(value)
    else:
        click.echo(text)


COMMANDS = (pause_run, resume_run, cancel_run, stop, start)
