"""`tenure certificate`: what was deleted, with the proof that it is in the ledger."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from api.cli.retention_support import tenant_id_of
from api.cli.support import actor, failures, installation_of, write_file
from api.workshop import ledger_of
from retention.ledger.certificate import Issuer
from retention.ledger.certificate_evidence import find_subject
from retention.ledger.certificate_paper import to_pdf, to_text


@click.command(
    epilog="""\b
Example:
  tenure certificate 4bf92f3577b34da6a3ce929d0e0e4736
  tenure certificate 4bf92f3577b34da6a3ce929d0e0e4736 --format json --output deleted.json
  tenure certificate 4bf92f3577b34da6a3ce929d0e0e4736 --tenant acme --format pdf --output acme.pdf
  tenure certificate 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --format json --output erased.json
  tenure tenants offboard show acme --format json | jq -r .id
  tenure certificate 019f0c5e-8d12-7a44-b6d0-3f2c9e7a1b58 --format pdf --output left.pdf
  python verifier.py --key VKEY deleted.json

Exit codes: 0 issued, 2 wrong usage or failure."""
)
@click.argument("subject", metavar="RUN|ERASURE|OFFBOARDING")
@click.option("--tenant", metavar="SLUG", help="For this tenant, of nobody else.  [default: all]")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "pdf"]),
    default="text",
    show_default=True,
    help="JSON verifies; the others are for reading.",
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file."
)
@click.pass_context
def command(
    ctx: click.Context, *, subject: str, tenant: str | None, output_format: str, output: Path | None
) -> None:
    """Issue a certificate of what a RUN (its id or trace id), an ERASURE or an OFFBOARDING deleted.

    It states which rows of which tables went, under which version of which policy, before which
    cutoff, what was left and why, what the verification found after it, and what it does not
    cover. All of that is drawn from entries of the ledger, whose proofs are in the JSON: it
    verifies offline, with the public key alone (docs/ledger.md).

    One of an erasure states its clock, who approved which plan, what became of each table and what
    is kept on which basis, what others were asked, and the verification at its end; not whom it
    was about. It is there once the erasure is completed.

    One of an OFFBOARDING states that all rows of a tenant went: its grace, the export before it,
    each batch, what it waited for, what others were asked, what of our records stays and why, and
    the verification at its end. It is there once the offboarding is completed.

    That it was issued enters the ledger. Asked for again while nothing has changed, it is the
    same certificate.
    """
    if output_format == "pdf" and output is None and sys.stdout.isatty():
        raise click.UsageError("a PDF is not for a screen: say --output FILE")
    installation = installation_of(ctx)
    with failures():
        issuer = Issuer(
            ledger_of(installation, actor=actor()),
            installation.auditor,
            actor(),
            installation.settings.backups_kept_days,
        )
        whose = None if tenant is None else tenant_id_of(installation, tenant)
        with installation.auditor.transaction(None, read_only=True) as cursor:
            found = find_subject(cursor, subject, whose)
        issued = issuer.issue(found)
    statement = issued.certificate.statement
    if output_format == "json":
        content = issued.content
    elif output_format == "pdf":
        content = to_pdf(statement)
    else:
        content = to_text(statement).encode()
    if output is None:
        sys.stdout.buffer.write(content)
        return
    write_file(output, content)
