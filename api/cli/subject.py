"""`tenure subject`: what there is of a person, for them to have (GDPR 15)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import click

from api.cli.retention_support import Instant, actor, stop_signals, tenant_id_of
from api.cli.support import (
    echo_json,
    echo_rows,
    failures,
    first_line_of_input,
    format_option,
    installation_of,
)
from api.workshop import workshop_of
from retention.executor import Options
from retention.exports.new_file import new_file
from retention.exports.records import exports
from retention.subject_rows import find_person
from tenants.catalog import TableName


@click.group(
    epilog="""\b
Example:
  tenure subject export --tenant acme --subject customer --by email --value - --output person.zip
  tenure subject exports --tenant acme

Exit codes: 0 fine, 2 wrong usage or failure."""
)
def command() -> None:
    """Give a person a copy of their data (GDPR 15), and show who was given what.

    Whose data is where is declared in the domain's subjects.toml. (To erase it: `tenure erasure`.)
    """


@command.command(
    epilog="""\b
Example:
  tenure subject export --tenant acme --subject customer --by email --value - \\
      --output person.zip --reason "letter of 3 May"
  tenure subject export --tenant acme --subject customer \\
      --key 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --output person.zip
  unzip -d person person.zip && (cd person && sha256sum -c SHA256SUMS)"""
)
@click.option("--tenant", required=True, metavar="SLUG", help="Whose data subject it is.")
@click.option("--subject", required=True, metavar="NAME", help="As subjects.toml names them.")
@click.option("--key", type=click.UUID, metavar="ID", help="The person's row, by its id.")
@click.option("--by", "column", metavar="COLUMN", help="The lookup column to find the person by.")
@click.option(
    "--value", metavar="TEXT", help="What it must be; - reads it from the input, not for others."
)
@click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The zip to write; it must not be there yet.",
)
@click.option("--reason", metavar="TEXT", help="What for: a letter, a ticket.")
@click.option("--received-at", type=Instant(), help="When the person asked.  [default: now]")
@format_option
@click.pass_context
def export(
    ctx: click.Context,
    *,
    tenant: str,
    subject: str,
    key: UUID | None,
    column: str | None,
    value: str | None,
    output: Path,
    reason: str | None,
    received_at: datetime | None,
    output_format: str,
) -> None:
    """Write all that there is of one person: JSON and CSV per table, with a manifest.

    All of it is read in one snapshot. That it was written, by whom, how much, and the manifest's
    SHA-256 are on record, and enter the ledger; of the person only the hash of the key.
    """
    if (key is None) == (column is None) or (column is None) != (value is None):
        raise click.UsageError("give the person's --key, or --by with --value")
    if value == "-":
        value = first_line_of_input()
    installation = installation_of(ctx)
    with failures(), stop_signals() as stopping:
        tenant_id = tenant_id_of(installation, tenant)
        shop = workshop_of(installation, actor=actor(), options=Options(stop=stopping.is_set))
        declared = shop.subject(subject)
        if key is None and value is not None:
            with installation.retention.transaction(tenant_id, read_only=True) as cursor:
                key = find_person(
                    cursor, declared, installation.catalog, tenant_id, value, column=column
                )
        assert key is not None  # noqa: S101 - given, or found
        with new_file(output) as out:
            made = replace(shop.exporter, on_rows=_progress).of_subject(
                out, tenant_id, declared, key, actor=shop.actor, reason=reason,
                received_at=received_at,
            )  # fmt: skip
        shop.publish()
    if output_format == "json":
        echo_json({**made.to_json(), "file": str(output)})
        return
    echo_rows(("table", "rows"), list((made.counts or {}).items()))
    click.echo(f"{output}: {made.bytes} bytes, manifest {made.manifest_sha256}")


def _progress(table: TableName, rows: int) -> None:
    if rows % 100_000 < 2_000 and rows >= 100_000:
        click.echo(f"{table}: {rows} rows", err=True)


@command.command(
    "exports",
    epilog="""\b
Example:
  tenure subject exports --tenant acme --format json""",
)
@click.option("--tenant", metavar="SLUG", help="Only this tenant's.")
@format_option
@click.pass_context
def exports_(ctx: click.Context, tenant: str | None, output_format: str) -> None:
    """List exports, the latest first; one that stays begun was broken off."""
    installation = installation_of(ctx)
    with failures():
        tenant_id = tenant_id_of(installation, tenant) if tenant else None
        with installation.verifier.transaction(None, read_only=True) as cursor:
            found = exports(cursor, tenant_id=tenant_id)
    if output_format == "json":
        echo_json([one.to_json() for one in found])
        return
    echo_rows(
        ("id", "of", "by", "reason", "began", "state", "rows", "manifest"),
        [
            (
                e.id,
                e.subject or "the tenant",
                e.requested_by,
                e.reason,
                e.began_at.isoformat(timespec="seconds"),
                e.state if e.problem is None else f"{e.state}: {e.problem}",
                None if e.counts is None else sum(e.counts.values()),
                e.manifest_sha256,
            )
            for e in found
        ],
    )
