"""`tenure tokens`: API tokens."""

from __future__ import annotations

import uuid
from datetime import timedelta

import click

from api.cli.support import echo_json, format_option, owner_cursor
from tenants.registry import find_login, find_tenant, issue_token, revoke_token


@click.group(
    epilog="""\b
Example:
  tenure tokens issue --tenant acme --email ada@example.org --name "nightly job" --days 90
  tenure tokens revoke 0190a2f4-5e6f-7a80-9b1c-2d3e4f5a6b7c"""
)
def command() -> None:
    """Issue and revoke API tokens.

    A token is 256 random bits; only its SHA-256 is stored, so it is shown once.
    """


@command.command(
    epilog="\b\nExample:\n  tenure tokens issue --tenant acme --email ada@example.org --name ci"
)
@click.option("--tenant", "tenant", metavar="SLUG", required=True)
@click.option("--email", required=True, help="The member the token acts for.")
@click.option("--name", required=True, help="What the token is for.")
@click.option("--days", type=click.IntRange(1, 3650), help="Lifetime. Default: no end.")
@format_option
@click.pass_context
def issue(
    ctx: click.Context, *, tenant: str, email: str, name: str, days: int | None, output_format: str
) -> None:
    """Issue a token and print it."""
    with owner_cursor(ctx) as cursor:
        token_id, token = issue_token(
            cursor,
            tenant_id=find_tenant(cursor, tenant).id,
            login_id=find_login(cursor, email),
            name=name,
            lifetime=timedelta(days=days) if days else None,
        )
    if output_format == "json":
        echo_json({"id": token_id, "token": token})
    else:
        click.echo(f"{token_id}  {token}")


@command.command(epilog="\b\nExample:\n  tenure tokens revoke 0190a2f4-5e6f-7a80-9b1c-2d3e4f5a6b7c")
@click.argument("token_id", type=click.UUID)
@format_option
@click.pass_context
def revoke(ctx: click.Context, token_id: uuid.UUID, output_format: str) -> None:
    """Revoke the token TOKEN_ID at once."""
    with owner_cursor(ctx) as cursor:
        revoke_token(cursor, token_id)
    if output_format == "json":
        echo_json({"id": token_id, "revoked": True})
    else:
        click.echo(f"revoked {token_id}")
