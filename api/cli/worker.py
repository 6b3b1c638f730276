"""`tenure worker`: the retention scheduler in a process of its own."""

from __future__ import annotations

import signal
import threading

import click

from api.cli.support import failures, installation_of
from api.scheduler import RetentionScheduler
from api.wiring import refuse_too_many_connections
from tenants.connections import refuse_unsafe_role


@click.command()
@click.pass_context
def command(ctx: click.Context) -> None:
    """Run the retention scheduler until SIGTERM or Ctrl-C.

    Any number of workers may run, on any number of machines: a lease in the database
    decides which one works. Stopping one ends its open batch, and nothing is half done.

    \b
    Example:
      TENURE_RETENTION_TICK_S=60 tenure worker
    """
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: ended.set())
    with failures():
        installation = installation_of(ctx)
        working = (installation.retention, installation.verifier)
        for connections in working:
            refuse_unsafe_role(connections)
        refuse_too_many_connections(installation.settings, working)
        with RetentionScheduler(installation, actor="worker"):
            ended.wait()
