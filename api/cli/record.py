"""`tenure record`: keeps what the lint gate or the posture audit said, as evidence."""

from __future__ import annotations

from typing import IO

import click

from api.cli.inspecting import keep
from api.cli.support import echo_json, format_option, name_of, text_of


@click.command(
    epilog="""\b
Example:
  tenure lint --format json --output lint.json migrations/ app/
  tenure record lint.json --of 'revision 3f2a1b0'
  tenure posture --format json | tenure record - --of production"""
)
@click.argument("file", type=click.File("rb"))
@click.option("--of", "subject", required=True, help="What was looked at: a revision, a database.")
@format_option
@click.pass_context
def command(ctx: click.Context, file: IO[bytes], subject: str, output_format: str) -> None:
    """Keep FILE, which `tenure lint` or `tenure posture` printed with --format json.

    For a gate that ran elsewhere, as in CI, which needs no way into the database. The text is
    kept as it is, with its SHA-256, and when and by whom it was handed in.
    """
    kept, inspection = keep(ctx, text_of(file), subject, name=name_of(file))
    if output_format == "json":
        echo_json({"id": kept, "kind": inspection.kind, "passed": inspection.passed,
                   "findings": inspection.findings, "digest": inspection.digest})  # fmt: skip
    else:
        ended = "passed" if inspection.passed else f"{inspection.findings} findings"
        click.echo(f"{kept}  {inspection.kind} of {subject}: {ended}, sha256 {inspection.digest}")
