"""`tenure retention check|explain|period`: what the policies say, of the database and of a row."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from functools import partial
from uuid import UUID

import click

from api.cli.retention_leftovers import leftovers
from api.cli.retention_replay import command as replay
from api.cli.retention_restore import command as restore
from api.cli.retention_support import tenant_id_of
from api.cli.support import Failure, actor, echo_json, failures, format_option, installation_of
from api.workshop import workshop_of
from retention.deletions import Deletion
from retention.errors import PolicyError, SubjectError
from retention.explain import Explanation, Question, explain
from retention.graph import held_edges
from retention.held_rows import held_by
from retention.leftovers import keepings
from retention.leftovers import problems as undeclared
from retention.policy_records import set_period
from retention.precedence import Decision
from tenants.catalog import Catalog, TableName


@click.command(
    epilog="""\b
Example:
  tenure retention check"""
)
@format_option
@click.pass_context
def check(ctx: click.Context, output_format: str) -> None:
    """Check policies and subjects against the database: tables, indexes, foreign keys, privileges;
    and that each table of ours says how long it keeps its rows.

    Each problem names its mend. Exit code 1 when there is one. Changes nothing.
    """
    installation = installation_of(ctx)
    problems: list[str] = []
    with failures():
        try:
            shop = workshop_of(installation, actor=actor())
        except (PolicyError, SubjectError) as error:
            problems = str(error).splitlines()
        else:
            for look in (shop.check, shop.check_subjects):
                try:
                    look()
                except (PolicyError, SubjectError) as error:
                    problems += str(error).splitlines()
        with installation.verifier.transaction(None, read_only=True) as cursor:
            problems += undeclared(cursor)
    if output_format == "json":
        echo_json({"problems": problems})
    else:
        for problem in problems:
            click.echo(problem)
        if not problems:
            click.echo(f"{len(shop.policies)} policies fit the database.")
            click.echo(f"{len(shop.subjects)} subjects fit the database.")
            click.echo(f"{len(keepings())} tables of ours say how long they keep their rows.")
    ctx.exit(1 if problems else 0)


@click.command(
    epilog="""\b
Example:
  tenure retention period invoices-10-years --tenant acme P12Y
  tenure retention period invoices-10-years --tenant acme --reset"""
)
@click.argument("policy")
@click.argument("period", required=False)
@click.option("--tenant", required=True, metavar="SLUG", help="For which tenant.")
@click.option("--reset", "drop", is_flag=True, help="Give it back the policy's period.")
@format_option
@click.pass_context
def period(
    ctx: click.Context,
    policy: str,
    period: str | None,
    *,
    tenant: str,
    drop: bool,
    output_format: str,
) -> None:
    """Give a tenant a period of its own, within the policy's minimum and maximum.

    It holds for all rows from now on: a shorter one makes rows due at once.
    """
    if (period is None) is not drop:
        raise click.UsageError("give a period (P12Y), or --reset")
    installation = installation_of(ctx)
    with failures():
        shop = workshop_of(installation, actor=actor())
        chosen = {p.name: p for p in shop.policies}.get(policy)
        if chosen is None:
            names = ", ".join(p.name for p in shop.policies)
            raise PolicyError(f"there is no policy {policy!r}; there are {names}")
        shop.record()
        owner = tenant_id_of(installation, tenant)
        set_period(installation.retention, owner, chosen, period, actor=shop.actor)
    if output_format == "json":
        echo_json({"policy": policy, "tenant": tenant, "period": period or chosen.period})
    else:
        own = "has a period of its own" if period else "has the policy's period"
        click.echo(f"{tenant} {own} under {policy}: {period or chosen.period}")


@click.command(
    "explain",
    epilog="""\b
Example:
  tenure retention explain shop.invoices 01890a5d-ac96-774b-bcce-b302099a8057""",
)
@click.argument("table")
@click.argument("row", metavar="ID", type=click.UUID)
@click.option("--tenant", "slug", metavar="SLUG", help="Only in this tenant.")
@format_option
@click.pass_context
def explain_row(
    ctx: click.Context, table: str, row: UUID, *, slug: str | None, output_format: str
) -> None:
    """Say which rule decides over a row, what holds it, and when it goes.

    For a key that is gone: when it went, under which run and rule, by which erasure, or with its
    tenant. Exit code 1 when nobody has or had such a row.
    """
    installation = installation_of(ctx)
    with failures():
        shop = workshop_of(installation, actor=actor())
        question = Question(
            _table(installation.catalog, table),
            row,
            [tenant_id_of(installation, slug)] if slug else None,
        )
        now = shop.clock.now()
        with installation.verifier.transaction(
            None, isolation="REPEATABLE READ", read_only=True
        ) as cursor:
            found = explain(
                cursor,
                question,
                catalog=installation.catalog,
                policies=shop.policies,
                held_by=partial(held_by, cursor, held_edges(installation.catalog)),
                now=now,
            )
    if output_format == "json":
        echo_json({"rows": [one.to_json() for one in found]})
    else:
        for one in found:
            click.echo("\n".join(_lines(one)))
        if not found:
            click.echo(f"no tenant has or had {row} in {question.table}, as far as is recorded")
    ctx.exit(0 if found else 1)


def _table(catalog: Catalog, text: str) -> TableName:
    if "." in text:
        return catalog.table(text).name
    found = [table.name for table in catalog if table.name.name == text]
    if len(found) != 1:
        known = ", ".join(str(table.name) for table in catalog)
        raise Failure(f"{text!r} is {'no' if not found else 'not one'} table; there are {known}")
    return found[0]


_DONE = {
    "delete": "deleted",
    "archive": "archived and deleted",
    "anonymise": "anonymised",
    "pseudonymise": "pseudonymised",
    "cut": "lost its reference to an erased person",
}


def _lines(one: Explanation) -> Iterator[str]:
    yield f"{one.table} {one.id} of {one.tenant}"
    if one.removal is not None:
        yield f"  removal: {_said(one.removal)}"
    if one.change is not None:
        yield f"  change: {_said(one.change)}"
    if one.held_by:
        yield f"  under legal hold: {', '.join(one.held_by)}"
    for reference in one.kept_by:
        yield f"  {reference.rows} rows of {reference.table} refer to it ({reference.column})"
    for policy, table, parent in one.with_:
        yield f"  goes along with {table} {parent} under {policy}"
    for deletion in one.deletions:
        done = f"  {_DONE[deletion.action]} {deletion.deleted_at.isoformat(timespec='seconds')} "
        if deletion.purge is not None:
            yield f"{done}by {deletion.purge} {deletion.purge_id}, batch {deletion.batch_id}"
        elif deletion.cutoff is None:
            yield f"{done}by erasure {deletion.erasure_id}, batch {deletion.batch_id}"
        else:
            yield (
                f"{done}under {deletion.policy} "
                f"(version {deletion.version}, cutoff {deletion.cutoff.isoformat()}), "
                f"run {deletion.trace_id}, batch {deletion.batch_id}"
            )
        yield f"    {_since(deletion)}"


def _since(deletion: Deletion) -> str:
    started, due = deletion.started, deletion.due_at
    if deletion.run_id is None:
        if deletion.requested_at is None or due is None:
            return "because it had gone before a restore"
        to_go = "to go after" if deletion.purge_id else "to go by"
        return f"requested {_date(deletion.requested_at)}, {to_go} {_date(due)}"
    if started.at is not None:
        since = f"its period began {_date(started.at)}"
    elif started.along_until is not None and started.along_from is not None:
        since = (
            "along with a row whose period began between "
            f"{_date(started.along_from)} and {_date(started.along_until)}"
        )
    else:
        return "when its period began was not kept: before the cutoff"
    latest = " at the latest" if started.at is None else ""
    return since if due is None else f"{since}; due{latest} {_date(due)}"


def _date(value: date) -> str:
    return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


def _said(decision: Decision) -> str:
    when = "" if decision.at is None else _date(decision.at)
    policy = decision.policy
    return {
        "no rule": "no policy decides over it",
        "undated": f"{policy} decides, and the row has no starting point",
        "waiting": f"{policy} decides; "
        + (f"due {when}" if when else "nobody can say when it is due")
        + (f", kept until then by the minimum of {decision.because}" if decision.because else ""),
        "due": f"{policy} decides; due since {when}",
        "held": f"{policy} decides; due, and kept by the hold",
        "kept": f"{policy} decides; due, and kept by {decision.because}"
        + (f" until {when}" if when else ""),
        "paused": f"{policy} decides; due since {when}, and the policy is paused",
        "done": f"{policy} decides; done already",
    }[decision.outcome]


COMMANDS = (check, period, explain_row, restore, replay, leftovers)
