"""`tenure migrate`: the schema of the product and of the domain, up, down, or its state."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import click

from api.cli.support import (
    echo_json,
    echo_rows,
    failures,
    format_option,
    owner_cursor,
    settings_of,
)
from api.lint_catalog import database_catalog
from api.wiring import domain_of, migrator_of, passwords_of
from config.errors import ConfigError
from tenants.roles import prepare_database


@click.group(
    epilog="""\b
Example:
  tenure migrate up
  tenure migrate status --format json
  tenure migrate catalog --output catalog.json"""
)
def command() -> None:
    """Bring the database's schema up, down, or show where it is.

    Migrations run as tenure_owner, one runner at a time, each in a transaction. The
    product's and the domain's are numbered apart.
    """


@command.command(epilog="\b\nExample:\n  tenure migrate up")
@click.option(
    "--roles/--no-roles",
    default=None,
    help="Create the database roles first, as the user of DATABASE_URL. "
    "Default: unless that user is tenure_owner.",
)
@click.pass_context
def up(ctx: click.Context, roles: bool | None) -> None:
    """Prepare the database's roles and apply what is pending."""
    settings = settings_of(ctx)
    with failures():
        if settings.database_url is None:
            raise ConfigError("DATABASE_URL is not set")
        if roles is None:
            roles = urlsplit(settings.database_url).username != "tenure_owner"
        if roles:
            prepare_database(settings.database_url, passwords_of(settings))
        applied = migrator_of(settings).up()
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("nothing to apply")


@command.command(epilog="\b\nExample:\n  tenure migrate down --package shop --yes")
@click.option("--package", help="Whose last migration to take down. Default: the domain's.")
@click.confirmation_option(prompt="Take the last migration down? Its tables go with their rows.")
@click.pass_context
def down(ctx: click.Context, package: str | None) -> None:
    """Take the last applied migration of a package down."""
    settings = settings_of(ctx)
    with failures():
        reverted = migrator_of(settings).down(package or domain_of(settings).name)
    for name in reverted:
        click.echo(f"took down {name}")
    if not reverted:
        click.echo("nothing to take down")


@command.command(epilog="\b\nExample:\n  tenure migrate status --format json")
@format_option
@click.pass_context
def status(ctx: click.Context, output_format: str) -> None:
    """List every migration; exits with 1 when one is pending or was changed."""
    settings = settings_of(ctx)
    with failures():
        rows = migrator_of(settings).status()
    if output_format == "json":
        echo_json([asdict(row) for row in rows])
    else:
        echo_rows(
            ("PACKAGE", "MIGRATION", "APPLIED", "MS", "STATE"),
            [
                (
                    row.package,
                    row.name,
                    row.applied_at,
                    row.duration_ms,
                    "changed" if row.changed else "applied" if row.applied_at else "pending",
                )
                for row in rows
            ],
        )
    if any(row.changed or row.applied_at is None for row in rows):
        ctx.exit(1)


@command.command(epilog="\b\nExample:\n  tenure migrate catalog --output catalog.json")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write.  [default: standard output]",
)
@click.pass_context
def catalog(ctx: click.Context, output: Path | None) -> None:
    """Print the migrated tables as a catalog for `tenure lint --catalog`."""
    settings = settings_of(ctx)
    with owner_cursor(ctx) as cursor:
        found = database_catalog(cursor, ("tenure", domain_of(settings).schema))
    text = found.to_json() + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"wrote {len(found.tables)} tables to {output}")
