"""`tenure verify`: looks afresh for what retention left undone or did wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby

import click

from api.cli.retention_support import Instant
from api.cli.support import actor, echo_json, echo_rows, failures, format_option, installation_of
from api.workshop import workshop_of
from config.trace import new_trace_id
from retention.reconciliation import Account
from retention.reports.words import span_in_words
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
    """Look afresh for what retention left undone or did wrong, and keep the results.

    Looked for: rows overdue; rows orphaned; rows that are back after their deletion; batches
    whose counts are not those of their keys; books that do not come out even. Exit code 1 when
    something is found. Rows past their period that a hold, a reference or a paused policy keeps
    are shown beside, rows without a starting point as undated; they are no findings.
    """
    installation = installation_of(ctx)
    with failures():
        shop = workshop_of(installation, actor=actor())
        report = shop.verify(as_of=as_of, trace_id=new_trace_id())
        shop.publish()
    if output_format == "json":
        echo_json(report.to_json())
    else:
        _echo(report)
    ctx.exit(1 if report.findings else 0)


def _echo(report: VerificationReport) -> None:
    shown = [r for r in report.results if r.found or r.due.rows]
    if shown:
        echo_rows(
            ("kind", "subject", "tenant", "found", "held", "undeletable", "paused", "oldest",
             "p99 age", "why"),
            [
                (
                    r.kind,
                    r.subject,
                    r.tenant or r.tenant_id,
                    r.found,
                    r.held,
                    r.undeletable,
                    r.paused,
                    r.oldest.isoformat(timespec="seconds") if r.oldest else None,
                    span_in_words(timedelta(seconds=r.age_p99_s)) if r.age_p99_s else None,
                    "; ".join(f"{reason}: {rows}" for reason, rows in sorted(r.reasons.items())),
                )
                for r in shown
            ],
        )  # fmt: skip
        click.echo()
    if report.account:
        _echo_account(report.account)
    else:
        click.echo("no account: it looked back, and the books stay where they are")
    click.echo(
        f"{report.findings} findings as of {report.as_of.isoformat(timespec='seconds')}, "
        f"{len(report.overdue())} policies and {len(report.orphans())} references looked at, "
        f"trace id {report.trace_id}"
    )


def _echo_account(account: Account) -> None:
    """Print the books, a line per policy over all tenants."""
    if account.entries:
        echo_rows(
            ("policy", "opening", "newly due", "deleted", "along", "removed", "no longer due",
             "held", "undeletable", "paused", "still due", "difference"),
            [
                (
                    policy,
                    sum(e.opening for e in entries),
                    sum(e.newly_due for e in entries),
                    sum(e.deleted for e in entries),
                    sum(e.deleted_along for e in entries),
                    sum(e.removed for e in entries),
                    sum(e.no_longer_due for e in entries),
                    sum(e.closing.held for e in entries),
                    sum(e.closing.undeletable for e in entries),
                    sum(e.closing.paused for e in entries),
                    sum(e.closing.still_due for e in entries),
                    sum(e.difference for e in entries),
                )
                for policy, group in groupby(account.entries, lambda e: e.book.policy)
                for entries in [tuple(group)]
            ],
        )  # fmt: skip
    uneven = sum(1 for entry in account.entries if entry.unexplained)
    click.echo(
        f"account {account.number}: {len(account.batches)} batches counted, "
        + (f"{uneven} books do not come out even" if uneven else "the books come out even")
    )
