"""`tenure ledger forget`: a person whom the evidence names is named no more."""

from __future__ import annotations

from uuid import UUID

import click

from api.cli.retention_support import actor, tenant_id_of
from api.cli.support import (
    echo_json,
    echo_rows,
    failures,
    first_line_of_input,
    format_option,
    installation_of,
)
from api.workshop import workshop_of
from retention.ledger.forgetting import Place, ask, forgettings, places_naming
from retention.ledger.forgetting import forget as forget_text

_HELD = "under a hold: keeps it"


@click.group(
    epilog="""\b
Example, from the request to its end:
  tenure ledger forget ask --text command:ada --dry-run
  tenure ledger forget ask --text command:ada --reason "left in 2025, GDPR 17"
  tenure ledger forget do ID --text command:ada        (another person than who asked)
  tenure ledger forget list

Exit codes: 0 done, 2 wrong usage, refused or failure."""
)
def forget() -> None:
    """Forget a person whom the evidence names: as who acted, or in a reason or a matter.

    The text is replaced by a mark in all rows, and goes from the ledger with its salt; that this
    was done is entered. What the ledger is committed to stays, so whoever holds a checkpoint or an
    export finds nothing changed. After a restore of the database, it has to be done again.
    """


@forget.command(
    "ask",
    epilog="""\b
Example:
  tenure ledger forget ask --text command:ada --dry-run
  tenure ledger forget ask --text "Ada Lovelace" --parts --tenant acme --reason "GDPR 17"
  tenure ledger forget ask --text - --reason "GDPR 17" < name.txt""",
)
@click.option(
    "--text", required=True, metavar="TEXT", help="As it stands there; - reads it from the input."
)
@click.option("--parts", is_flag=True, help="Whole texts that contain it, too: reasons, matters.")
@click.option("--tenant", metavar="SLUG", help="Only what is this tenant's.  [default: all]")
@click.option("--reason", metavar="TEXT", help="Why; it must not name them.")
@click.option("--dry-run", is_flag=True, help="Show where it stands; ask for nothing.")
@format_option
@click.pass_context
def ask_(
    ctx: click.Context,
    *,
    text: str,
    parts: bool,
    tenant: str | None,
    reason: str | None,
    dry_run: bool,
    output_format: str,
) -> None:
    """Show where a text stands, and ask for it to be forgotten; prints the id.

    The text is not kept: who does it gives it once more.
    """
    if reason is None and not dry_run:
        raise click.UsageError("give a --reason, or --dry-run")
    sought = first_line_of_input() if text == "-" else text
    if reason is not None and sought.strip() and sought.lower() in reason.lower():
        raise click.UsageError("the reason names them: it would be kept")
    installation = installation_of(ctx)
    with failures():
        tenant_id = tenant_id_of(installation, tenant) if tenant else None
        places = places_naming(installation.verifier, sought, parts=parts, tenant_id=tenant_id)
        which = None
        if places and not dry_run and reason is not None:
            which = ask(
                installation.retention,
                sought,
                parts=parts,
                tenant_id=tenant_id,
                reason=reason,
                actor=actor(),
            )
    if output_format == "json":
        echo_json(
            {
                "id": None if which is None else str(which),
                "places": [
                    {
                        "table": place.table,
                        "column": place.column,
                        "tenant_id": place.tenant_id,
                        "rows": place.rows,
                        "held": place.held,
                    }
                    for place in places
                ],
            }
        )
        return
    _echo_places(places)
    if which is not None:
        click.echo()
        click.echo(str(which))


def _echo_places(places: tuple[Place, ...]) -> None:
    if not places:
        click.echo("it stands nowhere")
        return
    echo_rows(
        ("where", "tenant", "texts", ""),
        [
            (
                f"{place.table}: {place.column}",
                place.tenant_id or "-",
                str(place.rows),
                _HELD if place.held else "",
            )
            for place in places
        ],
    )


@forget.command(
    "do",
    epilog="""\b
Example:
  tenure ledger forget do 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --text command:ada""",
)
@click.argument("forgetting_id", metavar="ID", type=click.UUID)
@click.option(
    "--text", required=True, metavar="TEXT", help="What was asked for; - reads it from the input."
)
@format_option
@click.pass_context
def do(ctx: click.Context, *, forgetting_id: UUID, text: str, output_format: str) -> None:
    """Forget what was asked for, at once and for good.

    By another account than asked for it, unless the setting erasure_approval is single. Refused
    where a tenant whose records have the text is under a hold.
    """
    sought = first_line_of_input() if text == "-" else text
    installation = installation_of(ctx)
    with failures():
        counts = forget_text(
            installation.retention,
            forgetting_id,
            sought,
            actor=actor(),
            alone=installation.settings.erasure_approval == "single",
        )
        workshop_of(installation, actor=actor()).publish()
    if output_format == "json":
        echo_json({"id": str(forgetting_id), "counts": counts})
    else:
        echo_rows(("where", "texts"), [(where, str(many)) for where, many in counts.items()])


@forget.command(
    "list",
    epilog="""\b
Example:
  tenure ledger forget list --format json""",
)
@format_option
@click.pass_context
def list_(ctx: click.Context, *, output_format: str) -> None:
    """List what was asked for and what was done, by whom and why."""
    installation = installation_of(ctx)
    with failures():
        found = forgettings(installation.auditor)
    if output_format == "json":
        echo_json([each.to_json() for each in found])
        return
    echo_rows(
        ("id", "tenant", "asked", "by", "why", "done", "by", "texts"),
        [
            (
                each.id,
                each.tenant_id or "all",
                f"{each.requested_at:%Y-%m-%d}",
                each.requested_by,
                each.reason,
                f"{each.done_at:%Y-%m-%d}" if each.done_at else "not yet",
                each.done_by or "-",
                str(sum((each.counts or {}).values())),
            )
            for each in found
        ],
    )
