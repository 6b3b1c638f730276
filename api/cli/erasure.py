"""`tenure erasure`: a person asks to be erased, and is (GDPR 17)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import IO
from uuid import UUID

import click

from api.cli.erasure_output import (
    echo_erasure,
    echo_file,
    echo_letter,
    echo_list,
    echo_plan,
    echo_result,
)
from api.cli.retention_support import Instant, actor, stop_signals, tenant_id_of
from api.cli.support import echo_json, failures, first_line_of_input, format_option, installation_of
from api.workshop import desk_of, workshop_of
from retention.erasures.desk import Desk
from retention.erasures.requests import GROUNDS, REASONS

_id = click.argument("erasure_id", metavar="ID", type=click.UUID)


@click.group(
    epilog="""\b
Example, from the request to the answer:
  tenure erasure request --tenant acme --subject customer --by email --value - --requester "J. Doe"
  tenure erasure confirm ID --how "answered from the address on file"
  tenure erasure plan ID
  tenure erasure approve ID            (another person than who entered it)
  tenure erasure run ID                (or wait for the scheduler's next tick)
  tenure erasure letter ID --pdf letter.pdf

Exit codes: 0 done, 1 work left undone, 2 wrong usage or failure."""
)
def command() -> None:
    """Erase a person's data at their request (GDPR 17).

    What becomes of each table is declared in the domain's subjects.toml. What a legal hold or a
    minimum period keeps is waited for, and erased when that has ended. The answer is due within
    a month. When it is over, nothing here says any more whom it was about.
    """


def _desk(ctx: click.Context, stop: Callable[[], bool] | None = None) -> Desk:
    installation = installation_of(ctx)
    desk = desk_of(installation, workshop_of(installation, actor=actor()))
    return desk if stop is None else replace(desk, executor=replace(desk.executor, stop=stop))


@command.command(
    epilog="""\b
Example:
  tenure erasure request --tenant acme --subject customer --requester "J. Doe" --by email --value -
  tenure erasure request --tenant acme --subject customer --requester "counsel of J. Doe" \\
      --key 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --received-at 2026-03-05"""
)
@click.option("--tenant", required=True, metavar="SLUG", help="Whose data subject it is.")
@click.option("--subject", required=True, metavar="NAME", help="As subjects.toml names them.")
@click.option("--key", type=click.UUID, metavar="ID", help="The person's row, by its id.")
@click.option("--by", "column", metavar="COLUMN", help="The lookup column to find the person by.")
@click.option(
    "--value", metavar="TEXT", help="What it must be; - reads it from the input, not for others."
)
@click.option("--requester", required=True, metavar="TEXT", help="Who asks.")
@click.option("--received-at", type=Instant(), help="When the request came in.  [default: now]")
@format_option
@click.pass_context
def request(
    ctx: click.Context,
    *,
    tenant: str,
    subject: str,
    key: UUID | None,
    column: str | None,
    value: str | None,
    requester: str,
    received_at: datetime | None,
    output_format: str,
) -> None:
    """Enter a request; prints its id. The answer is due a month after it was received."""
    if (key is None) == (column is None) or (column is None) != (value is None):
        raise click.UsageError("give the person's --key, or --by with --value")
    if value == "-":
        value = first_line_of_input()
    with failures():
        desk = _desk(ctx)
        erasure = desk.request(
            tenant_id_of(installation_of(ctx), tenant),
            subject,
            key=key,
            lookup=None if column is None or value is None else (column, value),
            requester=requester,
            received_at=received_at,
        )
    if output_format == "json":
        echo_json(erasure.to_json())
    else:
        click.echo(str(erasure.id))


@command.command(
    epilog="""\b
Example:
  tenure erasure confirm 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --how "passport shown" """
)
@_id
@click.option("--how", required=True, metavar="TEXT", help="How they showed who they are.")
@format_option
@click.pass_context
def confirm(ctx: click.Context, erasure_id: UUID, how: str, output_format: str) -> None:
    """Record that the requester is who they say: confirmed by you, and how."""
    with failures():
        erasure = _desk(ctx).confirm(erasure_id, how=how)
    echo_erasure(erasure, output_format)


@command.command(
    epilog="""\b
Example:
  tenure erasure plan 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --dry-run
  tenure erasure plan 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --format json"""
)
@_id
@click.option("--dry-run", is_flag=True, help="Show it; keep nothing.")
@format_option
@click.pass_context
def plan(ctx: click.Context, erasure_id: UUID, dry_run: bool, output_format: str) -> None:
    """Show what would go, stay and wait, per table, and keep it as the plan to approve.

    Whoever plans again needs another approval.
    """
    with failures():
        made, number = _desk(ctx).plan(erasure_id, keep=not dry_run)
    echo_plan(made, number, output_format)


@command.command(
    epilog="""\b
Example:
  tenure erasure approve 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --plan 2"""
)
@_id
@click.option("--plan", "number", type=int, metavar="NUMBER", help="The plan that you looked at.")
@format_option
@click.pass_context
def approve(ctx: click.Context, erasure_id: UUID, number: int | None, output_format: str) -> None:
    """Approve the plan; the scheduler carries it out at its next tick.

    By another account than entered the request, unless the setting erasure_approval is single. An
    account is only a name; what was entered over the API is approved there.
    """
    with failures():
        erasure = _desk(ctx).approve(erasure_id, plan=number)
    echo_erasure(erasure, output_format)


@command.command(
    epilog="""\b
Example:
  tenure erasure extend 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --months 2 --reason complexity"""
)
@_id
@click.option("--months", type=click.IntRange(1, 2), required=True, help="By how many.")
@click.option("--reason", type=click.Choice(list(REASONS)), required=True, help="Why.")
@format_option
@click.pass_context
def extend(
    ctx: click.Context, *, erasure_id: UUID, months: int, reason: str, output_format: str
) -> None:
    """Put the due date off, by two months in all at most; then send the letter.

    The person is told within a month of the request, and why (GDPR 12(3)).
    """
    with failures():
        erasure = _desk(ctx).extend(erasure_id, months=months, reason=reason)
    echo_erasure(erasure, output_format)


@command.command(
    epilog="\b\nGrounds:\n"
    + "\n".join(f"  {name}" for name in GROUNDS)
    + """\n
\b
Example:
  tenure erasure refuse 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --ground legal-obligation"""
)
@_id
@click.option("--ground", type=click.Choice(list(GROUNDS)), required=True, help="Why not.")
@format_option
@click.pass_context
def refuse(ctx: click.Context, erasure_id: UUID, ground: str, output_format: str) -> None:
    """Refuse a request on a ground of the law, before anything is erased.

    The letter says the ground, and what the person can do about it (GDPR 12(4)).
    """
    with failures():
        erasure = _desk(ctx).refuse(erasure_id, ground=ground)
    echo_erasure(erasure, output_format)


@command.command(
    epilog="""\b
Example:
  tenure erasure withdraw 01a1f8b0-40cf-765f-99aa-7eac363e7fc8"""
)
@_id
@format_option
@click.pass_context
def withdraw(ctx: click.Context, erasure_id: UUID, output_format: str) -> None:
    """Record that the person took the request back, before anything is erased."""
    with failures():
        erasure = _desk(ctx).withdraw(erasure_id)
    echo_erasure(erasure, output_format)


@command.command(
    epilog="""\b
Example:
  tenure erasure run 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --dry-run
  tenure erasure run 01a1f8b0-40cf-765f-99aa-7eac363e7fc8"""
)
@_id
@click.option("--dry-run", is_flag=True, help="Show what would go now; erase nothing.")
@format_option
@click.pass_context
def run(ctx: click.Context, erasure_id: UUID, dry_run: bool, output_format: str) -> None:
    """Carry an approved erasure out now, or go on with one, as the scheduler does.

    It can be broken off at any moment and run again. Exit code 1 when it could not go on.
    """
    if dry_run:
        with failures():
            made, _ = _desk(ctx).plan(erasure_id, keep=False)
        echo_plan(made, None, output_format)
        return
    with failures(), stop_signals() as stopping:
        result = _desk(ctx, stopping.is_set).run(erasure_id)
        workshop_of(installation_of(ctx), actor=actor()).publish()
    echo_result(result, output_format)
    ctx.exit(0 if result.erasure.state in ("completed", "deferred") else 1)


@command.command(
    epilog="""\b
Example:
  tenure erasure show 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --format json"""
)
@_id
@format_option
@click.pass_context
def show(ctx: click.Context, erasure_id: UUID, output_format: str) -> None:
    """Show an erasure: whom it is about while it is open, its clock, plan, and what was done."""
    with failures():
        found = _desk(ctx).show(erasure_id)
    echo_file(found, output_format)


@command.command(
    "list",
    epilog="""\b
Example:
  tenure erasure list --overdue
  tenure erasure list --tenant acme --all --format json""",
)
@click.option("--tenant", metavar="SLUG", help="Only this tenant's.")
@click.option("--all", "ended", is_flag=True, help="Those that have ended, too.")
@click.option("--overdue", is_flag=True, help="Only those whose answer is overdue.")
@format_option
@click.pass_context
def list_(
    ctx: click.Context, *, tenant: str | None, ended: bool, overdue: bool, output_format: str
) -> None:
    """List erasures with their clocks, those due first ahead."""
    installation = installation_of(ctx)
    with failures():
        tenant_id = tenant_id_of(installation, tenant) if tenant else None
        found = _desk(ctx).list(tenant_id=tenant_id, ended=ended)
    now = installation.clock.now()
    if overdue:
        found = [erasure for erasure in found if erasure.is_overdue(now)]
    echo_list(found, now, output_format)


@command.command(
    epilog="""\b
Example:
  tenure erasure letter 01a1f8b0-40cf-765f-99aa-7eac363e7fc8
  tenure erasure letter 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --pdf letter.pdf"""
)
@_id
@click.option("--pdf", type=click.File("wb"), metavar="FILE", help="Write it as a PDF.")
@format_option
@click.pass_context
def letter(ctx: click.Context, erasure_id: UUID, pdf: IO[bytes] | None, output_format: str) -> None:
    """Print what the person is told, as things are: received, put off, done, waiting, refused.

    It is addressed by its reference, and names nobody: who the person is, you know.
    """
    with failures():
        written = _desk(ctx).letter(erasure_id)
    if pdf is not None:
        pdf.write(written.pdf())
    echo_letter(written, output_format, written=None if pdf is None else pdf.name)
