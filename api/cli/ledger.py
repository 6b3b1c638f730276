"""`tenure ledger`: what was done, in a tree whose growth an outsider can check."""

from __future__ import annotations

import click

from api.cli.ledger_export import export
from api.cli.ledger_forget import forget
from api.cli.ledger_keys import keys
from api.cli.ledger_verify import verify
from api.cli.ledger_witness import witness
from api.cli.retention_support import actor
from api.cli.support import echo_json, echo_rows, failures, format_option, installation_of
from api.workshop import ledger_of, outside_of
from retention.errors import LedgerError
from retention.ledger.proofs import Membership, at_index
from retention.ledger.publishing import Published
from retention.ledger.status import LedgerStatus, read_ledger_status


@click.group(
    epilog="""\b
Example:
  tenure ledger status
  tenure ledger publish
  tenure ledger prove 42
  tenure ledger verify
  tenure ledger export --output ledger.jsonl

Exit codes: 0 fine, 1 findings, 2 wrong usage or failure."""
)
def command() -> None:
    """Show, sign, verify and prove the ledger of what was done.

    What matters to compliance enters it by itself, in the transaction that does it. Its signed
    checkpoints are exported beside the database; whoever holds one can find out whether anything
    before it was changed since.
    """


@command.command(
    epilog="""\b
Example:
  tenure ledger status
  tenure ledger status --format json"""
)
@format_option
@click.pass_context
def status(ctx: click.Context, output_format: str) -> None:
    """Show what is in the ledger, what waits, and the last checkpoint."""
    installation = installation_of(ctx)
    with failures():
        found = read_ledger_status(installation.auditor, outside_of(installation.settings))
    if output_format == "json":
        echo_json(found.to_json())
    else:
        _echo_status(found)


def _echo_status(found: LedgerStatus) -> None:
    since = f", the first since {found.waiting_since:%Y-%m-%d %H:%M:%S}Z" if found.waiting else ""
    click.echo(f"entries     {found.size}, and {found.waiting} wait for their place{since}")
    if found.last is None:
        click.echo("checkpoint  none was signed")
    else:
        last = found.last
        given = f"{last.exported_at:%Y-%m-%d %H:%M:%S}Z" if last.exported_at else "not yet"
        click.echo(f"checkpoint  {last.size} entries, root {last.root}")
        click.echo(
            f"            signed {last.signed_at:%Y-%m-%d %H:%M:%S}Z, exported {given}, "
            f"{last.attestations} timestamps and cosignatures"
        )
    if found.folder:
        click.echo(f"folder      {found.folder}: {found.exported or 0} entries")
    if found.shipped is not None:
        click.echo(f"shipped     {found.shipped} entries")
    for key in found.keys:
        click.echo(f"key         {key}")
    if found.problem:
        click.echo(f"problem     {found.problem}")
    click.echo()
    echo_rows(
        ("fed from", "on", "since"),
        [
            (
                f"tenure.{source.table}",
                ", ".join(source.events)
                + (f" when {source.condition}" if source.condition else ""),
                f"{source.since:%Y-%m-%d}",
            )
            for source in found.sources
        ],
    )


@command.command(
    epilog="""\b
Example:
  tenure ledger publish
  tenure ledger publish --refill"""
)
@click.option("--refill", is_flag=True, help="Write all checkpoints into a folder that lost them.")
@format_option
@click.pass_context
def publish(ctx: click.Context, *, refill: bool, output_format: str) -> None:
    """Put in order what waits; sign it, and export the checkpoint.

    The worker and most commands do so after their work; this does it now. Nothing is signed that
    contradicts a checkpoint given out before: exit code 2, and why.
    """
    installation = installation_of(ctx)
    with failures():
        ledger = ledger_of(installation, actor=actor())
        if refill and ledger.outside is None:
            raise LedgerError("there is no folder: set ledger_dir, ledger_key_file, ledger_origin")
        published = ledger.publish(wait=True, refill=refill)
    if output_format == "json":
        echo_json(
            {
                "placed": published.placed,
                "signed": published.signed,
                "size": published.size,
                "not_shipped": published.not_shipped,
                "not_attested": list(published.not_attested),
            }
        )
    else:
        click.echo(_in_words(published))
    ctx.exit(1 if published.problems else 0)


def _in_words(published: Published) -> str:
    placed = f"{published.placed} entries were put in order"
    if published.size is None:
        return f"{placed}; nothing is signed without ledger_origin, ledger_key_file and ledger_dir"
    new = "a new checkpoint" if published.signed else "the last checkpoint"
    return "; ".join((placed, f"{new} is over {published.size}", *published.problems))


@command.command(
    epilog="""\b
Example:
  tenure ledger prove 0 > entry.tlog-proof
  tenure ledger prove 0 --size 1200 --format json"""
)
@click.argument("index", type=click.IntRange(0))
@click.option("--size", type=click.IntRange(1), help="Under the checkpoint over so many entries.")
@format_option
@click.pass_context
def prove(ctx: click.Context, *, index: int, size: int | None, output_format: str) -> None:
    """Print the proof that entry INDEX (from 0) is in the ledger, as C2SP tlog-proof@v1.

    The entry itself is the proof's `extra`. Without --size, the last checkpoint given out is
    proven under.
    """
    installation = installation_of(ctx)
    with (
        failures(),
        installation.auditor.transaction(
            None, isolation="REPEATABLE READ", read_only=True
        ) as cursor,
    ):
        found = at_index(cursor, index, size=size)
        if found.proof is None or found.leaf is None:
            raise LedgerError(f"entry {index} is under no checkpoint yet: `tenure ledger publish`")
    if output_format == "json":
        echo_json(_proof_json(found))
    else:
        click.echo(found.proof.text(found.leaf), nl=False)


def _proof_json(found: Membership) -> dict[str, object]:
    proof, leaf = found.proof, found.leaf or b""
    assert proof  # noqa: S101 - who calls has looked
    return {
        "index": proof.index,
        "kind": found.kind,
        "entry": leaf.decode(),
        "path": [each.hex() for each in proof.path],
        "size": proof.checkpoint.size,
        "checkpoint": proof.note.decode(),
    }


command.add_command(export)
command.add_command(forget)
command.add_command(keys)
command.add_command(verify)
command.add_command(witness)
