"""`tenure lint`: prove that SQL is restricted to one tenant."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import click

from api.cli import HOW_TO_INSTALL
from api.lint_database import is_url, schema_of, shown, statements_of
from config.places import cache_folder
from config.terminal import colours
from lint.cache import Cache
from lint.config import Config, find_config, load_config
from lint.errors import ConfigError, LintError
from lint.formats.json import as_json
from lint.formats.text import as_statistics, as_text
from lint.inputs.logs import Log, Ran
from lint.report import Report
from lint.run import collect_rarely, cores
from lint.session import BASELINE, Request, Text, run, write_baseline

_EPILOG = """\b
Example:
  tenure lint --schema schema.sql --tenant-column tenant_id queries/ app.py

\b
Exit codes: 0 nothing found, 1 findings, 2 wrong usage or failure, 130 interrupted.
"""
# What a connection that does nothing sends.
_SESSION = re.compile(
    # A comment ends where it ends: no text is tried in two ways.
    r"(?:\s|/\*(?:[^*]|\*(?!/))*\*/|--[^\n]*\n)*"
    r"(?:BEGIN|START|COMMIT|END|ROLLBACK|SET|RESET|SHOW|DISCARD|DEALLOCATE)\b",
    re.IGNORECASE,
)
MODELS = "models"
_FORMATS = ("text", "json", "sarif", "github", "gitlab", "junit")


@click.command(
    "lint",
    epilog=_EPILOG,
    short_help="Prove that SQL is restricted to one tenant.",
)
@click.argument("paths", nargs=-1, metavar="PATH..")
@click.option(
    "--schema",
    metavar="FILE|URL|models",
    help="The schema: a pg_dump or other DDL, a catalog file, a database's URL, or `models`: "
    "those of the configured domain.",
)
@click.option("--catalog", metavar="FILE.json", help="The schema: a catalog file.")
@click.option(
    "--from-log",
    "logs",
    multiple=True,
    metavar="FILE",
    help="Judge what a server ran, by its csvlog or jsonlog; may be repeated.",
)
@click.option(
    "--from-pg-stat-statements",
    "counted",
    metavar="URL",
    help="Judge what a database ran, by its extension pg_stat_statements.",
)
@click.option("--config", metavar="FILE", help="pyproject.toml or tenure.toml to use.")
@click.option(
    "--tenant-column",
    "tenant_columns",
    multiple=True,
    metavar="NAME",
    help="Name of tenant columns; may be repeated. Overrides the configuration.",
)
@click.option("--tenants-table", metavar="NAME", help="The table of tenants.")
@click.option(
    "--tenant-value",
    "tenant_values",
    multiple=True,
    metavar="EXPR",
    help="An SQL expression that stands for the current tenant; may be repeated.",
)
@click.option(
    "--strict-source",
    is_flag=True,
    help="Refuse what is bound to a parameter that is not declared to be the current tenant.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="text",
    show_default=True,
    help="How to print the result.",
)
@click.option("--output", metavar="FILE", help="Write the result to FILE, and text to the screen.")
@click.option("--verdicts", is_flag=True, help="Print the verdict of every statement as well.")
@click.option("--statistics", is_flag=True, help="Print how many findings each code has.")
@click.option("--baseline", metavar="FILE", help="Findings recorded in FILE do not fail.")
@click.option("--write-baseline", is_flag=True, help="Record all findings in the baseline.")
@click.option(
    "--since", metavar="REV", help="Only statements that changed since a git revision, and after."
)
@click.option("--stdin-filename", metavar="NAME", help="What standard input is the text of.")
@click.option("--force-exclude", is_flag=True, help="Leave out excluded files also when named.")
@click.option(
    "--jobs", type=click.IntRange(1), metavar="N", help="Processes to use.  [default: all cores]"
)
@click.option("--no-cache", is_flag=True, help="Judge everything afresh, and remember nothing.")
@click.option("--cache-dir", metavar="FOLDER", help="Where to remember what was judged.")
@click.option(
    "--record",
    "kept_as",
    metavar="WHAT",
    help="Keep the result as evidence, as of WHAT: a revision, a database.",
)
@click.option("--explain", "code", metavar="CODE", help="Explain a code and do nothing else.")
def command(
    *,
    paths: tuple[str, ...],
    schema: str | None,
    catalog: str | None,
    logs: tuple[str, ...],
    counted: str | None,
    config: str | None,
    tenant_columns: tuple[str, ...],
    tenants_table: str | None,
    tenant_values: tuple[str, ...],
    strict_source: bool,
    form: str,
    output: str | None,
    verdicts: bool,
    statistics: bool,
    baseline: str | None,
    write_baseline: bool,
    since: str | None,
    stdin_filename: str | None,
    force_exclude: bool,
    jobs: int | None,
    no_cache: bool,
    cache_dir: str | None,
    kept_as: str | None,
    code: str | None,
) -> None:
    """Prove that the SQL in PATHs is restricted to one tenant.

    Reads .sql files, SQL in .py files, folders of both, and - for SQL from standard input. What
    is not proven scoped is a finding, also where that is only because it cannot be decided.
    """
    if code is not None:
        _explain(code)
        return
    elsewhere = "-" in paths or bool(logs) or counted is not None
    for wrong, why in (
        (not paths and not elsewhere, "name at least one file or folder, or - for standard input"),
        (schema is not None and catalog is not None, "--schema and --catalog exclude one another"),
        (since is not None and write_baseline, "--since looks at a part only; a baseline is whole"),
        (since is not None and elsewhere, "--since asks git, which knows files only"),
        (statistics and form != "text", "--statistics is text"),
        (stdin_filename is not None and "-" not in paths, "--stdin-filename names what - reads"),
    ):
        if wrong:
            raise click.UsageError(why)
    try:
        live = _live_schema(schema)
        settings = _settings(config, None if live is not None else schema, catalog)
        settings = _tenancy(settings, tenant_columns, tenants_table, tenant_values)
        settings = replace(settings, strict_source=settings.strict_source or strict_source)
        ledger = _baseline(settings, baseline, write=write_baseline)
        servers = _Servers(logs, counted) if logs or counted is not None else None
        texts = [Text(stdin_filename or "<stdin>", sys.stdin.read())] if "-" in paths else []
        request = Request(
            settings,
            [Path(path) for path in paths if path != "-"],
            texts,
            jobs=jobs or cores(),
            cache=None if no_cache else _cache(cache_dir),
            whole=verdicts or form == "json",
            since=since,
            force_exclude=force_exclude,
            baseline=ledger if ledger is not None and ledger.exists() else None,
            schema=live,
            ran=servers,
        )
        collect_rarely()
        report = run(request)
        if servers is not None:
            servers.refuse_nothing()
        if write_baseline and ledger is not None:
            _write(report, ledger, settings)
            return
        show = _printer(form, verdicts=verdicts, statistics=statistics)
        if output is not None:
            _save(Path(output), show(report, colour=False))
            form = "text" if form != "text" else ""
            show = _printer(form, verdicts=verdicts, statistics=statistics)
    except LintError as error:
        raise _Failure(str(error)) from error
    if paths and not report.paths and since is None and not force_exclude:
        raise _Failure(f"no .sql or .py file under {', '.join(paths)}")
    if not report.counts.statements and since is None:
        # Query builders leave nothing to judge. Said, since a wrong path looks the same.
        click.echo(f"no SQL in {len(report.paths)} files", err=True)
    if kept_as is not None and not report.failures:
        _keep(as_json(report), kept_as)
    if form:
        colour = form == "text" and colours(sys.stdout)
        click.echo(show(report, colour=colour), nl=False, color=colour)
    sys.exit(_exit_code(report))


class _Failure(click.ClickException):
    exit_code = 2


def _keep(text: str, subject: str) -> None:
    try:
        from api.cli.inspecting import keep  # the server's libraries, which need not be there
    except ModuleNotFoundError as error:
        raise _Failure(f"--record needs {error.name}: {HOW_TO_INSTALL.format('server')}") from error
    keep(click.get_current_context(), text, subject)


def _explain(code: str) -> None:
    from lint.codes import CODES, explain  # the rules, which a run may not need

    page = explain(code)
    if page is None:
        raise click.UsageError(f"no code {code}; there are {', '.join(CODES)}")
    click.echo(page)


def _exit_code(report: Report) -> int:
    for failure in report.failures:
        click.echo(f"Error: {failure}", err=True)
    if report.failures:
        return 2
    return 1 if report.findings else 0


def _printer(form: str, *, verdicts: bool, statistics: bool) -> Callable[..., str]:
    """What prints a report: `(report, colour=)`."""
    if form in ("text", ""):
        if statistics:
            return lambda report, colour: as_statistics(report)  # noqa: ARG005 - one signature
        return lambda report, colour: as_text(report, colour=colour, verdicts=verdicts)
    from lint.formats.machine import FORMATS  # some describe all rules

    render = FORMATS[form]
    return lambda report, colour: render(report)  # noqa: ARG005 - one signature


def _save(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from error


def _write(report: Report, file: Path, settings: Config) -> None:
    if report.failures:
        raise _Failure(f"{report.failures[0]}; the baseline is left as it is")
    held, came, went = write_baseline(report, file, settings)
    click.echo(f"{file}: {held} findings recorded, {came} of them new; {went} went out")


def _settings(file: str | None, schema: str | None, catalog: str | None) -> Config:
    found = load_config(Path(file)) if file is not None else find_config(Path.cwd())
    if found is None:
        raise ConfigError(f"{file}: no configuration")
    if schema is None and catalog is None:
        return found
    return replace(
        found,
        schema=Path(schema) if schema is not None else None,
        catalog=Path(catalog) if catalog is not None else None,
    )


def _live_schema(schema: str | None) -> Text | None:
    """The catalog that `--schema` names, if it names no file: a database's, or the models'."""
    if schema == MODELS:
        try:
            from api.cli.models_schema import models_schema  # the server's libraries
        except ModuleNotFoundError as error:
            message = f"--schema models needs {error.name}: the extra 'server'"
            raise _Failure(f"{message}; a file of that name is ./models") from error
        return Text(*models_schema(click.get_current_context()))
    if schema is None or not is_url(schema):
        return None
    return Text(shown(schema), schema_of(schema).to_json())


class _Servers:
    """The statements that servers ran, by logs and by a server's own counting.

    `empty` are those among which none reads, writes or defines something, and why that may be.
    """

    def __init__(self, logs: tuple[str, ...], counted: str | None) -> None:
        self._logs = logs
        self._counted = counted
        self.empty: list[str] = []

    def __iter__(self) -> Iterator[Ran]:
        for file in self._logs:
            log = Log(Path(file))
            if (yield from _idle(log.statements())):
                self.empty.append(
                    f"{file}: none of {log.records} records is a statement's; the server logs "
                    "them with log_statement = all or log_min_duration_statement = 0, and is "
                    "understood best with lc_messages = C"
                )
            if log.skipped:
                click.echo(f"{file}: {log.skipped} lines are no log records", err=True)
        if self._counted is not None and (yield from _idle(statements_of(self._counted))):
            said = "pg_stat_statements has counted no statement"
            self.empty.append(f"{shown(self._counted)}: {said}")

    def refuse_nothing(self) -> None:
        """Raises for a source in which no statement was found, as for a file that is not there."""
        if self.empty:
            raise _Failure("; ".join(self.empty))


def _idle(statements: Iterable[Ran]) -> Generator[Ran, None, bool]:
    """Pass statements on; return whether none of them was one that does something."""
    nothing = True
    for ran in statements:
        nothing = nothing and _SESSION.match(ran.text) is not None
        yield ran
    return nothing


def _tenancy(
    settings: Config,
    columns: tuple[str, ...],
    tenants_table: str | None,
    values: tuple[str, ...],
) -> Config:
    tenancy = settings.tenancy
    if columns:
        tenancy = replace(tenancy, tenant_columns=columns, named=True)
    if tenants_table is not None:
        tenancy = replace(tenancy, tenants_table=tenants_table)
    sources = settings.sources
    if values:
        sources = replace(sources, expressions=(*sources.expressions, *values))
    return replace(settings, tenancy=tenancy, sources=sources)


def _baseline(settings: Config, file: str | None, *, write: bool) -> Path | None:
    """The baseline's file, if there is to be one. One that is named must exist, to be read."""
    found = Path(file) if file is not None else settings.baseline
    if found is None:
        return settings.folder / BASELINE if write else None
    if not write and not found.exists():
        raise ConfigError(f"{found}: there is no such baseline; --write-baseline makes it")
    return found


def _cache(folder: str | None) -> Cache | None:
    where = Path(folder) if folder is not None else cache_folder()
    return Cache(where / "lint.sqlite3") if where is not None else None
