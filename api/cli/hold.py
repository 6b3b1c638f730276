"""`tenure hold`: legal holds on tenants, subjects, tables and rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO
from uuid import UUID

import click

from api.cli.retention_support import tenant_id_of
from api.cli.support import (
    actor,
    echo_json,
    echo_rows,
    failures,
    format_option,
    installation_of,
    name_of,
    text_of,
)
from api.workshop import ground_of, ledger_of, workshop_of
from retention import holds
from retention.errors import HoldError
from retention.hold_keys import count_rows
from retention.hold_preview import Preview, preview_release
from retention.hold_records import Hold, events_of, find_hold
from retention.hold_records import holds as list_holds
from retention.hold_scopes import TENANT, Scope
from retention.workshop import publish
from tenants.catalog import TableName
from tenants.errors import CatalogError

_SCOPES = """\b
What a hold is on:
  --tenant acme                                  everything of the tenant
  .. --table shop.customers --subject ID         a row and all that refers to it
  .. --table shop.invoices --where "SQL"         rows that meet a condition, later ones, too
  .. --table shop.invoices --row ID --row ID     these rows
"""


@click.group(
    epilog=f"""{_SCOPES}
\b
Example:
  tenure hold place --tenant acme --matter "Smith v. Acme" --reason "litigation"
  tenure hold list
  tenure hold preview 01a1f8b0-40cf-765f-99aa-7eac363e7fc8
  tenure hold release 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --grace P14D

Exit codes: 0 done, 2 wrong usage or failure (nothing was placed or released)."""
)
def command() -> None:
    """Place, release and list legal holds.

    A row under hold is not deleted or changed, by retention or through the API, and what it
    refers to is not deleted either. A hold has no expiry: it ends by being released, after a
    period of grace in which the release can be taken back.
    """


@command.command(
    epilog=f"""{_SCOPES}
A condition is SQL over the columns of one row, called r: comparisons, IN, BETWEEN, LIKE, IS NULL,
AND, OR, NOT, a few functions of text. It cannot look at other rows or at the clock.

\b
Example:
  tenure hold place --tenant acme --table shop.invoices --where "r.issued_at < '2020-01-01'" \\
      --matter "Tax audit 2019" --reason "letter of 3 March" --dry-run"""
)
@click.option("--tenant", required=True, metavar="SLUG", help="Whose rows are held.")
@click.option("--table", metavar="SCHEMA.NAME", help="The table of the subject, condition or rows.")
@click.option(
    "--subject", type=click.UUID, metavar="ID", help="This row and all that refers to it."
)
@click.option("--where", "condition", metavar="SQL", help="Rows r that meet the condition.")
@click.option("--row", "rows", type=click.UUID, multiple=True, metavar="ID", help="This row.")
@click.option(
    "--rows", "rows_file", type=click.File("rb"), metavar="FILE", help="Ids, a line each."
)
@click.option("--matter", required=True, help="The case it is for.")
@click.option("--reason", required=True, help="Why these rows must be kept.")
@click.option("--dry-run", is_flag=True, help="Count the rows it would be on; hold nothing.")
@format_option
@click.pass_context
def place(
    ctx: click.Context,
    *,
    tenant: str,
    table: str | None,
    subject: UUID | None,
    condition: str | None,
    rows: tuple[UUID, ...],
    rows_file: IO[bytes] | None,
    matter: str,
    reason: str,
    dry_run: bool,
    output_format: str,
) -> None:
    """Place a hold; prints its id. Waits for the tenant's open batches and writes."""
    installation = installation_of(ctx)
    with failures():
        scope = _scope(table, subject, condition, (*rows, *_ids_in(rows_file)))
        ledger = ledger_of(installation, actor=actor())
        tenant_id = tenant_id_of(installation, tenant)
        ground = ground_of(installation)
        if dry_run:
            checked = ground.checked(scope)
            with installation.retention.transaction(tenant_id, read_only=True) as cursor:
                counts = count_rows(cursor, tenant_id, checked, ground)
        else:
            hold_id = holds.place(
                installation.retention,
                tenant_id,
                scope,
                matter=matter,
                reason=reason,
                actor=actor(),
                ground=ground,
            )
    if dry_run:
        _echo_counts(scope, counts, output_format)
        return
    if output_format == "json":
        echo_json(find_hold(installation.verifier, hold_id).to_json())
    else:
        click.echo(str(hold_id))
    with failures():
        publish(ledger)


def _scope(
    table: str | None, subject: UUID | None, condition: str | None, rows: tuple[UUID, ...]
) -> Scope:
    chosen = [subject is not None, condition is not None, bool(rows)]
    if table is None:
        if any(chosen):
            raise click.UsageError("--subject, --where, --row and --rows need --table")
        return TENANT
    if sum(chosen) != 1:
        raise click.UsageError("with --table, give one of --subject, --where, --row or --rows")
    try:
        name = TableName.parse(table)
    except CatalogError as error:
        raise HoldError(str(error)) from error
    if subject is not None:
        return Scope("subject", name, subject=subject)
    if condition is not None:
        return Scope("table", name, condition=condition)
    return Scope("rows", name, rows=tuple(dict.fromkeys(rows)))


def _ids_in(file: IO[bytes] | None) -> list[UUID]:
    ids: list[UUID] = []
    if file is None:
        return ids
    for number, line in enumerate(text_of(file).splitlines(), 1):
        if line.strip():
            try:
                ids.append(UUID(line.strip()))
            except ValueError as error:
                said = f"{name_of(file)}: line {number}: {line.strip()!r} is no id"
                raise HoldError(said) from error
    if not ids:
        raise HoldError(f"{name_of(file)}: no ids in it")
    return ids


def _echo_counts(scope: Scope, counts: dict[str, int], output_format: str) -> None:
    if output_format == "json":
        echo_json({"scope": str(scope), "rows": sum(counts.values()), "tables": counts})
        return
    click.echo(f"would hold {sum(counts.values())} rows now: {scope}")
    for name, rows in counts.items():
        click.echo(f"  {rows} of {name}")


@command.command(
    epilog="""\b
Example:
  tenure hold preview 01a1f8b0-40cf-765f-99aa-7eac363e7fc8"""
)
@click.argument("hold_id", metavar="ID", type=click.UUID)
@format_option
@click.pass_context
def preview(ctx: click.Context, hold_id: UUID, output_format: str) -> None:
    """Show which rows would go at the next run if a hold were not in force.

    Rows that another hold, a pause or a reference keeps are not among them.
    """
    installation = installation_of(ctx)
    with failures():
        shop = workshop_of(installation, actor=actor())
        hold = find_hold(installation.verifier, hold_id)
        found = preview_release(
            shop.verifier, shop.catalog, shop.policies, hold, now=shop.clock.now()
        )
    if output_format == "json":
        echo_json(found.to_json())
    else:
        _echo_preview(found)


def _echo_preview(found: Preview) -> None:
    hold = found.hold
    click.echo(f"{hold.matter}, on {hold.tenant}: {hold.scope}")
    if not hold.in_force:
        click.echo("It is not in force any more; it keeps nothing.")
    for freed in found.freed:
        click.echo(f"  {freed.rows} of {freed.table} would go under {freed.policy}")
    click.echo(f"{found.rows} rows would go.")


@command.command(
    epilog="""\b
Example:
  tenure hold release 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --reason "settled"
  tenure hold release 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --grace P0D"""
)
@click.argument("hold_id", metavar="ID", type=click.UUID)
@click.option(
    "--grace",
    metavar="DURATION",
    help="How long it stays in force (ISO 8601; P0D: no longer).  [default: setting hold_grace]",
)
@click.option("--reason", help="Why it is released, for the record.")
@format_option
@click.pass_context
def release(
    ctx: click.Context, hold_id: UUID, *, grace: str | None, reason: str | None, output_format: str
) -> None:
    """Release a hold. It stays in force for a period of grace; then what it deferred goes.

    Look at it before, with `tenure hold preview`; take it back with `tenure hold take-back`.
    """
    installation = installation_of(ctx)
    with failures():
        ledger = ledger_of(installation, actor=actor())
        hold = holds.release(
            installation.retention,
            installation.verifier,
            hold_id,
            actor=actor(),
            grace=installation.settings.hold_grace if grace is None else grace,
            reason=reason,
        )
    if output_format == "json":
        echo_json(hold.to_json())
    else:
        _echo_released(hold)
    with failures():
        publish(ledger)


def _echo_released(hold: Hold) -> None:
    click.echo(f"released {hold.id} ({hold.matter}) on {hold.tenant}")
    if hold.in_force and hold.effective_at is not None:
        until = hold.effective_at.isoformat(timespec="seconds")
        click.echo(f"in force until {until}; until then: tenure hold take-back {hold.id}")


@command.command(
    epilog="""\b
Example:
  tenure hold take-back 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --reason "an appeal was filed" """
)
@click.argument("hold_id", metavar="ID", type=click.UUID)
@click.option("--reason", help="Why it goes on, for the record.")
@format_option
@click.pass_context
def take_back(ctx: click.Context, hold_id: UUID, *, reason: str | None, output_format: str) -> None:
    """Take back the release of a hold that is still in force."""
    installation = installation_of(ctx)
    with failures():
        ledger = ledger_of(installation, actor=actor())
        hold = holds.take_back(
            installation.retention, installation.verifier, hold_id, actor=actor(), reason=reason
        )
    if output_format == "json":
        echo_json(hold.to_json())
    else:
        click.echo(f"in force as before: {hold.id} ({hold.matter}) on {hold.tenant}")
    with failures():
        publish(ledger)


@command.command(
    epilog="""\b
Example:
  tenure hold show 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --format json"""
)
@click.argument("hold_id", metavar="ID", type=click.UUID)
@format_option
@click.pass_context
def show(ctx: click.Context, hold_id: UUID, output_format: str) -> None:
    """Show a hold, and what became of it: by whom, when and why."""
    installation = installation_of(ctx)
    with failures():
        hold = find_hold(installation.verifier, hold_id)
        events = events_of(installation.verifier, hold)
    if output_format == "json":
        listed = [{name: getattr(e, name) for name in e.__slots__} for e in events]
        echo_json({**hold.to_json(), "events": listed})
        return
    click.echo(f"{hold.matter}, on {hold.tenant}: {hold.scope}")
    click.echo(f"{_state(hold)}; {_then(hold)}")
    echo_rows(
        ("event", "when", "by", "takes effect", "reason"),
        [(e.event, _at(e.happened_at), e.actor, _at(e.effective_at), e.reason) for e in events],
    )


@command.command(
    "list",
    epilog="""\b
Example:
  tenure hold list --all --format json""",
)
@click.option("--tenant", metavar="SLUG", help="Only this tenant's.")
@click.option("--all", "released", is_flag=True, help="Those no longer in force, too.")
@format_option
@click.pass_context
def list_(ctx: click.Context, tenant: str | None, released: bool, output_format: str) -> None:
    """List the holds in force."""
    installation = installation_of(ctx)
    with failures():
        tenant_id = tenant_id_of(installation, tenant) if tenant else None
        with installation.verifier.transaction(None, read_only=True) as cursor:
            found = list_holds(cursor, tenant_id=tenant_id, released=released)
    if output_format == "json":
        echo_json([hold.to_json() for hold in found])
    else:
        _echo_list(found)


def _echo_list(found: Sequence[Hold]) -> None:
    echo_rows(
        ("id", "tenant", "on", "matter", "reason", "placed by", "placed at", "state"),
        [
            (h.id, h.tenant, h.scope, h.matter, h.reason, h.placed_by, _at(h.placed_at), _state(h))
            for h in found
        ],
    )


def _state(hold: Hold) -> str:
    if hold.effective_at is None:
        return "in force"
    return f"{'in force until' if hold.in_force else 'ended'} {_at(hold.effective_at)}"


def _then(hold: Hold) -> str:
    if hold.rows_then is None:
        return "its rows were not counted when it was placed"
    kept = "their keys are kept" if hold.keys_kept else "too many for their keys to be kept"
    return f"{hold.rows_then} rows were under it when it was placed; {kept}"


def _at(value: object) -> str | None:
    isoformat = getattr(value, "isoformat", None)
    return None if isoformat is None else str(isoformat(timespec="seconds"))
