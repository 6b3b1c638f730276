"""`tenure migrate`: the schema of the product and of the domain, up, down, or its state."""

from __future__ import annotations

import ast
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import click

from api.cli.support import (
    Failure,
    echo_json,
    echo_rows,
    failures,
    format_option,
    owner_cursor,
    settings_of,
    write_file,
)
from api.lint_catalog import database_catalog
from api.wiring import domain_of, migrator_of, packages_of, prepare, refuse_unset, sessions_of
from config.errors import ConfigError
from config.settings import Settings, variable
from retention.ledger.manifest import Manifest
from tenants.connections import Role
from tenants.roles import (
    ROLES,
    closing_statements,
    role_statements,
    scram_verifier,
    session_statements,
)


@click.group(
    epilog="""\b
Example:
  tenure migrate up
  tenure migrate roles --print-sql
  tenure migrate status --format json
  tenure migrate catalog --output catalog.json"""
)
def command() -> None:
    """Bring the database's schema up, down, or show where it is.

    Migrations run as tenure_owner, one runner at a time, each in a transaction. The
    product's and the domain's are numbered apart.
    """


@command.command(epilog="\b\nExample:\n  tenure migrate up")
@click.option(
    "--roles/--no-roles",
    default=None,
    help="Create the database roles first, as the user of DATABASE_URL. "
    "Default: unless that user is tenure_owner.",
)
@click.option(
    "--put-key-back",
    is_flag=True,
    help="Seal with TENURE_CONTEXT_KEY also if it was exchanged for another key before.",
)
@format_option
@click.pass_context
def up(ctx: click.Context, *, roles: bool | None, put_key_back: bool, output_format: str) -> None:
    """Prepare the database's roles and apply what is pending."""
    settings = settings_of(ctx)
    with failures():
        if roles is None:
            roles = urlsplit(settings.database_url or "").username != "tenure_owner"
        refuse_unset(settings, ROLES if roles else ("tenure_owner",))
        migrator = migrator_of(settings)  # a domain that is wrong is said before roles are made
        if roles:
            prepare(settings)
        applied = migrator.up(put_key_back=put_key_back)
    if output_format == "json":
        echo_json({"applied": applied})
        return
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("nothing to apply")


@command.command(
    epilog="\b\nExample:\n  tenure migrate roles --print-sql > roles.sql\n"
    '  psql --file roles.sql "$ADMIN_URL"'
)
@click.option("--print-sql", is_flag=True, help="Print the SQL for an administrator to run.")
@click.pass_context
def roles(ctx: click.Context, print_sql: bool) -> None:
    """Make the database's roles, as the user of DATABASE_URL, and close it to all others.

    For a server where nobody is superuser, --print-sql prints what its administrator runs
    instead, connected to the database: it takes CREATEROLE and owning the database. Passwords
    that are set are in it as SCRAM verifiers; of the others it says which are left to set.
    """
    settings = settings_of(ctx)
    with failures():
        if print_sql:
            click.echo(_roles_sql(settings), nl=False)
        else:
            prepare(settings)
            click.echo("prepared the roles and the database", err=True)


def _roles_sql(settings: Settings) -> str:
    verifiers: dict[Role, str | None] = {}
    lines = ["-- Run this as an administrator, connected to the database that Tenure will have."]
    for role in ROLES:
        key = f"{role.removeprefix('tenure_')}_password"
        password = getattr(settings, key)
        if password is None:
            verifiers[role] = None
            lines.append(f"-- {variable(key)} is not set; afterwards: \\password {role}")
            continue
        try:
            verifiers[role] = scram_verifier(password.get_secret_value())
        except ValueError as error:
            raise ConfigError(f"{variable(key)} cannot be printed as a verifier: {error}") from None
    statements = [
        *role_statements(verifiers),
        *session_statements(sessions_of(settings)),
        *closing_statements(),
    ]
    return "\n".join(
        [*lines, "BEGIN;", *(f"{statement};" for statement in statements), "COMMIT;\n"]
    )


@command.command(
    epilog="\b\nExample:\n  tenure migrate down --dry-run\n"
    "  tenure migrate down --package shop --yes"
)
@click.option("--package", help="Whose last migration to take down. Default: the domain's.")
@click.option("--dry-run", is_flag=True, help="Say which migration that is; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@format_option
@click.pass_context
def down(
    ctx: click.Context, *, package: str | None, dry_run: bool, yes: bool, output_format: str
) -> None:
    """Take the last applied migration of a package down: what it made goes, tables with their
    rows; of the product's own, evidence and what guards it."""
    settings = settings_of(ctx)
    with failures():
        packages = {each.name: each for each in packages_of(domain_of(settings))}
        name = package or next(reversed(packages))
        if name not in packages:
            raise Failure(f"there is no package {name!r}; known are: {', '.join(packages)}")
        applied = [r for r in migrator_of(settings).status() if r.package == name and r.applied_at]
        if applied:
            last = f"{name}/{applied[-1].name}"
            about = _about(packages[name].directory / f"{applied[-1].name}.py")
            if not (dry_run or yes):
                click.echo(f"{last}: {about}", err=True)
                click.confirm(
                    f"Take {last} down? What it made goes, tables with their rows.",
                    abort=True,
                    err=True,
                )
        if dry_run:
            would = [last] if applied else []
            if output_format == "json":
                echo_json({"would_revert": would})
            else:
                click.echo(
                    f"would take down {last}: {about}" if applied else "nothing to take down"
                )
            return
        reverted = migrator_of(settings).down(name)
    if output_format == "json":
        echo_json({"reverted": reverted})
        return
    for name in reverted:
        click.echo(f"took down {name}")
    if not reverted:
        click.echo("nothing to take down")


def _about(migration: Path) -> str:
    """Return the first line that a migration says of itself."""
    said = ast.get_docstring(ast.parse(migration.read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0]


@command.command(epilog="\b\nExample:\n  tenure migrate status --format json")
@format_option
@click.pass_context
def status(ctx: click.Context, output_format: str) -> None:
    """List every migration; exits with 1 when one is pending or was changed."""
    settings = settings_of(ctx)
    with failures():
        rows = migrator_of(settings).status()
    if output_format == "json":
        echo_json([asdict(row) for row in rows])
    else:
        echo_rows(
            ("PACKAGE", "MIGRATION", "APPLIED", "MS", "STATE"),
            [
                (
                    row.package,
                    row.name,
                    row.applied_at,
                    row.duration_ms,
                    "changed" if row.changed else "applied" if row.applied_at else "pending",
                )
                for row in rows
            ],
        )
    if any(row.changed or row.applied_at is None for row in rows):
        ctx.exit(1)


@command.command(epilog="\b\nExample:\n  tenure migrate catalog --output catalog.json")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, always as JSON.  [default: standard output]",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="json",
    show_default=True,
    help="How to print: json is what the linter reads.",
)
@click.pass_context
def catalog(ctx: click.Context, output: Path | None, output_format: str) -> None:
    """Print the migrated tables as a catalog for `tenure lint --catalog`."""
    settings = settings_of(ctx)
    with owner_cursor(ctx) as cursor:
        domain = domain_of(settings)
        found = database_catalog(cursor, ("tenure", domain.schema, *domain.archives))
    text = found.to_json() + "\n"
    if output is not None:
        write_file(output, text.encode())
        click.echo(f"wrote {len(found.tables)} tables to {output}", err=True)
    elif output_format == "json":
        click.echo(text, nl=False)
    else:
        echo_rows(
            ("TABLE", "TENANT COLUMN", "COLUMNS", "KEYS", "REFERENCES"),
            [
                (t.name, t.tenant_column, len(t.columns), len(t.keys), len(t.foreign_keys))
                for t in found.tables
            ],
        )


@command.command(
    epilog="\b\nExample:\n  tenure migrate manifest --output retention/ledger/manifest.json"
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, always as JSON.  [default: standard output]",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="json",
    show_default=True,
    help="How to print: json is what the audit reads.",
)
@click.pass_context
def manifest(ctx: click.Context, output: Path | None, output_format: str) -> None:
    """Print what feeds and guards the ledger here, as `tenure ledger verify` has it beside it.

    For who changes the product: made of a database that was migrated afresh, it says what a
    database of the release has.
    """
    with owner_cursor(ctx) as cursor:
        found = Manifest.of(cursor)
    if output is not None:
        write_file(output, found.to_json().encode())
        click.echo(f"wrote {len(found.triggers)} triggers to {output}", err=True)
    elif output_format == "json":
        click.echo(found.to_json(), nl=False)
    else:
        echo_rows(
            ("TABLE", "TRIGGER", "FEEDS"),
            [
                (table, name, ", ".join(f.kind for f in found.tables if f.name == table))
                for table, name in found.triggers
            ],
        )
