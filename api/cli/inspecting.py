"""Hands what the lint gate or the posture audit said to those who keep evidence."""

from __future__ import annotations

from importlib.metadata import version
from uuid import UUID

import click

from api.cli.support import Failure, actor, failures, installation_of
from retention.errors import InspectionError
from retention.inspections import Inspection, keep_inspection, read_inspection


def keep(
    ctx: click.Context, text: str, subject: str, *, name: str = "the result"
) -> tuple[UUID, Inspection]:
    """Keep a result, as looked at by this release, in the configured installation; return its id.

    Raises what `failures` makes of a text that is no result, which `name` tells of, or of a
    missing subject.
    """
    try:
        inspection = read_inspection(text)
    except InspectionError as error:
        raise Failure(f"{name}: {error}") from error
    with failures():
        kept = keep_inspection(
            installation_of(ctx).retention,
            inspection,
            subject=subject,
            tool=f"tenure {version('tenure')}",
            actor=actor(),
        )
    return kept, inspection
