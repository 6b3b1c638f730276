"""Text for people: findings with their source line, and a line of counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lint.report import Finding, Judged, Report

_RED, _DIM, _BOLD, _RESET = "\x1b[31m", "\x1b[2m", "\x1b[1m", "\x1b[0m"
_WIDTH = 160
_TAB = 4


def as_text(report: Report, *, colour: bool, verdicts: bool = False) -> str:
    """Findings with their source lines, then a line of counts; `verdicts` lists all statements."""
    paint = _Paint(colour)
    lines: list[str] = []
    if verdicts:
        for item in report.judged:
            lines += _verdict_lines(item, paint)
        if lines:
            lines.append("")
    for finding in report.findings:
        lines += _finding_lines(finding, paint)
    lines += [f"note: {note}" for note in report.notes]
    lines.append(_summary_line(report))
    return "\n".join(lines) + "\n"


def as_statistics(report: Report) -> str:
    """How many findings each code has, and in how many files; the commonest first."""
    counted = Counter((finding.code, finding.name) for finding in report.findings)
    places: dict[str, set[str]] = {}
    for finding in report.findings:
        places.setdefault(finding.code, set()).add(finding.path)
    width = len(str(max(counted.values(), default=0)))
    lines = [
        f"{number:>{width}}  {code}  {name} (in {_files(len(places[code]))})"
        for (code, name), number in sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    ]
    lines.append(_summary_line(report))
    return "\n".join(lines) + "\n"


class _Paint:
    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_RESET}" if self._on else text


def _verdict_lines(item: Judged, paint: _Paint) -> Iterator[str]:
    verdict = item.verdict
    yield f"{item.path}:{item.line}: {verdict.verdict} ({verdict.kind}): {verdict.reason}"
    for occurrence in verdict.occurrences:
        name = occurrence.table
        if occurrence.alias != name.rpartition(".")[2]:
            name += f" {occurrence.alias}"
        text = f"    {name}: {occurrence.verdict} ({occurrence.kind}): {occurrence.reason}"
        yield paint(text, _DIM)
    for reason in item.allowed:
        yield paint(f"    allowed because {reason}", _DIM)


def _finding_lines(finding: Finding, paint: _Paint) -> Iterator[str]:
    code = paint(f"{finding.code} {finding.name}", _RED)
    yield f"{finding.path}:{finding.line}:{finding.column}: {code}: {finding.message}"
    if not finding.shown.strip():
        return
    start, end = finding.column - 1, len(finding.shown)
    if finding.end_line == finding.line:
        end = finding.end_column - 1
    line, start, end = _cut(finding.shown, start, end)
    gutter = f"{finding.line:>6} | "
    before = len(line[:start].expandtabs(_TAB))
    marked = len(line[:end].expandtabs(_TAB)) - before
    yield paint(gutter, _DIM) + line.expandtabs(_TAB)
    yield " " * (len(gutter) + before) + paint("^" * max(marked, 1), _BOLD)


def _cut(line: str, start: int, end: int) -> tuple[str, int, int]:
    """A window of a long line around what is marked, and the marks in it."""
    if len(line) <= _WIDTH:
        return line, start, end
    low = max(min(start - _WIDTH // 4, len(line) - _WIDTH), 0)
    window = line[low : low + _WIDTH]
    if low:
        window = "…" + window[1:]
    if low + _WIDTH < len(line):
        window = window[:-1] + "…"
    return window, start - low, min(end - low, _WIDTH)


def _summary_line(report: Report) -> str:
    s = report.summary()
    counts = f"{s['scoped']} scoped, {s['unscoped']} unscoped, {s['undecidable']} undecidable"
    text = f"{s['statements']} statements in {_files(s['files'])}: {counts}; "
    text += f"{s['findings']} findings"
    if s["suppressed"]:
        text += f", {s['suppressed']} suppressed"
    return text + (f", {s['baselined']} in the baseline" if s["baselined"] else "")


def _files(number: int) -> str:
    return f"{number} files"
