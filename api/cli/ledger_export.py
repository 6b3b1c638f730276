"""`tenure ledger export`: the ledger in one file that verifies offline."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from api.cli.retention_support import tenant_id_of
from api.cli.support import Failure, echo_json, failures, format_option, installation_of
from retention.ledger import export as exporting


@click.command(
    epilog="""\b
Example:
  tenure ledger export --output ledger.jsonl
  tenure ledger export --tenant acme --output acme.jsonl --format json
  tenure ledger export | gzip > ledger.jsonl.gz"""
)
@click.option("--tenant", metavar="SLUG", help="What this tenant may read; all else as hashes.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.  [default: standard output]",
)
@format_option
@click.pass_context
def export(
    ctx: click.Context, *, tenant: str | None, output: Path | None, output_format: str
) -> None:
    """Write all entries under the last checkpoint into one file that verifies offline.

    Whoever has it checks it with `verifier.py` (`tenure ledger verify --export`), and with the
    public key alone. A tenant's file shows other tenants' entries as their hashes, and verifies
    all the same.
    """
    installation = installation_of(ctx)
    with failures():
        of = tenant_id_of(installation, tenant) if tenant else None
        with (
            installation.auditor.transaction(
                None, isolation="REPEATABLE READ", read_only=True
            ) as cursor,
            _whole(output) as stream,
        ):
            exported = exporting.export(cursor, stream, of)
    if output is None:
        return
    if output_format == "json":
        echo_json(
            {
                "file": output,
                "entries": exported.size,
                "hashed": exported.hashed,
                "checkpoints": exported.checkpoints,
                "dropped": exported.dropped,
            }
        )
    else:
        hashed = f", {exported.hashed} of them as hashes alone" if exported.hashed else ""
        click.echo(f"{output}: {exported.size} entries{hashed}; {exported.checkpoints} checkpoints")


@contextmanager
def _whole(path: Path | None) -> Iterator[BinaryIO]:
    """Write a file that comes into being whole, or not at all; None is standard output."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=".export-", dir=path.parent)
        fresh = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from error
