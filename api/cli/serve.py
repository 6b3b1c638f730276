"""`tenure serve`: the application under gunicorn, one process with threads.

One process, because login attempts are counted, and figures kept, per process; several are
several `tenure serve` behind a balancer.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from functools import partial
from typing import Any

import click
import psycopg2
from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from api.app import create_app
from api.cli.support import Failure, failures, settings_of
from api.errors import ApiError
from api.wiring import (
    Installation,
    open_installation,
    refuse_too_many_connections,
    refuse_unset,
)
from config.settings import Role, Settings
from retention.holds import pass_gate
from tenants.connections import refuse_unsafe_role

#: What a process that serves connects as: one tenant at a time, and what auditors read.
SERVING: tuple[Role, ...] = ("tenure_app", "tenure_auditor")

_REQUEST_LINE = 8190
_GRACE_S = 20


class _Logger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's messages go where all others go; requests are logged by the application."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers to the root logger; `cfg` is gunicorn's."""
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            logger.handlers.clear()
            logger.propagate = True
        self.error_log.setLevel(logging.getLogger().level)

    def access(self, *_args: Any, **_kwargs: Any) -> None:
        """Say nothing: see `api.edge`."""


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn around an installation, which is opened in the worker, after the fork."""

    def __init__(self, settings: Settings, options: Mapping[str, Any]) -> None:
        self._settings = settings
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Hand the options over to gunicorn."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """Return the application, in the worker."""
        return application(open_installation(self._settings))


def server_of(settings: Settings, *, host: str, port: int, threads: int) -> Server:
    """Return the server; `.run()` blocks until SIGTERM or SIGINT and then exits the process."""
    return Server(
        settings,
        {
            "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": threads,
            "logger_class": _Logger,
            "limit_request_line": _REQUEST_LINE,
            "graceful_timeout": _GRACE_S,
            "proc_name": "tenure",
            "control_socket_disable": True,
        },
    )


def refuse_to_serve(settings: Settings) -> None:
    """Put everything together once, before the fork, so that what is wrong is said at start.

    Raises Failure when a setting, the domain or a resource is wrong, the database cannot be
    reached, or a role that serves could pass by row-level security.
    """
    with failures():
        refuse_unset(settings, SERVING, "secret_key")
        installation = open_installation(settings)
        try:
            serving = (installation.app_connections, installation.auditor)
            for connections in serving:
                refuse_unsafe_role(connections)
            refuse_too_many_connections(settings, serving)
            application(installation)
        except ApiError as error:
            raise Failure(str(error)) from error
        except psycopg2.OperationalError as error:
            raise Failure(f"the database cannot be reached: {error}".strip()) from error
        finally:
            installation.close()


def refuse_address(host: str, port: int) -> None:
    """Raise Failure where nobody can listen: gunicorn tries for long, and says so in its logs."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise Failure(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def application(installation: Installation) -> Flask:
    """Return the application with the gate of legal holds before its writes."""
    return create_app(installation, write_guard=partial(pass_gate, installation.app))


@click.command()
@click.option("--host", help="Address to listen on.  [default: setting host]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port.  [default: setting port]")
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="Requests served at the same time.",
)
@click.pass_context
def command(ctx: click.Context, host: str | None, port: int | None, threads: int) -> None:
    """Serve the API and the auditors' pages, until SIGTERM or Ctrl-C.

    Refuses to start on a database role that row-level security does not bind. It connects as
    tenure_app and tenure_auditor, and needs no other role's password.

    \b
    Example:
      tenure serve --host 0.0.0.0 --port 8080
    """
    # Whoever gets into the process finds nothing in it to log in with as another.
    settings = settings_of(ctx).for_roles(*SERVING)
    host, port = host or settings.host, port or settings.port
    refuse_to_serve(settings)
    refuse_address(host, port)
    server_of(settings, host=host, port=port, threads=threads).run()
