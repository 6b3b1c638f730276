"""`tenure tenants offboard`: a tenant leaves, with a copy of its data, and all of it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO
from uuid import UUID

import click

from api.cli.retention_support import actor, stop_signals, tenant_id_of
from api.cli.support import (
    Failure,
    echo_json,
    echo_rows,
    failures,
    format_option,
    installation_of,
)
from api.wiring import Installation
from api.workshop import workshop_of
from retention.errors import OffboardingError
from retention.executor import Options
from retention.exports.new_file import new_file
from retention.exports.records import Export
from retention.offboardings import records
from retention.offboardings.execution import Plan, Result
from retention.offboardings.records import DEFAULT_GRACE, Offboarding
from retention.workshop import Workshop


@click.group(
    "offboard",
    epilog="""\b
Example:
  tenure tenants offboard request acme --reason "contract ended" --output acme.zip
  tenure tenants offboard run acme --dry-run
  tenure tenants offboard take-back acme --reason "they stay"
  tenure tenants offboard run
  tenure tenants offboard show acme

Exit codes: 0 fine, 1 not completed (a hold, a grace, somebody who has not answered), 2 wrong usage
or failure.""",
)
def command() -> None:
    """Offboard a tenant: a copy of its data, a period of grace, and then all of it is deleted.

    During the grace nothing changes for the tenant, and the offboarding can be taken back. When it
    is over, the worker (or `run`) begins: memberships, tokens and sessions end at that moment,
    connectors are asked to erase all that they have of the tenant, and its rows go, in batches on
    record. Holds defer it. What stays (the evidence) is listed with its reason.
    """


_reason = click.option("--reason", required=True, metavar="TEXT", help="Why: a letter, a contract.")
_output = click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The zip to write the copy to; it must not be there yet.",
)


@command.command(
    epilog="""\b
Example:
  tenure tenants offboard request acme --reason "contract ended 31 May" --output acme.zip
  tenure tenants offboard request acme --reason "as agreed" --grace P90D --output acme.zip"""
)
@click.argument("tenant", metavar="SLUG")
@_reason
@_output
@click.option(
    "--grace",
    default=DEFAULT_GRACE,
    show_default=True,
    metavar="PERIOD",
    help="How long it can be taken back, as ISO 8601 writes it; P0D for not at all.",
)
@format_option
@click.pass_context
def request(
    ctx: click.Context, *, tenant: str, reason: str, output: Path, grace: str, output_format: str
) -> None:
    """Record that a tenant is to leave, and write a copy of all its rows.

    The grace begins now. Without a copy that was finished nothing is ever deleted; if it fails,
    make it again with `export`.
    """
    installation = installation_of(ctx)
    with failures(), stop_signals() as stopping:
        tenant_id = tenant_id_of(installation, tenant)
        shop = workshop_of(installation, actor=actor(), options=Options(stop=stopping.is_set))
        with _requested(shop, tenant) as note:
            # The file first: a request is not recorded for a name that nothing can be written to.
            with new_file(output) as out:
                offboarding_id = records.request(
                    shop.retention, tenant_id, actor=shop.actor, reason=reason, grace=grace
                )
                note(offboarding_id)
                one = shop.offboardings().find(offboarding_id)
                made = _copy(shop, one, out)
            records.note_export(shop.retention, one, made.id)
        one = shop.offboardings().find(offboarding_id)
    _echo_exported(one, made, output, output_format)


@command.command(
    epilog="""\b
Example:
  tenure tenants offboard export acme --output acme-at-the-end.zip"""
)
@click.argument("tenant", metavar="SLUG")
@_output
@format_option
@click.pass_context
def export(ctx: click.Context, *, tenant: str, output: Path, output_format: str) -> None:
    """Write the copy again, before the deletion begins.

    The tenant may write until the grace is over: the last copy is the one that counts.
    """
    installation = installation_of(ctx)
    with failures(), stop_signals() as stopping:
        shop = workshop_of(installation, actor=actor(), options=Options(stop=stopping.is_set))
        one = _latest(installation, tenant)
        made = _export(shop, one, output)
        shop.publish()
        one = shop.offboardings().find(one.id)
    _echo_exported(one, made, output, output_format)


@contextmanager
def _requested(shop: Workshop, tenant: str) -> Iterator[Callable[[UUID], None]]:
    """Yield what is told of the id once it is recorded. From then on the ledger is published, and
    a failure says what there is by now, and what to do."""
    recorded: list[UUID] = []
    try:
        with failures():
            yield recorded.append
    except Failure as failure:
        if not recorded:
            raise
        raise Failure(
            f"{failure.message}\noffboarding {recorded[0]} is requested, and has no copy yet: "
            f"make it with `tenure tenants offboard export {tenant} --output FILE`, or take it "
            f"back with `tenure tenants offboard take-back {tenant} --reason TEXT`"
        ) from failure
    finally:
        if recorded:
            shop.publish()


def _export(shop: Workshop, one: Offboarding, output: Path) -> Export:
    if one.started_at is not None or one.ended_at is not None:
        raise OffboardingError(f"offboarding {one.id} is {one.state}: nothing is exported any more")
    with new_file(output) as out:
        made = _copy(shop, one, out)
    # Once the file has its name.
    records.note_export(shop.retention, one, made.id)
    return made


def _copy(shop: Workshop, one: Offboarding, out: IO[bytes]) -> Export:
    return replace(shop.exporter, on_rows=_progress).of_tenant(
        out, one.tenant_id, actor=shop.actor, reason=f"offboarding {one.id}: {one.reason}"
    )


def _progress(table: object, rows: int) -> None:
    if rows % 100_000 < 2_000 and rows >= 100_000:
        click.echo(f"{table}: {rows} rows", err=True)


def _echo_exported(one: Offboarding, made: Export, output: Path, output_format: str) -> None:
    if output_format == "json":
        echo_json({**one.to_json(), "export": made.to_json(), "file": str(output)})
        return
    click.echo(f"{output}: {made.bytes} bytes, manifest {made.manifest_sha256}")
    _echo(one)


@command.command(
    "take-back",
    epilog="""\b
Example:
  tenure tenants offboard take-back acme --reason "they stay" """,
)
@click.argument("tenant", metavar="SLUG")
@_reason
@format_option
@click.pass_context
def take_back(ctx: click.Context, *, tenant: str, reason: str, output_format: str) -> None:
    """End an offboarding before anything is deleted by it. The tenant stays as it is."""
    installation = installation_of(ctx)
    with failures():
        shop = workshop_of(installation, actor=actor())
        one = _latest(installation, tenant)
        records.take_back(shop.retention, one, actor=shop.actor, reason=reason)
        shop.publish()
        one = shop.offboardings().find(one.id)
    _echo_as(one, output_format)


@command.command(
    epilog="""\b
Example:
  tenure tenants offboard run acme --dry-run
  tenure tenants offboard run acme
  tenure tenants offboard run --format json"""
)
@click.argument("tenant", metavar="[SLUG]", required=False)
@click.option("--dry-run", is_flag=True, help="Show what would go and what stays; delete nothing.")
@format_option
@click.pass_context
def run(ctx: click.Context, *, tenant: str | None, dry_run: bool, output_format: str) -> None:
    """Go on with what is due: of one tenant, or of all whose grace is over.

    The worker does the same at every tick. It can be broken off at any moment and run again.
    """
    installation = installation_of(ctx)
    with failures(), stop_signals() as stopping:
        shop = workshop_of(installation, actor=actor(), options=Options(stop=stopping.is_set))
        executor = replace(
            shop.offboardings(), on_rows=lambda rows: click.echo(f"{rows} rows", err=True)
        )
        wanted = [_latest(installation, tenant)] if tenant else executor.at_work()
        if dry_run:
            _echo_plans([executor.plan(one) for one in wanted], output_format)
            return
        done = [executor.run(one.id) for one in wanted if not stopping.is_set()]
        shop.publish()
    _echo_done(done, output_format)
    ctx.exit(0 if all(r.offboarding.state == "completed" for r in done) else 1)


@command.command(
    epilog="""\b
Example:
  tenure tenants offboard show acme --format json"""
)
@click.argument("tenant", metavar="SLUG")
@format_option
@click.pass_context
def show(ctx: click.Context, *, tenant: str, output_format: str) -> None:
    """Show a tenant's latest offboarding: its state, what went, what stays and why."""
    with failures():
        one = _latest(installation_of(ctx), tenant)
    _echo_as(one, output_format)


@command.command(
    "list",
    epilog="""\b
Example:
  tenure tenants offboard list""",
)
@format_option
@click.pass_context
def list_(ctx: click.Context, output_format: str) -> None:
    """List all offboardings, the latest first."""
    installation = installation_of(ctx)
    with failures(), installation.verifier.transaction(None, read_only=True) as cursor:
        found = records.offboardings(cursor)
    if output_format == "json":
        echo_json([one.to_json() for one in found])
        return
    echo_rows(
        ("id", "tenant", "state", "requested by", "reason", "deletes at", "waits for", "ended"),
        [
            (
                one.id, one.tenant, one.state, one.requested_by, one.reason,
                one.deletes_at.isoformat(timespec="seconds"), one.waits,
                one.ended_at and one.ended_at.isoformat(timespec="seconds"),
            )
            for one in found
        ],
    )  # fmt: skip


def _latest(installation: Installation, tenant: str) -> Offboarding:
    tenant_id = tenant_id_of(installation, tenant)
    with installation.verifier.transaction(None, read_only=True) as cursor:
        return records.latest_of(cursor, tenant_id)


def _echo_as(one: Offboarding, output_format: str) -> None:
    if output_format == "json":
        echo_json(one.to_json())
    else:
        _echo(one)


def _echo(one: Offboarding) -> None:
    click.echo(f"offboarding {one.id} of {one.tenant}: {one.state}")
    click.echo(f"requested by {one.requested_by}: {one.reason}")
    if one.taken_back_by:
        click.echo(f"taken back by {one.taken_back_by}: {one.taken_back_reason}")
    elif one.started_at is None:
        click.echo(f"deleted from {one.deletes_at.isoformat(timespec='seconds')} on")
        if one.export_id is None:
            click.echo("there is no export yet, and nothing is deleted without one")
    else:
        ended = ", ".join(f"{count} {name}" for name, count in (one.access or {}).items())
        click.echo(f"begun {one.started_at.isoformat(timespec='seconds')}; ended then: {ended}")
    if one.waits:
        click.echo(f"waits: {one.waits}")
    if one.counts is not None:
        gone = [(name, of["delete"]) for name, of in sorted(one.counts["deleted"].items())]
        echo_rows(("table", "deleted"), gone)
        for connector, state in sorted(one.counts["elsewhere"].items()):
            click.echo(f"connector {connector}: {state}")
    if one.stays is not None:
        _echo_stays(one.stays)


def _echo_stays(stays: object) -> None:
    assert isinstance(stays, dict)  # noqa: S101 - narrows JSON's Any
    echo_rows(
        ("stays in", "rows", "because it"),
        [
            (name, "not counted" if of["rows"] is None else of["rows"], of["why"])
            for name, of in sorted(stays.items())
        ],
    )


def _echo_plans(plans: list[Plan], output_format: str) -> None:
    if output_format == "json":
        echo_json([plan.to_json() for plan in plans])
        return
    for plan in plans:
        click.echo(f"{plan.offboarding.tenant}: {plan.not_yet or 'may go now'}")
        echo_rows(("would be deleted from", "rows"), list(plan.goes.items()))
        echo_rows(("ends", "when"), list(plan.ends.items()))
        _echo_stays(plan.stays)
        for matter in plan.holds:
            click.echo(f"held: {matter}")
        for connector in plan.connectors:
            click.echo(f"asked: {connector}")


def _echo_done(done: list[Result], output_format: str) -> None:
    if output_format == "json":
        echo_json(
            [
                {
                    **result.offboarding.to_json(),
                    "batches": result.batches,
                    "rows": result.rows,
                    "why": result.why,
                }
                for result in done
            ]
        )
        return
    if not done:
        click.echo("nothing is due")
    for result in done:
        one = result.offboarding
        why = f" ({result.why})" if result.why else ""
        click.echo(f"{one.tenant}: {one.state}{why}, {result.rows} rows deleted this time")
