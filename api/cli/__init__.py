"""The command `tenure`: a group whose commands are imported when they are asked for.

A command NAME lives in `api.cli.NAME` as `command`, so that `tenure lint` starts without
Flask, peewee or a database driver, which need not even be installed.
"""

from __future__ import annotations

import importlib
import signal
import sys
import traceback
from types import FrameType

import click

# name -> (module, one line for the list); kept here so that --help imports nothing.
COMMANDS: dict[str, tuple[str, str]] = {
    "certificate": ("certificate", "Issue a certificate of deletion, with its proof."),
    "connectors": ("connectors", "What others are asked to erase, and have not answered."),
    "context": ("context", "Enter a tenant's context with psql, or exchange its key."),
    "demo": ("demo", "Run everything on this machine, with a shop full of data."),
    "erasure": ("erasure", "Erase a person's data at their request."),
    "hold": ("hold", "Place, release and list legal holds."),
    "import": ("import_data", "Import a file into the domain's tables."),
    "ledger": ("ledger", "Show, sign, verify and prove the ledger of what was done."),
    "lint": ("lint", "Prove that SQL is scoped to the tenant."),
    "migrate": ("migrate", "Bring the database's schema up, down, or show where it is."),
    "posture": ("posture", "Audit a PostgreSQL database's tenant isolation."),
    "record": ("record", "Keep what the lint gate or the posture audit said."),
    "report": ("report", "Print a report for auditors, as PDF, CSV, JSON or text."),
    "retention": ("retention", "Plan and run retention deletes."),
    "serve": ("serve", "Serve the API and the auditors' pages."),
    "subject": ("subject", "Give a person a copy of their data."),
    "tenants": ("tenants", "Create, list and offboard tenants."),
    "tokens": ("tokens", "Issue and revoke API tokens."),
    "users": ("users", "Create logins, make them members of tenants, and end both."),
    "verify": ("verify", "Look afresh for overdue and orphaned rows."),
    "worker": ("worker", "Run the retention scheduler without serving."),
}

#: Where an extra comes from: there is no release, and the name is anybody's to take.
HOW_TO_INSTALL = 'pip install "CHECKOUT[{}]", of a checkout of Tenure (docs/operator.md)'

_OURS = {"api", "config", "lint", "migrations", "retention", "tenants"}


class LazyGroup(click.Group):
    """A group that knows its commands' names without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; one whose extra is not installed says which is missing."""
        if cmd_name not in COMMANDS:
            return None
        module = COMMANDS[cmd_name][0]
        try:
            command: click.Command = importlib.import_module(f"api.cli.{module}").command
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in _OURS:
                raise
            raise click.ClickException(
                f"`tenure {cmd_name}` needs {error.name}: "
                + (
                    "it runs from a checkout of Tenure, by `make demo` there"
                    if cmd_name == "demo"
                    else HOW_TO_INSTALL.format("server")
                )
            ) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


@click.group(
    cls=LazyGroup,
    epilog="Exit codes: 0 fine, 1 findings or work not done, 2 wrong usage or failure, "
    "130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="tenure", prog_name="tenure")
def command() -> None:
    """Tenure: isolation, retention and evidence for a multi-tenant backend.

    \b
    Example:
      tenure demo
      tenure lint migrations/ app/ --schema schema.sql
    """


# As shells tell of a process that SIGINT ended.
INTERRUPTED = 130


def main() -> None:
    """Entry point of the console script."""
    # click exits with 1 on a ClickException; here 1 means findings, and failure is 2.
    click.ClickException.exit_code = 2
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        signal.default_int_handler(number, frame)

    # Commands that end their work in order when they are told to put their own in its place.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        command()
    except SystemExit as ending:
        # click exits with 1 on an interrupt, too.
        if interrupted and ending.code:
            sys.exit(INTERRUPTED)
        raise
    except KeyboardInterrupt:  # after click's own handling: once more, or too late for it
        sys.exit(INTERRUPTED)
    except Exception:  # noqa: BLE001 - whatever it is, a gate must not read it as findings
        traceback.print_exc()
        sys.exit(2)
