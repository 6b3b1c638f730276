"""`tenure users`: logins and memberships."""

from __future__ import annotations

from dataclasses import asdict

import click

from api.auth.passwords import hash_password
from api.cli.support import Failure, echo_json, first_line_of_input, format_option, owner_cursor
from tenants.membership import (
    Ended,
    change_password,
    disable_login,
    enable_login,
    refuse_last_owner,
    remove_member,
)
from tenants.registry import MEMBER_ROLES, add_member, create_login, find_login, find_tenant


@click.group(
    epilog="""\b
Example:
  tenure users create ada@example.org --tenant acme --role owner
  tenure users create audit@example.org --auditor"""
)
def command() -> None:
    """Create logins, make them members of tenants, and end both.

    A member of a tenant is an owner or member (reads and writes), a viewer (reads), or an auditor
    (reads the tenant's evidence, and no data). A login that is made with --auditor belongs to no
    tenant, and reads the evidence of all.
    """


def _ask(password_stdin: bool) -> str:
    """Return a hash of the password; it is never an argument, which other users could see."""
    if password_stdin:
        password = first_line_of_input()
    else:
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    if not password:
        raise Failure("the password is empty, and nobody could log in with it")
    try:
        return hash_password(password)
    except ValueError as error:
        raise Failure(str(error)) from error


_password_stdin = click.option(
    "--password-stdin",
    is_flag=True,
    help="Read the password from standard input instead of asking for it.",
)
_force = click.option(
    "--force", is_flag=True, help="Even if a tenant is left without an owner who can log in."
)


@command.command(
    epilog="\b\nExample:\n  tenure users create ada@example.org --tenant acme --role owner"
)
@click.argument("email")
@click.option("--tenant", "tenant", metavar="SLUG", help="Make the login a member of this tenant.")
@click.option("--role", type=click.Choice(MEMBER_ROLES), help="Its role there.")
@click.option("--auditor", is_flag=True, help="Outside of all tenants; reads the evidence.")
@_password_stdin
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
@_force
@format_option
@click.pass_context
def join(
    ctx: click.Context, *, email: str, tenant: str, role: str, force: bool, output_format: str
) -> None:
    """Make EMAIL a member of a tenant, or change its role there."""
    with owner_cursor(ctx) as cursor:
        tenant_id, login_id = find_tenant(cursor, tenant).id, find_login(cursor, email)
        if role != "owner" and not force:
            refuse_last_owner(cursor, login_id, tenant_id)
        add_member(
            cursor,
            tenant_id=tenant_id,
            login_id=login_id,
            role=role,  # type: ignore[arg-type]  # click.Choice has checked it
        )
    if output_format == "json":
        echo_json({"email": email.lower(), "tenant": tenant, "role": role})
    else:
        click.echo(f"{email} is {role} of {tenant}")


@command.command(epilog="\b\nExample:\n  tenure users disable ada@example.org")
@click.argument("email")
@_force
@format_option
@click.pass_context
def disable(ctx: click.Context, *, email: str, force: bool, output_format: str) -> None:
    """Let EMAIL in nowhere any more: its sessions and tokens end at once.

    Its memberships stay, for `enable`; sessions and tokens do not come back.
    """
    with owner_cursor(ctx) as cursor:
        login_id = find_login(cursor, email)
        if not force:
            refuse_last_owner(cursor, login_id)
        ended = disable_login(cursor, login_id)
    _say(email, "disabled", ended, output_format)


@command.command(epilog="\b\nExample:\n  tenure users enable ada@example.org")
@click.argument("email")
@format_option
@click.pass_context
def enable(ctx: click.Context, *, email: str, output_format: str) -> None:
    """Let EMAIL in again, with the password it had; tokens are issued anew."""
    with owner_cursor(ctx) as cursor:
        enable_login(cursor, find_login(cursor, email))
    if output_format == "json":
        echo_json({"email": email.lower(), "state": "enabled"})
    else:
        click.echo(f"{email} is enabled")


@command.command(epilog="\b\nExample:\n  tenure users password ada@example.org")
@click.argument("email")
@_password_stdin
@format_option
@click.pass_context
def password(ctx: click.Context, *, email: str, password_stdin: bool, output_format: str) -> None:
    """Give EMAIL another password: its sessions end at once. Tokens stay."""
    password_hash = _ask(password_stdin)
    with owner_cursor(ctx) as cursor:
        ended = change_password(cursor, find_login(cursor, email), password_hash)
    _say(email, "given another password", ended, output_format)


@command.command(epilog="\b\nExample:\n  tenure users remove ada@example.org --tenant acme")
@click.argument("email")
@click.option("--tenant", "tenant", metavar="SLUG", required=True)
@_force
@format_option
@click.pass_context
def remove(ctx: click.Context, *, email: str, tenant: str, force: bool, output_format: str) -> None:
    """Take EMAIL out of a tenant: its sessions and tokens there end at once."""
    with owner_cursor(ctx) as cursor:
        tenant_id, login_id = find_tenant(cursor, tenant).id, find_login(cursor, email)
        if not force:
            refuse_last_owner(cursor, login_id, tenant_id)
        ended = remove_member(cursor, tenant_id=tenant_id, login_id=login_id)
    _say(email, f"removed from {tenant}", ended, output_format)


def _say(email: str, state: str, ended: Ended, output_format: str) -> None:
    if output_format == "json":
        echo_json({"email": email.lower(), "state": state, **asdict(ended)})
    else:
        click.echo(f"{email} is {state}; {ended.sessions} sessions and {ended.tokens} tokens ended")
