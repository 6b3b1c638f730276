"""`tenure ledger witness`: watches ledgers, ours or others', and cosigns their checkpoints."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from pathlib import Path

import click

from api.cli.support import Failure, echo_json, failures, format_option
from config.logging import configure_logging
from retention.ledger.checkpoint import COSIGNATURE, NoteError, VerifierKey
from retention.ledger.keys import create_key, read_key
from retention.ledger.witness import Witness
from retention.ledger.witness_server import server_of


@click.group(
    epilog="""\b
Example:
  tenure ledger witness new-key --name witness.example --key witness.key
  tenure ledger witness serve --key witness.key --folder seen --log VKEY"""
)
def witness() -> None:
    """Watch ledgers for others, and cosign what continues all that was seen before.

    A witness is worth something where somebody else runs it, on another machine, with a key that
    the ledger's operator cannot reach: they cannot then write the ledger anew, nor show one to some
    and another to others. It needs no database and no settings; it keeps one checkpoint a ledger.
    """


@witness.command(
    "new-key",
    epilog="""\b
Example:
  tenure ledger witness new-key --name witness.example --key witness.key""",
)
@click.option("--name", required=True, help="What the witness is called in its cosignatures.")
@click.option("--key", "path", required=True, type=click.Path(path_type=Path), help="A new file.")
@format_option
def new_key(*, name: str, path: Path, output_format: str) -> None:
    """Make the witness's private key; print the public one, for whoever is to verify."""
    with failures():
        made = create_key(path, name, COSIGNATURE).verifier_key
    if output_format == "json":
        echo_json({"file": path, "key": str(made)})
    else:
        click.echo(str(made))


@witness.command(
    epilog="""\b
Example:
  tenure ledger witness serve --key witness.key --folder seen --log VKEY
  tenure ledger witness serve --key witness.key --folder seen --log VKEY --port 8090"""
)
@click.option(
    "--key",
    "key_path",
    required=True,
    type=click.Path(path_type=Path),
    help="The witness's private key, from `new-key`.",
)
@click.option(
    "--folder",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the last checkpoint of each ledger is kept. Losing it is a new beginning.",
)
@click.option(
    "--log",
    "logs",
    metavar="VKEY",
    required=True,
    multiple=True,
    help="The public key of a ledger to watch; again for each, and for the key after this one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="Port."
)
def serve(*, key_path: Path, folder: Path, logs: tuple[str, ...], host: str, port: int) -> None:
    """Cosign checkpoints over HTTP (C2SP tlog-witness), until SIGTERM or Ctrl-C.

    Put a proxy with TLS in front where others are to reach it.
    """
    configure_logging("console", "info")
    try:
        watched = tuple(map(VerifierKey.parse, logs))
    except NoteError as error:
        raise Failure(str(error)) from error
    with failures():
        found = Witness(folder, watched, read_key(key_path, None, COSIGNATURE))
    try:
        server = server_of(found, host, port)
    except OSError as error:
        raise Failure(f"cannot listen on {host}:{port}: {error.strerror}") from error
    address, bound = server.server_address[:2]
    logging.getLogger(__name__).info("witness %s on %s:%s", found.signer.name, address, bound)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt  # serve_forever is left by an exception, not from its own thread

    # Both, for a shell's background job begins with SIGINT ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()
