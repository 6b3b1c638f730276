"""`tenure verify`: looks afresh for overdue and orphaned rows."""

from __future__ import annotations

from datetime import datetime

import click

from api.cli.retention_support import Instant, actor
from api.cli.support import echo_json, echo_rows, failures, format_option, installation_of
from api.workshop import workshop_of
from config.trace import new_trace_id
from retention.verification import VerificationReport


@click.command(
    epilog="""\b
Example:
  tenure verify
  tenure verify --as-of 2026-01-01 --format json"""
)
@click.option("--as-of", type=Instant(), help="As if it were then. Not in the future.")
@format_option
@click.pass_context
def command(ctx: click.Context, as_of: datetime | None, output_format: str) -> None:
    """Look afresh for overdue and orphaned rows, and keep the results.

    Exit code 1 when something is found. Rows past their period that a hold or a paused policy
    keeps are shown beside, rows without a starting point as undated; they are no findings.
    """
    installation = installation_of(ctx)
    with failures():
        shop = workshop_of(installation, actor=actor())
        report = shop.verify(as_of=as_of, trace_id=new_trace_id())
    if output_format == "json":
        echo_json(report.to_json())
    else:
        _echo(report)
    ctx.exit(1 if report.findings else 0)


def _echo(report: VerificationReport) -> None:
    shown = [r for r in report.results if r.found or r.held or r.paused]
    if shown:
        echo_rows(
            ("kind", "subject", "tenant", "found", "held", "paused", "oldest"),
            [
                (
                    r.kind,
                    r.subject,
                    r.tenant or r.tenant_id,
                    r.found,
                    r.held,
                    r.paused,
                    r.oldest.isoformat(timespec="seconds") if r.oldest else None,
                )
                for r in shown
            ],
        )
    click.echo(
        f"{report.findings} findings as of {report.as_of.isoformat(timespec='seconds')}, "
        f"{len(report.overdue())} policies and {len(report.orphans())} references looked at, "
        f"trace id {report.trace_id}"
    )
