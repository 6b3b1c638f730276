"""From the reports of files to the report of a run: what counts, what is allowed, what is new."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lint.allowances import Allowance, Allowances
from lint.baseline import Baseline
from lint.inputs.changes import Changes
from lint.report import Counts, FileReport, Finding, Judged, Report

_SHOWN_STALE = 5


@dataclass(frozen=True, slots=True)
class View:
    """What a run makes of its files' reports.

    `complete`: it looked at everything under the configuration's folder, so a suppression that
    met nothing is not needed. `changes`: only what they touch counts, and what was not found in a
    file as it was `before`. `place` turns a path into the one that a baseline keeps.
    """

    allowances: Sequence[Allowance] = ()
    folder: Path = field(default_factory=Path)
    file: Path | None = None
    today: datetime.date | None = None
    complete: bool = False
    changes: Changes | None = None
    before: Callable[[str], FileReport | None] = lambda _path: None
    baseline: Baseline | None = None
    place: Callable[[str], str] = str


def assemble(reports: Iterable[FileReport], view: View | None = None) -> Report:
    """The report of a run; without a view, only comments suppress."""
    view = view or View()
    today = view.today or datetime.datetime.now(datetime.UTC).date()
    allowances = Allowances(view.allowances, view.folder, today=today)
    findings: list[Finding] = []
    judged: list[Judged] = []
    failures: list[str] = []
    counts = Counts()
    paths: dict[str, None] = {}
    for whole in reports:
        report = whole
        paths[report.path] = None
        if report.failure:
            failures.append(report.failure)
        ours = [allowances.apply(finding) for finding in report.findings]
        if view.changes is not None:
            report, ours = _changed(report, ours, view, view.changes, allowances)
        findings += ours
        counts += report.counts
        judged += _with_reasons(report.judged, ours)
    if view.complete:
        findings += _unused(allowances, view.file)
    standing = [finding for finding in findings if not finding.allowed]
    known: tuple[Finding, ...] = ()
    notes: list[str] = []
    if view.baseline is not None:
        compared = view.baseline.compare(standing)
        standing, known = list(compared.new), compared.known
        if view.changes is None:
            looked = {view.place(path) for path in paths}
            stale = [e for e in compared.stale if e.path in looked or _gone(e.path, view.folder)]
            notes += _stale([f"{e.code} in {e.path}" for e in stale])
    return Report(
        tuple(paths),
        counts,
        tuple(standing),
        tuple(finding for finding in findings if finding.allowed),
        known,
        tuple(judged),
        tuple(failures),
        tuple(notes),
    )


def _changed(
    report: FileReport,
    findings: Sequence[Finding],
    view: View,
    changes: Changes,
    allowances: Allowances,
) -> tuple[FileReport, list[Finding]]:
    """What of a report a change has to do with.

    That is what has a changed line: a statement's own, one that its text is made of, a finding's.
    And what is new though none has one: a line that went may have mended what stands elsewhere.
    So what was found in the file as it was before is compared with what is found now.
    """
    path = Path(report.path)

    def touched(*ranges: tuple[int, int]) -> bool:
        return any(changes.touch(path, first, last) for first, last in ranges)

    near = {j.index for j in report.judged if touched((j.line, j.end_line), *j.made)}
    ours, others = [], []
    for finding in findings:
        lines = (finding.first, finding.last), (finding.line, finding.end_line)
        if finding.index in near or touched(*lines):
            ours.append(finding)
        elif not finding.allowed:
            others.append(finding)
    if others:
        before = view.before(report.path)
        known = [allowances.apply(f) for f in before.findings] if before is not None else []
        standing = [finding for finding in known if not finding.allowed]
        base = Baseline().renewed(standing, place=str, kept=lambda _entry: False)
        ours += base.compare(others).new
    ours.sort(key=lambda f: (f.line, f.column, f.code))
    near |= {finding.index for finding in ours}
    judged = tuple(item for item in report.judged if item.index in near)
    return replace(report, judged=judged, counts=Counts.of(judged)), ours


def _with_reasons(judged: Sequence[Judged], findings: Sequence[Finding]) -> Iterator[Judged]:
    reasons: dict[int, dict[str, None]] = {}
    for finding in findings:
        if finding.allowed:
            reasons.setdefault(finding.index, {})[finding.allowed] = None
    for item in judged:
        allowed = reasons.get(item.index)
        yield replace(item, allowed=tuple(allowed)) if allowed else item


def _unused(allowances: Allowances, file: Path | None) -> Iterator[Finding]:
    lines = file.read_text(encoding="utf-8").splitlines() if file is not None else []
    for entry, code in allowances.unused():
        quoted = (f'"{entry.path}"', f"'{entry.path}'")
        line = next((n for n, text in enumerate(lines, 1) if any(q in text for q in quoted)), 1)
        shown = lines[line - 1] if lines else ""
        yield Finding(
            str(file),
            line,
            1,
            line,
            len(shown) + 1,
            "TS011",
            f"nothing in {entry.path} is {code}; remove it",
            "unused-suppression",
            first=line,
            last=line,
            shown=shown,
            statement=f"{entry.path} {code}",
        )


def _gone(path: str, folder: Path) -> bool:
    return not (folder / path).exists()


def _stale(entries: Sequence[str]) -> Iterator[str]:
    if entries:
        shown = ", ".join(entries[:_SHOWN_STALE])
        more = f" and {len(entries) - _SHOWN_STALE} more" if len(entries) > _SHOWN_STALE else ""
        yield (
            f"{len(entries)} of the baseline are mended: {shown}{more}; "
            "--write-baseline takes them out"
        )
