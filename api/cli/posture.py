"""`tenure posture`: what in a PostgreSQL database lets one tenant reach another."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from api.cli import HOW_TO_INSTALL
from tenants.posture.audit import run
from tenants.posture.discovery import discover
from tenants.posture.errors import PostureError, UnknownRuleError
from tenants.posture.output import as_json, as_sarif, as_text
from tenants.posture.pages import page
from tenants.posture.reader import read_database
from tenants.posture.rule import Severity
from tenants.posture.rules import all_rules, rule_named
from tenants.posture.suppressions import Suppression, load_suppressions

_EPILOG = """\b
Example:
  tenure posture --database-url postgresql://auditor@db.example/shop
  tenure posture --tenant-column org_id --app-role web --format json
  tenure posture --explain rls-unforced

\b
Exit codes: 0 nothing as grave as --fail-on, 1 findings, 2 wrong usage or failure.
"""


@click.command("posture", epilog=_EPILOG, short_help="Audit a database's tenant isolation.")
@click.option(
    "--database-url",
    envvar="DATABASE_URL",
    metavar="URL",
    help="The database; else the environment's DATABASE_URL.",
)
@click.option(
    "--tenant-column",
    "tenant_columns",
    multiple=True,
    metavar="NAME",
    help="Name of tenant columns; may be repeated. Else found out.",
)
@click.option(
    "--app-role",
    "app_roles",
    multiple=True,
    metavar="ROLE",
    help="A role that the application serves as; may be repeated. Else found out.",
)
@click.option("--config", metavar="FILE", help="tenure.toml or pyproject.toml with suppressions.")
@click.option(
    "--fail-on",
    type=click.Choice(("error", "warning")),
    default="error",
    show_default=True,
    help="Exit with 1 for findings as grave as this.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "sarif")),
    default="text",
    show_default=True,
    help="How to print the result.",
)
@click.option(
    "--record",
    "kept_as",
    metavar="WHAT",
    help="Keep the result as evidence, as of WHAT: a revision, a database.",
)
@click.option("--explain", "rule", metavar="RULE", help="Explain a rule and do nothing else.")
def command(
    *,
    database_url: str | None,
    tenant_columns: tuple[str, ...],
    app_roles: tuple[str, ...],
    config: str | None,
    fail_on: Severity,
    form: str,
    kept_as: str | None,
    rule: str | None,
) -> None:
    """Report what in a PostgreSQL database lets one tenant reach another.

    Reads the catalogs in one read-only transaction: no table's rows, no extension needed.
    """
    try:
        if rule is not None:
            click.echo(_page(rule), nl=False)
            return
        if not database_url:
            raise click.UsageError("name a database: --database-url or DATABASE_URL")
        rules = all_rules()
        suppressions = _suppressions(config, [r.name for r in rules])
        with _uncollected():
            facts = read_database(database_url)
            subject = discover(facts, tenant_columns=tenant_columns, app_roles=app_roles)
            report = run(subject, rules, suppressions, today=datetime.now(UTC).date())
    except PostureError as error:
        raise _Failure(str(error)) from error
    if kept_as is not None:
        _keep(as_json(report), kept_as)
    if form == "json":
        click.echo(as_json(report), nl=False)
    elif form == "sarif":
        click.echo(as_sarif(report, rules), nl=False)
    else:
        colour = sys.stdout.isatty()
        click.echo(as_text(report, colour=colour), nl=False, color=colour)
    sys.exit(1 if report.fails(fail_on) else 0)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage: all that is read is kept, and the search took a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _Failure(click.ClickException):
    exit_code = 2


def _keep(text: str, subject: str) -> None:
    try:
        from api.cli.inspecting import keep  # the server's libraries, which need not be there
    except ModuleNotFoundError as error:
        raise _Failure(f"--record needs {error.name}: {HOW_TO_INSTALL.format('server')}") from error
    keep(click.get_current_context(), text, subject)


def _page(name: str) -> str:
    found = rule_named(name)
    if found is None:
        names = ", ".join(sorted(r.name for r in all_rules()))
        raise UnknownRuleError(f"no rule {name}; there are {names}")
    return page(found)


def _suppressions(config: str | None, rules: list[str]) -> tuple[Suppression, ...]:
    """Of the file that is named; else of the nearest that has any, from here upwards."""
    if config is not None:
        return load_suppressions(Path(config), rules)
    here = Path.cwd()
    for folder in (here, *here.parents):
        for name in ("tenure.toml", "pyproject.toml"):
            if (folder / name).is_file():
                found = load_suppressions(folder / name, rules)
                if found:
                    return found
    return ()
