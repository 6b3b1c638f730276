"""`tenure ledger verify`: the ledger against itself, against what was given out, and the rows."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from cryptography import x509

from api.cli.support import (
    Failure,
    echo_json,
    echo_rows,
    failures,
    format_option,
    installation_of,
)
from api.cli.verifier_keys import keys_option
from api.workshop import attesters_of, outside_of
from retention.ledger import verifier
from retention.ledger.audit import LedgerAudit, audit_ledger
from retention.ledger.keys import key_steps
from retention.ledger.verifier import NoteError, Trust, VerifierError, VerifierKey

_NAMED = "believed because the database names it (--key: that which you were given otherwise)"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog="""\b
Example:
  tenure ledger verify
  tenure ledger verify --since checkpoint-of-january --format json
  tenure ledger verify --export ledger.jsonl --key VKEY
  tenure ledger verify --export ledger.jsonl --require-witness VKEY --require-timestamp tsa.pem

Exit codes: 0 it verifies, 1 findings, 2 wrong usage or failure."""
)
@click.option("--export", "export_file", type=_FILE, help="Check this file, and not the database.")
@click.option(
    "--since", type=_FILE, help="A checkpoint that was given out: nothing before it may differ."
)
@keys_option
@click.option(
    "--require-timestamp",
    "authorities",
    multiple=True,
    type=_FILE,
    metavar="CERTIFICATE",
    help="Refuse an export whose checkpoint has no timestamp under it (PEM); again for each.",
)
@click.option(
    "--require-witness",
    "witnesses",
    multiple=True,
    metavar="VKEY",
    help="Refuse an export whose checkpoint this witness did not cosign; again for each.",
)
@click.option("--whole", is_flag=True, help="Refuse an export that does not show every entry.")
@format_option
@click.pass_context
def verify(
    ctx: click.Context,
    *,
    export_file: Path | None,
    since: Path | None,
    keys: tuple[VerifierKey, ...],
    authorities: tuple[Path, ...],
    witnesses: tuple[str, ...],
    whole: bool,
    output_format: str,
) -> None:
    """Find what was changed since it was entered.

    Makes every leaf again from what is stored, the tree from the leaves, and compares: with the
    tree's nodes, with each signed checkpoint in the database and in the folder, and the rows of
    all tables that feed the ledger, as they stand now, with what was entered of them. What a
    superuser wrote past all triggers is found.

    Whoever also has the signing key could write everything anew: that is found by a checkpoint
    that was given out before (--since), and by the timestamps and cosignatures that the old
    checkpoints had, as long as they are kept. Whose signatures are believed, the database says,
    unless you do: give each key that you were given otherwise with --key.
    """
    if (authorities or witnesses) and not export_file:
        raise click.UsageError(
            "--require-timestamp and --require-witness are for --export; of the database, what the "
            "settings name is looked at"
        )
    with failures():
        note = since.read_bytes() if since else None
        if export_file:
            trust = _trust(keys or _keys_of_the_database(ctx), witnesses, authorities)
            named = not keys
            _verify_export(ctx, export_file, trust, note, output_format, whole=whole, named=named)
            return
        installation = installation_of(ctx)
        found = audit_ledger(
            installation.verifier,
            outside_of(installation.settings),
            attesters_of(installation.settings),
            keys=keys,
            since=(note, str(since)) if note is not None else None,
            on_progress=_show_progress if sys.stderr.isatty() else _show_nothing,
        )
    if output_format == "json":
        echo_json(found.to_json())
    else:
        _echo(found)
    ctx.exit(1 if found.found else 0)


def _keys_of_the_database(ctx: click.Context) -> tuple[VerifierKey, ...]:
    with installation_of(ctx).auditor.transaction(None, read_only=True) as cursor:
        keys = tuple(dict.fromkeys(step.key for step in key_steps(cursor)))
    if not keys:
        raise Failure("no key has signed yet; give one with --key")
    return keys


def _trust(
    keys: tuple[VerifierKey, ...], witnesses: tuple[str, ...], authorities: tuple[Path, ...]
) -> Trust:
    """Return who is believed; raises Failure naming what is no key or no certificate."""
    certificates = []
    for path in authorities:
        try:
            certificates.append(x509.load_pem_x509_certificate(path.read_bytes()))
        except ValueError as error:
            raise Failure(f"{path}: no certificate in PEM: {error}") from error
    try:
        return Trust(keys, tuple(map(VerifierKey.parse, witnesses)), tuple(certificates))
    except NoteError as error:
        raise Failure(str(error)) from error


def _verify_export(
    ctx: click.Context,
    path: Path,
    trust: Trust,
    since: bytes | None,
    output_format: str,
    *,
    whole: bool,
    named: bool,
) -> None:
    problem, known = None, None
    try:
        known = verifier.check(path, trust, since, whole=whole)
    except VerifierError as error:
        problem = str(error)
    if output_format == "json":
        echo_json(
            {
                "file": path,
                "verifies": problem is None,
                "problem": problem,
                "keys": [str(key) for key in trust.keys],
                "keys_from": "the database" if named else "--key",
                "what": known and known.what,
                "known": known and known.known,
                "not_known": known and known.unknown,
            }
        )
    else:
        click.echo(f"VERIFIED. {known}" if known else f"NOT VERIFIED: {problem}")
        if named:
            click.echo(f"{_NAMED}: {', '.join(map(str, trust.keys))}", err=True)
    ctx.exit(0 if known else 1)


def _echo(found: LedgerAudit) -> None:
    waiting = f"; {found.waiting} wait for their place" if found.waiting else ""
    click.echo(f"entries      {found.size}, made again from what is stored{waiting}")
    if found.uncovered:
        click.echo(f"             the last {found.uncovered} of them under no checkpoint")
    click.echo(
        f"checkpoints  {found.inside} in the database, {found.outside} in the folder"
        + (f", and the one of {found.since} that was given" if found.since is not None else "")
    )
    click.echo(f"attestations {found.attestations.verified} verified")
    for each in found.attestations.unchecked:
        click.echo(
            f"             {each.count} not looked at: {each.kind}s of {each.name}, whom the "
            "settings do not name"
        )
    click.echo(
        f"texts        {found.texts.kept} as entered, {found.texts.erased} gone with their rows, "
        f"{found.texts.forgotten} forgotten"
    )
    click.echo(
        f"hashes       {found.hashes.keys} of keys that went, as their batches' records have them"
    )
    if found.record is not None:
        click.echo(f"record       {found.record} batches of what went, outside of the database")
    for key in found.keys:
        click.echo(f"key          {key}")
    if found.named:
        click.echo(f"             {_NAMED}")
    click.echo()
    echo_rows(
        ("table", "as entered", "not entered yet", "columns not compared"),
        [
            (
                f"tenure.{each.table}",
                each.same,
                each.apart or "",
                ", ".join((*each.without, *each.beside)),
            )
            for each in found.tables
        ],
    )
    click.echo()
    for finding in found.findings:
        click.echo(str(finding))
    if found.found > len(found.findings):
        click.echo(f"and {found.found - len(found.findings)} more")
    click.echo(f"{found.found} findings")


def _show_nothing(_read: int) -> None:
    """Progress is for people who watch."""


def _show_progress(read: int) -> None:
    click.echo(f"\r\033[K{read} entries", err=True, nl=False)
