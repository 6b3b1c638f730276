"""`tenure lint`: prove that SQL is restricted to one tenant."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from lint.catalog import Catalog
from lint.codes import CODES, explain
from lint.config import Config, find_config, load_config
from lint.errors import ConfigError, LintError
from lint.gate import judge
from lint.output import as_json, as_text
from lint.prover import Prover
from lint.python_source import python_source
from lint.schema import load_schema
from lint.sources import Source, files, read_text, sql_source

_EPILOG = """\b
Example:
  tenure lint --schema schema.sql --tenant-column tenant_id queries/ app.py

\b
Exit codes: 0 nothing found, 1 findings, 2 wrong usage or failure.
"""


@click.command(
    "lint",
    epilog=_EPILOG,
    short_help="Prove that SQL is restricted to one tenant.",
)
@click.argument("paths", nargs=-1, metavar="PATH..")
@click.option("--schema", metavar="FILE.sql", help="The schema: a pg_dump or other DDL.")
@click.option("--catalog", metavar="FILE.json", help="The schema: a catalog file.")
@click.option("--config", metavar="FILE", help="pyproject.toml or tenure.toml to use.")
@click.option(
    "--tenant-column",
    "tenant_columns",
    multiple=True,
    metavar="NAME",
    help="Name of tenant columns; may be repeated. Overrides the configuration.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json")),
    default="text",
    show_default=True,
    help="How to print the result.",
)
@click.option("--verdicts", is_flag=True, help="Print the verdict of every statement as well.")
@click.option("--explain", "code", metavar="CODE", help="Explain a code and do nothing else.")
def command(
    *,
    paths: tuple[str, ...],
    schema: str | None,
    catalog: str | None,
    config: str | None,
    tenant_columns: tuple[str, ...],
    form: str,
    verdicts: bool,
    code: str | None,
) -> None:
    """Prove that the SQL in PATHs is restricted to one tenant.

    Reads .sql files, SQL in .py files, folders of both, and - for SQL from standard input. What
    is not proven scoped is a finding, also where that is only because it cannot be decided.
    """
    if code is not None:
        page = explain(code)
        if page is None:
            raise click.UsageError(f"no code {code}; there are {', '.join(CODES)}")
        click.echo(page)
        return
    if not paths:
        raise click.UsageError("name at least one file or folder, or - for standard input")
    if schema is not None and catalog is not None:
        raise click.UsageError("--schema and --catalog exclude one another")
    try:
        settings = _settings(config, schema, catalog, tenant_columns)
        prover = Prover(_catalog(settings), settings.sources)
        report = judge(_sources(paths, settings), prover)
    except LintError as error:
        raise _Failure(str(error)) from error
    if not report.texts:
        raise _Failure(f"no .sql or .py file under {', '.join(paths)}")
    if not report.judged:
        # Query builders leave nothing to judge. Said, since a wrong path looks the same.
        click.echo(f"no SQL in {len(report.texts)} files", err=True)
    if form == "json":
        click.echo(as_json(report), nl=False)
    else:
        colour = sys.stdout.isatty()
        click.echo(as_text(report, colour=colour, verdicts=verdicts), nl=False, color=colour)
    sys.exit(1 if report.findings else 0)


class _Failure(click.ClickException):
    exit_code = 2


def _settings(
    file: str | None, schema: str | None, catalog: str | None, tenant_columns: tuple[str, ...]
) -> Config:
    found = load_config(Path(file)) if file is not None else find_config(Path.cwd())
    if found is None:
        raise ConfigError(f"{file}: no configuration")
    if schema is not None or catalog is not None:
        found = replace(
            found,
            schema=Path(schema) if schema is not None else None,
            catalog=Path(catalog) if catalog is not None else None,
        )
    if tenant_columns:
        found = replace(found, tenancy=replace(found.tenancy, tenant_columns=tenant_columns))
    return found


def _catalog(settings: Config) -> Catalog:
    if settings.schema is not None and settings.catalog is not None:
        raise ConfigError("the configuration names a schema and a catalog; one is enough")
    if settings.catalog is not None:
        origin = str(settings.catalog)
        loaded = Catalog.from_json(read_text(settings.catalog), origin=origin)
    elif settings.schema is not None:
        loaded = load_schema(read_text(settings.schema), origin=str(settings.schema))
    else:
        raise ConfigError("no schema: give --schema or --catalog, or set one in the configuration")
    path = settings.search_path or loaded.search_path
    return Catalog(loaded.tables, loaded.views, search_path=path).with_tenancy(settings.tenancy)


def _sources(paths: tuple[str, ...], settings: Config) -> list[Source]:
    found: list[Source] = []
    named = [Path(path) for path in paths if path != "-"]
    if "-" in paths:
        found.append(sql_source("<stdin>", sys.stdin.read()))
    for file in files(named, settings.excluded):
        text = read_text(file)
        made = python_source if file.suffix == ".py" else sql_source
        found.append(made(str(file), text))
    return found
