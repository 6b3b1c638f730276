"""One run of the gate, from what was asked to its report."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lint.assembly import View, assemble
from lint.baseline import Baseline
from lint.baseline import load as load_baseline
from lint.cache import Cache
from lint.config import Config, lint_table
from lint.errors import ConfigError
from lint.inputs.changes import Changes, changes
from lint.inputs.logs import Ran
from lint.inputs.sinks import Sinks
from lint.inputs.sources import files
from lint.report import FileReport, Report
from lint.run import Run
from lint.schema.known import Known, known

# Where `--write-baseline` puts it if nothing else is said, in the configuration's folder.
BASELINE = "tenure-baseline.json"


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is no file, under the name that findings are to carry."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """What to judge and how. `whole`: the report is to name every statement.

    `since` is a git revision; `force_exclude`: a file that is named is left out all the same if
    the configuration leaves it out. `schema` is a catalog (JSON) that comes from no file, `ran`
    are statements that a server ran.
    """

    config: Config
    paths: Sequence[Path] = ()
    texts: Sequence[Text] = ()
    jobs: int = 1
    cache: Cache | None = None
    whole: bool = False
    since: str | None = None
    force_exclude: bool = False
    baseline: Path | None = None
    schema: Text | None = None
    ran: Iterable[Ran] | None = None


def run(request: Request) -> Report:
    """The report. Raises LintError for what is wrong with the run and not with one file."""
    config = request.config
    baseline = load_baseline(request.baseline) if request.baseline is not None else None
    changed = changes(request.since, config.folder) if request.since is not None else None
    if changed is not None and _all_over(config, changed):
        changed = None  # every verdict may be another one
    session = Run(
        _known(request),
        jobs=request.jobs,
        cache=request.cache,
        whole=request.whole or changed is not None,
    )
    view = View(
        config.allowances,
        config.folder,
        _from_here(config.file),
        complete=request.since is None and _covers(request.paths, config.folder),
        changes=changed,
        before=lambda path: _before(session, changed, path),
        baseline=baseline,
        place=lambda path: _place(path, config.folder),
    )
    skipped: list[Path] = []
    report = assemble(_reports(request, session, changed, skipped), view)
    if skipped:
        names = ", ".join(sorted({path.name for path in skipped}))
        note = f"left out, for git says nothing of them: {names}"
        report = replace(report, notes=(*report.notes, note))
    return report


def write_baseline(report: Report, file: Path, config: Config) -> tuple[int, int, int]:
    """Write the findings of a run as the baseline: how many are in it, came in, went out.

    Entries for files that the run did not look at stay, unless the file is gone.
    """
    old = load_baseline(file) if file.exists() else Baseline()
    looked = {_place(path, config.folder) for path in report.paths}
    new = old.renewed(
        [*report.findings, *report.baselined],
        place=lambda path: _place(path, config.folder),
        kept=lambda e: e.path not in looked and (config.folder / e.path).exists(),
    )
    try:
        file.write_text(new.to_json(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from error
    before = {entry.key: entry.count for entry in old.entries}
    after = {entry.key: entry.count for entry in new.entries}
    came = sum(max(number - before.get(k, 0), 0) for k, number in after.items())
    went = sum(max(number - after.get(k, 0), 0) for k, number in before.items())
    return sum(after.values()), came, went


def _known(request: Request) -> Known:
    if request.schema is None:
        return known(request.config)
    return Known(request.config, request.schema.name, request.schema.text, script=False)


def _reports(
    request: Request, session: Run, changed: Changes | None, skipped: list[Path]
) -> Iterator[FileReport]:
    if request.texts:
        from lint.worker import make_source  # brings the parser

        gate = session.worker().gate
        for text in request.texts:
            yield gate.judge(make_source(text.name, text.text, Sinks(request.config.sinks)))
    if request.ran is not None:
        from lint.inputs.ran import Judge  # brings the parser

        for report in Judge(session.worker().gate).reports(request.ran):
            yield report if request.whole else replace(report, judged=())
    excluded = request.config.excluded
    yield from session.reports(
        file
        for file in files(request.paths, excluded, skipped)
        if not (request.force_exclude and excluded(file)) and (changed is None or changed.has(file))
    )


def _before(session: Run, changed: Changes | None, path: str) -> FileReport | None:
    """What would have been said of a file as it was; None if it was not there."""
    text = changed.before(Path(path)) if changed is not None else ""
    return session.earlier(path, text.encode("utf-8", "surrogateescape")) if text else None


def _all_over(config: Config, changed: Changes) -> bool:
    """Whether what verdicts rest upon has changed: the schema or the configuration."""
    file = config.file
    if file is not None and changed.has(file):
        try:
            was = lint_table(changed.before(file), file.name)
        except ValueError:
            return True
        if was != lint_table(file.read_text(encoding="utf-8"), file.name):
            return True  # and not only another part of pyproject.toml
    return any(s is not None and changed.has(s) for s in (config.schema, config.catalog))


def _from_here(file: Path | None) -> Path | None:
    """The configuration's file as a finding names it: like the files that were judged."""
    here = Path.cwd()
    return file.relative_to(here) if file is not None and file.is_relative_to(here) else file


def _covers(paths: Sequence[Path], folder: Path) -> bool:
    real = folder.resolve()
    return any(real.is_relative_to(path.resolve()) for path in paths)


def _place(path: str, folder: Path) -> str:
    """A path as a baseline keeps it: relative to the configuration, wherever the run began."""
    absolute = Path(path).absolute()
    try:
        return Path(os.path.relpath(absolute, folder.absolute())).as_posix()
    except ValueError:  # another drive
        return absolute.as_posix()
