"""`tenure demo`: everything on this machine, with a shop full of data."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from api.cli.support import Failure, echo_json, failures, format_option
from api.demo.place import Place
from api.demo.processes import running
from api.demo.show import Show, Step, opened
from config.errors import AlreadyRunningError
from config.logging import configure_logging
from config.settings import load_settings
from retention.executor import RunReport

DEFAULT_PORT = 8000


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".tenure"),
    show_default=True,
    help="Where the demo keeps its database, logs and secrets.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help=f"Port on 127.0.0.1.  [default: {DEFAULT_PORT}, or a free one]",
)
@click.option("--exit", "exit_after", is_flag=True, help="Run everything once, stop it, exit.")
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    data_dir: Path,
    port: int | None,
    exit_after: bool,
    output_format: str,
) -> None:
    """Run everything on this machine: database, data, retention, API and pages.

    An embedded PostgreSQL (or the one of DATABASE_URL) with several shops and years of
    data; one retention pass, its verification and its ledger; then it serves until Ctrl-C and stops
    all it started. The data is kept for the next start. DIR/demo.json holds the logins.

    \b
    Example:
      tenure demo
      tenure demo --data-dir /tmp/demo --port 8080 --exit --format json
    """
    with failures():
        base = load_settings()
    configure_logging("console", "warning")
    # All of these end the demo as Ctrl-C does, and everything it started with it; also where
    # a script that starts it in the background has Ctrl-C ignored.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupt)
    place = Place(data_dir.resolve(), base)
    chosen = _port(port, say=output_format == "text")
    base_url = f"http://127.0.0.1:{chosen}"
    text = output_format == "text"
    try:
        with failures(), place.opened(port=chosen) as settings:
            show = Show(place, settings, base_url, tell=_tell if text else _say_nothing)
            installation = opened(show)
            try:
                note = show.fill(installation)
                report = show.retain(installation)
                verification = show.verify(installation, report)
                ledger = show.ledger(installation)
                with running(place.folder, chosen) as children:
                    show.call(note, chosen)
                    summary = {
                        **show.to_json(),
                        "base_url": base_url,
                        "data_dir": str(place.folder),
                        "run": report.to_json(),
                        "verification": verification.to_json(),
                        "ledger": ledger.to_json(),
                    }
                    if text:
                        _print_run(report)
                    else:
                        echo_json(summary)
                    if not exit_after:
                        if text:
                            _print_ways_in(note, report, place)
                        _serve(children, text)
            finally:
                installation.close()
    except Failure as failure:
        if isinstance(failure.__cause__, AlreadyRunningError):
            raise Failure(_already(place)) from failure
        raise
    except KeyboardInterrupt:
        if text:
            click.echo("stopped")
        return
    if not show.done:
        ctx.exit(1)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _port(wanted: int | None, *, say: bool) -> int:
    """Return the port to serve on; raises Failure where the wanted one is in use."""
    if _is_free(wanted or DEFAULT_PORT):
        return wanted or DEFAULT_PORT
    if wanted:
        raise Failure(f"port {wanted} on 127.0.0.1 is in use")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    if say:
        click.echo(f"port {DEFAULT_PORT} is in use: serving on {port}")
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _already(place: Place) -> str:
    note = place.read_note()
    where = f" at {note['base_url']}" if note else ""
    return f"a demo runs in {place.folder} already{where}; --data-dir DIR starts another"


def _serve(children: Mapping[str, subprocess.Popen[bytes]], text: bool) -> None:
    if text:
        click.echo("\nServing until Ctrl-C.")
    ended = threading.Event()
    while not ended.wait(0.5):
        for name, child in children.items():
            if child.poll() is not None:
                raise Failure(f"`tenure {name}` ended with {child.returncode}: see {name}.log")


def _say_nothing(_step: Step) -> None:
    """JSON is printed once, when all of it is ready, and nothing before it."""


def _tell(step: Step) -> None:
    mark = "ok" if step.done else "FAILED"
    if sys.stdout.isatty():
        mark = click.style(mark, fg="green" if step.done else "red")
    click.echo(f"{step.name:10} {mark}  {step.seconds:5.1f} s  {step.detail}")


def _print_run(report: RunReport) -> None:
    if not report.rows:
        click.echo("\nWhat the retention pass did: nothing was due.")
        return
    click.echo("\nWhat the retention pass did:")
    for table, rows in sorted(report.deleted().items()):
        click.echo(f"  {rows:8,}  {table}")


def _print_ways_in(note: dict[str, Any], report: RunReport, place: Place) -> None:
    tenant, other = note["tenants"][0], note["tenants"][1]
    base, token = note["base_url"], tenant["tokens"]["viewer"]
    tenure = shlex.quote(str(Path(sys.executable).with_name("tenure")))
    in_folder = f"cd {shlex.quote(str(place.folder))} && {tenure}"
    click.echo(
        f"""
Auditors' pages  {base}/console
  log in as      {note["auditor"]["email"]}  {note["auditor"]["password"]}
  this run       {base}/console/runs/{report.trace_id}
API              {base}/docs
  log in as      {tenant["logins"]["owner"]}  {tenant["password"]}  ({tenant["name"]})

Worth trying:
  curl -s '{base}/v1/invoices?status=eq.paid&order=issued_at.desc&limit=3' \\
    -H 'Authorization: Bearer {token}'
  curl -s '{base}/v1/customers?select=number,name&limit=3' \\
    -H 'Authorization: Bearer {other["tokens"]["viewer"]}'     # {other["name"]}
  curl -s '{base}/v1/invoices'                                  # nobody: 401

All logins and tokens: {place.note}
Commands on this demo, while it runs:
  {in_folder} retention status
  {in_folder} certificate {report.trace_id}     # what that pass deleted, with its proof"""
    )
