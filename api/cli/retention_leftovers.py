"""`tenure retention leftovers`: how long the product keeps what it writes of its own work."""

from __future__ import annotations

import click

from api.cli.support import echo_json, echo_rows, failures, format_option, installation_of
from retention.leftovers import Gone, Keeping, deleted, keepings


@click.command(
    epilog="""\b
Examples:
  tenure retention leftovers
  tenure retention leftovers --format json | jq '.[] | select(.period)'"""
)
@format_option
@click.pass_context
def leftovers(ctx: click.Context, output_format: str) -> None:
    """Show how long each table of ours keeps its rows, on what basis, and what went so far.

    Ticks of the scheduler delete them, at most a thousand rows of a table each. Changes nothing.
    """
    with failures():
        gone = deleted(installation_of(ctx).retention)
    if output_format == "json":
        echo_json([_json(keeping, gone.get(keeping.table)) for keeping in keepings()])
        return
    echo_rows(
        ("table", "kept", "deleted", "lately", "basis"),
        [
            (
                f"tenure.{keeping.table}",
                f"{keeping.period} from {keeping.ended}" if keeping.period else "for good",
                *_so_far(gone.get(keeping.table)),
                keeping.basis,
            )
            for keeping in keepings()
        ],
    )


def _so_far(gone: Gone | None) -> tuple[int | None, str | None]:
    return (None, None) if gone is None else (gone.rows, f"{gone.last_at:%Y-%m-%d}")


def _json(keeping: Keeping, gone: Gone | None) -> dict[str, object]:
    return {
        "table": f"tenure.{keeping.table}",
        "ended": keeping.ended,
        "period": keeping.period,
        "basis": keeping.basis,
        "deleted": None if gone is None else gone.rows,
        "last_deleted_at": None if gone is None else gone.last_at,
    }
