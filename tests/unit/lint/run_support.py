"""A project on disk, and a run over it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lint_support import CASES

from lint.cache import Cache
from lint.config import Config
from lint.report import FileReport
from lint.run import Run
from lint.schema.catalog import Tenancy
from lint.schema.known import known

SCOPED = "SELECT * FROM t WHERE org = tenure.current_tenant();\n"
OPEN = "SELECT * FROM t;\n"


def config(folder: Path) -> Config:
    tenancy = Tenancy(tenant_columns=("org",), tenants_table="orgs", exempt={"country": "all's"})
    return replace(Config(), tenancy=tenancy, schema=CASES / "schema.sql", folder=folder)


def write(folder: Path, **files: str) -> list[Path]:
    """Files by name; `a__sql` is `a.sql`."""
    made = []
    for name, text in files.items():
        file = folder / name.replace("__", ".")
        file.write_text(text)
        made.append(file)
    return made


def reports(
    settings: Config,
    files: list[Path],
    cache: Cache | None = None,
    *,
    jobs: int = 1,
    whole: bool = True,
) -> list[FileReport]:
    run = Run(known(settings), jobs=jobs, cache=cache, whole=whole)
    return list(run.reports(files))
