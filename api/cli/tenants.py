"""`tenure tenants`: create, list, and offboard."""

from __future__ import annotations

from dataclasses import asdict

import click

from api.cli import tenants_offboard
from api.cli.support import echo_json, echo_rows, format_option, owner_cursor
from tenants.registry import create_tenant, list_tenants, slug_of


@click.group(
    epilog="""\b
Example:
  tenure tenants create "Acme Ltd"
  tenure tenants list --format json
  tenure tenants offboard request acme --reason "contract ended" --output acme.zip"""
)
def command() -> None:
    """Create, list and offboard tenants."""


command.add_command(tenants_offboard.command)


@command.command(epilog='\b\nExample:\n  tenure tenants create "Acme Ltd" --slug acme')
@click.argument("name")
@click.option("--slug", help="Short name for commands and URLs. Default: made of NAME.")
@format_option
@click.pass_context
def create(ctx: click.Context, name: str, slug: str | None, output_format: str) -> None:
    """Create the tenant NAME."""
    with owner_cursor(ctx) as cursor:
        slug = slug or slug_of(name)
        tenant_id = create_tenant(cursor, slug=slug, name=name)
    if output_format == "json":
        echo_json({"id": tenant_id, "slug": slug, "name": name})
    else:
        click.echo(f"{tenant_id}  {slug}")


@command.command("list", epilog="\b\nExample:\n  tenure tenants list --format json")
@format_option
@click.pass_context
def list_(ctx: click.Context, output_format: str) -> None:
    """List all tenants."""
    with owner_cursor(ctx) as cursor:
        rows = list_tenants(cursor)
    if output_format == "json":
        echo_json([asdict(row) for row in rows])
    else:
        echo_rows(("ID", "SLUG", "NAME"), [(row.id, row.slug, row.name) for row in rows])
