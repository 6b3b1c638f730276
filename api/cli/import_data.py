"""`tenure import NAME FILE`: bring a file into the domain's tables.

The domain imports; this command makes its tenants, as their owner, and keeps the files of
rejected lines. Retention policies of a tenant are paused before its first imported row:
old data would otherwise be deleted by the next run, before anybody has looked at it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from api.cli.support import (
    echo_json,
    echo_rows,
    failures,
    format_option,
    installation_of,
)
from api.wiring import Installation, owner_of
from api.workshop import workshop_of
from config.trace import new_trace_id
from retention.gate import turn_gate
from retention.holds import pass_gate
from tenants.connections import RoleConnections
from tenants.context import TenantId
from tenants.errors import ImportFileError, RegistryError
from tenants.importing import ImportJob, ImportSummary, Progress, RejectFile, importer_of
from tenants.registry import ensure_tenant, find_tenant, slug_of

ACTOR = "command:import"


@click.command(
    name="import",
    epilog="Exit codes: 0 imported (some lines may be rejected), 1 every line was rejected,"
    " 2 wrong usage or failure.",
)
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where rejected lines go.  [default: FILE.rejects.csv; in the working directory where"
    " FILE's own cannot be written]",
)
@click.option(
    "--batch-lines",
    type=click.IntRange(1, 100_000),
    default=5000,
    show_default=True,
    help="Commit about every so many lines.",
)
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    name: str,
    file: Path,
    rejects: Path | None,
    batch_lines: int,
    output_format: str,
) -> None:
    """Import FILE with the domain's importer NAME.

    Can be stopped and run again: nothing is doubled. Tenants that are missing are made.
    Stops at a tenant under legal hold: an import changes rows that are there.
    Policies of imported tenants start paused.

    \b
    Example:
      tenure import online-retail online_retail.csv.gz
      tenure import online-retail online_retail.csv --rejects /tmp/rejects.csv --format json
    """
    installation = installation_of(ctx)
    if rejects is not None and rejects.exists() and rejects.samefile(file):
        raise click.UsageError(f"--rejects {rejects} is FILE itself")
    started = time.monotonic()
    with failures():
        importer = importer_of(installation.domain, name)
    with failures(), owner_of(installation.settings) as owner, _rejects(file, rejects) as reject:
        tenants = _Tenants(owner, installation)
        summary = importer(
            ImportJob(
                source=file,
                ensure_tenant=tenants.ensure,
                reject=reject,
                actor=ACTOR,
                trace_id=new_trace_id(),
                now=installation.clock.now(),
                batch_lines=batch_lines,
                progress=_progress(),
                guard=partial(pass_gate, installation.app),
            )
        )
    report = _report(summary, tenants.slugs, reject.path, time.monotonic() - started)
    report["policies_paused"] = tenants.paused
    if output_format == "json":
        echo_json(report)
    else:
        _print(report)
    if not summary.adds_up:
        raise click.ClickException(f"the counts do not add up to the {summary.lines} lines of FILE")
    if summary.rejected and not summary.imported and not summary.already_there:
        ctx.exit(1)


class _Tenants:
    """Makes tenants by name, and pauses their policies where nobody has said otherwise."""

    def __init__(self, owner: RoleConnections, installation: Installation) -> None:
        self._owner = owner
        self._policies = workshop_of(installation, actor="import").policies
        self.slugs: dict[TenantId, str] = {}
        self.paused = 0

    def ensure(self, name: str) -> TenantId:
        """Return the tenant; raises RegistryError when its slug is another name's."""
        slug = slug_of(name)
        tenant_id = ensure_tenant(self._owner, slug, name)
        with self._owner.transaction(None) as cursor:
            found = find_tenant(cursor, slug)
            if found.name != name:
                raise RegistryError(
                    f"{name!r} would go to the tenant {slug!r}, which is {found.name!r}"
                )
            # A batch of an earlier state that is under way ends before the first row comes.
            turn_gate(cursor, tenant_id)
            for policy in self._policies:
                cursor.execute(
                    "INSERT INTO tenure.policy_states (policy, tenant_id, state, changed_by)"
                    " VALUES (%s, %s, 'paused', %s) ON CONFLICT (policy, tenant_id) DO NOTHING",
                    (policy.name, str(tenant_id), ACTOR),
                )
                self.paused += cursor.rowcount
        self.slugs[tenant_id] = slug
        return tenant_id


def _rejects(file: Path, wanted: Path | None) -> RejectFile:
    if wanted is not None:
        return RejectFile(wanted)
    beside = file.with_name(f"{file.name}.rejects.csv")
    try:
        return RejectFile(beside)
    except ImportFileError:
        return RejectFile(Path.cwd() / beside.name)


def _progress() -> Progress:
    if not sys.stderr.isatty():
        return lambda _read, _size: None

    def show(read: int, size: int) -> None:
        percent = 100 * read // size if size else 100
        click.echo(f"\rimporting {percent:3d} %", nl=read >= size, err=True)

    return show


def _report(
    summary: ImportSummary, slugs: Mapping[TenantId, str], rejects: Path, seconds: float
) -> dict[str, Any]:
    return {
        "file": summary.file,
        "sha256": summary.sha256,
        "lines": summary.lines,
        "header": summary.header,
        "blank": summary.blank,
        "continued": summary.continued,
        "imported": summary.imported,
        "already_there": summary.already_there,
        "rejected": summary.rejected,
        "unfinished_last_line": bool(summary.unfinished),
        "rejects": str(rejects),
        "seconds": round(seconds, 3),
        "tenants": [
            {
                "tenant": count.tenant,
                "slug": slugs[count.tenant_id],
                "id": str(count.tenant_id),
                "imported": count.imported,
                "already_there": count.already_there,
            }
            for count in summary.tenants
        ],
    }


def _print(report: Mapping[str, Any]) -> None:
    echo_rows(
        ("tenant", "slug", "imported", "already there"),
        [(t["tenant"], t["slug"], t["imported"], t["already_there"]) for t in report["tenants"]],
    )
    click.echo()
    parts = [
        (report["imported"], "imported"),
        (report["already_there"], "already there"),
        (report["rejected"], "rejected"),
        (report["header"], "header"),
        (report["blank"], "blank"),
        (report["continued"], "continuing the line before"),
    ]
    counts = ", ".join(f"{count} {what}" for count, what in parts if count)
    click.echo(f"{report['file']}: {report['lines']} lines = {counts}")
    if report["unfinished_last_line"]:
        click.echo("The last line does not end in a line break; it is counted above.")
    if report["rejected"]:
        click.echo(f"Rejected lines, with reasons: {report['rejects']}")
    if report["policies_paused"]:
        click.echo(f"Retention policies paused: {report['policies_paused']}. Nothing is deleted.")
