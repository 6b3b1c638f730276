"""`tenure worker`: plans and works on retention, in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import click

from api.cli.retention_support import stop_signals
from api.cli.support import failures, installation_of, settings_of
from api.scheduler import RetentionScheduler
from api.wiring import refuse_too_many_connections, refuse_unset
from config.settings import Role
from tenants.connections import refuse_unsafe_role

#: What a process that works on retention connects as.
WORKING: tuple[Role, ...] = ("tenure_retention", "tenure_verifier")

_IDLE_POLL_S = 0.5


@click.command()
@click.option("--once", is_flag=True, help="Do what is due now, and end.")
@click.option("--idle-exit", is_flag=True, help="Plan nothing; end when no open run needs work.")
@click.pass_context
def command(ctx: click.Context, *, once: bool, idle_exit: bool) -> None:
    """Plan and work on retention until SIGTERM or Ctrl-C.

    Any number of workers may run, on any number of machines, and share the units of open runs.
    A lease in the database decides which of them plans. Stopping one ends its open batch;
    nothing is half done, and others go on with the rest.

    \b
    Example:
      TENURE_RETENTION_TICK_S=60 tenure worker
      tenure worker --once
      tenure worker --idle-exit
    """
    if once and idle_exit:
        raise click.UsageError("--once plans and --idle-exit does not; choose one")
    with failures(), stop_signals() as ended:
        refuse_unset(settings_of(ctx), WORKING)
        installation = installation_of(ctx)
        working = (installation.retention, installation.verifier)
        for connections in working:
            refuse_unsafe_role(connections)
        refuse_too_many_connections(installation.settings, working)
        scheduler = RetentionScheduler(installation, actor="worker", stopping=ended)
        if once:
            if scheduler.tick() is None and not ended.is_set():
                ctx.exit(2)
        elif idle_exit:
            _until_idle(scheduler.help_out, ended)
        else:
            with scheduler:
                ended.wait()


def _until_idle(help_out: Callable[[], int], ended: threading.Event) -> None:
    """Help until twice in a row there was nothing to be had."""
    idle = 0
    while idle < 2 and not ended.is_set():
        idle = 0 if help_out() else idle + 1
        ended.wait(_IDLE_POLL_S if idle else 0)
