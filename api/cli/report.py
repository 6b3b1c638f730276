"""`tenure report`: what auditors read, as PDF, CSV, JSON or text, with the pages' figures."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import click
from click.core import ParameterSource

from api.cli.retention_support import Instant
from api.cli.support import failures, installation_of, write_file
from api.workshop import ticking_of
from retention.reports.asking import Asked
from retention.reports.drawing import MAX_DRAWN, Draw, Presented, new_seed
from retention.reports.export import to_csv, to_json
from retention.reports.index import REPORTS
from retention.reports.paging import MAX_SIZE, PageRequest
from retention.reports.paper import to_pdf
from retention.reports.report import Report, Table, lines_of
from retention.reports.samples import SamplesReport, kept_of
from retention.reports.scope import Scope
from retention.reports.snapshot import snapshot
from tenants.connections import Cursor
from tenants.registry import find_tenant

_NAMES = "\n".join(f"  {name:<16}{entry.about}" for name, entry in REPORTS.items())
_EPILOG = f"""\b
Reports:
{_NAMES}

\b
Example:
  tenure report schedule
  tenure report reconciliation --from 2026-07-01 --until 2026-10-01 --format pdf --output q3.pdf
  tenure report holds --tenant acme --format csv --table events
  tenure report samples --draw 25 --seed q3 --until 2026-10-01 --proofs proofs
  tenure report samples --key 019a4c1e-7d2f-7a31-9c55-0f6f3c2b1a90
"""


@click.command("report", epilog=_EPILOG)
@click.argument("name", type=click.Choice(tuple(REPORTS)), metavar="NAME")
@click.option("--from", "since", type=Instant(), help="From then on.  [default: all there is]")
@click.option("--until", type=Instant(), help="Until before then.  [default: now]")
@click.option("--tenant", metavar="SLUG", help="Of this tenant alone.  [default: all]")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(("text", "json", "csv", "pdf")),
    default="text",
    show_default=True,
    help="In which form.",
)
@click.option("--table", metavar="TABLE", help="Which table CSV is of.  [default: the first]")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file."
)
@click.option("--daily", is_flag=True, help="Of verifications, the last one of each day.")
@click.option("--draw", type=click.IntRange(1, MAX_DRAWN), metavar="N", help="So many samples.")
@click.option("--seed", metavar="SEED", help="Draw by this seed.  [default: made up, and told]")
@click.option("--key", type=click.UUID, metavar="ID", help="The sample of this row's id.")
@click.option("--of", "key_of", metavar="TABLE", help="Of this table.  [default: any]")
@click.option(
    "--proofs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the samples' proofs, and the hashes they are of, into this folder.",
)
@click.option("--page", type=click.IntRange(1), default=1, show_default=True, help="Of long lists.")
@click.option(
    "--size", type=click.IntRange(1, 1000), default=1000, show_default=True, help="Lines of a page."
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    name: str,
    since: datetime | None,
    until: datetime | None,
    tenant: str | None,
    output_format: str,
    table: str | None,
    output: Path | None,
    daily: bool,
    draw: int | None,
    seed: str | None,
    key: UUID | None,
    key_of: str | None,
    proofs: Path | None,
    page: int,
    size: int,
) -> None:
    """Print a report for auditors: the figures of the page /console/NAME.

    A date means its midnight in UTC. Read as tenure_auditor, in one snapshot; no tenant's data.
    CSV has all there is; of other forms, which say so themselves, exit code 1 when there is more
    and no --page was asked for.
    """
    _refuse_ignored(
        name,
        {
            "tenant": tenant is not None and not REPORTS[name].of_tenant,
            "samples": any(x is not None for x in (draw, seed, key, key_of, proofs)),
            "table": table is not None and output_format != "csv",
            "daily": daily,
        },
    )
    if output_format == "pdf" and output is None and sys.stdout.isatty():
        raise click.UsageError("a PDF is not for a screen: say --output FILE")
    with _usage():
        sought = _sought(draw, seed, key, key_of)
    if proofs is not None and sought is None:
        raise click.UsageError("--proofs are of samples: --draw N, or --key ID")
    installation = installation_of(ctx)
    with failures():
        ticking = ticking_of(installation)
    if since is not None and until is None and since >= ticking.now:
        raise click.UsageError("the period begins in the future")
    with failures(), snapshot(installation.auditor) as cursor:
        whose = None if tenant is None else find_tenant(cursor, tenant)
        with _usage():
            scope = Scope(since, until, whose)
            asked = Asked(PageRequest(page, size), ticking, scope, daily, sought)
        if page > 1:
            _refuse_no_page(cursor, name, asked)
        report = REPORTS[name].report(cursor, asked)
        of_a_page = ctx.get_parameter_source("page") is not ParameterSource.DEFAULT
        chosen = None
        if output_format == "csv":
            chosen = _table(report, table)
            following = () if of_a_page else _following(cursor, name, asked, report)
            chosen = _joined(chosen, (_table(each, chosen.name) for each in following))
        if proofs is not None:
            _write_proofs(cursor, report.value, proofs)
    now = installation.clock.now()
    if chosen is not None:
        _write(output, to_csv(chosen.row_type, chosen.rows).encode())
    elif output_format == "text":
        _write(output, "".join(_text(report)).encode())
    elif output_format == "json":
        _write(output, to_json(report.name, report.value, now).encode())
    else:
        _write(output, to_pdf(report, now))
    left_out = _left_out(report, chosen, whole=chosen is not None and not of_a_page)
    for line in left_out:
        click.echo(line, err=True)
    if left_out and not of_a_page:
        ctx.exit(1)


def _refuse_ignored(name: str, given: Mapping[str, bool]) -> None:
    """Raise UsageError for what was given, and says nothing of this report: it would be one of
    something else than was asked for."""
    if given["tenant"]:
        raise click.UsageError(f"{name} are the whole installation's, not a tenant's")
    if given["samples"] and name != "samples":
        raise click.UsageError("--draw, --seed, --key, --of and --proofs are for samples")
    if given["table"]:
        raise click.UsageError("--table says of what a CSV is; other forms have all tables")
    if given["daily"] and name != "verifications":
        raise click.UsageError("--daily is for verifications")


def _sought(
    draw: int | None, seed: str | None, key: UUID | None, key_of: str | None
) -> Draw | Presented | None:
    if draw is not None and key is not None:
        raise click.UsageError("either samples are drawn (--draw), or one is found by its --key")
    if draw is not None and key_of is None:
        return Draw(draw, new_seed() if seed is None else seed)
    if key is not None and seed is None:
        return Presented(key, key_of)
    if seed is not None or key_of is not None:
        raise click.UsageError("--seed goes with --draw, --of with --key")
    return None


def _write_proofs(cursor: Cursor, found: SamplesReport, folder: Path) -> None:
    for entry in found.entries:
        if entry.tlog_proof is not None:
            proof = folder / f"{entry.batch_id}.tlog-proof"
            _write(proof, entry.tlog_proof.encode())
    for part in found.commitments:
        kept = kept_of(cursor, part.batch_id, part.name)
        if kept is None:
            continue
        for suffix, content in (("keys", kept.hashes), ("starts", kept.starts)):
            if content is not None:
                name = f"{part.batch_id}.{part.name}.{suffix}".replace("/", "_")
                _write(folder / name, content)


@contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _refuse_no_page(cursor: Cursor, name: str, asked: Asked) -> None:
    """Raise UsageError where the page before the wanted one is the last, or all there is."""
    number = asked.page.number
    before = replace(asked, page=replace(asked.page, number=number - 1))
    there = REPORTS[name].report(cursor, before).page
    if there is None or there.next is None:
        raise click.UsageError(f"there is no page {number} of {asked.page.size} lines")


def _following(cursor: Cursor, name: str, asked: Asked, report: Report) -> Iterator[Report]:
    """Yield the pages after that of a report, from the same snapshot."""
    while report.page is not None and report.page.next is not None:
        wanted = replace(asked.page, number=report.page.next)
        report = REPORTS[name].report(cursor, replace(asked, page=wanted))
        yield report


def _joined(table: Table, following: Iterable[Table]) -> Table:
    """Return the table with the rows of all its pages; what is on each of them stands once."""
    rows = list(table.rows)
    for each in following:
        if each.rows != table.rows:
            rows += each.rows
    return replace(table, rows=rows)


def _left_out(report: Report, chosen: Table | None, *, whole: bool) -> list[str]:
    """Return in words what is not there; `whole`: all pages of the chosen table are."""
    said = [
        f"{cut}: the latest {MAX_SIZE:,} alone: ask for a shorter period"
        for cut in report.cut
        if chosen is None or cut == chosen.name
    ]
    if not whole and report.page is not None and report.page.next is not None:
        said.append(f"there is more: --page {report.page.next}")
    return said


def _table(report: Report, name: str | None) -> Table:
    for table in report.tables:
        if name is None or table.name == name:
            return table
    names = ", ".join(table.name for table in report.tables)
    raise click.UsageError(f"the report {report.name} has no table {name!r}; it has {names}")


def _text(report: Report) -> Iterator[str]:
    yield f"{report.title}\n"
    for label, value in report.facts:
        yield f"{label}: {value}\n"
    for table in report.tables:
        yield f"\n{table.title or table.name}\n"
        if table.note:
            yield f"{table.note}\n"
        if not table.rows:
            yield f"{table.empty}\n"
            continue
        headings = table.headings
        yield columns_of(
            tuple(h.label for h in headings),
            [tuple(", ".join(lines_of(row, h)) for h in headings) for row in table.rows],
        )
    if report.page is not None and report.page.next is not None:
        yield f"\nThere is more: --page {report.page.next}\n"


def columns_of(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return rows as aligned columns."""
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = ("  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) for row in table)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _write(output: Path | None, content: bytes) -> None:
    if output is None:
        sys.stdout.buffer.write(content)
        return
    with failures():
        output.parent.mkdir(parents=True, exist_ok=True)
    write_file(output, content)
