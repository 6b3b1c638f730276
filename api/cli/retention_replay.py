"""`tenure retention replay`: what had gone before a restore goes again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from api.cli.retention_support import stop_signals
from api.cli.support import (
    Failure,
    actor,
    echo_json,
    echo_rows,
    failures,
    format_option,
    installation_of,
)
from api.cli.verifier_keys import keys_option
from api.workshop import workshop_of
from retention.errors import LedgerError
from retention.interventions import RESTORED
from retention.ledger.gone import GoneFolder
from retention.ledger.verifier import VerifierKey
from retention.replays.execution import Planned, Replayed


@click.command(
    "replay",
    epilog="""\b
Example, once the backup is restored and before anybody is let in:
  tenure retention replay --dry-run
  tenure retention replay
  tenure retention replay --records /var/lib/tenure/ledger-2025/deletions

Exit codes: 0 all of it went, 1 something is kept (a hold, a reference), connectors have not
answered or could not be asked again, or it was told to stop, 2 wrong usage or failure.""",
)
@click.option(
    "--records",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Further records of what went: the deletions of a former ledger's folder.",
)
@keys_option
@click.option(
    "--since",
    "notes",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A checkpoint that was given out: the records must reach as far.",
)
@click.option(
    "--accept-unsigned",
    is_flag=True,
    help="Believe lines that were never signed: look at them first.",
)
@click.option("--dry-run", is_flag=True, help="Show what would go again; change nothing.")
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    folders: tuple[Path, ...],
    keys: tuple[VerifierKey, ...],
    notes: tuple[Path, ...],
    accept_unsigned: bool,
    dry_run: bool,
    output_format: str,
) -> None:
    """Erase again, in a restored database, what had gone since its backup was made.

    What retention and erasures did is on record beside the ledger's checkpoints (ledger_dir), with
    hashes of the keys. What this database knows nothing of goes again, through holds, in batches,
    on record as a replay: rows, and files and what else connectors were asked for; the access of
    tenants that left ends again. It can be broken off at any moment and run again.

    All other retention is stopped by it: this database lacks the holds that were placed since its
    backup. Enter them again, and then let it start (tenure retention start --reason ..).

    The record is signed with the ledger's key. What was changed, cut off or added is refused, and
    nothing goes; so is a record that does not reach the last checkpoint in the folder. Whoever may
    write there could put an older folder back, checkpoints and all: a checkpoint that was kept
    elsewhere (--since) shows it.
    """
    installation = installation_of(ctx)
    with failures(), stop_signals() as stopping:
        shop = workshop_of(installation, actor=actor())
        if not folders and (shop.ledger is None or shop.ledger.outside is None):
            raise Failure("there are no records: set ledger_dir, or give --records")
        replayer = shop.replayer(
            map(GoneFolder, folders),
            keys=keys,
            given_out={str(path): path.read_bytes() for path in notes},
            accept_unsigned=accept_unsigned,
            stop=stopping.is_set,
        )
        records = replayer.sources.folders
        if not any(folder.path.is_dir() for folder in records):
            raise Failure(f"there are no records in {records[0].path}")
        if dry_run:
            _echo_plan(replayer.plan(), output_format)
            return
        done = replayer.run()
        refused = ""
        try:
            if shop.ledger is not None:
                shop.ledger.publish(wait=True)
        except LedgerError as error:
            refused = str(error)
    _echo_done(done, refused, output_format)
    ctx.exit(0 if done.whole else 1)


def _echo_plan(planned: Planned, output_format: str) -> None:
    if output_format == "json":
        echo_json(planned.to_json())
        return
    rows = [
        (tenant, table, action, count)
        for tenant, found in planned.found.items()
        for table, of in sorted(found.counts().items())
        for action, count in sorted(of.items())
    ]
    if rows:
        echo_rows(("tenant", "table", "would be done again", "rows"), rows)
    for tenant, elsewhere in sorted(planned.elsewhere.items()):
        for connector, count in sorted(elsewhere.counts().items()):
            click.echo(f"{connector} would be asked again: {count} requests of {tenant}")
        _echo_elsewhere(elsewhere.waits | elsewhere.lost, tenant)
    for wanted in planned.records.wanted:
        if wanted.offboarding is not None:
            click.echo(f"{wanted.tenant} had left: its members, tokens and sessions would end")
    batches = sum(wanted.batches for wanted in planned.records.wanted)
    total = sum(found.rows for found in planned.found.values())
    click.echo(f"{batches} batches are not known here; {total} of their rows are there")
    _echo_left(planned.records.left)


def _echo_done(done: Replayed, refused: str, output_format: str) -> None:
    if output_format == "json":
        echo_json({**done.to_json(), "ledger": refused or None})
        return
    rows = [
        (tenant.tenant, table, action, count)
        for tenant in done.tenants
        for table, of in sorted(tenant.rows.items())
        for action, count in sorted(of.items())
    ]
    if rows:
        echo_rows(("tenant", "table", "done again", "rows"), rows)
    total = sum(row[3] for row in rows)
    state = "stopped" if done.stopped else "done" if done.whole else "done, but for what is kept"
    click.echo(f"{state}: {total} rows, trace id {done.trace_id}")
    for tenant in done.tenants:
        for why, of in sorted(tenant.kept.items()):
            for table, count in sorted(of.items()):
                click.echo(f"kept ({why}): {count} rows of {table} of {tenant.tenant}")
        _echo_elsewhere(tenant.elsewhere, tenant.tenant)
    _echo_left(done.left)
    if done.restored:
        click.echo(f"retention is stopped: {RESTORED}")
    if refused:
        click.echo(f"the ledger: {refused}", err=True)


def _echo_elsewhere(why: Mapping[str, Mapping[str, int]], tenant: str) -> None:
    for reason, of in sorted(why.items()):
        for connector, count in sorted(of.items()):
            click.echo(f"left ({reason}): {count} requests to {connector} of {tenant}")


def _echo_left(left: Mapping[str, int]) -> None:
    for what, count in sorted(left.items()):
        click.echo(f"left: {count} {what}")
