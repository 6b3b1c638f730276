"""`tenure retention restore`: bring back what a run archived."""

from __future__ import annotations

import click

from api.cli.retention_support import tenant_id_of
from api.cli.support import (
    Failure,
    actor,
    echo_json,
    echo_rows,
    failures,
    format_option,
    installation_of,
)
from api.workshop import clock_of
from retention.errors import RestoreError
from retention.policies import Period, due_at
from retention.restoring import Wish, archived_batches, restore


@click.command(
    "restore",
    epilog="""\b
Example:
  tenure retention restore 4bf92f3577b34da6a3ce929d0e0e4736 --reason "ticket 4711" --dry-run""",
)
@click.argument("trace_id")
@click.option("--tenant", "slug", metavar="SLUG", help="Only what was this tenant's.")
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option(
    "--keep",
    default="P30D",
    show_default=True,
    metavar="PERIOD",
    help="How long what comes back stays, before a run may archive it again.",
)
@click.option("--dry-run", is_flag=True, help="Show what would come back; change nothing.")
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    trace_id: str,
    *,
    slug: str | None,
    reason: str,
    keep: str,
    dry_run: bool,
    output_format: str,
) -> None:
    """Bring back the rows that a run archived, batch by batch, the last first.

    A batch comes back whole or not at all, and once; but for rows that have gone from the archive
    since, of a person who was erased say. Exit code 1 when one did not.
    """
    installation = installation_of(ctx)
    with failures():
        now = clock_of(installation).now()
    try:
        until = due_at(Period.parse(keep), now)
    except (ValueError, OverflowError) as error:
        raise click.UsageError(f"--keep: {error}") from error
    with failures():
        tenant = tenant_id_of(installation, slug) if slug else None
        with installation.verifier.transaction(None, read_only=True) as cursor:
            batches = archived_batches(cursor, trace_id, tenant)
        if not batches:
            raise Failure(f"no batch of run {trace_id} archived anything")
        results = []
        for batch in batches:
            state, problem, back = ("would be restored" if dry_run else "restored"), None, 0
            if batch.restored:
                state = "restored before"
            elif not dry_run:
                try:
                    restored = restore(
                        installation.retention,
                        installation.catalog,
                        batch,
                        Wish(reason, actor(), until),
                    )
                    back = sum(restored.values())
                except RestoreError as error:
                    state, problem = "not restored", str(error)
            results.append((batch, state, back, problem))
    if output_format == "json":
        echo_json(
            {
                "batches": [
                    {
                        "batch_id": str(batch.id),
                        "tenant": batch.tenant,
                        "policy": batch.policy.name,
                        "rows": batch.rows,
                        "restored": back,
                        "state": state,
                        "problem": problem,
                    }
                    for batch, state, back, problem in results
                ]
            }
        )
    else:
        echo_rows(
            ("batch", "tenant", "policy", "rows", "restored", "state"),
            [(str(b.id), b.tenant, b.policy.name, b.rows, n, s) for b, s, n, _ in results],
        )
        for *_, problem in results:
            if problem:
                click.echo(problem, err=True)
    ctx.exit(1 if any(problem for *_, problem in results) else 0)
