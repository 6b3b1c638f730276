"""The schema that the models of the configured domain declare, for the linter."""

from __future__ import annotations

import click

from api.cli.support import failures, settings_of
from api.lint_catalog import lint_catalog
from api.wiring import domain_of


def models_schema(ctx: click.Context) -> tuple[str, str]:
    """Return a name for it, and the catalog as JSON. Asks no database."""
    with failures():
        domain = domain_of(settings_of(ctx))
        return f"the models of {domain.name}", lint_catalog(domain.catalog).to_json()
