"""What the server's commands share: settings, the wired installation, output."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import click
import peewee
import psycopg2

from api.wiring import Installation, open_installation, owner_of
from config.errors import ConfigError
from config.logging import configure_logging
from config.settings import Settings, load_settings
from retention.errors import RetentionError
from tenants.connections import Cursor
from tenants.errors import TenantError

F = TypeVar("F", bound=Callable[..., Any])


class Failure(click.ClickException):
    """A failure that the user can read and act on; exit code 2."""

    exit_code = 2


@contextmanager
def failures() -> Iterator[None]:
    """Turn our own errors, the database's and the file system's into one line and exit code 2.

    Anything else is a bug, and shows.
    """
    try:
        yield
    except (ConfigError, TenantError, RetentionError) as error:
        raise Failure(str(error)) from error
    except (psycopg2.Error, peewee.DatabaseError) as error:
        raise Failure(f"the database says: {str(error).strip()}") from error
    except OSError as error:
        said = error.strerror or str(error)
        raise Failure(f"{error.filename}: {said}" if error.filename else said) from error


def name_of(file: IO[bytes]) -> str:
    """Return what to call a file that click opened, standard input included."""
    return str(getattr(file, "name", "<stdin>"))


def text_of(file: IO[bytes]) -> str:
    """Return a file's text; raises Failure that names it where it is none."""
    try:
        return file.read().decode()
    except UnicodeDecodeError as error:
        raise Failure(f"{name_of(file)}: not a text in UTF-8: {error.reason}") from error
    except OSError as error:
        raise Failure(f"{name_of(file)}: {error.strerror or error}") from error


def first_line_of_input() -> str:
    """Return the first line of standard input, without its end; raises Failure for no text."""
    try:
        return sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise Failure(f"<stdin>: not a text in UTF-8: {error.reason}") from error


def write_file(path: Path, content: bytes) -> None:
    """Write a file; raises Failure that names it, where the system names none (a full disk)."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}") from error


def settings_of(ctx: click.Context) -> Settings:
    """Return the settings, loaded once per command; sets logging up."""
    root = ctx.find_root()
    settings = root.meta.get("tenure.settings")
    if settings is None:
        with failures():
            settings = load_settings()
        chosen = "log_format" in settings.model_fields_set
        for_people = sys.stderr.isatty() and not chosen
        configure_logging("console" if for_people else settings.log_format, settings.log_level)
        root.meta["tenure.settings"] = settings
    assert isinstance(settings, Settings)  # noqa: S101 - narrows what click keeps as Any
    return settings


def installation_of(ctx: click.Context) -> Installation:
    """Return the wired installation, opened once per command and closed at its end."""
    root = ctx.find_root()
    installation = root.meta.get("tenure.installation")
    if installation is None:
        with failures():
            installation = open_installation(settings_of(ctx))
        root.meta["tenure.installation"] = installation
        root.call_on_close(installation.close)
    assert isinstance(installation, Installation)  # noqa: S101 - narrows click's Any
    return installation


def actor() -> str:
    """Return who runs this command, for the records."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return f"command:{name}"


@contextmanager
def owner_cursor(ctx: click.Context) -> Iterator[Cursor]:
    """Run the block in one transaction as tenure_owner, with failures as messages.

    Records of what it changes name who runs the command.
    """
    with failures(), owner_of(settings_of(ctx)) as owner, owner.transaction(None) as cursor:
        cursor.execute("SELECT pg_catalog.set_config('tenure.actor', %s, true)", (actor(),))
        yield cursor


def format_option(function: F) -> F:
    """Add --format text|json, handed over as `output_format`."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How to print the result.",
    )(function)


def echo_json(value: Any) -> None:
    """Print a value as indented JSON; instants and ids as their text."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def echo_rows(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Print rows as aligned columns."""
    table = [header, *[tuple("" if v is None else str(v) for v in row) for row in rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for number, row in enumerate(table):
        line = "  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 and sys.stdout.isatty() else line)
