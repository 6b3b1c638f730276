"""`tenure ledger keys`: the key that signs the ledger's checkpoints."""

from __future__ import annotations

import click

from api.cli.retention_support import actor
from api.cli.support import (
    echo_json,
    echo_rows,
    failures,
    format_option,
    installation_of,
    settings_of,
)
from api.workshop import ledger_of
from config.errors import ConfigError
from config.settings import variable
from retention.ledger.keys import create_key, key_steps


@click.group(
    epilog="""\b
Example:
  tenure ledger keys new
  tenure ledger keys show"""
)
def keys() -> None:
    """Make, exchange and show the key that signs checkpoints (Ed25519)."""


@keys.command(
    epilog="""\b
Example:
  tenure ledger keys new"""
)
@format_option
@click.pass_context
def new(ctx: click.Context, output_format: str) -> None:
    """Make the private key, in the file that the settings name; print the public one.

    The public one is for whoever is to verify: let them have it by another way than the
    checkpoints themselves.
    """
    settings = settings_of(ctx)
    with failures():
        if settings.ledger_key_file is None or settings.ledger_origin is None:
            names = f"{variable('ledger_key_file')} and {variable('ledger_origin')}"
            raise ConfigError(f"set {names}: where the key will be, and what it signs as")
        made = create_key(settings.ledger_key_file, settings.ledger_origin).verifier_key
    if output_format == "json":
        echo_json({"file": settings.ledger_key_file, "key": str(made)})
    else:
        click.echo(str(made))


@keys.command(
    epilog="""\b
Example:
  tenure ledger keys rotate
  tenure ledger keys rotate --lost"""
)
@click.option("--lost", is_flag=True, help="The old key is not there to sign any more.")
@format_option
@click.pass_context
def rotate(ctx: click.Context, *, lost: bool, output_format: str) -> None:
    """Put a new key into the place of the old one; print both public ones.

    That and since when enters the ledger, and the first checkpoint over it is signed by both.
    Other machines that publish need the new file: until then they sign nothing. Cut short, it
    is gone on with by calling it again.
    """
    installation = installation_of(ctx)
    with failures():
        old, following = ledger_of(installation, actor=actor()).rotate(lost=lost)
    if output_format == "json":
        echo_json({"previous": str(old), "key": str(following)})
    else:
        click.echo(f"{old}\n{following}")


@keys.command(
    epilog="""\b
Example:
  tenure ledger keys show"""
)
@format_option
@click.pass_context
def show(ctx: click.Context, output_format: str) -> None:
    """Show which keys signed, since when, and who installed them."""
    installation = installation_of(ctx)
    with failures(), installation.auditor.transaction(None, read_only=True) as cursor:
        steps = key_steps(cursor)
    if output_format == "json":
        echo_json(
            [
                {
                    "taken_at": step.taken_at,
                    "step": step.step,
                    "key": str(step.key),
                    "previous": str(step.previous) if step.previous else None,
                    "actor": step.actor,
                }
                for step in steps
            ]
        )
    else:
        echo_rows(
            ("TAKEN", "STEP", "KEY", "BY"),
            [(step.taken_at, step.step, step.key, step.actor) for step in steps],
        )
