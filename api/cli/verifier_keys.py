"""The option by which a command is told whose signatures to believe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from retention.ledger.verifier import NoteError, VerifierKey

F = TypeVar("F", bound=Callable[..., Any])


def keys_option(function: F) -> F:
    """Add --key VKEY, any number of them, handed over as `keys`."""
    return click.option(
        "--key",
        "keys",
        metavar="VKEY",
        multiple=True,
        callback=_parsed,
        help="A key to believe, in the place of those that the database names; again for each.",
    )(function)


def _parsed(
    _ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]
) -> tuple[VerifierKey, ...]:
    try:
        return tuple(map(VerifierKey.parse, given))
    except NoteError as error:
        raise click.BadParameter(str(error)) from error
