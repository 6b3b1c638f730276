"""`tenure users`: logins and memberships."""

from __future__ import annotations

import sys

import click

from api.auth.passwords import hash_password
from api.cli.support import Failure, echo_json, format_option, owner_cursor
from tenants.registry import MEMBER_ROLES, add_member, create_login, find_login, find_tenant


@click.group(
    epilog="""\b
Example:
  tenure users create ada@example.org --tenant acme --role owner
  tenure users create audit@example.org --auditor"""
)
def command() -> None:
    """Create logins and make them members of tenants.

    A member of a tenant is an owner or member (reads and writes) or a viewer (reads).
    An auditor belongs to no tenant and reads the evidence alone.
    """


def _ask(password_stdin: bool) -> str:
    """Return a hash of the password; it is never an argument, which other users could see."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        return hash_password(password)
    except ValueError as error:
        raise Failure(str(error)) from error


@command.command(
    epilog="\b\nExample:\n  tenure users create ada@example.org --tenant acme --role owner"
)
@click.argument("email")
@click.option("--tenant", "tenant", metavar="SLUG", help="Make the login a member of this tenant.")
@click.option("--role", type=click.Choice(MEMBER_ROLES), help="Its role there.")
@click.option("--auditor", is_flag=True, help="Outside of all tenants; reads the evidence.")
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from standard input instead of asking for it.",
)
@format_option
@click.pass_context
def create(
    ctx: click.Context,
    *,
    email: str,
    tenant: str | None,
    role: str | None,
    auditor: bool,
    password_stdin: bool,
    output_format: str,
) -> None:
    """Create the login EMAIL."""
    if auditor == (tenant is not None):
        raise click.UsageError("give either --tenant SLUG with --role, or --auditor")
    if (tenant is None) != (role is None):
        raise click.UsageError("--tenant and --role go together")
    password_hash = _ask(password_stdin)
    with owner_cursor(ctx) as cursor:
        login_id = create_login(
            cursor, email=email, password_hash=password_hash, is_auditor=auditor
        )
        if tenant is not None and role is not None:
            add_member(
                cursor,
                tenant_id=find_tenant(cursor, tenant).id,
                login_id=login_id,
                role=role,  # type: ignore[arg-type]  # click.Choice has checked it
            )
    if output_format == "json":
        echo_json({"id": login_id, "email": email.lower()})
    else:
        click.echo(f"{login_id}  {email.lower()}")


@command.command(
    epilog="\b\nExample:\n  tenure users join ada@example.org --tenant acme --role viewer"
)
@click.argument("email")
@click.option("--tenant", "tenant", metavar="SLUG", required=True)
@click.option("--role", type=click.Choice(MEMBER_ROLES), required=True)
@click.pass_context
def join(ctx: click.Context, *, email: str, tenant: str, role: str) -> None:
    """Make EMAIL a member of a tenant, or change its role there."""
    with owner_cursor(ctx) as cursor:
        add_member(
            cursor,
            tenant_id=find_tenant(cursor, tenant).id,
            login_id=find_login(cursor, email),
            role=role,  # type: ignore[arg-type]  # click.Choice has checked it
        )
    click.echo(f"{email} is {role} of {tenant}")
