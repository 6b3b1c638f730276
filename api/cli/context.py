"""`tenure context`: a way into a tenant's rows with psql, and the exchange of the context's key."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from psycopg2 import extensions

from api.cli.support import (
    Failure,
    actor,
    echo_json,
    echo_rows,
    failures,
    format_option,
    owner_cursor,
    settings_of,
)
from api.wiring import connections_of, sealer_of
from config.settings import Settings
from tenants.context import TenantId
from tenants.context_keys import begin_rotation, end_rotation, rotation_steps
from tenants.registry import find_tenant, get_tenant
from tenants.seal import key_id

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class _TenantFirst(click.Group):
    """A group in which what is no command is a tenant: `tenure context acme`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Read `acme --psql` as `show acme --psql`."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(
    cls=_TenantFirst,
    epilog="""\b
Example:
  tenure context acme
  tenure context acme --psql
  tenure context rotate --begin""",
)
def command() -> None:
    """Enter a tenant's context with psql, or exchange the key that seals it.

    `tenure context TENANT` is short for `tenure context show TENANT`.
    """


@command.command(
    epilog="\b\nExample:\n  tenure context show acme\n"
    "  tenure context acme --psql -- -c 'SELECT count(*) FROM shop.customers'"
)
@click.argument("tenant", metavar="TENANT")
@click.argument("psql_args", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--pid", type=click.IntRange(1, 2**31 - 1), help="The session's SELECT pg_backend_pid()."
)
@click.option("--psql", is_flag=True, help="Start psql in the context; arguments after -- are its.")
@click.option(
    "--role",
    type=click.Choice(["tenure_app", "tenure_retention"]),
    default="tenure_app",
    show_default=True,
    help="Whom psql logs in as.",
)
@format_option
@click.pass_context
def show(
    ctx: click.Context,
    *,
    tenant: str,
    psql_args: tuple[str, ...],
    pid: int | None,
    psql: bool,
    role: Any,
    output_format: str,
) -> None:
    """Print what a psql session has to run to see the rows of TENANT (its slug or id).

    The context lasts for one transaction, which what is printed begins; in psql, `:enter`
    begins the next. A sealed context is made for one session, known by its --pid; without it,
    what is printed lets psql ask for it.
    """
    settings = settings_of(ctx)
    if psql_args and not psql:
        raise click.UsageError("arguments after TENANT are psql's, and go with --psql")
    with failures():
        tenant_id = _tenant_id(settings, tenant)
        if psql:
            ctx.exit(_run_psql(settings, tenant_id, role, psql_args))
        lines = _lines(settings, tenant_id, pid)
    if output_format == "json":
        echo_json({"tenant": tenant_id, "lines": lines})
    else:
        click.echo("\n".join(lines))


def _tenant_id(settings: Settings, tenant: str) -> TenantId:
    verifier = connections_of(settings, "tenure_verifier", size=1)
    try:
        with verifier.transaction(None, read_only=True) as cursor:
            if _UUID.fullmatch(tenant):
                # In the context of nobody there are no rows, and psql would say nothing of it.
                return get_tenant(cursor, TenantId(uuid.UUID(tenant))).id
            return find_tenant(cursor, tenant).id
    finally:
        verifier.pool.close()


def _lines(
    settings: Settings, tenant_id: TenantId, pid: int | None, program: str = "tenure"
) -> list[str]:
    sealer = sealer_of(settings)
    if pid is None and sealer.mode == "sealed" and sealer.binding == "backend":
        return [
            "SELECT pg_catalog.pg_backend_pid() AS pid \\gset",
            f"\\set enter `{shlex.join([program, 'context', str(tenant_id)])} --pid :pid`",
            ":enter",
        ]
    return [f"BEGIN; {sealer.in_transaction(tenant_id, pid or 0)};"]


def _run_psql(
    settings: Settings, tenant_id: TenantId, role: Any, arguments: tuple[str, ...]
) -> int:
    program = shutil.which("psql")
    if program is None:
        raise Failure("psql is not installed here, or not on the PATH")
    ourselves = str(Path(sys.argv[0]).resolve())
    lines = _lines(settings, tenant_id, None, ourselves)
    if len(lines) == 1:
        lines = [f"\\set enter `{shlex.join([ourselves, 'context', str(tenant_id)])}`", ":enter"]
    login = extensions.parse_dsn(settings.role_url(role))
    with tempfile.TemporaryDirectory(prefix="tenure-psql-") as folder:
        # psql runs the one before anything else, and stays interactive. The other keeps the
        # password from where users see each other's: commands' arguments and environments.
        start, service = Path(folder) / "psqlrc", Path(folder) / "service"
        start.write_text("\n".join(["\\set QUIET on", "\\o /dev/null", *lines, "\\o", ""]))
        service.write_text("[tenure]\n" + "".join(f"{k}={v}\n" for k, v in login.items()))
        return subprocess.run(  # noqa: S603 - the person at the terminal chose the arguments
            [program, *arguments],
            env={
                **os.environ,
                "PSQLRC": str(start),
                "PGSERVICEFILE": str(service),
                "PGSERVICE": "tenure",
            },
            check=False,
        ).returncode


@command.command(
    epilog="""\b
Example:
  tenure context rotate --begin > new.key
  tenure context rotate --finish
  tenure context rotate --format json"""
)
@click.option("--begin", "step", flag_value="begin", help="Make the next key, and print it.")
@click.option("--finish", "step", flag_value="finish", help="Take the old key's power away.")
@click.option("--abandon", "step", flag_value="abandon", help="Take the next key's power away.")
@format_option
@click.pass_context
def rotate(ctx: click.Context, step: str | None, output_format: str) -> None:
    """Exchange the key that seals the context, while traffic runs.

    Begin; set TENURE_CONTEXT_KEY to the key that is printed, for every process, and restart
    them one by one: both keys are good meanwhile. Then, with the next key set here as well,
    finish. Without an option, lists the steps taken so far.
    """
    with failures():
        key = sealer_of(settings_of(ctx)).key
    with owner_cursor(ctx) as cursor:
        if step == "begin":
            following = secrets.token_bytes(32)
            begin_rotation(cursor, key, following, actor=actor())
        elif step is not None:
            end_rotation(cursor, key, finish=step == "finish", actor=actor())
        steps = rotation_steps(cursor)
    if step == "begin":
        # Only now: the transaction has been committed.
        if output_format == "json":
            echo_json({"context_key": following.hex(), "key_id": key_id(following)})
        else:
            click.echo(following.hex())
    elif output_format == "json":
        echo_json([asdict(taken) for taken in steps])
    else:
        echo_rows(
            ("TAKEN", "STEP", "KEY", "BY"),
            [(s.taken_at.isoformat(), s.step, s.key_id, s.actor) for s in steps],
        )
