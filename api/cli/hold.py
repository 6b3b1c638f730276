"""`tenure hold`: legal holds on tenants."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

import click

from api.cli.retention import tenant_id_of
from api.cli.retention_support import actor
from api.cli.support import echo_json, echo_rows, failures, format_option, installation_of
from retention import holds


@click.group(
    epilog="""\b
Example:
  tenure hold place --tenant acme --matter "Smith v. Acme" --reason "litigation"
  tenure hold list"""
)
def command() -> None:
    """Place, release and list legal holds.

    Nothing of a tenant under hold is deleted or changed, by retention or through the API.
    """


@command.command(
    epilog="""\b
Example:
  tenure hold place --tenant acme --matter "Smith v. Acme" --reason "litigation" """
)
@click.option("--tenant", required=True, metavar="SLUG", help="Whose rows are held.")
@click.option("--matter", required=True, help="The case it is for.")
@click.option("--reason", required=True, help="Why these rows must be kept.")
@format_option
@click.pass_context
def place(ctx: click.Context, *, tenant: str, matter: str, reason: str, output_format: str) -> None:
    """Place a hold; prints its id. Waits for the tenant's open batch and writes."""
    installation = installation_of(ctx)
    with failures():
        hold_id = holds.place(
            installation.retention,
            tenant_id_of(installation, tenant),
            matter=matter,
            reason=reason,
            actor=actor(),
        )
    if output_format == "json":
        echo_json({"id": hold_id, "tenant": tenant, "matter": matter, "reason": reason})
    else:
        click.echo(str(hold_id))


@command.command(
    epilog="""\b
Example:
  tenure hold release 01a1f8b0-40cf-765f-99aa-7eac363e7fc8"""
)
@click.argument("hold_id", metavar="ID", type=click.UUID)
@format_option
@click.pass_context
def release(ctx: click.Context, hold_id: UUID, output_format: str) -> None:
    """Release a hold; what it deferred goes at the next run."""
    installation = installation_of(ctx)
    with failures():
        hold = holds.release(installation.retention, installation.verifier, hold_id, actor=actor())
    if output_format == "json":
        echo_json(asdict(hold))
    else:
        click.echo(f"released {hold.id} ({hold.matter}) on {hold.tenant}")


@command.command(
    "list",
    epilog="""\b
Example:
  tenure hold list --all --format json""",
)
@click.option("--tenant", metavar="SLUG", help="Only this tenant's.")
@click.option("--all", "released", is_flag=True, help="Released ones, too.")
@format_option
@click.pass_context
def list_(ctx: click.Context, tenant: str | None, released: bool, output_format: str) -> None:
    """List the holds in force."""
    installation = installation_of(ctx)
    with failures():
        tenant_id = tenant_id_of(installation, tenant) if tenant else None
        with installation.verifier.transaction(None, read_only=True) as cursor:
            found = holds.holds(cursor, tenant_id=tenant_id, released=released)
    if output_format == "json":
        echo_json([asdict(hold) for hold in found])
        return
    echo_rows(
        ("id", "tenant", "matter", "reason", "placed by", "placed at", "released at"),
        [
            (
                h.id,
                h.tenant,
                h.matter,
                h.reason,
                h.placed_by,
                h.placed_at.isoformat(timespec="seconds"),
                h.released_at.isoformat(timespec="seconds") if h.released_at else None,
            )
            for h in found
        ],
    )
