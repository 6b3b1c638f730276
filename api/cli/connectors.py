"""`tenure connectors`: who else is asked to erase, and what has not answered yet."""

from __future__ import annotations

from uuid import UUID

import click

from api.cli.retention_support import actor, stop_signals, tenant_id_of
from api.cli.support import echo_json, echo_rows, failures, format_option, installation_of
from api.wiring import Installation
from api.workshop import connectors_of, workshop_of
from retention.connectors.declarations import Connector, FileStore
from retention.connectors.file_store import require_store
from retention.connectors.requests import Request, end, events_of, find_request, requests
from retention.errors import ConnectorError
from retention.executor import Options
from retention.jobs import ask_connectors


@click.group(
    epilog="""\b
Example:
  tenure connectors check
  tenure connectors requests --tenant acme
  tenure connectors deliver
  tenure connectors acknowledge 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --reference "letter of 3 May"
  tenure connectors withdraw 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --reason "it has ended"

Exit codes: 0 fine, 1 requests are late or failed, 2 wrong usage or failure."""
)
def command() -> None:
    """Show and work on requests to connectors: what others hold of a person who is erased.

    A request is open, with its clock, until the connector has acknowledged it. The worker
    attempts what is due; one that is late raises an alert.
    """


@command.command(
    epilog="""\b
Example:
  tenure connectors check --format json"""
)
@format_option
@click.pass_context
def check(ctx: click.Context, output_format: str) -> None:
    """Say which connectors are declared, and whether each could do its work here.

    Nobody is asked anything: of a webhook its secret is read, of a file store its root.
    """
    with failures():
        declared = connectors_of(installation_of(ctx))
    problems = {name: _problem(connector) for name, connector in declared.items()}
    if output_format == "json":
        echo_json([{**_shown(c), "problem": problems[name]} for name, c in declared.items()])
    else:
        echo_rows(
            ("connector", "kind", "deadline", "subjects", "problem"),
            [(c.name, c.kind, c.deadline, ", ".join(c.subjects) or "all", problems[c.name])
             for c in declared.values()],
        )  # fmt: skip
    if any(problems.values()):
        ctx.exit(1)


def _problem(connector: Connector) -> str | None:
    try:
        if isinstance(connector.target, FileStore):
            require_store(connector.target)
        else:
            connector.target.secrets()
    except ConnectorError as error:
        return str(error)
    return None


def _shown(connector: Connector) -> dict[str, object]:
    return {
        "name": connector.name,
        "kind": connector.kind,
        "deadline": connector.deadline,
        "subjects": list(connector.subjects),
    }


@command.command(
    "requests",
    epilog="""\b
Example:
  tenure connectors requests --all --format json""",
)
@click.option("--tenant", metavar="SLUG", help="Only this tenant's.")
@click.option("--cause", type=click.UUID, metavar="ID", help="Only of this erasure or offboarding.")
@click.option("--all", "ended", is_flag=True, help="Those that were answered, too.")
@format_option
@click.pass_context
def requests_(
    ctx: click.Context, *, tenant: str | None, cause: UUID | None, ended: bool, output_format: str
) -> None:
    """List what has not been acknowledged yet; exits with 1 when something is late."""
    installation = installation_of(ctx)
    with failures():
        tenant_id = tenant_id_of(installation, tenant) if tenant else None
        with installation.verifier.transaction(None, read_only=True) as cursor:
            found = requests(cursor, tenant_id=tenant_id, cause_id=cause, ended=ended)
    if output_format == "json":
        echo_json([request.to_json() for request in found])
    else:
        echo_rows(
            ("id", "connector", "for", "requested", "due", "state", "problem"),
            [
                (r.id, r.connector, f"{r.cause} {r.cause_id}", _at(r.requested_at), _at(r.due_at),
                 f"{r.state}, late" if r.overdue else r.state, r.problem)
                for r in found
            ],
        )  # fmt: skip
    if any(request.overdue for request in found):
        ctx.exit(1)


@command.command(
    epilog="""\b
Example:
  tenure connectors show 01a1f8b0-40cf-765f-99aa-7eac363e7fc8"""
)
@click.argument("request_id", metavar="ID", type=click.UUID)
@format_option
@click.pass_context
def show(ctx: click.Context, request_id: UUID, output_format: str) -> None:
    """Show a request and its steps: when, by whom, and with which counts."""
    installation = installation_of(ctx)
    with failures():
        request = _find(installation, request_id)
        with installation.verifier.transaction(None, read_only=True) as cursor:
            events = events_of(cursor, request)
    if output_format == "json":
        listed = [{name: getattr(e, name) for name in e.__slots__} for e in events]
        echo_json({**request.to_json(), "events": listed})
        return
    click.echo(f"{request.connector}, for {request.cause} {request.cause_id}: {request.state}")
    click.echo(f"due {_at(request.due_at)}{', and late' if request.overdue else ''}")
    echo_rows(
        ("when", "step", "by", "counts", "detail"),
        [
            (_at(e.happened_at), e.event, e.actor,
             ", ".join(f"{n} {name}" for name, n in e.counts.items()), e.detail)
            for e in events
        ],
    )  # fmt: skip


@command.command(
    epilog="""\b
Example:
  tenure connectors deliver --dry-run
  tenure connectors deliver"""
)
@click.option("--dry-run", is_flag=True, help="Only say which requests are open.")
@format_option
@click.pass_context
def deliver(ctx: click.Context, *, dry_run: bool, output_format: str) -> None:
    """Attempt all open requests now, without waiting for their turn.

    Files are deleted, webhooks told. Exits with 1 when an attempt failed.
    """
    installation = installation_of(ctx)
    if dry_run:
        ctx.invoke(requests_, output_format=output_format)
        return
    with failures(), stop_signals() as stopping:
        shop = workshop_of(installation, actor=actor(), options=Options(stop=stopping.is_set))
        results = ask_connectors(shop, everything=True)
    if output_format == "json":
        echo_json(dict(results))
    else:
        said = ", ".join(f"{count} {result}" for result, count in sorted(results.items()))
        click.echo(said or "nothing is open")
    if results.get("failed"):
        ctx.exit(1)


@command.command(
    epilog="""\b
Example:
  tenure connectors acknowledge 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --reference "letter of 3 May"
  tenure connectors acknowledge 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 --refused \\
      --reference "keeps it for its own books, letter of 3 May" """
)
@click.argument("request_id", metavar="ID", type=click.UUID)
@click.option("--reference", required=True, help="What says so: a letter, a ticket.")
@click.option("--refused", is_flag=True, help="They said no.")
@format_option
@click.pass_context
def acknowledge(
    ctx: click.Context, request_id: UUID, *, reference: str, refused: bool, output_format: str
) -> None:
    """Record an answer that came on another way; your name stands beside it."""
    installation = installation_of(ctx)
    with failures():
        if not reference.strip():
            raise ConnectorError("an acknowledgement needs a reference")
        request = _find(installation, request_id)
        with installation.retention.transaction(request.tenant_id) as cursor:
            end(
                cursor, request.tenant_id, request.id, request.connector,
                "refused" if refused else "acknowledged", actor=actor(), detail=reference,
            )  # fmt: skip
        request = _find(installation, request_id)
    if output_format == "json":
        echo_json(request.to_json())
    else:
        click.echo(f"{request.connector} {request.id}: {request.state}")


@command.command(
    epilog="""\b
Example:
  tenure connectors withdraw 01a1f8b0-40cf-765f-99aa-7eac363e7fc8 \\
      --reason "the company has ended, its register says" """
)
@click.argument("request_id", metavar="ID", type=click.UUID)
@click.option("--reason", required=True, help="Why no answer is waited for any more.")
@format_option
@click.pass_context
def withdraw(ctx: click.Context, request_id: UUID, *, reason: str, output_format: str) -> None:
    """Ask no more, of a connector that does not answer; your name stands beside it.

    It is no answer: letters and certificates say that none came, and what it was for goes on
    without one. An answer that comes later is still taken.
    """
    installation = installation_of(ctx)
    with failures():
        if not reason.strip():
            raise ConnectorError("that a request is withdrawn has a reason")
        request = _find(installation, request_id)
        with installation.retention.transaction(request.tenant_id) as cursor:
            end(
                cursor, request.tenant_id, request.id, request.connector, "withdrawn",
                actor=actor(), detail=reason,
            )  # fmt: skip
        request = _find(installation, request_id)
    if output_format == "json":
        echo_json(request.to_json())
    else:
        click.echo(f"{request.connector} {request.id}: {request.state}")


def _find(installation: Installation, request_id: UUID) -> Request:
    with installation.verifier.transaction(None, read_only=True) as cursor:
        return find_request(cursor, request_id)


def _at(value: object) -> str | None:
    isoformat = getattr(value, "isoformat", None)
    return None if isoformat is None else str(isoformat(timespec="seconds"))
